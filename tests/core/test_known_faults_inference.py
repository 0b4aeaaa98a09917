"""What tools that tile images, list defects and write records are known to get wrong, each the right way, from end to end."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PillowImage
from test_known_faults import Grey, surface

from pyimgano.calibration import CalibrationSettings
from pyimgano.contracts import Detector
from pyimgano.defects.config import DefectsConfig
from pyimgano.defects.extract import Defects
from pyimgano.images import read
from pyimgano.options import parse
from pyimgano.pipeline import Pipeline
from pyimgano.tiling import TiledDetector, TilingOptions, iter_tile_coords

Pixels = NDArray[np.uint8]
SIZE = (40, 60)
GOOD = [surface(seed, 40, 60, SIZE) for seed in range(25)]
"""Good parts with grey values from 40 to 59."""


def ready(detector: Detector) -> Detector:
    detector.mark_fitted()
    return detector


def calibrated(detector: Grey, **defects: Any) -> Pipeline:
    """Return a pipeline whose pixel threshold is what good parts stay below."""
    pipeline = Pipeline.around(ready(detector))
    pipeline.defects = parse(DefectsConfig, defects, "defects")
    return pipeline.calibrate(GOOD, CalibrationSettings(pixel_normal_quantile=0.9999))


def part(*rectangles: tuple[slice, slice], level: int = 120) -> Pixels:
    """Return a part of grey value 50, with defects at `level`."""
    image = np.full(SIZE, 50, np.uint8)
    for place in rectangles:
        image[place] = level
    return image


def inspected(pipeline: Pipeline, image: Pixels) -> tuple[Defects, NDArray[np.float32]]:
    """Return the defects of an image, and its map."""
    scored = next(pipeline.score([image]))
    assert scored.result is not None
    assert scored.result.anomaly_map is not None
    return pipeline.find_defects(scored.result.anomaly_map), scored.result.anomaly_map.render()


def boxes(defects: Defects) -> list[tuple[int, int, int, int]]:
    return sorted(region.bbox_xyxy for region in defects.regions)


def test_tiles_without_a_stride_lie_side_by_side_however_they_are_asked_for(
    cli: Callable, surface_root: Path, tmp_path: Path
) -> None:
    side_by_side = [(0, 0), (0, 32), (0, 64), (28, 0), (28, 32), (28, 64)]
    assert list(iter_tile_coords(60, 96, 32)) == list(iter_tile_coords(60, 96, 32, None)) == side_by_side
    image = np.repeat(surface(0, 0, 255, (60, 96))[:, :, None], 3, axis=2)
    for tiled in (TiledDetector(ready(Grey()), 32), TiledDetector(ready(Grey()), 32, None)):
        (result,) = tiled.score_images([image])
        assert result.anomaly_map is not None
        np.testing.assert_array_equal(result.anomaly_map.render(), image[:, :, 0].astype(np.float32))
    assert TilingOptions.model_validate({"tile_size": 32, "stride": None}) == TilingOptions(tile_size=32)
    model = ["--root", surface_root, "--model", "vision_filterbank", "--resize", 32, 32]
    trained = cli("train", *model, "--tile-size", 64, "--output", tmp_path / "run")
    assert trained.code == 0, trained.err
    config = tmp_path / "run" / "infer_config.json"
    tiling = json.loads(config.read_text(encoding="utf-8"))["adaptation"]["tiling"]
    assert (tiling["tile_size"], tiling["stride"]) == (64, None)
    done = cli("infer", "--infer-config", config, "--input", surface_root / "test", "--defects")
    assert done.code == 0, done.err
    assert len(done.out.splitlines()) == 15


SMOOTHINGS = [{"method": "none"}, {"method": "box", "ksize": 5}, {"method": "gaussian", "sigma": 2}]
SMOOTHINGS.append({"method": "median", "ksize": 7})


@pytest.mark.parametrize("smoothing", SMOOTHINGS, ids=lambda smoothing: smoothing["method"])
@pytest.mark.parametrize("frame", [255, 0], ids=["hot frame", "cold frame"])
def test_an_ignored_border_of_a_negative_map_is_no_defect_and_does_not_bleed(smoothing: dict[str, Any], frame: int) -> None:
    pipeline = calibrated(Grey(offset=-300), border_ignore_px=3, map_smoothing=smoothing)
    defect = (slice(15, 26), slice(30, 41))
    threshold = pipeline.pixel_threshold
    assert threshold is not None
    assert threshold.value < -240
    for places, expected in (((), 0), ((defect,), 1)):
        image = part(*places)
        image[:3] = image[-3:] = image[:, :3] = image[:, -3:] = frame
        defects, _ = inspected(pipeline, image)
        assert len(defects.regions) == expected
        assert not any(side.any() for side in (defects.mask[:3], defects.mask[-3:], defects.mask[:, :3], defects.mask[:, -3:]))
        assert defects.map_stats_roi["max"] <= 120 - 300
        for left, top, right, bottom in boxes(defects):
            assert left > 20
            assert top > 8
            assert right < 50
            assert bottom < 33


def test_regions_are_filtered_by_what_is_inside_the_region_of_interest() -> None:
    inside, across = (slice(5, 9), slice(40, 44)), (slice(20, 25), slice(10, 32))
    pipeline = calibrated(Grey(), roi_xyxy_norm=(0.5, 0, 1, 1), min_area=11)
    defects, _ = inspected(pipeline, part(inside, across))
    assert boxes(defects) == [(40, 5, 43, 8)]
    assert int((defects.mask > 0).sum()) == 16
    square = {"shape_filters": {"max_aspect_ratio": 2.5}}
    defects, _ = inspected(calibrated(Grey(), roi_xyxy_norm=(0.5, 0, 1, 1), **square), part(inside, across))
    assert boxes(defects) == [(30, 20, 31, 24), (40, 5, 43, 8)]


def test_holes_are_filled_before_the_filters_and_growth_comes_after_them() -> None:
    image = part((slice(5, 15), slice(5, 15)), (slice(25, 28), slice(40, 43)))
    image[7:13, 7:13] = 50  # a ring of 64 pixels around a hole of 36
    defects, values = inspected(calibrated(Grey(), fill_holes=True, min_area=100, dilate_px=2), image)
    (region,) = defects.regions
    grown = defects.mask > 0
    assert region.area == int(grown.sum()) > 100
    assert region.bbox_xyxy == (3, 3, 16, 16)
    assert region.score_mean == pytest.approx(values[grown].mean(dtype=np.float64), rel=1e-12)
    defects, _ = inspected(calibrated(Grey(), min_area=10, dilate_px=3), image)
    assert boxes(defects) == [(2, 2, 17, 17)], "a speck of 9 pixels must not pass by its growth"
    defects, _ = inspected(calibrated(Grey(), min_score_mean=110, dilate_px=3), image)
    assert len(defects.regions) == 2, "growth must not dilute the scores that are filtered"


def test_thin_lines_large_medians_and_negative_hysteresis_work() -> None:
    image = part()
    ends = [((5, 5), (50, 5)), ((55, 8), (55, 35)), ((5, 10), (30, 35))]
    for start, end in ends:
        cv2.line(image, start, end, 120, 1)
    solid = calibrated(Grey(), shape_filters={"min_solidity": 0.9})
    defects, _ = inspected(solid, image)
    assert boxes(defects) == [(5, 5, 50, 5), (5, 10, 30, 35), (55, 8, 55, 35)]
    for side in (7, 9, 31):
        defects, _ = inspected(calibrated(Grey(), map_smoothing={"method": "median", "ksize": side}), image)
        assert boxes(defects) == []
    blob = part((slice(10, 20), slice(10, 40)), level=58)  # above the halfway point of normal pixels and threshold
    blob[14:16, 14:16] = 120
    for scale, offset in ((1, 0), (1, -1000), (0.5, -500)):
        grown, _ = inspected(calibrated(Grey(scale, offset), hysteresis={"enabled": True}, open_ksize=5), blob)
        assert len(grown.regions) == 1
        left, top, right, bottom = grown.regions[0].bbox_xyxy
        assert left <= 10 <= 39 <= right
        assert top <= 10 <= 19 <= bottom


KEYS = {"id", "bbox_xyxy", "area", "centroid_xy", "bbox_area", "fill_ratio", "aspect_ratio", "solidity", "score_max"}
KEYS |= {"score_mean"}


def specks(shape: tuple[int, int], step: int) -> NDArray[np.float32]:
    """Return a map with one region every `step` pixels, each of its own height."""
    values = np.zeros(shape, np.float32)
    places = values[1::step, 1::step]
    heights = np.random.default_rng(0).permutation(places.size).reshape(places.shape)
    places[:] = heights + 10
    return values


def listed(cli: Callable, values: NDArray[np.float32], folder: Path, *flags: object) -> list[dict[str, Any]]:
    np.save(folder / "map.npy", values)
    done = cli("defects", folder / "map.npy", "--pixel-threshold", 5, *flags)
    assert done.code == 0, done.err
    regions: list[dict[str, Any]] = json.loads(done.out)["defects"]["regions"]
    return regions


def test_regions_are_numbered_in_the_order_of_the_list_and_merged_ones_have_every_field(cli: Callable, tmp_path: Path) -> None:
    values = specks((40, 60), 4)
    single = listed(cli, values, tmp_path)
    assert [region["id"] for region in single] == list(range(1, 151))
    assert [region["score_max"] for region in single] == sorted((region["score_max"] for region in single), reverse=True)
    values[20:24, 20:40] = 0  # a gap
    single = listed(cli, values, tmp_path, "--defect-min-solidity", 0.1)
    merged = listed(cli, values, tmp_path, "--defect-min-solidity", 0.1, "--defect-merge-nearby", "--defect-max-regions", 3)
    apart = listed(cli, values, tmp_path, "--defect-max-regions", 7)
    assert [region["id"] for region in apart] == list(range(1, 8))
    assert {frozenset(region) for region in single} == {frozenset(KEYS)}
    assert [region["id"] for region in merged] == [1, 2, 3]
    values[1:39, 1:59:4] = 7  # columns, joined by rows that come near
    values[38:40] = 0
    together = listed(cli, values, tmp_path, "--defect-merge-nearby", "--defect-merge-nearby-max-gap-px", 3)
    parts = listed(cli, values, tmp_path)
    (region,) = together
    assert KEYS | {"merged_from_ids"} == set(region)
    assert sorted(region["merged_from_ids"]) == [one["id"] for one in parts]
    assert region["area"] == sum(one["area"] for one in parts)
    corners = np.array([one["bbox_xyxy"] for one in parts])
    assert region["bbox_xyxy"] == [*corners.min(axis=0)[:2].tolist(), *corners.max(axis=0)[2:].tolist()]
    assert region["score_max"] == max(one["score_max"] for one in parts)
    weighed = sum(one["area"] * one["score_mean"] for one in parts) / region["area"]
    assert region["score_mean"] == pytest.approx(weighed, rel=1e-12)


def test_many_regions_cost_no_pass_over_the_map_each(cli: Callable, tmp_path: Path) -> None:
    def seconds(step: int) -> float:
        began = time.process_time()
        listed(cli, specks((2400, 2400), step), tmp_path, "--defect-min-area", 1, "--defect-min-solidity", 0.1)
        return time.process_time() - began

    few, many = seconds(400), seconds(24)
    assert many - few < 3, "10,000 regions; a pass over the map takes a millisecond at least"


SETTINGS = {
    "enabled": True,
    "min_area": 100_000,
    "fill_holes": True,
    "mask_format": "npz",
    "max_regions": 1,
    "merge_nearby": {"enabled": True, "max_gap_px": 1000},
    "min_score_max": 1e9,
    "hysteresis": {"enabled": True, "low": -1.0, "high": 1e9},
}
EXPLICIT = {
    "min_area": ("--defect-min-area", 0),
    "fill_holes": ("--no-defect-fill-holes",),
    "mask_format": ("--mask-format", "png"),
    "max_regions": ("--defect-max-regions", 0),
    "merge_nearby": ("--no-defect-merge-nearby",),
    "min_score_max": ("--defect-min-score-max", "none"),
    "hysteresis": ("--no-defect-hysteresis",),
}


def test_zero_none_and_png_on_the_line_override_a_config_and_switches_can_be_switched_off(
    cli: Callable, bundle: Path, surface_root: Path, tmp_path: Path
) -> None:
    for name in ("infer_config.json", "state.safetensors"):
        shutil.copy(bundle / name, tmp_path / name)
    config = tmp_path / "infer_config.json"
    plain = json.loads(config.read_text(encoding="utf-8"))
    picture = read(surface_root / "test" / "good" / "000.png").copy()
    picture[20:34, 20:34] = picture[60:74, 90:104] = 255
    image = tmp_path / "part.png"
    PillowImage.fromarray(picture).save(image)

    def record(settings: dict[str, Any], *flags: object) -> dict[str, Any]:
        config.write_text(json.dumps({**plain, "defects": {**plain["defects"], **settings}}), encoding="utf-8")
        done = cli("infer", "--infer-config", config, "--input", image, *flags)
        assert done.code == 0, done.err
        found: dict[str, Any] = json.loads(done.out)
        return found

    by_default = record({}, "--defects")["defects"]
    assert len(by_default["regions"]) == 2
    configured = record(SETTINGS)["defects"]
    assert (configured["regions"], configured["mask"]["encoding"]) == ([], "npz")
    explicit = [word for name in SETTINGS if name != "enabled" for word in EXPLICIT[name]]
    assert record(SETTINGS, *explicit)["defects"] == by_default
    assert "defects" not in record(SETTINGS, "--no-defects")
    edited = {"pixel_threshold": 1e9}
    assert record(edited, "--defects")["defects"]["regions"] == []
    assert record(edited, "--defects", "--pixel-threshold", "none")["defects"] == by_default
    assert record({}, "--defects", "--pixel-threshold", 0)["defects"]["pixel_threshold"] == 0


COUNTING = """
import os
from pathlib import Path

