"""The saturated per-region overlap of MVTec LOCO (Bergmann et al., Beyond Dents and Scratches, IJCV 2022, section 4), exact."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyimgano.datasets.masks import DefectConfig, mask_files, read_loco_channels, size_error
from pyimgano.errors import DatasetError, MetricError
from pyimgano.maps import AnomalyMap
from pyimgano.metrics.curve import ThresholdCurve
from pyimgano.metrics.pixel import MapLike, Mask

Channel = tuple[int, Mask]
"""One annotated defect: how many of its pixels count as all of it, and where it is, (H, W) bool."""


def saturation(config: DefectConfig, area: int) -> int:
    """Return how many pixels of a defect of `area` pixels must be found for it to count as found whole; at least 1."""
    threshold = config.saturation_threshold
    return max(1, int(threshold * area if config.relative_saturation else min(threshold, area)))


@dataclass(frozen=True)
class SaturatedTruth:
    """One image's map with its annotated defects.

    Attributes
    ----------
    anomaly_map
        An `AnomalyMap`, rendered at its image's size when needed, or an (H, W) array.
    channels
        One (saturation, mask) per defect, with masks of (H, W) bool that may overlap; a callable that returns them, so that
        masks need not wait in memory; empty for a good image.
    """

    anomaly_map: MapLike
    channels: Sequence[Channel] | Callable[[], Sequence[Channel]] = ()

    def load(self) -> tuple[NDArray[np.floating[Any]], Sequence[Channel]]:
        """Return the map, (H, W), and the channels.

        Raises
        ------
        MetricError
            If the map is not finite, a mask is not bool of its shape, or a saturation is not within 1 and its defect's area.
        """
        one = self.anomaly_map
        values = one.render() if isinstance(one, AnomalyMap) else np.asarray(one)
        if not np.isfinite(values).all():
            raise MetricError("an anomaly map holds NaN or infinite values", "check the detector's maps")
        channels = self.channels() if callable(self.channels) else self.channels
        for wanted, mask in channels:
            if mask.shape != values.shape or mask.dtype != np.bool_:
                raise MetricError(
                    f"a map of shape {values.shape} cannot be compared with a {mask.dtype} mask of shape {mask.shape}",
                    "render the map at the size of the image, and pass a mask of bool at that size",
                )
            area = int(mask.sum())
            if not 1 <= wanted <= area:
                raise MetricError(
                    f"a defect of {area} pixels cannot be saturated by {wanted}", "use the number that saturation() returns"
                )
        return values, channels


def spro_curve(truths: Sequence[SaturatedTruth]) -> ThresholdCurve:
    """Return the exact curve of sPRO against the false-positive rate.

    At a threshold t a defect counts ``min(found / saturation, 1)``: that is the weight ``1 / saturation`` for each of its
    `saturation` largest values that exceeds t. The sPRO is the mean over all defects of all images. False positives are
    counted among the pixels of all images that no channel marks. Memory holds the largest values of the defects, under 80
    bytes each, and one image; maps with defects are rendered twice.
    """
    largest: list[NDArray[np.floating[Any]]] = []
    weights: list[NDArray[np.float64]] = []
    for truth in truths:
        if not truth.channels:
            continue
        values, channels = truth.load()
        for wanted, mask in channels:
            inside = values[mask]
            rest = inside.size - wanted
            largest.append(np.partition(inside, rest)[rest:].copy())  # a view would keep the rest
            weights.append(np.full(wanted, 1.0 / wanted))
    positives = np.concatenate(largest) if largest else np.empty(0, dtype=np.float32)
    curve = ThresholdCurve(positives, np.concatenate(weights) if weights else None)
    del largest, weights, positives
    for negatives in _negatives(truths):
        curve.add_negatives(negatives)
    return curve


def _negatives(truths: Sequence[SaturatedTruth]) -> Iterator[NDArray[np.floating[Any]]]:
    for truth in truths:
        values, channels = truth.load()
        free = np.ones(values.shape, dtype=np.bool_)
        for _, mask in channels:
            free &= ~mask
        yield values[free]


def au_spro(truths: Sequence[SaturatedTruth], limit: float = 0.05) -> float | None:
    """Return the area under the sPRO curve up to a false-positive rate, over that rate; None without defects or background.

    The dataset's authors rate logical and structural anomalies apart, each together with the good images, and average the
    two.
    """
    if not 0 < limit <= 1:
        raise MetricError(f"a false-positive rate to integrate to must lie in (0, 1], got {limit}")
    return spro_curve(truths).area(limit)


def loco_truth(anomaly_map: MapLike, masks: Path | None, configs: Mapping[int, DefectConfig]) -> SaturatedTruth:
    """Return the truth of one MVTec LOCO image; its masks are read when needed.

    Parameters
    ----------
    masks
        The image's folder of masks, one file per defect; None for a good image.
    configs
        The category's types of defect by pixel value, as `read_defects_config` returns them.

    Raises
    ------
    DatasetError
        On reading, if a mask holds a value that `configs` lacks or has another size than the image.
    """
    if masks is None:
        return SaturatedTruth(anomaly_map)
    size = anomaly_map.source if isinstance(anomaly_map, AnomalyMap) else (anomaly_map.shape[0], anomaly_map.shape[1])
    return SaturatedTruth(anomaly_map, lambda: list(_channels(masks, size, configs)))


def _channels(folder: Path, size: tuple[int, int], configs: Mapping[int, DefectConfig]) -> Iterator[Channel]:
    for file, (value, mask) in zip(mask_files(folder), read_loco_channels(folder), strict=True):
        if value not in configs:
            known = ", ".join(map(str, sorted(configs))) or "none"
            raise DatasetError(
                f"{file} holds the value {value}, which defects_config.json does not name; it names: {known}",
                "use the defects_config.json of the same category, or copy the official file again",
            )
        if mask.shape != size:
            raise size_error(file, mask.shape, size)
        yield saturation(configs[value], int(mask.sum())), mask
