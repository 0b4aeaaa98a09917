"""The one chain that an image goes through, in training, calibration, evaluation and on the line."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import BaseModel

from pyimgano.calibration import CalibrationSettings, ImageThreshold, PixelThreshold, calibrate_images, calibrate_pixels
from pyimgano.choice import Choice
from pyimgano.contracts import DatasetSplit, Detector, ImageScore, Postprocessor, Runtime
from pyimgano.errors import CalibrationError, DetectorError, ImageError, PlanError, PyimganoError
from pyimgano.images import Image, ImageLike, ImageSource, batched
from pyimgano.progress import track
from pyimgano.registry import build_component, build_detector, find
from pyimgano.reporting.strict_json import plain

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scored:
    """One image after the detector: what came in, and either the `result` with the decoded `image`, or the `error`."""

    item: ImageLike
    image: Image | None = None
    result: ImageScore | None = None
    error: PyimganoError | None = None


@dataclass(frozen=True)
class PostprocessStep:
    """A postprocessor with its identity: full name, version of its distribution, and all its options as plain data."""

    component: Postprocessor
    name: str
    version: str | None
    options: Mapping[str, Any]

    @classmethod
    def create(cls, choice: Choice) -> PostprocessStep:
        """Return a step around a new postprocessor, not yet fitted."""
        entry = find("postprocessor", choice.name)
        component = build_component(entry, choice.options)
        return cls(component, entry.full_name, entry.record.version, _recorded(component.options))

    def fit(self, results: Sequence[ImageScore]) -> None:
        """Let the component learn from held-out normal images."""
        with _named_errors(self.name):
            self.component.fit(results)

    def apply(self, result: ImageScore) -> ImageScore:
        """Return what the component makes of a result."""
        with _named_errors(self.name):
            changed = self.component.apply(result)
        if not isinstance(changed, ImageScore):
            raise DetectorError(f"{self.name} returned {type(changed).__name__} for an image, not an ImageScore")
        if not np.isfinite(changed.score):
            raise DetectorError(f"{self.name} made the score {changed.score} of an image")
        return changed


@dataclass
class Pipeline:
    """A detector with its identity, the postprocessors behind it, and its thresholds.

    Attributes
    ----------
    detector
        The component that scores.
    name
        Its full name, ``distribution:name``.
    version
        Version of the distribution it comes from.
    options
        All its options, defaults included, as plain data.
    weights
        Where its pretrained weights come from.
    score_threshold, pixel_threshold
        Set by `calibrate`.
    postprocess
        What is done to every result before the thresholds, in order.
    """

    detector: Detector
    name: str
    version: str | None
    options: Mapping[str, Any]
    weights: Mapping[str, Any] | None = None
    score_threshold: ImageThreshold | None = None
    pixel_threshold: PixelThreshold | None = None
    postprocess: Sequence[PostprocessStep] = ()

    @classmethod
    def create(cls, model: str, options: Mapping[str, Any], runtime: Runtime, postprocess: Sequence[Choice] = ()) -> Pipeline:
        """Return a pipeline around a new detector, not yet fitted."""
        entry = find("detector", model)
        for choice in () if entry.spec.maps else postprocess:
            if find("postprocessor", choice.name).spec.acts_on == "map":
                raise PlanError(
                    f"{choice.name} needs anomaly maps, and {model} makes none",
                    f"leave out {choice.name}, or choose a detector with maps: pyimgano list-models",
                )
        steps = [PostprocessStep.create(choice) for choice in postprocess]
        detector = build_detector(entry, options, runtime)
        return cls(detector, entry.full_name, entry.record.version, _recorded(detector.options), postprocess=steps)

    @classmethod
    def around(cls, detector: Detector) -> Pipeline:
        """Return a pipeline around a detector of your own making, fitted or not."""
        return cls(detector, type(detector).__name__, None, {}, detector.weights)

    def fit(self, images: Sequence[ImageLike]) -> Self:
        """Fit the detector on images of good parts."""
        logger.info("fitting %s on %d images", self.name, len(images))
        with _named_errors(self.name):
            self.detector.fit(ImageSource(images))
        self.weights = self.detector.weights
        if (self.weights or {}).get("source") == "random":
            logger.warning("RANDOM WEIGHTS: the backbone is not pretrained; scores of this model mean nothing on real parts")
        return self

    def fingerprint(self) -> str:
        """Return a digest of everything between image and score; thresholds are only valid for the chain they came from."""
        steps = [(step.name, step.options, step.component.state()) for step in self.postprocess]
        weights = (self.weights or {}).get("sha256")
        chain = {"model": self.name, "options": self.options, "weights": weights, "postprocess": steps}
        return hashlib.sha256(json.dumps(plain(chain), sort_keys=True).encode()).hexdigest()[:16]

    def learn(self, split: DatasetSplit, settings: CalibrationSettings, seed: int) -> tuple[DatasetSplit, dict[str, float]]:
        """Fit on the training images and calibrate on held-out ones.

        Returns
        -------
        tuple
            The split with its calibration images, and the seconds that ``fit`` and ``calibrate`` took.
        """
        split = split.with_calibration(settings.calibration_fraction, seed)
        started = time.perf_counter()
        self.fit([str(sample.path) for sample in split.train])
        fitted = time.perf_counter()
        self.calibrate([str(sample.path) for sample in split.calibration], settings)
        return split, {"fit": fitted - started, "calibrate": time.perf_counter() - fitted}

    def calibrate(self, images: Sequence[ImageLike], settings: CalibrationSettings) -> Self:
        """Fit the postprocessors and set both thresholds, from normal images that the detector was not fitted on."""
        if not images:
            raise CalibrationError("there are no held-out normal images to calibrate on", "provide more images of good parts")
        logger.info("calibrating on %d held-out images", len(images))
        results = [_or_raise(scored) for scored in track(self._score(images, ()), "calibrate", len(images))]
        for step in self.postprocess:
            step.fit(results)
            results = [step.apply(result) for result in results]
        scores = np.array([result.score for result in results])
        chain = self.fingerprint()
        seed = self.detector.runtime.seed
        self.score_threshold = calibrate_images(scores, settings, chain, seed=seed)
        maps = [result.anomaly_map for result in results if result.anomaly_map is not None]
        self.pixel_threshold = calibrate_pixels(maps, settings, chain, seed=seed) if maps else None
        for record in (self.score_threshold, self.pixel_threshold):
            if record is not None and record.warning:
                logger.warning(record.warning)
        self.detector.threshold = self.score_threshold
        return self

    def score(self, items: Sequence[ImageLike]) -> Iterator[Scored]:
        """Yield every item in order, scored or with the error that reading or scoring it gave.

        Images are decoded ahead in threads and scored in batches; memory does not grow with their number.
        """
        return self._score(items, self.postprocess)

    def _score(self, items: Sequence[ImageLike], steps: Sequence[PostprocessStep]) -> Iterator[Scored]:
        for batch in batched(ImageSource(items).outcomes(), self.detector.runtime.images_per_batch):
            readable = [outcome for _, outcome in batch if not isinstance(outcome, ImageError)]
            results = iter(self._score_batch(readable, steps))
            for item, outcome in batch:
                if isinstance(outcome, ImageError):
                    yield Scored(item, error=outcome)
                    continue
                result = next(results)
                if isinstance(result, PyimganoError):
                    result.problem = f"{'array' if isinstance(item, np.ndarray) else item}: {result.problem}"
                    yield Scored(item, error=result)
                else:
                    yield Scored(item, image=outcome, result=result)

    def _score_batch(self, images: list[Image], steps: Sequence[PostprocessStep]) -> list[ImageScore | PyimganoError]:
        """Score a batch; if it fails, score its images one by one, so that one image costs only itself."""
        if not images:
            return []
        try:
            return [_postprocessed(result, steps) for result in self.detector.score_images(images)]
        except Exception as error:  # a plugin's detector may raise anything; below it is tied to its image
            if len(images) == 1:
                return [_as_component_error(error, self.name)]
        return [result for image in images for result in self._score_batch([image], steps)]


def _postprocessed(result: ImageScore, steps: Sequence[PostprocessStep]) -> ImageScore:
    for step in steps:
        result = step.apply(result)
    return result


def _recorded(options: BaseModel) -> dict[str, Any]:
    """Return options as plain data; of files only the name, because paths of the training machine mean nothing elsewhere."""
    values = options.model_dump()
    return {name: value.name if isinstance(value, Path) else plain(value) for name, value in values.items()}


@contextmanager
def _named_errors(name: str) -> Iterator[None]:
    """Turn whatever a plugin's component raises into an error that names it."""
    try:
        yield
    except Exception as error:
        ours = _as_component_error(error, name)
        if ours is error:
            raise
        raise ours from error


def _as_component_error(error: Exception, name: str) -> PyimganoError:
    if isinstance(error, PyimganoError):
        return error
    wrapped = DetectorError(f"{name} failed: {type(error).__name__}: {error}", "run with --debug for the traceback")
    wrapped.__cause__ = error
    return wrapped


def _or_raise(scored: Scored) -> ImageScore:
    if scored.error is not None:
        raise scored.error
    assert scored.result is not None
    return scored.result
