"""The settings of calibration: one model for the Python API, configs and the command line."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pyimgano.options import Options


class ThresholdRules(Options):
    """How thresholds follow from held-out normal images."""

    image_threshold_strategy: Literal["split_conformal", "quantile"] = Field(
        "split_conformal", description="A guaranteed false-alarm rate, or a plain quantile of held-out normal scores."
    )
    false_alarm_rate: float = Field(
        0.05, gt=0, lt=1, description="Share of good parts that the image threshold may call defective."
    )
    score_quantile: float = Field(
        0.95, gt=0, lt=1, description="Quantile of held-out normal scores, for the strategy quantile."
    )
    pixel_threshold_strategy: Literal["normal_pixel_quantile", "mean_std", "scaled_quantile", "none"] = Field(
        "normal_pixel_quantile",
        description="A quantile of held-out normal pixels, their mean plus some deviations, a quantile times a factor, or no "
        "pixel threshold.",
    )
    pixel_normal_quantile: float = Field(
        0.999, gt=0, lt=1, description="Quantile of held-out normal pixels that becomes the pixel threshold."
    )
    pixel_deviations: float = Field(3.0, gt=0, description="Standard deviations above the mean, for the strategy mean_std.")
    pixel_factor: float = Field(1.421, gt=0, description="Factor on the 0.95 quantile, for the strategy scaled_quantile.")
    quantile_method: Literal["linear", "higher"] = Field(
        "linear", description="How the pixel quantile falls between two pixels, as in numpy.quantile."
    )


class CalibrationSettings(ThresholdRules):
    """The same, and how many images are held out for it."""

    calibration_fraction: float = Field(
        0.2, gt=0, lt=1, description="Share of the good training images that is held out for the thresholds."
    )
