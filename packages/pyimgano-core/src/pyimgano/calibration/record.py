"""A threshold and everything needed to say, years later, where it came from."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


class ScoreSummary(BaseModel):
    """What the calibration scores looked like."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    count: int = Field(description="How many there were.")
    min: FiniteFloat = Field(description="The smallest.")
    max: FiniteFloat = Field(description="The largest.")
    mean: FiniteFloat = Field(description="Their mean.")
    std: FiniteFloat = Field(description="Their standard deviation.")
    quantiles: dict[str, FiniteFloat] = Field({}, description="p50, p90, p95 and p99, where they were kept.")

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
    """A threshold with its provenance. One comparison everywhere: abnormal is ``score > value``."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    value: FiniteFloat = Field(description="The threshold.")
    method: str = Field(description="How it was found; fixed if somebody set it.")
    source: Literal["calibration", "explicit", "infer_config"] = Field(
        "calibration", description="Calibration, explicit (a flag or an argument) or infer_config (edited there)."
    )
    split: str | None = Field(None, description="Which images it was calibrated on.")
    score_summary: ScoreSummary | None = Field(None, description="What their scores looked like.")
    interval: tuple[FiniteFloat, FiniteFloat] | None = Field(
        None, description="95 % bootstrap interval by image: where other held-out images would put it; none where unknown."
    )
    chain: str | None = Field(None, description="Fingerprint of the chain that the scores went through.")
    warning: str | None = Field(None, description="Why it is weaker than asked for, or none.")


class ImageThreshold(ThresholdRecord):
    """A threshold on image scores."""

    method: Literal["split_conformal", "maximum", "quantile", "fixed"] = Field(
        description="How it was found; fixed if somebody set it."
    )
    quantile: float | None = Field(None, description="Which quantile of the calibration scores it is.")
    false_alarm_rate: float | None = Field(None, description="The rate that was asked for.")
    calibration_count: int | None = Field(None, description="How many held-out images there were.")


class PixelThreshold(ThresholdRecord):
    """A threshold on anomaly-map pixels."""

    method: Literal["normal_pixel_quantile", "mean_std", "scaled_quantile", "fixed"] = Field(
        description="How it was found; fixed if somebody set it."
    )
    q: float | None = Field(None, description="The quantile of normal pixels that was taken.")
    factor: float | None = Field(None, description="What it, or their standard deviation, was multiplied by.")
    calibration_map_count: int | None = Field(None, description="Over how many maps.")
    calibration_pixel_count: int | None = Field(None, description="Over how many pixels.")
    normal_median: FiniteFloat | None = Field(
        None, description="The median of held-out normal pixels, to one 4096th of their range."
    )
    roi_used: bool = Field(False, description="Whether a region of interest left some pixels out.")
    roi_xyxy_norm: tuple[float, float, float, float] | None = Field(None, description="Its box.")
    roi_pixel_count: int | None = Field(None, description="How many pixels it holds.")

    @classmethod
    def by_hand(
        cls, value: float, source: Literal["explicit", "infer_config"], calibrated: PixelThreshold | None
    ) -> PixelThreshold:
        """Return a threshold that somebody set; of the calibrated one it replaces it keeps what is known of normal pixels."""
        median = calibrated.normal_median if calibrated is not None else None
        return cls(value=value, method="fixed", source=source, normal_median=median)
