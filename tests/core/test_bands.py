"""Large images are decoded, stitched, judged and shown piece by piece, and nothing differs from doing it whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pyimgano import images, maps
from pyimgano.calibration import PixelThreshold
from pyimgano.defects import components, pixels
from pyimgano.defects.components import Components
from pyimgano.defects.config import DefectsConfig
from pyimgano.defects.extract import Defects, extract_defects_from_anomaly_map
from pyimgano.defects.labels import RED
from pyimgano.defects.overlays import draw_heat, draw_overlay, panel_size
from pyimgano.errors import DetectorError, ImageError
from pyimgano.inference.result import InferenceResult
from pyimgano.maps import AnomalyMap
from pyimgano.tiling import TiledMap, iter_tile_coords, stitch_maps

REDUCES = ("max", "mean", "hann", "gaussian")


def tiled_map(height: int, width: int, tile: int = 24, stride: int = 18, reduce: Any = "hann", seed: int = 0) -> TiledMap:
    """Return the map of a tiled image, of values around zero with some peaks."""
    rng = np.random.default_rng(seed)
    coords = tuple(iter_tile_coords(height, width, tile, stride))
    grids = [rng.normal(0, 1, (6, 6)).astype(np.float32) + 4 * (rng.uniform(size=(6, 6)) > 0.9) for _ in coords]
    tiles = tuple(AnomalyMap(np.asarray(grid, dtype=np.float32), (tile, tile)) for grid in grids)
    return TiledMap((height, width), tiles=tiles, coords=coords, tile_size=(tile, tile), reduce=reduce)


@pytest.fixture(params=[1, 300, 1 << 22], ids=["row by row", "in pieces", "at once"])
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Set how many pixels are dealt with at once."""
    monkeypatch.setattr(components, "PIECE", request.param)
    monkeypatch.setattr(pixels, "PIECE", request.param)
    return int(request.param)


# Maps


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize(("size", "tile", "stride"), [((70, 100), 24, 18), ((20, 30), 24, 24), ((100, 24), 24, 1)])
def test_bands_are_the_map_from_top_to_bottom(size: tuple[int, int], tile: int, stride: int, reduce: str) -> None:
    whole = tiled_map(*size, tile, stride, reduce)
    bands = list(whole.bands())
    assert [top for top, _ in bands] == np.cumsum([0, *(len(rows) for _, rows in bands)])[:-1].tolist()
    np.testing.assert_array_equal(np.concatenate([rows for _, rows in bands]), whole.render())
    assert max(len(rows) for _, rows in bands) <= tile


def test_a_map_with_steps_and_a_plain_map_are_one_band() -> None:
    stepped = tiled_map(70, 100).then(lambda values: values[::-1])
    plain = AnomalyMap(np.arange(12, dtype=np.float32).reshape(3, 4), (30, 40))
    for one in (stepped, plain):
        ((top, rows),) = one.bands()
        assert top == 0
        np.testing.assert_array_equal(rows, one.render())


def test_tiles_from_bottom_to_top_are_refused() -> None:
    with pytest.raises(DetectorError, match="row by row from the top"):
        stitch_maps([(4, 0), (0, 0)], [np.ones((4, 4))] * 2, (8, 4))


@pytest.mark.parametrize("size", [(70, 100), (35, 50), (7, 9), (1, 1), (69, 100)])
def test_an_overview_has_the_largest_value_of_each_cell(size: tuple[int, int]) -> None:
    whole = tiled_map(70, 100)
    rendered, overview = whole.render(), whole.overview(size)
    expected = np.full(size, -np.inf, np.float32)
    for (y, x), value in np.ndenumerate(rendered):
        place = y * size[0] // 70, x * size[1] // 100
        expected[place] = max(expected[place], value)
    np.testing.assert_array_equal(overview, expected)


def test_an_overview_that_is_larger_than_the_image_or_has_steps_is_the_map_at_that_size() -> None:
    whole = tiled_map(70, 100)
    np.testing.assert_array_equal(whole.overview((140, 200)), whole.render((140, 200)))
    stepped = whole.then(lambda values: values * 2)
    np.testing.assert_array_equal(stepped.overview((7, 10)), stepped.render((7, 10)))


# Defects

CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "everything": {
        "border_ignore_px": 2,
        "roi_xyxy_norm": (0.1, 0.3, 0.9, 1.0),
        "map_smoothing": {"method": "box", "ksize": 3},
        "hysteresis": {"enabled": True, "low": 0.5},
        "open_ksize": 3,
        "close_ksize": 5,
        "fill_holes": True,
        "min_area": 5,
        "shape_filters": {"min_solidity": 0.3},
        "dilate_px": 2,
        "merge_nearby": {"enabled": True, "max_gap_px": 3},
    },
    "median": {"map_smoothing": {"method": "median", "ksize": 7}, "min_score_mean": 1.2},
    "gaussian": {"map_smoothing": {"method": "gaussian", "sigma": 2.0}, "max_regions": 3},
    "region of interest": {"roi_polygons_norm": [[(0.2, 0.6), (0.9, 0.7), (0.5, 0.95)]]},
}


def same(one: Defects, other: Defects) -> None:
    np.testing.assert_array_equal(one.mask, other.mask)
    first, second = one.record(), other.record()
    stats = [record.pop("map_stats_roi") for record in (first, second)]
    assert first == second
    assert stats[0] == pytest.approx(stats[1], rel=1e-8)  # sums of single precision depend on where they begin


@pytest.mark.parametrize("name", CONFIGS)
def test_a_map_in_bands_is_judged_like_the_whole_map(name: str, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    config, whole = DefectsConfig(**CONFIGS[name]), tiled_map(110, 90)
    in_bands = extract_defects_from_anomaly_map(whole, config, pixel_threshold=1.5, image_size=(220, 180))
    monkeypatch.setattr(components, "PIECE", 1 << 22)
    monkeypatch.setattr(pixels, "PIECE", 1 << 22)
    at_once = extract_defects_from_anomaly_map(whole.render(), config, pixel_threshold=1.5, image_size=(220, 180))
    assert at_once.regions
    same(in_bands, at_once)


def test_a_map_without_a_defect_has_no_regions_in_pieces_either(piece: int) -> None:
    whole = tiled_map(60, 50)
    defects = extract_defects_from_anomaly_map(whole, DefectsConfig(), pixel_threshold=1e9)
    assert (defects.regions, int(defects.mask.max())) == ((), 0)
    assert defects.map_stats_roi["max"] == pytest.approx(float(whole.render().max()))


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 14), st.integers(1, 14), st.floats(0.1, 0.9), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_components_found_in_pieces_are_those_found_at_once(
    height: int, width: int, share: float, size: int, seed: int
) -> None:
    mask = np.random.default_rng(seed).uniform(size=(height, width)) < share
    with pytest.MonkeyPatch.context() as patch:
        at_once = Components.of(mask)
        patch.setattr(components, "PIECE", size)
        in_pieces = Components.of(mask)
        np.testing.assert_array_equal(in_pieces.mask, mask)
        inside = np.arange(int(mask.sum()), dtype=np.float32)
        assert sorted(in_pieces.peaks(inside)) == sorted(at_once.peaks(inside))
    assert in_pieces.count == at_once.count
    for name in ("rows", "left", "lengths"):
        np.testing.assert_array_equal(getattr(in_pieces, name), getattr(at_once, name))
    assert len(set(zip(in_pieces.labels.tolist(), at_once.labels.tolist(), strict=True))) == at_once.count


def test_a_spiral_through_many_pieces_is_one_component(monkeypatch: pytest.MonkeyPatch) -> None:
    spiral = np.zeros((41, 41), np.uint8)
    y, x, step = 20, 20, (0, 1)
    for length in range(2, 40, 2):
        for _ in range(2):
            for _ in range(length):
                spiral[y, x] = 1
                y, x = y + step[0], x + step[1]
            step = (step[1], -step[0])
    monkeypatch.setattr(components, "PIECE", 41)
    assert Components.of(spiral > 0).count == 1
    assert Components.of(spiral == 0).count == 1


# Files