import numpy as np

from pyimgano import AnomalyMap, Detector, ImageScore, hookimpl
from pyimgano.specs import DetectorSpec


@hookimpl
def register_detectors():
    return [DetectorSpec(name="acme_counting", summary="Scores the records so far", factory="acme_counting:Counting")]


class Counting(Detector):
    def _fit(self, images):
        pass

    def _score(self, images):
        file = Path(os.environ.get("ACME_RECORDS", "nowhere"))
        lines = len(file.read_bytes().splitlines()) if file.exists() else 0
        return [ImageScore(float(lines), AnomalyMap(np.ones((2, 2)), image.shape[:2])) for image in images]

    def state(self):
        return {}

    def load_state(self, arrays):
        self.mark_fitted()
"""


@pytest.mark.parametrize("size", [1, 4])
def test_records_are_in_the_file_before_the_next_images_are_scored(
    cli: Callable, distribution: Callable, surface_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    distribution("acme-counting", COUNTING)
    trained = cli("train", "--root", surface_root, "--model", "acme_counting", "--output", tmp_path / "run")
    assert trained.code == 0, trained.err
    results = tmp_path / "r.jsonl"
    monkeypatch.setenv("ACME_RECORDS", str(results))
    config = tmp_path / "run" / "infer_config.json"
    done = cli("infer", "--infer-config", config, "-i", surface_root / "test", "--save-jsonl", results, "--batch-size", size)
    assert done.code == 0, done.err
    records = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    assert len(records) == 15
    assert [record["score"] for record in records] == [number - number % size for number in range(15)]


@pytest.mark.parametrize("words", [["--help"], ["infer", "--help"], ["list-plugins"]], ids=" ".join)
def test_help_imports_no_torch(shell: Callable, words: list[str]) -> None:
    heavy = ["torch", "timm", "faiss", *(["numpy", "cv2"] if "infer" not in words else [])]
    code = f"import sys\nfrom pyimgano.cli.app import main\ntry:\n    main({words})\nfinally:\n"
    done = shell("-c", f"{code}    print([name for name in {heavy} if name in sys.modules], file=sys.stderr)")
    assert done.code == 0, done.err
    assert done.err.splitlines()[-1] == "[]"
