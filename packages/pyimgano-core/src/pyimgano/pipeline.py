"""The one chain that an image goes through, in training, calibration, evaluation and on the line."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pyimgano.augmentation.options import AugmentationOptions
from pyimgano.augmentation.source import AugmentedSource
from pyimgano.calibration import (
    CalibrationSettings,
    ImageThreshold,
    PixelThreshold,
    ThresholdRules,
    calibrate_images,
    calibrate_pixels,
)
from pyimgano.choice import Choice
from pyimgano.contracts import DatasetSplit, Detector, ImageScore, Runtime
from pyimgano.defects.config import DefectsConfig
from pyimgano.defects.extract import Defects, extract_defects_from_anomaly_map
from pyimgano.defects.judged import JudgedMap, region_of_interest
from pyimgano.errors import CalibrationError, DetectorError, ImageError, PlanError, PyimganoError
from pyimgano.guard import as_component_error, named_errors
from pyimgano.images import AHEAD, Image, ImageLike, ImageSource, batched
from pyimgano.maps import AnomalyMap
from pyimgano.options import recorded
from pyimgano.postprocess.step import PostprocessStep
from pyimgano.preprocessing import IlluminationOptions, apply_illumination
from pyimgano.progress import track
from pyimgano.registry import build_detector, find
from pyimgano.reporting.strict_json import plain
from pyimgano.tiling import TiledDetector, TilingOptions

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
    preprocessing
        What is done to every image before the detector.
    tiling
        Whether the detector looks at tiles.
    defects
        How pixels are judged; what of it comes before the pixel threshold takes part in calibrating that.
    """

    detector: Detector
    name: str
    version: str | None
    options: Mapping[str, Any]
    weights: Mapping[str, Any] | None = None
    score_threshold: ImageThreshold | None = None
    pixel_threshold: PixelThreshold | None = None
    postprocess: Sequence[PostprocessStep] = ()
    preprocessing: IlluminationOptions = field(default_factory=IlluminationOptions)
    tiling: TilingOptions = field(default_factory=TilingOptions)
    defects: DefectsConfig = field(default_factory=DefectsConfig)

    @classmethod
    def create(
        cls,
        model: str,
        options: Mapping[str, Any],
        runtime: Runtime,
        postprocess: Sequence[Choice] = (),
        *,
        preprocessing: IlluminationOptions | None = None,
        tiling: TilingOptions | None = None,
        defects: DefectsConfig | None = None,
    ) -> Pipeline:
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
        tiling = tiling or TilingOptions()
        return cls(
            TiledDetector.wrap(detector, tiling),
            entry.full_name,
            entry.record.version,
            recorded(detector.options),
            postprocess=steps,
            preprocessing=preprocessing or IlluminationOptions(),
            tiling=tiling,
            defects=defects or DefectsConfig(),
        )

    @classmethod
    def around(cls, detector: Detector) -> Pipeline:
        """Return a pipeline around a detector of your own making, fitted or not."""
        return cls(detector, type(detector).__name__, None, {}, detector.weights)

    def fit(self, images: Sequence[ImageLike], augmentation: AugmentationOptions | None = None) -> Self:
        """Fit the detector on images of good parts, and on changed copies of them where `augmentation` asks for some."""
        source = self._source(images, augmentation or AugmentationOptions())
        copies = f" and {len(source) - len(images)} changed copies" if len(source) > len(images) else ""
        logger.info("fitting %s on %d images%s", self.name, len(images), copies)
        with named_errors(self.name):
            self.detector.fit(source)
        self.weights = self.detector.weights
        if (self.weights or {}).get("source") == "random":
            logger.warning("RANDOM WEIGHTS: the backbone is not pretrained; scores of this model mean nothing on real parts")
        return self

    def _source(self, images: Sequence[ImageLike], augmentation: AugmentationOptions) -> ImageSource:
        transform = self._prepare if self._prepares else None
        if augmentation.preset == "none":
            return ImageSource(images, transform=transform)
        return AugmentedSource(images, augmentation, self.detector.runtime.seed, transform)

    @property
    def _prepares(self) -> bool:
        """Return whether anything is done to images before the detector."""
        return self.preprocessing != IlluminationOptions()

    def _prepare(self, image: Image) -> Image:
        return apply_illumination(image, self.preprocessing)

    def retile(self, tiling: TilingOptions) -> None:
        """Score in other tiles from now on, or images whole; what the detector learned stays, and so do the thresholds."""
        inner = self.detector.detector if isinstance(self.detector, TiledDetector) else self.detector
        threshold = self.detector.threshold
        self.detector = TiledDetector.wrap(inner, tiling)
        self.detector.threshold = threshold
        self.tiling = tiling

    def fingerprint(self, *, pixels: bool = False) -> str:
        """Return a digest of everything between image and score; thresholds are only valid for the chain they came from.

        With `pixels`, also of what is between the map and the pixel threshold.
        """
        steps = [(step.name, step.options, step.component.state()) for step in self.postprocess]
        weights = (self.weights or {}).get("sha256")
        chain = {"model": self.name, "options": self.options, "weights": weights, "postprocess": steps}
        chain |= {"preprocessing": self.preprocessing, "tiling": self.tiling}
        before = {"border_ignore_px", "roi_xyxy_norm", "roi_polygons_norm", "map_smoothing"}
        set_before = self.defects.model_dump(include=before, exclude_defaults=True)
        if pixels and set_before:
            chain["defects"] = set_before
        return hashlib.sha256(json.dumps(plain(chain), sort_keys=True).encode()).hexdigest()[:16]

    def warn_of_another_chain(self) -> None:
        """Warn of thresholds that were calibrated through another chain than the one they are used in now."""
        for level in self.from_another_chain():
            logger.warning(
                "the %s threshold was calibrated through another chain than this one: train again, or set it by hand", level
            )

    def from_another_chain(self) -> dict[str, str]:
        """Return the chain of this pipeline by level, for every threshold (image, pixel) that comes from another one."""
        records = {"image": self.score_threshold, "pixel": self.pixel_threshold}
        chains = {level: self.fingerprint(pixels=level == "pixel") for level, record in records.items() if record is not None}
        return {
            level: chain
            for level, chain in chains.items()
            if (record := records[level]) is not None and record.chain not in (None, chain)
        }

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
        results = self._results_of_normal(images, ())
        for step in self.postprocess:
            step.fit(results)
            results = [step.apply(result) for result in results]
        return self._set_thresholds(results, settings)

    def recalibrate(self, images: Sequence[ImageLike], rules: ThresholdRules) -> Self:
        """Set both thresholds anew from other normal images; whatever was fitted stays as it is."""
        results = self._results_of_normal(images, self.postprocess)
        self.defects = self.defects.model_copy(update={"pixel_threshold": None})
        self._set_thresholds(results, rules)
        split = {"split": "recalibration"}
        self.score_threshold = self.score_threshold and self.score_threshold.model_copy(update=split)
        self.pixel_threshold = self.pixel_threshold and self.pixel_threshold.model_copy(update=split)
        self.detector.threshold = self.score_threshold
        return self

    def _results_of_normal(self, images: Sequence[ImageLike], steps: Sequence[PostprocessStep]) -> list[ImageScore]:
        if not images:
            raise CalibrationError("there are no held-out normal images to calibrate on", "provide more images of good parts")
        logger.info("calibrating on %d held-out images", len(images))
        return [_or_raise(scored) for scored in track(self._score(images, steps), "calibrate", len(images))]

    def _set_thresholds(self, results: Sequence[ImageScore], rules: ThresholdRules) -> Self:
        scores = np.array([result.score for result in results])
        seed = self.detector.runtime.seed
        self.score_threshold = calibrate_images(scores, rules, self.fingerprint(), seed=seed)
        maps = [JudgedMap(result.anomaly_map, self.defects) for result in results if result.anomaly_map is not None]
        pixel = calibrate_pixels(maps, rules, self.fingerprint(pixels=True), seed=seed) if maps else None
        self.pixel_threshold = pixel and pixel.model_copy(update=region_of_interest(self.defects, pixel))
        if maps and self.defects.pixel_threshold is not None:
            self.pixel_threshold = PixelThreshold.by_hand(self.defects.pixel_threshold, "explicit", pixel)
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

    def find_defects(
        self, anomaly_map: AnomalyMap | None, rendered: NDArray[np.float32] | None = None, *, image_space: bool = False
    ) -> Defects:
        """Return the mask and the regions of a scored image, by the pipeline's own threshold and settings.

        Parameters
        ----------
        anomaly_map
            What `score` gave.
        rendered
            The same at the size of its image, (H, W), where it is at hand; a large one is better not made.
        image_space
            Whether regions have their box on the image too.

        Raises
        ------
        DetectorError
            If the detector makes no maps.
        OptionsError
            If there is no pixel threshold.
        """
        if anomaly_map is None:
            raise DetectorError(f"{self.name} makes no anomaly maps", "choose a detector with maps: pyimgano list-models")
        median = self.pixel_threshold.normal_median if self.pixel_threshold is not None else None
        if rendered is None and not anomaly_map.large:
            rendered = anomaly_map.render()
        return extract_defects_from_anomaly_map(
            anomaly_map if rendered is None else rendered,
            self.defects,
            pixel_threshold=self.pixel_threshold,
            normal_median=median,
            image_size=anomaly_map.source if image_space else None,
        )

    def _score(self, items: Sequence[ImageLike], steps: Sequence[PostprocessStep]) -> Iterator[Scored]:
        tiled = self.tiling.tile_size is not None
        size = 1 if tiled else self.detector.runtime.images_per_batch  # the tiles of one large image are batches of their own
        batches = batched(ImageSource(items, ahead=1 if tiled else AHEAD).outcomes(), size)
        return chain.from_iterable(
            map(partial(self._score_outcomes, steps=steps), batches)
        )  # no batch is held while the next is made

    def _score_outcomes(
        self, batch: Sequence[tuple[ImageLike, Image | ImageError]], steps: Sequence[PostprocessStep]
    ) -> Iterator[Scored]:
        as_paths = self.detector.takes_paths and not self._prepares
        readable = [
            item if as_paths and not isinstance(item, np.ndarray) else outcome
            for item, outcome in batch
            if not isinstance(outcome, ImageError)
        ]
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

    def _score_batch(self, images: Sequence[ImageLike], steps: Sequence[PostprocessStep]) -> list[ImageScore | PyimganoError]:
        """Score a batch; if it fails, score its images one by one, so that one image costs only itself."""
        if not images:
            return []
        try:
            prepared = [self._prepare(image) if isinstance(image, np.ndarray) else image for image in images]
            return [_postprocessed(result, steps) for result in self.detector.score_images(prepared)]
        except Exception as error:  # a plugin's detector may raise anything; below it is tied to its image
            if len(images) == 1:
                return [as_component_error(error, self.name)]
        return [result for image in images for result in self._score_batch([image], steps)]


def _postprocessed(result: ImageScore, steps: Sequence[PostprocessStep]) -> ImageScore:
    for step in steps:
        result = step.apply(result)
    return result


def _or_raise(scored: Scored) -> ImageScore:
    if scored.error is not None:
        raise scored.error
    assert scored.result is not None
    return scored.result
