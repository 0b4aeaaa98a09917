"""Metrics over pixels and regions, at image size, streamed so that thousands of large maps fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pyimgano.errors import MetricError
from pyimgano.maps import AnomalyMap
from pyimgano.metrics.curve import ThresholdCurve
from pyimgano.metrics.image import ratio

Mask = NDArray[np.bool_]
MapLike = AnomalyMap | NDArray[np.floating[Any]]
MaskLike = Mask | Callable[[], Mask] | None


@dataclass(frozen=True)
class PixelTruth:
    """One image's map with its truth.

    Attributes
    ----------
    anomaly_map
        An `AnomalyMap`, rendered at its image's size when needed, or an (H, W) array.
    mask
        (H, W) bool, True where the part is defective; a callable that returns it, so that masks need not wait in memory; None
        for a good image.
    """

    anomaly_map: MapLike
    mask: MaskLike = None

    def load(self) -> tuple[NDArray[np.floating[Any]], Mask | None]:
        """Return the map and the mask, both (H, W)."""
        one = self.anomaly_map
        values = one.render() if isinstance(one, AnomalyMap) else np.asarray(one)
        mask = self.mask() if callable(self.mask) else self.mask
        if mask is not None and mask.shape != values.shape:
            raise MetricError(
                f"a map of shape {values.shape} cannot be compared with a mask of shape {mask.shape}",
                "render the map at the size of the image, and export the mask at that size",
            )
        return values, mask


@dataclass(frozen=True)
class PixelCurves:
    """The curves of all pixels: each pixel alike (`pixels`), and each region alike (`regions`, for PRO)."""

    pixels: ThresholdCurve
    regions: ThresholdCurve
    region_count: int


def pixel_curves(truths: Sequence[PixelTruth]) -> PixelCurves:
    """Return the exact curves of all pixels of all images.

    Regions are 8-connected and never join across images. Memory holds the defective pixels, under 80 bytes each, and one
    image; maps are rendered twice.
    """
    values: list[NDArray[np.floating[Any]]] = []
    weights: list[NDArray[np.float64]] = []
    regions = 0
    for truth in truths:
        if truth.mask is None:
            continue
        rendered, mask = truth.load()
        assert mask is not None
        count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
        regions += count - 1
        values.append(rendered[mask])
        weights.append(1.0 / stats[labels[mask], cv2.CC_STAT_AREA])
    positives = np.concatenate(values) if values else np.empty(0, dtype=np.float32)
    del values
    by_region = ThresholdCurve(positives, np.concatenate(weights) if weights else None)
    del positives, weights
    for negatives in _negatives(truths):
        by_region.add_negatives(negatives)
    return PixelCurves(by_region.unweighted(), by_region, regions)


def _negatives(truths: Sequence[PixelTruth]) -> Iterator[NDArray[np.floating[Any]]]:
    for truth in truths:
        rendered, mask = truth.load()
        yield rendered.ravel() if mask is None else rendered[~mask]


@dataclass(frozen=True)
class PixelCounts:
    """What one threshold does to pixels, regions and images; abnormal means ``value > threshold``."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0
    background_fp: int = 0
    background: int = 0
    regions: int = 0
    regions_found: int = 0
    false_regions: int = 0
    images: int = 0
    good_images: int = 0
    good_images_alarmed: int = 0

    def __add__(self, other: PixelCounts) -> PixelCounts:
        return PixelCounts(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    @property
    def segf1(self) -> float | None:
        """F1 over all pixels of all images, good ones included (MVTec AD 2); None if none is defective or called so."""
        return ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def bg_fpr(self) -> float | None:
        """Share of the defect-free pixels, of all images, that were called abnormal."""
        return ratio(self.fp, self.fp + self.tn)

    @property
    def good_image_bg_fpr(self) -> float | None:
        """The same over good images only."""
        return ratio(self.background_fp, self.background)

    @property
    def region_recall(self) -> float | None:
        """Share of the defects of which any pixel was found."""
        return ratio(self.regions_found, self.regions)

    @property
    def false_regions_per_image(self) -> float | None:
        """Predicted regions that touch no defect, per image."""
        return ratio(self.false_regions, self.images)

    @property
    def good_image_alarm_rate(self) -> float | None:
        """Share of the good images with any abnormal pixel."""
        return ratio(self.good_images_alarmed, self.good_images)


def count_pixels(truths: Sequence[PixelTruth], threshold: float) -> PixelCounts:
    """Return what a fixed threshold does, summed over all images."""
    return sum(count_each(truths, threshold), start=PixelCounts())


def count_each(truths: Iterable[PixelTruth], threshold: float) -> Iterator[PixelCounts]:
    """Yield what a fixed threshold does to each image."""
    for truth in truths:
        yield _count_one(*truth.load(), threshold)


def _count_one(values: NDArray[np.floating[Any]], mask: Mask | None, threshold: float) -> PixelCounts:
    if not np.isfinite(values).all():
        raise MetricError("an anomaly map holds NaN or infinite values", "check the detector's maps")
    called = values > threshold
    truth = np.zeros(called.shape, dtype=bool) if mask is None else mask
    tp = int((called & truth).sum())
    fp = int(called.sum()) - tp
    found, regions = _touched(truth, called)
    hits, predicted = _touched(called, truth)
    good = not truth.any()
    return PixelCounts(
        tp=tp,
        fp=fp,
        fn=int(truth.sum()) - tp,
        tn=int((~truth).sum()) - fp,
        background_fp=fp if good else 0,
        background=truth.size if good else 0,
        regions=regions,
        regions_found=found,
        false_regions=predicted - hits,
        images=1,
        good_images=int(good),
        good_images_alarmed=int(good and fp > 0),
    )


def _touched(regions: Mask, other: Mask) -> tuple[int, int]:
    """Return how many 8-connected regions of one mask touch another mask, and how many there are."""
    if not regions.any():
        return 0, 0
    count, labels = cv2.connectedComponents(regions.astype(np.uint8), connectivity=8)
    return len(np.unique(labels[other & regions])), count - 1


def compute_pixel_segf1(pixel_labels: NDArray[Any], pixel_scores: NDArray[np.floating[Any]], threshold: float) -> float | None:
    """Return the F1 over all pixels at one threshold, ``score > threshold``; None if none is defective or called so.

    Parameters
    ----------
    pixel_labels, pixel_scores
        Arrays of one shape, such as (N, H, W); labels are 0 for defect-free.
    """
    labels, called = _called(pixel_labels, pixel_scores, threshold)
    both = int((labels & called).sum())
    return ratio(2 * both, int(labels.sum()) + int(called.sum()))


def compute_bg_fpr(pixel_labels: NDArray[Any], pixel_scores: NDArray[np.floating[Any]], threshold: float) -> float | None:
    """Return the share of defect-free pixels above the threshold; None if there are none.

    Arrays as in `compute_pixel_segf1`.
    """
    labels, called = _called(pixel_labels, pixel_scores, threshold)
    return ratio(int((~labels & called).sum()), int((~labels).sum()))


def _called(labels: NDArray[Any], scores: NDArray[np.floating[Any]], threshold: float) -> tuple[Mask, Mask]:
    labels, scores = np.asarray(labels), np.asarray(scores)
    if labels.shape != scores.shape:
        raise MetricError(
            f"labels of shape {labels.shape} and scores of shape {scores.shape} do not match", "pass equal shapes"
        )
    if not np.isfinite(scores).all():
        raise MetricError("pixel scores hold NaN or infinite values", "check the detector's maps")
    return labels != 0, scores > threshold
