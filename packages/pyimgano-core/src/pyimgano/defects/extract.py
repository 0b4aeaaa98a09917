"""The defects chain: from an anomaly map to a mask and a list of regions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyimgano.calibration import ThresholdRecord
from pyimgano.defects.checks import Mask, Values, above
from pyimgano.defects.components import Components
from pyimgano.defects.config import DefectsConfig, MaskFormat
from pyimgano.defects.filters import passing
from pyimgano.defects.hysteresis import check_levels
from pyimgano.defects.measures import Measures
from pyimgano.defects.morphology import closed, dilated, filled, opened
from pyimgano.defects.pixels import JudgedPixels, prepare_map
from pyimgano.defects.regions import Region, list_regions
from pyimgano.errors import OptionsError
from pyimgano.maps import AnomalyMap

__all__ = ["Defects", "extract_defects_from_anomaly_map", "prepare_map"]


@dataclass(frozen=True, eq=False)
class Defects:
    """What is defective in one image.

    Attributes
    ----------
    mask
        (H, W) uint8, 255 where it is defective and 0 elsewhere, of the size of the map. It holds every defect, also those that
        ``max_regions`` leaves out of the list.
    regions
        The defects, sorted, numbered from 1.
    map_stats_roi
        ``max`` and ``mean`` of the pixels that count, on the map that was judged, which is the smoothed one.
    pixel_threshold
        What a pixel had to exceed.
    hysteresis
        The low and the high threshold of hysteresis; None without it.
    provenance
        Where the pixel threshold comes from, where a record of it was given.
    mask_format
        What the mask is to be stored as.
    """

    mask: NDArray[np.uint8]
    regions: tuple[Region, ...]
    map_stats_roi: dict[str, float]
    pixel_threshold: float
    hysteresis: tuple[float, float] | None = None
    provenance: ThresholdRecord | None = None
    mask_format: MaskFormat = "png"

    def record(self, mask_path: Path | str | None = None) -> dict[str, Any]:
        """Return the block ``defects`` of the JSONL record; `mask_path` is where the mask was written, if it was."""
        shape = list(self.mask.shape)
        mask: dict[str, Any] = {"shape": shape, "dtype": "uint8", "encoding": self.mask_format}
        if mask_path is not None:
            mask["path"] = str(mask_path)
        record: dict[str, Any] = {"space": {"type": "anomaly_map", "shape": shape}, "pixel_threshold": self.pixel_threshold}
        if self.hysteresis is not None:
            record["hysteresis"] = dict(zip(("low", "high"), self.hysteresis, strict=True))
        if self.provenance is not None:
            record["pixel_threshold_provenance"] = self.provenance.model_dump(mode="json")
        record["mask"] = mask
        record["regions"] = [region.record() for region in self.regions]
        record["map_stats_roi"] = dict(self.map_stats_roi)
        return record


def extract_defects_from_anomaly_map(
    anomaly_map: ArrayLike | AnomalyMap,
    config: DefectsConfig,
    *,
    pixel_threshold: float | ThresholdRecord | None = None,
    normal_median: float | None = None,
    image_size: tuple[int, int] | None = None,
) -> Defects:
    """Return the mask and the regions of what exceeds the threshold.

    In this order: validity (border, region of interest), smoothing, threshold or hysteresis, opening, closing, holes, filters,
    dilation, regions (8-connected), merging (of the list; the mask stays), sorting, cutting the list. Pixels that do not count
    take no part in anything: to every step they are like what lies beyond the edges of the map.

    Parameters
    ----------
    anomaly_map
        (H, W) finite numbers, higher is more anomalous; or the map of an image, which is rendered at its size, band by band if
        it comes so: then the whole is never in memory.
    config
        The settings.
    pixel_threshold
        What a pixel must exceed, a number or a record with its provenance; None takes ``config.pixel_threshold``, and without
        that ``config.hysteresis.high``.
    normal_median
        Median of held-out normal pixels, for hysteresis without a low threshold.
    image_size
        (height, width) of the image; gives regions their box on it.

    Raises
    ------
    DetectorError
        If the map is not (H, W) finite numbers.
    OptionsError
        If there is no threshold, or no pixel counts, or hysteresis has no low threshold or one above the high one.
    """
    height, width = image_size or (1, 1)
    if height < 1 or width < 1:
        raise OptionsError(f"image_size must be (height, width) of an image, got {image_size}", "pass image.shape[:2]")
    threshold = _pixel_threshold(config, pixel_threshold)
    levels = _low_and_high(config, threshold, normal_median) if config.hysteresis.enabled else None
    pixels = JudgedPixels(anomaly_map, config)
    components, inside = _abnormal(pixels, threshold, levels)
    if config.open_ksize or config.close_ksize or config.fill_holes:
        components = Components.of(_cleaned(components.mask, pixels.valid, config))
        inside = pixels.at(components)
    measures = Measures.of(components, inside)
    keep = passing(components, measures, config)
    components, measures, inside = components.kept(keep), measures[keep], components.kept_of(inside, keep)
    if config.dilate_px:
        components = Components.of(dilated(components.mask, config.dilate_px, pixels.valid))
        inside = pixels.at(components)
        measures = Measures.of(components, inside)
    regions = list_regions(components, measures, inside, config, image_size)
    del inside  # of a large map it takes as much as the mask
    mask = components.mask.view(np.uint8)
    return Defects(
        mask=np.multiply(mask, 255, out=mask),
        regions=regions,
        map_stats_roi=pixels.stats(),
        pixel_threshold=threshold,
        hysteresis=levels,
        provenance=pixel_threshold if isinstance(pixel_threshold, ThresholdRecord) else None,
        mask_format=config.mask_format,
    )


def _pixel_threshold(config: DefectsConfig, given: float | ThresholdRecord | None) -> float:
    value = given.value if isinstance(given, ThresholdRecord) else given
    for candidate in (value, config.pixel_threshold, config.hysteresis.high if config.hysteresis.enabled else None):
        if candidate is not None:
            if not math.isfinite(candidate):
                raise OptionsError(f"pixel_threshold must be a finite number, got {candidate}", "calibrate it, or set it")
            return float(candidate)
    raise OptionsError(
        "there is no pixel threshold: none was passed, defects.pixel_threshold is not set and none was calibrated",
        "pass --pixel-threshold, set defects.pixel_threshold in the config, or train on more good images, which calibrates one",
    )


def _abnormal(pixels: JudgedPixels, threshold: float, levels: tuple[float, float] | None) -> tuple[Components, Values]:
    """Return what is above the threshold or, with two levels, what hysteresis leaves; and the values there."""
    if levels is None:
        return pixels.exceeding(threshold)
    low, high = levels
    check_levels(low, high)
    components, inside = pixels.exceeding(low)
    keep = above(components.peaks(inside), high)
    return components.kept(keep), components.kept_of(inside, keep)


def _low_and_high(config: DefectsConfig, threshold: float, normal_median: float | None) -> tuple[float, float]:
    low, high = config.hysteresis.low, config.hysteresis.high
    high = threshold if high is None else high
    if low is not None:
        return low, high
    if normal_median is None:
        raise OptionsError(
            "hysteresis has no low threshold, and the median of held-out normal pixels is not known",
            "set hysteresis.low, or calibrate the pixel threshold, which measures that median",
        )
    if not normal_median <= high:
        raise OptionsError(
            f"hysteresis needs a median of normal pixels at most its high threshold, got {normal_median:g} and {high:g}",
            "raise the threshold: half of a good image exceeds it",
        )
    return (normal_median + high) / 2, high


def _cleaned(mask: Mask, valid: Mask | None, config: DefectsConfig) -> Mask:
    if config.open_ksize:
        mask = opened(mask, config.open_ksize, valid)
    if config.close_ksize:
        mask = closed(mask, config.close_ksize, valid)
    if config.fill_holes:
        mask = filled(mask, valid)
    return mask
