"""A threshold and everything needed to say, years later, where it came from."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, FiniteFloat

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


class ScoreSummary(BaseModel):
    """What the calibration scores looked like."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    count: int
    min: FiniteFloat
    max: FiniteFloat
    mean: FiniteFloat
    std: FiniteFloat
    quantiles: dict[str, FiniteFloat] = {}

    @classmethod
    def of(cls, scores: NDArray[np.floating[Any]]) -> ScoreSummary:
        """Summarise scores of shape (N,), N >= 1."""
        return cls(
            count=int(scores.size),
            min=float(scores.min()),
            max=float(scores.max()),
            mean=float(scores.mean()),
            std=float(scores.std()),
            quantiles={name: float(np.quantile(scores, q)) for name, q in QUANTILES.items()},
        )


class ThresholdRecord(BaseModel):
    """A threshold with its provenance. One comparison everywhere: abnormal is ``score > value``.

    Attributes
    ----------
    value
        The threshold.
    method
        How it was found; ``fixed`` if somebody set it.
    source
        ``calibration``, ``explicit`` (a flag or argument) or ``infer_config`` (edited there).
    split
        Which images it was calibrated on.
    score_summary
        What their scores looked like.
    interval
        95 % bootstrap interval by image: where other held-out images of the same kind would put it; None where unknown.
    chain
        Fingerprint of the chain that the scores went through.
    warning
        Why it is weaker than asked for, or None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    value: FiniteFloat
    method: str
    source: Literal["calibration", "explicit", "infer_config"] = "calibration"
    split: str | None = None
    score_summary: ScoreSummary | None = None
    interval: tuple[FiniteFloat, FiniteFloat] | None = None
    chain: str | None = None
    warning: str | None = None


class ImageThreshold(ThresholdRecord):
    """A threshold on image scores.

    `quantile`: of the calibration scores; `false_alarm_rate`: what was asked for; `calibration_count`: how many images.
    """

    method: Literal["split_conformal", "maximum", "quantile", "fixed"]
    quantile: float | None = None
    false_alarm_rate: float | None = None
    calibration_count: int | None = None


class PixelThreshold(ThresholdRecord):
    """A threshold on anomaly-map pixels.

    `q`: the quantile of normal pixels that was taken; `factor`: what it, or their standard deviation, was multiplied by; then
    over how many maps and pixels; `normal_median`: the median of these, to one 4096th of their range; whether a region of
    interest left some out, its box, and how many pixels it holds.
    """

    method: Literal["normal_pixel_quantile", "mean_std", "scaled_quantile", "fixed"]
    q: float | None = None
    factor: float | None = None
    calibration_map_count: int | None = None
    calibration_pixel_count: int | None = None
    normal_median: FiniteFloat | None = None
    roi_used: bool = False
    roi_xyxy_norm: tuple[float, float, float, float] | None = None
    roi_pixel_count: int | None = None

    @classmethod
    def by_hand(
        cls, value: float, source: Literal["explicit", "infer_config"], calibrated: PixelThreshold | None
    ) -> PixelThreshold:
        """Return a threshold that somebody set; of the calibrated one it replaces it keeps what is known of normal pixels."""
        median = calibrated.normal_median if calibrated is not None else None
        return cls(value=value, method="fixed", source=source, normal_median=median)
