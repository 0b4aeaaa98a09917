"""Learning from a few images, to say what learning from all of them would take."""

from __future__ import annotations

import math
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pyimgano.images import AHEAD, Image, read
from pyimgano.pipeline import Pipeline
from pyimgano.workbench.preparation import Preparation

FEW, MORE = 4, 8


@dataclass(frozen=True)
class Trial:
    """What a few images took; times in seconds, memory in bytes.

    Attributes
    ----------
    images
        How many were learned from.
    fit, memory
        Time and greatest memory of numpy while learning from them.
    fit_each, memory_each
        What one more image adds.
    read_each, score_each
        Time to decode, and to decode and score one image.
    waiting
        Memory of the decoded images that wait to be learned from.
    """

    images: int
    fit: float
    fit_each: float
    memory: float
    memory_each: float
    read_each: float
    score_each: float
    waiting: float

    def record(self, train: int, others: int) -> dict[str, Any]:
        """Return the estimates for numbers of images to learn from and to score."""
        more = max(0, train - self.images)
        return {
            "trial_images": self.images,
            "fit_s": self.fit + more * self.fit_each + train * self.read_each,
            "score_s": others * self.score_each,
            "score_s_per_image": self.score_each,
            "memory_bytes": self.memory + more * self.memory_each + self.waiting,
        }

    def lines(self, train: int, others: int) -> Iterator[tuple[str, str]]:
        """Yield the estimates as sentences."""
        found = self.record(train, others)
        yield (
            "time",
            (
                f"about {_duration(found['fit_s'])} to learn, longer where that grows faster than the number of images, and "
                f"{_duration(found['score_s'])} to calibrate and test ({_duration(self.score_each)} per image)"
            ),
        )
        yield "memory", f"about {_size(found['memory_bytes'])} while learning, beside the libraries and the network itself"
        yield "", f"(from a trial on {self.images} images)"


def try_out(prepared: Preparation) -> Trial:
    """Learn from a few training images, then from some more, and score them; the pipelines are thrown away.

    Raises
    ------
    PyimganoError
        If an image cannot be read, or the detector fails.
    """
    files = [str(sample.path) for sample in prepared.split.train[:MORE]]
    started = time.perf_counter()
    images = [read(file) for file in files]
    read_each = (time.perf_counter() - started) / len(images)
    few = images[: min(FEW, len(images))]
    pipeline, _, _ = _learn(prepared, few)  # what is loaded on first use is not part of what an image takes
    _, fit_few, memory_few = _learn(prepared, few)
    _, fit, memory = _learn(prepared, images)
    apart = max(1, len(images) - len(few))
    return Trial(
        images=len(images),
        fit=fit,
        fit_each=max(0.0, fit - fit_few) / apart or fit / len(images),
        memory=memory,
        memory_each=max(0.0, memory - memory_few) / apart or memory / len(images),
        read_each=read_each,
        score_each=_score(pipeline, files),
        waiting=float(AHEAD * max(image.nbytes for image in images)),
    )


def _learn(prepared: Preparation, images: Sequence[Image]) -> tuple[Pipeline, float, float]:
    """Return a pipeline that has learned, the seconds that it took, and its greatest memory in bytes."""
    pipeline = prepared.build_pipeline()
    tracemalloc.start()
    started = time.perf_counter()
    try:
        pipeline.fit(images, prepared.config.dataset.augmentation)
        return pipeline, time.perf_counter() - started, float(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


def _score(pipeline: Pipeline, files: Sequence[str]) -> float:
    """Return the seconds that decoding and scoring one image takes."""
    started = time.perf_counter()
    count = sum(1 for scored in pipeline.score(files) if scored.error is None)
    return (time.perf_counter() - started) / max(1, count)


def _coarse(value: float) -> float:
    """Return a number with one significant digit, or two that begin with 1."""
    if value <= 0:
        return 0.0
    digit = 10.0 ** math.floor(math.log10(value))
    step = digit / 2 if value < 2 * digit else digit
    return math.ceil(value / step) * step


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{_coarse(seconds * 1000):g} ms"
    return f"{_coarse(seconds):g} s" if seconds < 120 else f"{_coarse(seconds / 60):g} min"


def _size(count: float) -> str:
    return f"{_coarse(count / 1e6):g} MB" if count < 1e9 else f"{_coarse(count / 1e9):g} GB"
