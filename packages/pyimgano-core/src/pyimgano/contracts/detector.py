"""Detectors: how they run, what they give for an image, and what a subclass writes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from pyimgano.calibration.record import ThresholdRecord
from pyimgano.errors import DetectorError, NotFittedError
from pyimgano.images import Image, ImageLike, ImageSource, batched
from pyimgano.maps import AnomalyMap


class Embedder(Protocol):
    """Patch features of a caller's own making, from a list of RGB uint8 arrays (H, W, 3).

    It returns float32 grids: stacked (N, h, w, D), or one (h, w, D) per image, whose sizes may differ. A detector may take
    more, as several layers, and says so.
    """

    def __call__(self, images: Sequence[Image], /) -> NDArray[np.float32] | Sequence[Any]: ...


@dataclass(frozen=True)
class Runtime:
    """How to run a detector, never what it is.

    Attributes
    ----------
    device
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    batch_size
        Images per forward pass; 0 lets the detector choose.
    amp
        Reduced precision where the device has it.
    threads
        Threads for the heavy arithmetic; 0 leaves the library's own choice.
    seed
        Seed of every random choice.
    """

    device: str = "auto"
    batch_size: int = 16
    amp: bool = False
    threads: int = 0
    seed: int = 0

    @property
    def images_per_batch(self) -> int:
        """Return the batch size to use where the detector has no preference of its own."""
        return self.batch_size or 16

    def chosen_device(self, has_cuda: bool) -> str:
        """Return the device to run on, ``cpu``, ``cuda`` or ``cuda:N``, where `has_cuda` says whether CUDA can be used here.

        Raises
        ------
        DetectorError
            If CUDA is asked for where there is none.
        """
        if self.device == "auto":
            return "cuda" if has_cuda else "cpu"
        if self.device.startswith("cuda") and not has_cuda:
            raise DetectorError(
                f"device {self.device!r} was asked for, but this machine has no usable CUDA device", "use --device cpu"
            )
        return self.device


ONE_EACH = "_score must return a list with one ImageScore per image, in their order"

NAMED_ARRAYS = 'state must return a dict of numpy arrays of numbers, such as {"level": np.array(self.level_)}'


@dataclass(frozen=True)
class ImageScore:
    """The answer for one image: `score`, higher is more anomalous, and where the detector has one, its map."""

    score: float
    anomaly_map: AnomalyMap | None = None


class Detector(ABC):
    """Learns from normal images and scores any image.

    A subclass writes `_fit`, `_score`, `state` and `load_state`; everything else is derived and never overridden. Its
    constructor takes ``(options, runtime)``, stores them and does no work.
    """

    weights: Mapping[str, Any] | None = None
    """Where the pretrained weights that were used come from, once they are loaded; None without any."""
    takes_paths = False
    """Whether it reads files itself, so that it is handed paths wherever nothing is done to an image before it."""

    def __init__(self, options: Any, runtime: Runtime) -> None:
        self.options = options
        self.runtime = runtime
        self.threshold: ThresholdRecord | None = None
        self._fitted = False

    @abstractmethod
    def _fit(self, images: ImageSource) -> None:
        """Learn from normal images. `images` is sized and can be iterated again; it yields RGB uint8 (H, W, 3) arrays."""

    @abstractmethod
    def _score(self, images: Sequence[Image]) -> list[ImageScore]:
        """Score RGB uint8 (H, W, 3) arrays, whose sizes may differ, in one forward pass."""

    @abstractmethod
    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that was learned, as named arrays."""

    @abstractmethod
    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `state` returned. Implementations end with ``self.mark_fitted()``."""

    def mark_fitted(self) -> None:
        """Declare the detector ready to score."""
        self._fitted = True

    def fit(self, images: Iterable[ImageLike]) -> Self:
        """Learn from normal images (paths or RGB arrays) and return the detector."""
        source = images if isinstance(images, ImageSource) else ImageSource(list(images))
        if not len(source):
            raise DetectorError("there are no images to fit on", "pass at least one image of a good part")
        self._fit(source)
        self.mark_fitted()
        return self

    def score_images(self, images: Sequence[ImageLike]) -> list[ImageScore]:
        """Score a list of images (paths or RGB arrays) that fits in memory, in their order.

        Raises
        ------
        NotFittedError
            Before `fit` or `load_state`.
        DetectorError
            If the detector returns another number of results, something else than results, a score that is not finite, or a map
            of another image's size.
        """
        if not self._fitted:
            raise NotFittedError(f"{type(self).__name__} is not fitted", "call fit() with images of good parts first")
        scores = self._score_source(ImageSource(images)) if len(images) else []
        if len(scores) != len(images):
            raise DetectorError(f"{type(self).__name__} returned {len(scores)} results for {len(images)} images", ONE_EACH)
        for place, result in enumerate(scores):
            self._check(result, place)
        return scores

    def _score_source(self, images: ImageSource) -> list[ImageScore]:
        """Score images that are not decoded yet; where a detector is adapted, not all of them need to be."""
        decoded = list(images)
        scores = self._score(decoded)
        if not isinstance(scores, Sequence):
            raise DetectorError(f"{type(self).__name__}._score returned {type(scores).__name__}, not a list", ONE_EACH)
        for image, result in zip(decoded, scores, strict=False):
            shown = getattr(result, "anomaly_map", None)
            if isinstance(shown, AnomalyMap) and tuple(shown.source) != image.shape[:2]:
                height, width = image.shape[:2]
                raise DetectorError(
                    f"{type(self).__name__} gave an image of {height} x {width} pixels the map of one of "
                    f"{' x '.join(map(str, shown.source))}",
                    "write AnomalyMap(grid, image.shape[:2]); the grid may have any size",
                )
        return scores

    def _check(self, result: object, place: int) -> None:
        """Raise `DetectorError` unless an answer is a finite score, with an anomaly map or none."""
        name = type(self).__name__
        if not isinstance(result, ImageScore):
            raise DetectorError(
                f"{name} gave {type(result).__name__} for image {place} of the batch, not an ImageScore", ONE_EACH
            )
        if not np.isfinite(result.score):
            raise DetectorError(
                f"{name} gave image {place} of the batch the score {result.score}", "look in _score for a division by zero"
            )
        if not isinstance(result.anomaly_map, AnomalyMap | None):
            raise DetectorError(
                f"{name} gave image {place} of the batch {type(result.anomaly_map).__name__} for a map",
                "write ImageScore(score, AnomalyMap(grid, image.shape[:2]))",
            )

    def learned(self) -> dict[str, NDArray[Any]]:
        """Return what `state` gives, as arrays in C order that a safetensors file can hold.

        Raises
        ------
        DetectorError
            If that is something else than named arrays of numbers.
        """
        arrays = self.state()
        if not isinstance(arrays, Mapping):
            raise DetectorError(f"{type(self).__name__}.state returned {type(arrays).__name__}, not a dict", NAMED_ARRAYS)
        checked = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        for name, array in checked.items():
            if array.dtype.kind in "OSUMm":
                kind = type(arrays[name]).__name__
                raise DetectorError(
                    f"{type(self).__name__}.state gave {name!r} as {kind}, not an array of numbers", NAMED_ARRAYS
                )
        return checked

    def check_savable(self) -> None:
        """Raise `BundleError` if what is learned cannot be saved, as where an adapted detector has no `state`."""
        return

    def decision_function(self, images: Iterable[ImageLike]) -> NDArray[np.float64]:
        """Return one score per image, (N,) float64; higher is more anomalous."""
        return np.array([result.score for result in self._stream(images)], dtype=np.float64)

    def predict(self, images: Iterable[ImageLike]) -> NDArray[np.int64]:
        """Return 1 for every image whose score is above the calibrated threshold, else 0; (N,) int64."""
        if self.threshold is None:
            raise NotFittedError(
                f"{type(self).__name__} has no threshold", "call calibrate_threshold(detector, held_out_normal_images) first"
            )
        return (self.decision_function(images) > self.threshold.value).astype(np.int64)

    def get_anomaly_map(self, image: ImageLike) -> NDArray[np.float32]:
        """Return the anomaly map of one image at its own size, (H, W) float32."""
        return self.predict_anomaly_map([image])[0]

    def predict_anomaly_map(self, images: Iterable[ImageLike]) -> list[NDArray[np.float32]]:
        """Return one map per image, each (H, W) float32 of its image's own size."""
        maps = []
        for result in self._stream(images):
            if result.anomaly_map is None:
                raise DetectorError(f"{type(self).__name__} makes no anomaly maps", "use decision_function for its scores")
            maps.append(result.anomaly_map.render())
        return maps

    def _stream(self, images: Iterable[ImageLike]) -> Iterator[ImageScore]:
        source = images if isinstance(images, ImageSource) else ImageSource(list(images))
        images = source.items if self.takes_paths and source.untouched else source
        for batch in batched(images, self.runtime.images_per_batch):
            yield from self.score_images(batch)