@pytest.fixture
def at_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every image and map for a large one."""
    monkeypatch.setattr(images, "LARGE", 0)
    monkeypatch.setattr(maps, "LARGE", 0)


SAVES: dict[str, dict[str, Any]] = {
    "a.jpg": {"quality": 90},
    "fine.jpg": {"quality": 95, "subsampling": 0},
    "progressive.jpg": {"progressive": True},
    "a.png": {},
    "a.bmp": {},
    "a.tif": {},
    "lzw.tif": {"compression": "tiff_lzw"},
    "a.webp": {"quality": 80},
}


def photograph() -> NDArray[np.uint8]:
    small = PillowImage.fromarray(np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8))
    return np.asarray(small.resize((161, 121), PillowImage.Resampling.BICUBIC))


MODES = {".jpg": ["RGB", "L", "CMYK"], ".png": ["RGB", "L", "RGBA", "P"], ".bmp": ["RGB", "L", "P"], ".webp": ["RGB", "RGBA"]}
MODES[".tif"] = ["RGB", "L", "RGBA", "P", "CMYK"]


@pytest.mark.parametrize(("name", "mode"), [(name, mode) for name in SAVES for mode in MODES[Path(name).suffix]])
def test_a_large_file_gives_the_same_pixels_as_a_small_one(
    tmp_path: Path, name: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    PillowImage.fromarray(photograph()).convert(mode).save(path, **SAVES[name])
    expected = images.read(path)
    monkeypatch.setattr(images, "LARGE", 0)
    found = images.read(path)
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_large_file_is_turned_upright(tmp_path: Path, turn: int, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "turned.jpg"
    exif = PillowImage.Exif()
    exif[0x0112] = turn
    PillowImage.fromarray(photograph()).save(path, exif=exif)
    expected = images.read(path)
    monkeypatch.setattr(images, "LARGE", 0)
    np.testing.assert_array_equal(images.read(path), expected)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.995])
@pytest.mark.parametrize("name", SAVES)
def test_a_large_file_that_was_cut_off_is_an_error(tmp_path: Path, name: str, share: float, at_any_size: None) -> None:
    path = tmp_path / name
    PillowImage.fromarray(photograph()).save(path, **SAVES[name])
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ImageError, match=name):
        images.read(path)


@pytest.mark.parametrize("name", [b"part-\xff.png", "prüfteil 部品.jpg".encode()], ids=["not utf-8", "utf-8"])
def test_a_large_file_may_have_any_name(tmp_path: Path, name: bytes, at_any_size: None) -> None:
    PillowImage.fromarray(photograph()).save(tmp_path / "plain.png")
    path = tmp_path / os.fsdecode(name)
    try:
        shutil.copy(tmp_path / "plain.png", path)
    except OSError:
        pytest.skip("this file system refuses the name")
    np.testing.assert_array_equal(images.read(path), photograph())


# Together


def test_records_masks_maps_and_overlays_of_large_images_are_those_of_others(
    cli: Callable, surface_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ["--root", surface_root, "--model", "vision_filterbank", "--resize", 32, 32, "--tile-size", 64, "--tile-stride", 48]
    assert cli("train", *model, "--tile-map-reduce", "gaussian", "--export-deploy-bundle", tmp_path / "b").code == 0

    def run(name: str) -> list[dict[str, Any]]:
        folder = tmp_path / name
        files = ["--save-masks", folder / "masks", "--save-maps", folder / "maps", "--save-overlays", folder / "overlays"]
        line = ["infer", "--bundle", tmp_path / "b", "--input", surface_root / "test", "--defects", "--no-audit"]
        done = cli(*line, *files, "--contact-sheet", folder / "sheet.png")
        assert done.code == 0, done.err
        found = []
        for text in done.out.splitlines():
            record = json.loads(text)
            record["defects"]["map_stats_roi"]["mean"] = round(record["defects"]["map_stats_roi"]["mean"], 6)
            for block in (record["anomaly_map"], record["defects"]["mask"]):
                block["path"] = Path(block["path"]).read_bytes()
            found.append(record)
        assert len(list((folder / "overlays").iterdir())) == len(found)
        return found

    small = run("small")
    monkeypatch.setattr(images, "LARGE", 0)
    monkeypatch.setattr(maps, "LARGE", 0)
    assert run("large") == small


def test_a_small_defect_of_a_large_map_is_outlined_in_its_overlay_and_on_the_sheet() -> None:
    grids = [np.zeros((256, 256), np.float32) for _ in range(16 * 16)]
    grids[100][40, 40] = 9.0
    coords = tuple(iter_tile_coords(4096, 4096, 256))
    tiles = tuple(AnomalyMap(grid, (256, 256)) for grid in grids)
    whole = TiledMap((4096, 4096), tiles=tiles, coords=coords, tile_size=(256, 256), reduce="max")
    image = np.zeros((4096, 4096, 3), np.uint8)
    result = InferenceResult(0, "part.png", 9.0, 1, 1.0, whole, image)
    threshold = PixelThreshold(value=1.0, method="normal_pixel_quantile", q=0.999)
    overlay = draw_overlay(result, whole.overview(panel_size(image)), threshold)[-2048:, -2048:]
    y, x = (coords[100][0] + 40) // 2, (coords[100][1] + 40) // 2
    assert (overlay[y - 12 : y + 12, x - 12 : x + 12] == RED).all(axis=2).any()
    small = draw_heat(np.zeros((320, 320, 3), np.uint8), whole.overview((320, 320)), threshold)
    assert (small == RED).all(axis=2).any()
