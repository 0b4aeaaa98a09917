"""Other rules for thresholds, all on held-out normals: a quantile, mean plus deviations, a quantile times a factor."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pyimgano.calibration import CalibrationSettings, calibrate_images, calibrate_pixels, score_quantile
from pyimgano.errors import CalibrationError
from pyimgano.maps import AnomalyMap

RNG = np.random.default_rng(0)
MAPS = [AnomalyMap(RNG.normal(5, 2, (20, 30)).astype(np.float32), (20, 30)) for _ in range(4)]
PIXELS = np.concatenate([one.render().ravel() for one in MAPS]).astype(np.float64)


def test_a_score_quantile_is_numpys() -> None:
    scores = RNG.random(40)
    record = calibrate_images(scores, CalibrationSettings(image_threshold_strategy="quantile", score_quantile=0.9), "abc")
    assert record.value == pytest.approx(np.quantile(scores, 0.9))
    assert (record.method, record.quantile, record.calibration_count, record.chain) == ("quantile", 0.9, 40, "abc")
    assert record.warning is None


def test_a_score_quantile_of_too_few_images_says_how_many_are_needed() -> None:
    assert "100 are needed" in (score_quantile(RNG.random(20), 0.99).warning or "")


@pytest.mark.parametrize("quantile", [0.0, 1.0, -1.0])
def test_a_score_quantile_out_of_range_is_refused(quantile: float) -> None:
    with pytest.raises(CalibrationError, match="between 0 and 1"):
        score_quantile(RNG.random(20), quantile)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_mean_and_deviations_keep_their_digits_at_any_offset(offset: float) -> None:
    maps = [AnomalyMap((one.grid + np.float32(offset)), one.source) for one in MAPS]
    pixels = np.concatenate([one.render().ravel() for one in maps]).astype(np.float64)
    settings = CalibrationSettings(pixel_threshold_strategy="mean_std", pixel_deviations=2.5)
    record = calibrate_pixels(maps, settings, "abc")
    assert record.value == pytest.approx(pixels.mean() + 2.5 * pixels.std(), rel=1e-12)
    assert (record.method, record.factor, record.q, record.chain) == ("mean_std", 2.5, None, "abc")


def test_a_scaled_quantile_is_the_quantile_times_the_factor() -> None:
    record = calibrate_pixels(MAPS, CalibrationSettings(pixel_threshold_strategy="scaled_quantile"))
    assert record.value == pytest.approx(1.421 * np.quantile(PIXELS, 0.95))
    assert (record.method, record.factor, record.q) == ("scaled_quantile", 1.421, 0.95)


def test_a_factor_on_maps_that_are_not_positive_is_refused() -> None:
    maps = [AnomalyMap(one.grid - 100, one.source) for one in MAPS]
    with pytest.raises(CalibrationError, match="a factor needs positive maps"):
        calibrate_pixels(maps, CalibrationSettings(pixel_threshold_strategy="scaled_quantile"))


def test_strategies_are_flags_and_stand_in_the_provenance(cli: Callable, surface_root: Path, tmp_path: Path) -> None:
    line = ["train", "--root", surface_root, "--model", "vision_filterbank", "--output", tmp_path / "run"]
    done = cli(
        *line, "--image-threshold-strategy", "quantile", "--pixel-threshold-strategy", "mean_std", "--pixel-deviations", 4
    )
    assert done.code == 0, done.err
    config = json.loads((tmp_path / "run" / "infer_config.json").read_text(encoding="utf-8"))
    assert config["threshold_provenance"]["method"] == "quantile"
    provenance = config["defects"]["pixel_threshold_provenance"]
    assert (provenance["method"], provenance["factor"]) == ("mean_std", 4.0)
    assert config["defects"]["pixel_threshold_strategy"] == "mean_std"
