"""Thresholds from held-out normal images, with their provenance. Nothing here ever sees a test label."""

from pyimgano.calibration.image import calibrate_images, calibrate_threshold, score_quantile, split_conformal
from pyimgano.calibration.pixel import PixelQuantile, calibrate_normal_pixel_quantile_threshold, calibrate_pixels
from pyimgano.calibration.record import ImageThreshold, PixelThreshold, ThresholdRecord
from pyimgano.calibration.settings import CalibrationSettings, ThresholdRules

__all__ = [
    "CalibrationSettings",
    "ImageThreshold",
    "PixelQuantile",
    "PixelThreshold",
    "ThresholdRecord",
    "ThresholdRules",
    "calibrate_images",
    "calibrate_normal_pixel_quantile_threshold",
    "calibrate_pixels",
    "calibrate_threshold",
    "score_quantile",
    "split_conformal",
]
