"""What a training would read and take, found out from the images' headers and a trial on a few of them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pyimgano.calibration import CalibrationSettings
from pyimgano.datasets.summary import summarise
from pyimgano.errors import PyimganoError
from pyimgano.specs import WeightsPlace
from pyimgano.workbench.config import TrainConfig
from pyimgano.workbench.preparation import Preparation
from pyimgano.workbench.training import check_outputs
from pyimgano.workbench.training_folder import FIT
from pyimgano.workbench.trial import Trial, try_out

_UNTOLD = {"none": "none needed", "bundled": "part of the plugin", "checkpoint": "a file that the options name"}


@dataclass(frozen=True)
class Preflight:
    """What was found.

    Attributes
    ----------
    prepared
        The training, its components and images.
    images
        As `pyimgano.datasets.summary.summarise` counts them, before calibration images are held out.
    weights
        Where the pretrained weights lie, in words.
    trial
        What learning and scoring take; None where the trial failed, which is one of the problems, or was not made.
    notes
        What is worth knowing.
    problems
        Why the training would fail.
    """

    prepared: Preparation
    images: dict[str, Any]
    weights: str
    trial: Trial | None
    notes: tuple[str, ...]
    problems: tuple[PyimganoError, ...]

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield a name and a sentence for everything that was found."""
        split, found = self.prepared.split, self.images
        sizes = ", ".join(f"{count} of {size}" for size, count in list(found["sizes"].items())[:3])
        more = f" and {len(found['sizes']) - 3} other sizes" if len(found["sizes"]) > 3 else ""
        yield "learn from", f"{len(split.train)} good images, calibrate on {len(split.calibration)} held out"
        yield "test on", f"{len(split.test)} images, {found['defective']} defective, {found['masks']} with masks"
        yield "sizes", f"{sizes}{more}"
        yield "weights", self.weights
        if self.trial is not None:
            yield from self.trial.lines(len(split.train), len(split.calibration) + len(split.test))
        for note in self.notes:
            yield "note", note
        for problem in self.problems:
            yield "problem", f"{problem.problem}\n{'':<12}{problem.next_step}"

    def record(self) -> dict[str, Any]:
        """Return the same as plain data."""
        split = self.prepared.split
        counts = {role: len(getattr(split, role)) for role in ("train", "calibration", "test")}
        estimate = self.trial.record(counts["train"], counts["calibration"] + counts["test"]) if self.trial else None
        return {
            "parts": [part.record() for part in self.prepared.plan.parts],
            "images": {**self.images, **counts},
            "split": self.prepared.split_digests,
            "weights": self.weights,
            "estimate": estimate,
            "notes": self.notes,
            "problems": [{"problem": error.problem, "mend": error.next_step} for error in self.problems],
        }


def inspect(config: TrainConfig, overwrite: bool = False) -> Preflight:
    """Look at everything that a training needs, and learn from a few of its images; nothing is written or downloaded.

    Raises
    ------
    PlanError
        If the components do not fit together, with every reason.
    PyimganoError
        If the images cannot be listed or split.
    """
    prepared = Preparation.of(config)
    images = summarise(prepared.category.split)
    weights, problems = _weights(prepared)
    trial: Trial | None = None
    try:
        check_outputs(config, overwrite)
    except PyimganoError as error:
        problems.append(error)
    try:
        prepared.build_pipeline().detector.check_savable()
        trial = try_out(prepared) if weights is not None else None
    except PyimganoError as error:
        problems.append(error)
    notes = tuple(_notes(prepared, config))
    return Preflight(prepared, images, weights or "not on this machine", trial, notes, tuple(problems))


def _weights(prepared: Preparation) -> tuple[str | None, list[PyimganoError]]:
    """Return where the weights lie, None where they do not, and what to do about that."""
    spec = prepared.model.entry.spec
    if spec.weights_at is None:
        return _UNTOLD.get(spec.weights, "downloaded when it is first fitted, if they are not here"), []
    module, _, name = spec.weights_at.partition(":")
    place: WeightsPlace = getattr(importlib.import_module(module), name)(prepared.model.options)
    if place.place is None:
        return None, [PyimganoError(f"the weights of {place.name} are not on this machine", place.fix)]
    return f"{place.name} is here, {place.place}", []


def _notes(prepared: Preparation, config: TrainConfig) -> Iterator[str]:
    held_out = len(prepared.split.calibration)
    needed = _needed(config.calibration)
    if held_out < needed:
        yield (
            f"a false-alarm rate of {config.calibration.false_alarm_rate:g} takes {needed} held-out images, and there are "
            f"{held_out}: their largest score will be the image threshold"
        )
    run = config.output.run
    if run is not None and (run / FIT).exists():
        yield f"{run} holds an unfinished training, which goes on after learning if settings and images are the same"
    if run is not None and config.output.evaluate and not prepared.split.test:
        yield "there are no test images, so the report will say nothing of how good it is"


def _needed(settings: CalibrationSettings) -> int:
    conformal = settings.image_threshold_strategy == "split_conformal"
    return round(1 / settings.false_alarm_rate + 0.5 - 1e-9) - 1 if conformal else 1
