"""Conditions: the test images as they are, under one corruption at one severity, or those that were taken under another light.

Corrupted images are made as a stream and never stored.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pyimgano.contracts import NamedCorruption, Sample
from pyimgano.contracts.corruption import Mask
from pyimgano.errors import OptionsError, PyimganoError
from pyimgano.evaluation.breakdown import relative_name
from pyimgano.images import AHEAD, Image, read
from pyimgano.metrics.pixel import PixelTruth
from pyimgano_robustness.drift import RealDrift


@dataclass(frozen=True)
class Condition:
    """Which of the test images, and what happens to them; without a corruption nothing does.

    Attributes
    ----------
    corruption, severity
        What, and how strongly.
    seed
        Seed of the run.
    root
        Folder that images are named from, so that what happens to one depends on nothing else.
    drift
        The conditions that images were taken under, where that is known.
    taken
        Which of them; None is the reference.
    """

    corruption: NamedCorruption | None = None
    severity: int = 0
    seed: int = 0
    root: Path | None = None
    drift: RealDrift | None = None
    taken: str | None = None

    @property
    def name(self) -> str:
        """Return ``clean``, the corruption's short name and the severity, or what the images were taken under."""
        if self.drift is not None and self.taken is not None:
            return f"{self.drift.key}={self.taken}"
        return "clean" if self.corruption is None else f"{self.corruption.short_name}_{self.severity}"

    def samples(self, test: Sequence[Sample]) -> Sequence[Sample]:
        """Return those of the test images that it is about."""
        if self.drift is None:
            return test
        return self.drift.under(test, self.drift.reference if self.taken is None else self.taken)

    def image(self, sample: Sample, image: Image) -> Image:
        """Return the image of a sample under this condition."""
        if self.corruption is None:
            return image
        params = self.corruption.draw(image.shape, seed=self.seed, key=relative_name(sample.path, self.root))
        return self.corruption.apply(image, params, self.severity)

    def truth(self, sample: Sample, truth: PixelTruth, size: tuple[int, int]) -> PixelTruth:
        """Return the truth of a sample whose image has `size` (height, width), its mask moved along when it is loaded."""
        if self.corruption is None or not self.corruption.moves_pixels or truth.mask is None:
            return truth
        return PixelTruth(truth.anomaly_map, partial(self._moved, sample, truth, size))

    def _moved(self, sample: Sample, truth: PixelTruth, size: tuple[int, int]) -> Mask:
        assert self.corruption is not None
        mask = truth.mask() if callable(truth.mask) else truth.mask
        assert mask is not None
        params = self.corruption.draw((*size, 3), seed=self.seed, key=relative_name(sample.path, self.root))
        return self.corruption.move(mask, params, self.severity)


@dataclass(frozen=True)
class Conditions:
    """All conditions of a run: the clean one that the others are compared with, corruptions, and real drift."""

    clean: Condition
    corrupted: tuple[Condition, ...]
    real: tuple[Condition, ...] = ()

    @classmethod
    def of(
        cls,
        corruptions: Sequence[NamedCorruption],
        severities: Sequence[int],
        seed: int,
        root: Path | None,
        drift: RealDrift | None = None,
    ) -> Conditions:
        """Return the clean condition, every corruption at every severity, and every other condition of `drift`.

        Raises
        ------
        OptionsError
            For a severity that a corruption does not have, and for a corruption or a severity that is given twice.
        """
        _check(corruptions, severities)
        return cls(
            Condition(None, 0, seed, root, drift),
            tuple(Condition(one, severity, seed, root, drift) for one in corruptions for severity in severities),
            tuple(Condition(None, 0, seed, root, drift, name) for name in (drift.others if drift is not None else ())),
        )

    def __iter__(self) -> Iterator[Condition]:
        return iter((self.clean, *self.corrupted, *self.real))

    def __len__(self) -> int:
        return 1 + len(self.corrupted) + len(self.real)


def _check(corruptions: Sequence[NamedCorruption], severities: Sequence[int]) -> None:
    names = [corruption.short_name for corruption in corruptions]
    for what, given in (("corruption", names), ("severity", list(map(str, severities)))):
        twice = sorted({name for name in given if given.count(name) > 1})
        if twice:
            raise OptionsError(f"{what} {twice[0]} is given twice", "name each once")
    for corruption in corruptions:
        for severity in severities:
            corruption.check_severity(severity)
            if severity == 0:
                raise OptionsError("severity 0 is the clean condition, which is always there", "leave it out")


class ConditionSource:
    """Reads samples and puts them under a condition, `jobs` threads ahead of whoever iterates, in order.

    Attributes
    ----------
    seconds
        How long the corruption took so far, over all threads.
    """

    def __init__(self, samples: Sequence[Sample], condition: Condition, jobs: int = 1) -> None:
        self.samples = samples
        self.condition = condition
        self.jobs = jobs
        self.seconds = 0.0

    def __iter__(self) -> Iterator[Image]:
        waiting: deque[Future[tuple[Image, float]]] = deque()
        with ThreadPoolExecutor(self.jobs, thread_name_prefix="corrupt") as pool:
            try:
                for sample in self.samples:
                    waiting.append(pool.submit(self._made, sample))
                    if len(waiting) > AHEAD:
                        yield self._taken(waiting.popleft())
                while waiting:
                    yield self._taken(waiting.popleft())
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _made(self, sample: Sample) -> tuple[Image, float]:
        image = read(sample.path)
        started = time.thread_time()
        try:
            changed = self.condition.image(sample, image)
        except PyimganoError as error:
            error.problem = f"{sample.path}: {error.problem}"
            raise
        return changed, time.thread_time() - started

    def _taken(self, future: Future[tuple[Image, float]]) -> Image:
        image, seconds = future.result()
        self.seconds += seconds
        return image
