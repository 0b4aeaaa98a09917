"""The settings of calibration: one model for the Python API, configs and the command line."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pyimgano.options import Options


class CalibrationSettings(Options):
    """How thresholds are calibrated on held-out normal images."""

    calibration_fraction: float = Field(
        0.2, gt=0, lt=1, description="Share of the good training images that is held out for the thresholds."
    )
    false_alarm_rate: float = Field(
        0.05, gt=0, lt=1, description="Share of good parts that the image threshold may call defective."
    )
    pixel_normal_quantile: float = Field(
        0.999, gt=0, lt=1, description="Quantile of held-out normal pixels that becomes the pixel threshold."
    )
    quantile_method: Literal["linear", "higher"] = Field(
        "linear", description="How the pixel quantile falls between two pixels, as in numpy.quantile."
    )
