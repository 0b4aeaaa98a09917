"""What a detector has not seen of an image takes no part in pixel thresholds and defects."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from pyimgano.calibration import CalibrationSettings
from pyimgano.calibration.pixel import calibrate_pixels
from pyimgano.defects.config import DefectsConfig
from pyimgano.defects.extract import extract_defects_from_anomaly_map
from pyimgano.defects.judged import JudgedMap
from pyimgano.errors import OptionsError
from pyimgano.maps import AnomalyMap, ScoredPart

LEFT_HALF = ScoredPart(0, 20, 0, 15)


@dataclass(frozen=True, eq=False)
class HalfMap(AnomalyMap):
    """A map of which only a part counts."""

    part: ScoredPart | None = field(kw_only=True)

    @property
    def scored(self) -> ScoredPart | None:
        return self.part


def half(values: np.ndarray, part: ScoredPart | None = LEFT_HALF) -> HalfMap:
    return HalfMap(values.astype(np.float32), values.shape, part=part)


def stripes() -> np.ndarray:
    """Return a map of 20 x 30 whose left half is a ramp up to 1 and whose right half is 5."""
    values = np.full((20, 30), 5.0)
    values[:, :15] = np.linspace(0, 1, 300).reshape(20, 15)
    return values


def test_a_pixel_threshold_is_the_quantile_of_the_pixels_that_were_seen() -> None:
    rules = CalibrationSettings(pixel_normal_quantile=0.9)
    maps = [JudgedMap(half(stripes()), DefectsConfig())]
    assert maps[0].pixel_count == maps[0].render().size == 300
    found = calibrate_pixels(maps, rules, "chain", seed=0)
    assert found.value == pytest.approx(np.quantile(np.linspace(0, 1, 300), 0.9), abs=0.01)
    assert found.calibration_pixel_count == 300


@pytest.mark.parametrize("smoothing", ["none", "gaussian"])
def test_no_defect_is_found_where_nothing_was_seen_nor_does_it_shine_over(smoothing: str) -> None:
    config = DefectsConfig(map_smoothing={"method": smoothing, "sigma": 2.0})
    dark = np.where(np.arange(30) < 15, 0.0, 5.0) * np.ones((20, 1))
    assert not extract_defects_from_anomaly_map(half(dark), config, pixel_threshold=1.5).mask.any()
    assert extract_defects_from_anomaly_map(half(dark, None), config, pixel_threshold=1.5).mask.any()


def test_a_region_of_interest_that_was_not_seen_is_refused() -> None:
    config = DefectsConfig(roi_xyxy_norm=(0.6, 0.0, 1.0, 1.0))
    with pytest.raises(OptionsError, match="has not seen any pixel of the region that counts"):
        extract_defects_from_anomaly_map(half(stripes()), config, pixel_threshold=0.5)


def test_a_part_and_a_region_of_interest_count_where_they_overlap() -> None:
    config = DefectsConfig(roi_xyxy_norm=(0.4, 0.0, 1.0, 1.0))
    assert JudgedMap(half(stripes()), config).pixel_count == 20 * 3
    assert LEFT_HALF.share((20, 30)) == 0.5
    assert LEFT_HALF.normalised((20, 30)) == [0, 0, 0.5, 1]
