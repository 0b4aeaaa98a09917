"""The pixel threshold, from held-out normal pixels, exact and in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pyimgano.calibration.bootstrap import NormalPixels, binned_median, deviation_interval, quantile_interval
from pyimgano.calibration.record import PixelThreshold, ScoreSummary
from pyimgano.calibration.settings import ThresholdRules
from pyimgano.errors import CalibrationError

SCALED_QUANTILE = 0.95


def calibrate_normal_pixel_quantile_threshold(
    pixel_scores: NDArray[np.floating[Any]], pixel_labels: NDArray[Any] | None = None, q: float = 0.999
) -> float:
    """Return the q-quantile of normal pixels.

    Parameters
    ----------
    pixel_scores
        Anomaly values of any shape.
    pixel_labels
        Same shape, 0 for normal; None if all pixels are normal.
    """
    scores = np.asarray(pixel_scores)
    if pixel_labels is not None:
        scores = scores[np.asarray(pixel_labels) == 0]
    return PixelQuantile(q, scores.size).add(scores).threshold().value


def calibrate_pixels(
    maps: Sequence[NormalPixels], settings: ThresholdRules, chain: str | None = None, *, seed: int = 0
) -> PixelThreshold | None:
    """Return the pixel threshold by the strategy that the settings name, from maps of held-out normal images.

    ``mean_std`` is the rule of the MVTec AD 2 baselines (mean plus 3 deviations); ``scaled_quantile`` with the factor 1.421 is
    that of SuperADD (arXiv 2605.14808); ``none`` gives None. Maps are rendered three times, one at a time; `seed` is that of
    the resamples behind `interval`.
    """
    strategy, method = settings.pixel_threshold_strategy, settings.quantile_method
    if strategy == "none":
        return None
    q = SCALED_QUANTILE if strategy == "scaled_quantile" else settings.pixel_normal_quantile
    record = PixelQuantile.of_maps(maps, q, method).threshold(len(maps), chain)
    record = record.model_copy(update={"normal_median": binned_median(maps, record)})
    if strategy == "mean_std":
        record = _mean_and_deviations(record, settings.pixel_deviations)
        return record.model_copy(update={"interval": deviation_interval(maps, record, seed)})
    record = record.model_copy(update={"interval": quantile_interval(maps, record, method, seed)})
    return _scaled(record, settings.pixel_factor) if strategy == "scaled_quantile" else record


def _mean_and_deviations(record: PixelThreshold, factor: float) -> PixelThreshold:
    assert record.score_summary is not None
    value = record.score_summary.mean + factor * record.score_summary.std
    return record.model_copy(update={"method": "mean_std", "factor": factor, "value": value, "q": None, "warning": None})


def _scaled(record: PixelThreshold, factor: float) -> PixelThreshold:
    if record.value <= 0:
        raise CalibrationError(
            f"the {record.q:g} quantile of normal pixels is {record.value:g}; a factor needs positive maps",
            "use the strategy normal_pixel_quantile or mean_std",
        )
    interval = record.interval and (record.interval[0] * factor, record.interval[1] * factor)
    value = record.value * factor
    return record.model_copy(update={"method": "scaled_quantile", "factor": factor, "value": value, "interval": interval})


class PixelQuantile:
    """The q-quantile of `total` values that arrive in parts; keeps only the ``(1 - q) total`` largest of them.

    Equals ``numpy.quantile(values, q, method=...)`` in float64.
    """

    def __init__(self, q: float, total: int, method: Literal["linear", "higher"] = "linear") -> None:
        if not 0 < q < 1:
            raise CalibrationError(f"a pixel quantile must lie between 0 and 1, got {q}")
        if total < 1:
            raise CalibrationError("there are no normal pixels to calibrate on", "provide maps of held-out good parts")
        self.q = q
        self.total = total
        self.method = method
        self._place = q * (total - 1)
        self._keep = total - math.floor(self._place)
        self._largest = np.empty(0, dtype=np.float64)
        self._count = 0
        self._mean = 0.0
        self._deviations = 0.0
        self._min = math.inf

    @classmethod
    def of_maps(cls, maps: Sequence[NormalPixels], q: float, method: Literal["linear", "higher"] = "linear") -> PixelQuantile:
        """Take in maps, rendered one at a time."""
        quantile = cls(q, sum(one.pixel_count for one in maps), method)
        for one in maps:
            quantile.add(one.render())
        return quantile

    def add(self, values: NDArray[np.floating[Any]]) -> PixelQuantile:
        """Take in the next values, of any shape."""
        flat = np.asarray(values, dtype=np.float64).ravel()
        if not np.isfinite(flat).all():
            raise CalibrationError("normal pixels hold NaN or infinite values", "check the detector's maps")
        self._add_moments(flat)
        self._min = min(self._min, float(flat.min(initial=math.inf)))
        if self._largest.size == self._keep:
            flat = flat[flat > self._largest[0]]
        merged = np.concatenate([self._largest, flat])
        excess = merged.size - self._keep
        if excess > 0:
            merged = np.partition(merged, excess)[excess:]
        if merged.size == self._keep and merged.size:
            smallest = int(merged.argmin())
            merged[[0, smallest]] = merged[[smallest, 0]]
        self._largest = merged
        return self

    def _add_moments(self, values: NDArray[np.float64]) -> None:
        """Merge count, mean and squared deviations (Chan, Golub and LeVeque 1983), which keeps digits at any offset."""
        if not values.size:
            return
        mean, total = float(values.mean()), self._count + values.size
        gap = mean - self._mean
        self._deviations += float(np.square(values - mean).sum()) + gap * gap * self._count * values.size / total
        self._mean += gap * values.size / total
        self._count = total

    def threshold(self, map_count: int | None = None, chain: str | None = None) -> PixelThreshold:
        """Return the quantile with its provenance, after all `total` values have been added."""
        if self._count != self.total:
            raise CalibrationError(f"{self.total} pixels were announced and {self._count} arrived")
        ordered = np.sort(self._largest)
        low, high = float(ordered[0]), float(ordered[min(1, ordered.size - 1)])
        weight = self._place - math.floor(self._place)
        value = low + weight * (high - low) if self.method == "linear" else (high if weight > 0 else low)
        return PixelThreshold(
            value=value,
            method="normal_pixel_quantile",
            q=self.q,
            split="calibration",
            calibration_map_count=map_count,
            calibration_pixel_count=self.total,
            score_summary=ScoreSummary(
                count=self.total,
                min=self._min,
                max=float(ordered[-1]),
                mean=self._mean,
                std=math.sqrt(self._deviations / self.total),
            ),
            chain=chain,
            warning=self._warning(),
        )

    def _warning(self) -> str | None:
        needed = math.ceil(10 / (1 - self.q))
        if self.total >= needed:
            return None
        return f"{self.total} normal pixels are too few for the {self.q:g} quantile: {needed} are needed"
