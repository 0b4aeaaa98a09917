"""Anomaly maps as the defects chain judges them: what a pixel threshold must be calibrated on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyimgano.calibration import PixelThreshold
from pyimgano.defects.config import DefectsConfig
from pyimgano.defects.pixels import prepare_map, valid_pixels
from pyimgano.maps import AnomalyMap


@dataclass(frozen=True)
class JudgedMap:
    """The pixels of a map that count, after the smoothing of the defects chain."""

    anomaly_map: AnomalyMap
    config: DefectsConfig

    @property
    def pixel_count(self) -> int:
        """Return how many pixels count."""
        source = self.anomaly_map.source
        valid = valid_pixels(source, self.config, self.anomaly_map.scored)
        return source[0] * source[1] if valid is None else int(valid.sum())

    def render(self) -> NDArray[np.float32]:
        """Return their values, (pixel_count,) or (H, W) float32."""
        values, valid = prepare_map(self.anomaly_map, self.config)
        return np.asarray(values if valid is None else values[valid], dtype=np.float32)


def region_of_interest(config: DefectsConfig, record: PixelThreshold) -> dict[str, Any]:
    """Return what a threshold's provenance says about the pixels that count."""
    used = bool(config.border_ignore_px or config.roi_xyxy_norm is not None or config.roi_polygons_norm)
    count = record.calibration_pixel_count if used else None
    return {"roi_used": used, "roi_xyxy_norm": config.roi_xyxy_norm, "roi_pixel_count": count}
