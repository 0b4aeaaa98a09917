"""The one chain that an image goes through, in training, calibration, evaluation and on the line."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import BaseModel

from pyimgano.calibration import CalibrationSettings, ImageThreshold, PixelThreshold, calibrate_images, calibrate_pixels
from pyimgano.contracts import Detector, ImageScore, Runtime
from pyimgano.errors import CalibrationError, DetectorError, ImageError, PyimganoError
from pyimgano.images import Image, ImageLike, ImageSource, batched
from pyimgano.progress import track
from pyimgano.registry import build_detector, find
from pyimgano.reporting.strict_json import plain

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scored:
    """One image after the detector: what came in, and either the `result` with the decoded `image`, or the `error`."""

    item: ImageLike
    image: Image | None = None
    result: ImageScore | None = None
    error: PyimganoError | None = None


@dataclass
class Pipeline:
    """A detector with its identity and its thresholds.

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
    """

    detector: Detector
    name: str
    version: str | None
    options: Mapping[str, Any]
    weights: Mapping[str, Any] | None = None
    score_threshold: ImageThreshold | None = None
    pixel_threshold: PixelThreshold | None = None

    @classmethod
    def create(cls, model: str, options: Mapping[str, Any], runtime: Runtime) -> Pipeline:
        """Return a pipeline around a new detector, not yet fitted."""
        entry = find("detector", model)
        detector = build_detector(entry, options, runtime)
        return cls(detector, entry.full_name, entry.record.version, _recorded(detector.options))

    @classmethod
    def around(cls, detector: Detector) -> Pipeline:
        """Return a pipeline around a detector of your own making, fitted or not."""
        return cls(detector, type(detector).__name__, None, {}, detector.weights)

    def fit(self, images: Sequence[ImageLike]) -> Self:
        """Fit the detector on images of good parts."""
        logger.info("fitting %s on %d images", self.name, len(images))
        try:
            self.detector.fit(ImageSource(images))
        except PyimganoError:
            raise
        except Exception as error:  # a plugin's detector may raise anything
            raise _as_detector_error(error, self.name) from error
        self.weights = self.detector.weights
        return self

    def fingerprint(self) -> str:
        """Return a digest of everything between image and score; thresholds are only valid for the chain they came from."""
        chain = {"model": self.name, "options": self.options, "weights": (self.weights or {}).get("sha256")}
        return hashlib.sha256(json.dumps(plain(chain), sort_keys=True).encode()).hexdigest()[:16]

    def calibrate(self, images: Sequence[ImageLike], settings: CalibrationSettings) -> Self:
        """Set both thresholds from normal images that the detector was not fitted on."""
        if not images:
            raise CalibrationError("there are no held-out normal images to calibrate on", "provide more images of good parts")
        logger.info("calibrating on %d held-out images", len(images))
        results = [_or_raise(scored) for scored in track(self.score(images), "calibrate", len(images))]
        scores = np.array([result.score for result in results])
        chain = self.fingerprint()
        self.score_threshold = calibrate_images(scores, settings, chain)
        maps = [result.anomaly_map for result in results if result.anomaly_map is not None]
        if maps:
            self.pixel_threshold = calibrate_pixels(maps, settings, chain)
        for record in (self.score_threshold, self.pixel_threshold):
            if record is not None and record.warning:
                logger.warning(record.warning)
        self.detector.threshold = self.score_threshold
        return self

    def score(self, items: Sequence[ImageLike]) -> Iterator[Scored]:
        """Yield every item in order, scored or with the error that reading or scoring it gave.

        Images are decoded ahead in threads and scored in batches; memory does not grow with their number.
        """
        for batch in batched(ImageSource(items).outcomes(), self.detector.runtime.images_per_batch):
            readable = [outcome for _, outcome in batch if not isinstance(outcome, ImageError)]
            results = iter(self._score_batch(readable))
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

    def _score_batch(self, images: list[Image]) -> list[ImageScore | PyimganoError]:
        """Score a batch; if it fails, score its images one by one, so that one image costs only itself."""
        if not images:
            return []
        try:
            return list(self.detector.score_images(images))
        except Exception as error:  # a plugin's detector may raise anything; below it is tied to its image
            if len(images) == 1:
                return [_as_detector_error(error, self.name)]
        return [result for image in images for result in self._score_batch([image])]


def _recorded(options: BaseModel) -> dict[str, Any]:
    """Return options as plain data; of files only the name, because paths of the training machine mean nothing elsewhere."""
    values = options.model_dump()
    return {name: value.name if isinstance(value, Path) else plain(value) for name, value in values.items()}


def _as_detector_error(error: Exception, name: str) -> PyimganoError:
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
