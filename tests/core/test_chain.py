"""The whole chain: what is set around a detector takes part in calibration, travels in the bundle, and is never lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyimgano import Pipeline, Runtime
from pyimgano.calibration import CalibrationSettings
from pyimgano.contracts import DatasetSplit
from pyimgano.defects.config import DefectsConfig
from pyimgano.defects.mask_files import read_mask_file
from pyimgano.preprocessing import IlluminationOptions
from pyimgano.tiling import TiledDetector, TilingOptions
from pyimgano.workbench.bundle import Bundle

MODEL = "vision_filterbank"
OPTIONS = {"resize": [96, 128]}


def learned(split: DatasetSplit, **around: Any) -> Pipeline:
    pipeline = Pipeline.create(MODEL, OPTIONS, Runtime(), **around)
    pipeline.learn(split, CalibrationSettings(), 0)
    return pipeline


@pytest.fixture(scope="module")
def plain(surface_split: DatasetSplit) -> Pipeline:
    return learned(surface_split)


def test_preprocessing_reaches_training_and_scoring_alike(plain: Pipeline, surface_split: DatasetSplit) -> None:
    gamma = learned(surface_split, preprocessing=IlluminationOptions(gamma=2.0))
    path = str(surface_split.test[0].path)
    first, again = next(plain.score([path])), next(gamma.score([path]))
    assert first.result is not None
    assert again.result is not None
    assert first.result.score != again.result.score
    np.testing.assert_array_equal(first.image, again.image)  # what is shown is the photograph, not what the detector saw


def test_tiles_are_scored_and_calibrated_as_they_will_be_on_the_line(surface_split: DatasetSplit) -> None:
    tiling = TilingOptions(tile_size=64, stride=32, map_reduce="hann", fit_on="tiles")
    tiled = learned(surface_split, tiling=tiling)
    assert isinstance(tiled.detector, TiledDetector)
    scores = [scored.result.score for scored in tiled.score([str(s.path) for s in surface_split.test]) if scored.result]
    threshold = tiled.score_threshold
    assert threshold is not None
    good = [score for score, sample in zip(scores, surface_split.test, strict=True) if not sample.label]
    assert max(good) < 3 * threshold.value
    scored = next(tiled.score([str(surface_split.test[0].path)]))
    assert scored.result is not None
    assert scored.result.anomaly_map is not None
    assert scored.result.anomaly_map.render().shape == (96, 128)


def test_a_pixel_threshold_comes_from_the_pixels_that_count_smoothed_as_they_will_be(
    plain: Pipeline, surface_split: DatasetSplit
) -> None:
    config = DefectsConfig(
        roi_xyxy_norm=(0.0, 0.0, 0.5, 1.0), border_ignore_px=4, map_smoothing={"method": "gaussian", "ksize": 0, "sigma": 3.0}
    )
    judged = learned(surface_split, defects=config)
    before, after = plain.pixel_threshold, judged.pixel_threshold
    assert before is not None
    assert after is not None
    assert after.calibration_pixel_count == 5 * (96 - 8) * (64 - 4)
    assert (after.roi_used, after.roi_xyxy_norm, before.roi_used) == (True, (0.0, 0.0, 0.5, 1.0), False)
    assert after.value < before.value
    held_out = surface_split.with_calibration(0.2, 0).calibration
    pixels = []
    for scored in judged.score([str(sample.path) for sample in held_out]):
        assert scored.result is not None
        defects = judged.find_defects(scored.result.anomaly_map)
        pixels.append((defects.mask != 0).sum())
    share = sum(pixels) / after.calibration_pixel_count
    assert share == pytest.approx(0.001, rel=0.2)


def test_the_median_of_normal_pixels_is_within_a_bin_of_the_exact_one(plain: Pipeline, surface_split: DatasetSplit) -> None:
    held_out = surface_split.with_calibration(0.2, 0).calibration
    maps = [scored.result.anomaly_map for scored in plain.score([str(sample.path) for sample in held_out]) if scored.result]
    exact = np.median(np.concatenate([one.render().ravel() for one in maps if one is not None]))
    record = plain.pixel_threshold
    assert record is not None
    assert record.score_summary is not None
    bin_width = (record.score_summary.max - record.score_summary.min) / 4096
    assert record.normal_median == pytest.approx(exact, abs=bin_width)


def test_a_pixel_threshold_set_by_hand_is_kept_and_named_so(surface_split: DatasetSplit) -> None:
    record = learned(surface_split, defects=DefectsConfig(pixel_threshold=0.0)).pixel_threshold
    assert record is not None
    assert (record.value, record.method, record.source) == (0.0, "fixed", "explicit")


def test_hysteresis_still_finds_its_low_threshold_where_the_high_one_is_set_by_hand(
    cli: Callable, surface_split: DatasetSplit, surface_root: Path, tmp_path: Path
) -> None:
    config = DefectsConfig(pixel_threshold=4.0, hysteresis={"enabled": True})
    pipeline = learned(surface_split, defects=config)
    scored = next(pipeline.score([str(surface_split.test[-1].path)]))
    assert scored.result is not None
    assert pipeline.find_defects(scored.result.anomaly_map).regions
    folder = tmp_path / "run"
    line = ["train", "--root", surface_root, "--model", MODEL, "--resize", "96", "128", "--output", folder]
    assert cli(*line, "--defect-hysteresis").code == 0
    path = folder / "infer_config.json"
    edited = json.loads(path.read_text())
    edited["defects"] |= {"enabled": True, "pixel_threshold": 4.0}
    path.write_text(json.dumps(edited))
    done = cli("infer", "--infer-config", path, "--input", surface_split.test[-1].path)
    assert done.code == 0, done.err
    assert json.loads(done.out)["defects"]["pixel_threshold"] == 4.0


@pytest.mark.parametrize(
    "around",
    [
        {"preprocessing": IlluminationOptions(white_balance="gray_world")},
        {"tiling": TilingOptions(tile_size=64)},
    ],
)
def test_the_fingerprint_knows_what_stands_around_the_detector(plain: Pipeline, around: dict[str, Any]) -> None:
    other = Pipeline.create(MODEL, OPTIONS, Runtime(), **around)
    assert other.fingerprint() != Pipeline.create(MODEL, OPTIONS, Runtime()).fingerprint()


def test_only_what_comes_before_the_pixel_threshold_is_in_its_fingerprint() -> None:
    def fingerprints(**settings: Any) -> tuple[str, str]:
        pipeline = Pipeline.create(MODEL, OPTIONS, Runtime(), defects=DefectsConfig(**settings))
        return pipeline.fingerprint(), pipeline.fingerprint(pixels=True)

    plain_image, plain_pixel = fingerprints()
    assert plain_image == plain_pixel
    assert fingerprints(min_area=9) == (plain_image, plain_pixel)
    image, pixel = fingerprints(border_ignore_px=3)
    assert image == plain_image
    assert pixel != plain_pixel


def test_settings_of_the_chain_travel_in_the_bundle(cli: Callable, surface_root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tiled.bundle"
    line = ["train", "--root", surface_root, "--model", MODEL, "--resize", "64", "64", "--export-deploy-bundle", folder]
    line += ["--tile-size", "64", "--tile-stride", "48", "--tile-map-reduce", "gaussian", "--illumination-gamma", "0.8"]
    line += ["--defect-border-ignore-px", "2", "--defect-hysteresis", "--defect-roi-polygons-norm", "[[[0,0],[1,0],[1,1]]]"]
    done = cli(*line)
    assert done.code == 0, done.err
    config = json.loads((folder / "infer_config.json").read_text())
    assert config["adaptation"]["tiling"]["fit_on"] == "tiles"
    assert (config["preprocessing"]["gamma"], config["defects"]["hysteresis"]["enabled"]) == (0.8, True)
    pipeline = Bundle.load(folder).pipeline()
    assert pipeline.tiling.step == (48, 48)
    assert pipeline.defects.roi_polygons_norm == (((0.0, 0.0), (1.0, 0.0), (1.0, 1.0)),)
    done = cli("infer", "--bundle", folder, "--input", surface_root / "test/good/000.png")
    assert (done.code, done.err) == (0, "")


def test_a_region_of_interest_edited_afterwards_is_warned_of(cli: Callable, surface_root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert cli("train", "--root", surface_root, "--model", MODEL, "--resize", "96", "128", "--output", folder).code == 0
    path = folder / "infer_config.json"
    config = json.loads(path.read_text())
    config["defects"]["roi_xyxy_norm"] = [0, 0, 0.5, 0.5]
    path.write_text(json.dumps(config))
    done = cli("infer", "--infer-config", path, "--input", surface_root / "test/good/000.png")
    assert "the pixel threshold was calibrated through another chain" in done.err
    assert "the image threshold" not in done.err


@pytest.fixture
def saved_maps(cli: Callable, bundle: Path, surface_root: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "maps"
    done = cli("infer", "--bundle", bundle, "--input", surface_root / "test", "--save-maps", folder)
    assert done.code == 0, done.err
    return folder


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_saved_maps_are_judged_again_as_the_pipeline_would(
    cli: Callable, saved_maps: Path, bundle: Path, surface_split: DatasetSplit, tmp_path: Path
) -> None:
    masks = tmp_path / "masks"
    done = cli("defects", saved_maps, "--infer-config", bundle / "infer_config.json", "--save-masks", masks)
    assert done.code == 0, done.err
    found = records(done.out)
    assert len(found) == len(surface_split.test)
    pipeline = Bundle.load(bundle).pipeline()
    for record in found:
        stem = Path(record["input"]).stem.split("_")[-1]
        assert record["defects"]["regions"] == [] or record["defects"]["regions"][0]["id"] == 1, stem
    first = next(pipeline.score([str(surface_split.test[0].path)]))
    assert first.result is not None
    by_path = next(r for r in found if Path(r["input"]).name.startswith("000000_"))
    expected = pipeline.find_defects(first.result.anomaly_map)
    assert [region["area"] for region in by_path["defects"]["regions"]] == [region.area for region in expected.regions]
    np.testing.assert_array_equal(read_mask_file(Path(by_path["defects"]["mask"]["path"])), expected.mask)


def test_flags_win_over_the_preset_and_the_preset_over_the_config(cli: Callable, saved_maps: Path, bundle: Path) -> None:
    line = ["defects", saved_maps, "--infer-config", bundle / "infer_config.json"]

    def regions(*more: object) -> int:
        done = cli(*line, *more)
        assert done.code == 0, done.err
        return sum(len(record["defects"]["regions"]) for record in records(done.out))

    everything, strict = regions(), regions("--defects-preset", "industrial-defects-fp40", "--defect-min-area", "100000")
    assert everything > 0
    assert strict == 0
    assert regions("--pixel-threshold", "1e9") == 0
    assert regions("--defects-preset", "industrial-defects-fp40", "--defect-min-area", "0", "--no-defect-hysteresis") > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{maps}",), "there is no pixel threshold"),
        (("{maps}/missing", "--pixel-threshold", "1"), "there are no .npy maps"),
        (("{maps}", "--defects-preset", "industrial-defects-fp4"), "did you mean industrial-defects-fp40"),
        (("{maps}", "--pixel-threshold", "1", "--defect-open-ksize", "2"), "defects.open_ksize: must be odd"),
        (("{maps}", "--pixel-threshold", "1", "--defect-roi-polygons-norm", "[["), "is not JSON"),
    ],
)
def test_what_cannot_be_judged_says_why(cli: Callable, saved_maps: Path, arguments: tuple[str, ...], message: str) -> None:
    done = cli("defects", *(text.replace("{maps}", str(saved_maps)) for text in arguments))
    assert done.code == 2
    assert message in done.err


def test_a_damaged_map_is_named(cli: Callable, saved_maps: Path) -> None:
    path = sorted(saved_maps.glob("*.npy"))[0]
    path.write_bytes(b"no map")
    done = cli("defects", saved_maps, "--pixel-threshold", "1")
    assert done.code == 2
    assert str(path) in done.err


def inspected(cli: Callable, source: Path, root: Path, *more: object) -> list[dict[str, Any]]:
    flag = "--bundle" if (source / "manifest.json").exists() else "--infer-config"
    place = source if flag == "--bundle" else source / "infer_config.json"
    done = cli("infer", flag, place, "--input", root / "test", *more)
    assert done.code == 0, done.err
    return records(done.out)


def test_infer_lists_defects_with_the_masks_that_the_pipeline_finds(
    cli: Callable, bundle: Path, surface_root: Path, tmp_path: Path
) -> None:
    masks = tmp_path / "masks"
    found = inspected(cli, bundle, surface_root, "--defects", "--defects-image-space", "--save-masks", masks)
    pipeline = Bundle.load(bundle).pipeline()
    for record, scored in zip(found, pipeline.score([record["input"] for record in found]), strict=True):
        assert scored.result is not None
        expected = pipeline.find_defects(scored.result.anomaly_map, image_space=True)
        assert record["defects"]["regions"] == [region.record() for region in expected.regions]
        np.testing.assert_array_equal(read_mask_file(Path(record["defects"]["mask"]["path"])), expected.mask)
        assert all("bbox_xyxy_image" in region for region in record["defects"]["regions"])
        assert record["defects"]["pixel_threshold_provenance"]["source"] == "calibration"
    assert sum(len(record["defects"]["regions"]) for record in found) >= 9


def test_defects_are_listed_when_the_config_says_so_and_the_line_has_the_last_word(
    cli: Callable, surface_root: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    assert cli("train", "--root", surface_root, "--model", MODEL, "--resize", "96", "128", "--output", folder).code == 0
    path = folder / "infer_config.json"
    config = json.loads(path.read_text())
    config["defects"] |= {"enabled": True, "min_area": 1_000_000}
    path.write_text(json.dumps(config))
    enabled = inspected(cli, folder, surface_root)
    assert all(record["defects"]["regions"] == [] for record in enabled)
    assert all("defects" not in record for record in inspected(cli, folder, surface_root, "--no-defects"))
    zero = inspected(cli, folder, surface_root, "--defect-min-area", "0")
    assert any(record["defects"]["regions"] for record in zero)


def test_a_pixel_threshold_on_the_line_is_used_and_named_explicit(cli: Callable, bundle: Path, surface_root: Path) -> None:
    found = inspected(cli, bundle, surface_root, "--defects", "--pixel-threshold", "1000000")
    assert all(record["defects"]["regions"] == [] for record in found)
    assert {record["defects"]["pixel_threshold_provenance"]["source"] for record in found} == {"explicit"}


def test_a_region_of_interest_on_the_line_is_warned_of(cli: Callable, bundle: Path, surface_root: Path) -> None:
    image = surface_root / "test/good/000.png"
    line = ["infer", "--bundle", bundle, "--input", image, "--defects"]
    assert cli(*line).err == ""
    done = cli(*line, "--defect-roi-xyxy-norm", "0", "0", "0.5", "1")
    assert "the pixel threshold was calibrated through another chain" in done.err


def test_overlays_show_what_is_listed(cli: Callable, bundle: Path, surface_root: Path, tmp_path: Path) -> None:
    bare, boxed = tmp_path / "bare", tmp_path / "boxed"
    inspected(cli, bundle, surface_root, "--save-overlays", bare)
    found = inspected(cli, bundle, surface_root, "--save-overlays", boxed, "--defects")
    for record in found:
        stem = f"{record['index']:06d}_{Path(record['input']).stem}.jpg"
        same = (bare / stem).read_bytes() == (boxed / stem).read_bytes()
        assert same == (record["defects"]["regions"] == [])
