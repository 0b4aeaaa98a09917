"""Tiling: every pixel is looked at once, nothing moves, no seam shows, and a large image costs little more than itself."""

from __future__ import annotations

import itertools
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pyimgano.calibration import CalibrationSettings
from pyimgano.calibration.pixel import PixelQuantile
from pyimgano.contracts import Detector, ImageScore, Runtime
from pyimgano.errors import DetectorError, ImageError, NotFittedError, OptionsError
from pyimgano.images import Image, ImageSource
from pyimgano.maps import AnomalyMap, MapRecipe
from pyimgano.metrics.pixel import PixelTruth, count_pixels
from pyimgano.options import parse
from pyimgano.pipeline import Pipeline
from pyimgano.postprocess import AnomalyMapPostprocess
from pyimgano.registry import create_model
from pyimgano.tiling import (
    TiledDetector,
    TiledMap,
    TileSource,
    TilingOptions,
    extract_tile,
    iter_tile_coords,
    stitch_maps,
)
from pyimgano.tiling.coords import tile_coords

REDUCES = ("max", "mean", "hann", "gaussian")
reduces = pytest.mark.parametrize("reduce", REDUCES)
sides = st.integers(1, 40)


@st.composite
def tilings(draw: st.DrawFn) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Draw the size of an image, a tile and a stride that leaves no gaps."""
    size, tile = (draw(sides), draw(sides)), (draw(sides), draw(sides))
    return size, tile, (draw(st.integers(1, tile[0])), draw(st.integers(1, tile[1])))


def picture(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


class Red(Detector):
    """Calls the red channel the anomaly map and its maximum the score, and remembers what it was shown."""

    maps = True

    def __init__(self, runtime: Runtime | None = None) -> None:
        super().__init__(None, runtime or Runtime(batch_size=4))
        self.learnt: list[list[Image]] = []
        self.source: ImageSource | None = None
        self.batches: list[list[Image]] = []

    def _fit(self, images: ImageSource) -> None:
        self.source = images
        self.learnt = [list(images), list(images)]

    def _score(self, images: Sequence[Image]) -> list[ImageScore]:
        self.batches.append(list(images))
        return [self._one(image) for image in images]

    def _one(self, image: Image) -> ImageScore:
        red = image[:, :, 0].astype(np.float32)
        return ImageScore(float(red.max()), AnomalyMap(red, red.shape) if self.maps else None)

    def state(self) -> dict[str, NDArray[Any]]:
        return {"learnt": np.array([len(self.learnt)])}

    def load_state(self, arrays: Any) -> None:
        self.learnt = [[]] * int(arrays["learnt"][0])
        self.weights = {"source": "loaded"}
        self.mark_fitted()


class Scores(Red):
    """Makes no maps."""

    maps = False


def fitted(detector: Red | None = None) -> Red:
    detector = detector or Red()
    detector.mark_fitted()
    return detector


# Coordinates


@settings(max_examples=300, deadline=None)
@given(tilings())
def test_tiles_cover_every_pixel_and_never_leave_an_image_that_holds_one(tiling: Any) -> None:
    (height, width), (tall, wide), stride = tiling
    covered = np.zeros((height, width), bool)
    coords = list(iter_tile_coords(height, width, (tall, wide), stride))
    for y, x in coords:
        assert 0 <= y <= max(0, height - tall)
        assert 0 <= x <= max(0, width - wide)
        covered[y : y + tall, x : x + wide] = True
    assert covered.all()
    assert coords == sorted(set(coords))
    rows, columns = sorted({y for y, _ in coords}), sorted({x for _, x in coords})
    assert coords == list(itertools.product(rows, columns))
    for places, step in ((rows, stride[0]), (columns, stride[1])):
        assert all(place == number * step for number, place in enumerate(places[:-1]))


def test_the_last_tile_ends_at_the_edge() -> None:
    assert list(iter_tile_coords(4, 10, 4, 3)) == [(0, 0), (0, 3), (0, 6)]
    assert list(iter_tile_coords(4, 11, 4, 3)) == [(0, 0), (0, 3), (0, 6), (0, 7)]
    assert list(iter_tile_coords(5, 4, (4, 4), (4, 1))) == [(0, 0), (1, 0)]


def test_without_a_stride_tiles_lie_side_by_side() -> None:
    assert list(iter_tile_coords(8, 12, 4)) == [(0, 0), (0, 4), (0, 8), (4, 0), (4, 4), (4, 8)]
    assert list(iter_tile_coords(9, 12, (4, 6), None)) == [(0, 0), (0, 6), (4, 0), (4, 6), (5, 0), (5, 6)]


def test_a_side_and_height_and_width_mean_the_same() -> None:
    assert list(iter_tile_coords(30, 40, 8, 5)) == list(iter_tile_coords(30, 40, (8, 8), (5, 5)))
    assert list(iter_tile_coords(30, 40, 8, (5, 3))) != list(iter_tile_coords(30, 40, 8, (3, 5)))


@pytest.mark.parametrize(
    ("tile", "stride"), [(4, 5), ((4, 8), (5, 8)), ((8, 4), (8, 5)), (4, 0), (4, -1), (0, None), ((4, 0), None)]
)
def test_strides_that_leave_gaps_and_empty_tiles_are_refused_at_once(tile: Any, stride: Any) -> None:
    with pytest.raises(OptionsError, match="tiling"):
        iter_tile_coords(20, 20, tile, stride)


def test_an_empty_image_has_no_tiles() -> None:
    with pytest.raises(OptionsError, match="0x5"):
        iter_tile_coords(0, 5, 4)


# Cutting


@settings(max_examples=200, deadline=None)
@given(tilings(), st.sampled_from(["reflect", "edge"]), st.booleans())
def test_a_tile_is_its_part_of_the_padded_image(tiling: Any, mode: Any, colour: bool) -> None:
    (height, width), tile, stride = tiling
    image = picture(height, width) if colour else picture(height, width)[:, :, 1]
    padding = [(0, max(0, tile[0] - height)), (0, max(0, tile[1] - width)), (0, 0)][: image.ndim]
    padded = np.pad(image, padding, mode=mode)
    for y, x in iter_tile_coords(height, width, tile, stride):
        cut = extract_tile(image, y, x, tile, mode)
        np.testing.assert_array_equal(cut, padded[y : y + tile[0], x : x + tile[1]])
        assert cut.dtype == np.uint8
        assert cut.flags.c_contiguous


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 5, 3), (5, 1), (1, 1)])
def test_reflection_works_for_sides_of_one_pixel(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    cut = extract_tile(image, 0, 0, 12)
    assert cut.shape == (12, 12, *shape[2:])
    np.testing.assert_array_equal(cut[: shape[0], : shape[1]], image)
    assert set(cut.ravel()) == set(image.ravel())


def test_a_tile_that_overhangs_by_hand_mirrors_the_image_not_the_part() -> None:
    image = np.arange(10)[None].repeat(3, axis=0)
    assert extract_tile(image, 2, 8, (1, 6))[0].tolist() == [8, 9, 8, 7, 6, 5]
    assert extract_tile(image, 2, 8, (1, 6), "edge")[0].tolist() == [8, 9, 9, 9, 9, 9]


@pytest.mark.parametrize(("y", "x"), [(-1, 0), (0, -1), (5, 0), (0, 6)])
def test_a_tile_that_starts_outside_is_refused(y: int, x: int) -> None:
    with pytest.raises(ImageError, match="starts outside"):
        extract_tile(np.zeros((5, 6)), y, x, 3)


def test_an_unknown_padding_is_refused_rather_than_taken_for_another() -> None:
    with pytest.raises(OptionsError, match="pad_mode"):
        extract_tile(np.zeros((5, 6)), 0, 0, 9, "constant")


# Stitching


def weights_of(tile: tuple[int, int], reduce: str) -> NDArray[np.float64]:
    """Return the weights of a whole tile, from their definitions."""
    rows, columns = ((np.arange(side) + 0.5) / side for side in tile)
    if reduce == "hann":
        one = [0.5 - 0.5 * np.cos(2 * np.pi * axis) for axis in (rows, columns)]
    elif reduce == "gaussian":
        one = [np.exp(-0.5 * ((axis - 0.5) * 8) ** 2) for axis in (rows, columns)]
    else:
        one = [np.ones_like(axis) for axis in (rows, columns)]
    return np.outer(*one)


def stitched_slowly(coords: Any, maps: Any, size: tuple[int, int], reduce: str) -> NDArray[np.float64]:
    """Return what stitching is defined as, pixel by pixel of every tile, in float64."""
    best, total, weight = np.full(size, -np.inf), np.zeros(size), np.zeros(size)
    for (y, x), tile in zip(coords, maps, strict=True):
        inside = tile[: size[0] - y, : size[1] - x].astype(np.float64)
        part = slice(y, y + inside.shape[0]), slice(x, x + inside.shape[1])
        best[part] = np.maximum(best[part], inside)
        window = weights_of(tile.shape, reduce)[: inside.shape[0], : inside.shape[1]]
        total[part] += window * inside
        weight[part] += window
    return best if reduce == "max" else total / weight


@settings(max_examples=300, deadline=None)
@given(tilings(), st.sampled_from(REDUCES), st.integers(0, 1000))
def test_stitching_equals_its_definition(tiling: Any, reduce: Any, seed: int) -> None:
    size, tile, stride = tiling
    coords = list(iter_tile_coords(*size, tile, stride))
    maps = [one.astype(np.float32) for one in np.random.default_rng(seed).normal(-3, 5, (len(coords), *tile))]
    result = stitch_maps(coords, iter(maps), size, reduce)
    assert result.dtype == np.float32
    assert result.shape == size
    np.testing.assert_allclose(result, stitched_slowly(coords, maps, size, reduce), rtol=1e-5, atol=1e-5)


@settings(max_examples=200, deadline=None)
@given(tilings(), st.sampled_from(REDUCES), st.floats(-1e6, 1e6, width=32))
def test_a_constant_map_stays_exactly_constant(tiling: Any, reduce: Any, value: float) -> None:
    size, tile, stride = tiling
    coords = list(iter_tile_coords(*size, tile, stride))
    result = stitch_maps(coords, (np.full(tile, value, np.float32) for _ in coords), size, reduce)
    assert (result == np.float32(value)).all()


@settings(max_examples=200, deadline=None)
@given(tilings(), st.sampled_from(REDUCES))
def test_tiles_of_one_map_stitch_back_to_it(tiling: Any, reduce: Any) -> None:
    size, tile, stride = tiling
    whole = np.random.default_rng(0).normal(0, 1, size).astype(np.float32)
    coords = list(iter_tile_coords(*size, tile, stride))
    result = stitch_maps(coords, (extract_tile(whole, y, x, tile) for y, x in coords), size, reduce)
    np.testing.assert_allclose(result, whole, atol=1e-6)


@reduces
def test_tiles_that_overhang_by_hand_are_cut_off(reduce: Any) -> None:
    coords = [(0, 0), (0, 4), (3, 0), (3, 4)]
    maps = [np.full((4, 4), value, np.float32) for value in (1, 2, 3, 4)]
    result = stitch_maps(coords, maps, (5, 6), reduce)
    assert result[[0, 0, 4, 4], [0, 5, 0, 5]].tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(result, stitched_slowly(coords, maps, (5, 6), reduce), rtol=1e-6)


@reduces
def test_the_blends_differ_where_tiles_overlap_and_only_there(reduce: Any) -> None:
    coords = list(iter_tile_coords(8, 12, 8, (8, 4)))
    zero, one = np.zeros((8, 8), np.float32), np.ones((8, 8), np.float32)
    row = stitch_maps(coords, [zero, one], (8, 12), reduce)[3]
    assert row[:4].tolist() == [0, 0, 0, 0]
    assert row[8:].tolist() == [1, 1, 1, 1]
    if reduce == "max":
        assert row[4:8].tolist() == [1, 1, 1, 1]
    elif reduce == "mean":
        assert row[4:8].tolist() == [0.5, 0.5, 0.5, 0.5]
    else:
        assert 0 < row[4] < row[5] < 0.5 < row[6] < row[7] < 1
        assert row[4] + row[7] == pytest.approx(1)


@pytest.mark.parametrize("reduce", ["hann", "gaussian"])
@pytest.mark.parametrize("side", [1, 2, 3, 17, 512, 8192])
def test_weights_are_nowhere_zero(reduce: Any, side: int) -> None:
    coords = [(0, 0), (0, side - 1)] if side > 1 else [(0, 0)]
    maps = [np.full((1, side), value, np.float32) for value in (0, 1)][: len(coords)]
    result = stitch_maps(coords, maps, (1, 2 * side - 1), reduce)
    assert np.isfinite(result).all()
    assert result[0, side - 1] == (0.5 if side > 1 else 0)


@pytest.mark.parametrize(
    ("coords", "count", "size", "message"),
    [
        ([(0, 0), (0, 4)], 1, (4, 8), "2 tiles have 1 maps"),
        ([(0, 0), (0, 4)], 0, (4, 8), "2 tiles have 0 maps"),
        ([(0, 0), (0, 4)], 3, (4, 8), "2 tiles have more maps"),
        ([(0, 0), (0, 5)], 2, (4, 9), "gaps, the first at pixel 4"),
        ([(0, 0), (5, 0)], 2, (9, 4), "gaps, the first at pixel 4"),
        ([(0, 0)], 1, (4, 5), "gaps, the first at pixel 4"),
        ([(0, 0), (0, 8)], 2, (4, 8), "outside"),
        ([(-1, 0), (0, 0)], 2, (4, 4), "outside"),
        ([(0, 0), (4, 4)], 2, (8, 8), "full grid"),
        ([(0, 0), (4, 0), (0, 4), (4, 4)], 4, (8, 8), "full grid"),
        ([(0, 0), (0, 0)], 2, (4, 4), "full grid"),
        ([], 0, (4, 4), "full grid"),
    ],
)
@reduces
def test_maps_that_do_not_fit_their_tiles_are_refused(
    coords: Any, count: int, size: tuple[int, int], message: str, reduce: Any
) -> None:
    with pytest.raises(DetectorError, match=message):
        stitch_maps(coords, [np.zeros((4, 4), np.float32)] * count, size, reduce)


@pytest.mark.parametrize("wrong", [np.zeros((4, 5)), np.zeros((4, 4, 1)), np.full((4, 4), np.nan), np.full((4, 4), -np.inf)])
def test_a_map_of_another_shape_or_not_finite_is_refused_with_its_place(wrong: NDArray[Any]) -> None:
    with pytest.raises(DetectorError, match=r"tile at \(0, 4\)"):
        stitch_maps([(0, 0), (0, 4)], [np.zeros((4, 4)), wrong], (4, 8))


def test_an_unknown_blend_is_refused_rather_than_taken_for_another() -> None:
    with pytest.raises(OptionsError, match="'median' is unknown"):
        stitch_maps([(0, 0)], [np.zeros((4, 4))], (4, 4), "median")


# The detector


SPOTS = {
    "corner 1": (0, 0),
    "corner 2": (0, 99),
    "corner 3": (69, 0),
    "corner 4": (69, 99),
    "top": (0, 50),
    "left": (35, 0),
    "right": (35, 99),
    "bottom": (69, 50),
    "before a seam": (31, 31),
    "after a seam": (32, 32),
    "in the flush tile": (60, 90),
}


@reduces
@pytest.mark.parametrize("stride", [None, 24, (32, 8), 1 + 32 // 2])
@pytest.mark.parametrize("place", SPOTS.values(), ids=SPOTS)
def test_a_defect_is_found_where_it_is(place: tuple[int, int], stride: Any, reduce: Any) -> None:
    image = np.full((70, 100, 3), 10, np.uint8)
    image[place] = 210, 0, 0
    (result,) = TiledDetector(fitted(), 32, stride, map_reduce=reduce).score_images([image])
    assert result.score == 210
    rendered = result.anomaly_map.render()
    assert rendered.shape == (70, 100)
    assert rendered[place] == pytest.approx(210, abs=1e-4)
    rendered[place] = 10
    assert (rendered == 10).all()


@reduces
@pytest.mark.parametrize("size", [(8, 200), (200, 8), (8, 8), (9, 33), (31, 33), (300, 17)])
def test_a_side_shorter_than_the_tile_is_padded_and_the_padding_is_not_in_the_map(size: tuple[int, int], reduce: Any) -> None:
    inner = fitted()
    image = picture(*size)
    (result,) = TiledDetector(inner, 32, 20, map_reduce=reduce).score_images([image])
    assert all(tile.shape == (32, 32, 3) for batch in inner.batches for tile in batch)
    np.testing.assert_allclose(result.anomaly_map.render(), image[:, :, 0], atol=1e-4)


@reduces
@pytest.mark.parametrize("size", [(1, 40), (40, 1), (1, 1)])
def test_an_image_one_pixel_high_or_wide_can_be_tiled(size: tuple[int, int], reduce: Any) -> None:
    image = picture(*size)
    (result,) = TiledDetector(fitted(), 8, map_reduce=reduce)._score([image])
    np.testing.assert_allclose(result.anomaly_map.render(), image[:, :, 0], atol=1e-4)


class Corner(Red):
    """Finds the last pixel of what it is shown very abnormal, as a detector may find the mirrored edge."""

    def _one(self, image: Image) -> ImageScore:
        grid = np.zeros(image.shape[:2], np.float32)
        grid[-1, -1] = 9
        return ImageScore(9.0, AnomalyMap(grid, grid.shape))


@reduces
def test_what_is_found_in_the_padding_is_dropped(reduce: Any) -> None:
    (result,) = TiledDetector(fitted(Corner()), 32, map_reduce=reduce).score_images([picture(20, 64)])
    assert not result.anomaly_map.render().any()


def test_an_image_of_one_tile_gets_exactly_the_untiled_answer() -> None:
    training = [picture(64, 96, seed) for seed in range(4)]
    plain = create_model("vision_filterbank", bank_size=300).fit(training)
    image = picture(64, 96, 9)
    expected = plain.score_images([image])[0]
    for stride in (None, 10):
        (result,) = TiledDetector(plain, (64, 96), stride).score_images([image])
        assert result.score == expected.score
        assert result.anomaly_map.render().tobytes() == expected.anomaly_map.render().tobytes()


def test_tiles_hold_the_image_in_rgb_order_and_in_place() -> None:
    inner = fitted()
    image = picture(70, 100)
    TiledDetector(inner, 32, 24).score_images([image])
    shown = np.zeros_like(image)
    tiles = [tile for batch in inner.batches for tile in batch]
    for (y, x), tile in zip(iter_tile_coords(70, 100, 32, 24), tiles, strict=True):
        shown[y : y + 32, x : x + 32] = tile
    np.testing.assert_array_equal(shown, image)
    assert all(tile.flags.c_contiguous for tile in tiles)


def test_tiles_of_several_images_share_batches() -> None:
    inner = fitted(Red(Runtime(batch_size=5)))
    images = [picture(*size) for size in [(40, 40), (70, 30), (32, 32), (100, 64)]]
    results = TiledDetector(inner, 32).score_images(images)
    assert [len(batch) for batch in inner.batches] == [5, 5, 5, 1]
    assert [result.score for result in results] == [image[:, :, 0].max() for image in images]
    for result, image in zip(results, images, strict=True):
        np.testing.assert_array_equal(result.anomaly_map.render(), image[:, :, 0])


def test_batch_size_zero_leaves_the_choice_to_the_framework() -> None:
    inner = fitted(Red(Runtime(batch_size=0)))
    TiledDetector(inner, 8).score_images([picture(80, 40)])
    assert [len(batch) for batch in inner.batches] == [16, 16, 16, 2]


def test_an_image_scores_the_same_whatever_its_batch_mates() -> None:
    images = [picture(*size, seed) for seed, size in enumerate([(64, 96), (40, 130), (20, 30), (90, 90)])]
    detector = TiledDetector(
        create_model("vision_filterbank", resize=(64, 64), bank_size=200, batch_size=3), 32, 24, map_reduce="hann"
    ).fit(images)
    together = detector.score_images(images)
    for image, expected in zip(images, together, strict=True):
        (alone,) = detector.score_images([image])
        assert alone.score == pytest.approx(expected.score, rel=1e-5)
        np.testing.assert_allclose(alone.anomaly_map.render(), expected.anomaly_map.render(), rtol=1e-5)


@pytest.mark.parametrize(
    ("reduce", "topk", "expected"),
    [("max", 0.1, 60), ("mean", 0.1, 35), ("topk_mean", 0.1, 60), ("topk_mean", 0.5, 50), ("topk_mean", 1, 35)],
)
def test_the_score_of_an_image_is_joined_from_those_of_its_tiles(reduce: Any, topk: float, expected: float) -> None:
    image = np.zeros((16, 24, 3), np.uint8)
    for number, (y, x) in enumerate(iter_tile_coords(16, 24, 8)):
        image[y, x] = [10, 60, 30, 40, 20, 50][number]
    (result,) = TiledDetector(fitted(), 8, score_reduce=reduce, score_topk=topk).score_images([image])
    assert result.score == expected


def test_a_detector_without_maps_stays_one() -> None:
    (result,) = TiledDetector(fitted(Scores()), 32).score_images([picture(70, 100)])
    assert result == ImageScore(float(picture(70, 100)[:, :, 0].max()))
    with pytest.raises(DetectorError, match="makes no anomaly maps"):
        TiledDetector(fitted(Scores()), 32).get_anomaly_map(picture(70, 100))


def test_cached_coordinates_change_nothing_and_are_few() -> None:
    detector = TiledDetector(fitted(), 32, 24, map_reduce="hann")
    images = [picture(70, 100), picture(100, 70)]
    tile_coords.cache_clear()
    first = [one.tobytes() for one in detector.predict_anomaly_map(images)]
    assert tile_coords.cache_info().hits == 0
    cached = [one.tobytes() for one in detector.predict_anomaly_map(images)]
    assert tile_coords.cache_info().hits == 2
    assert tile_coords.cache_info().maxsize is not None
    tile_coords.cache_clear()
    assert [one.tobytes() for one in detector.predict_anomaly_map(images)] == first == cached


# Fitting


@pytest.fixture
def photographs(tmp_path: Path) -> list[Path]:
    """Write images of several sizes, one of which is turned by its EXIF tag."""
    paths = []
    for number, size in enumerate([(40, 64), (64, 40), (32, 32), (20, 100)]):
        exif = PillowImage.Exif()
        if number == 1:
            exif[0x0112] = 6
        path = tmp_path / f"{number}.png"
        PillowImage.fromarray(picture(*size, number)).save(path, exif=exif)
        paths.append(path)
    return paths


def test_by_default_the_detector_learns_from_whole_images(photographs: list[Path]) -> None:
    inner = Red()
    detector = TiledDetector(inner, 32)
    assert detector.fit(photographs) is detector
    assert [image.shape for image in inner.learnt[0]] == [(40, 64, 3), (40, 64, 3), (32, 32, 3), (20, 100, 3)]


@pytest.mark.parametrize("as_arrays", [True, False])
@pytest.mark.parametrize("tile", [(16, 40), 32, (48, 24)])
def test_or_from_tiles_that_stream_sized_and_again(photographs: list[Path], tile: Any, as_arrays: bool) -> None:
    images = list(ImageSource(photographs))
    expected = [
        extract_tile(image, y, x, tile)
        for image in images
        for y, x in iter_tile_coords(image.shape[0], image.shape[1], tile, (16, 12))
    ]
    inner = Red()
    TiledDetector(inner, tile, (16, 12), fit_on="tiles").fit(images if as_arrays else photographs)
    assert isinstance(inner.source, ImageSource)
    assert len(inner.source) == len(expected)
    for learnt in (*inner.learnt, list(itertools.chain(*inner.source.batches(3)))):
        assert len(learnt) == len(expected)
        for shown, wanted in zip(learnt, expected, strict=True):
            np.testing.assert_array_equal(shown, wanted)
            assert shown.flags.c_contiguous


def test_tiles_to_learn_from_are_never_held_all_at_once(tmp_path: Path) -> None:
    paths = []
    for number in range(24):
        paths.append(tmp_path / f"{number}.png")
        PillowImage.new("RGB", (400, 400), (number, 0, 0)).save(paths[-1])
    source = TileSource(ImageSource(paths), (64, 64), (32, 32))
    tracemalloc.start()
    count = sum(1 for _ in source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == len(source) == 24 * 144
    assert peak < 8 * 400 * 400 * 3


def test_an_unreadable_image_is_an_error_with_its_path(photographs: list[Path], tmp_path: Path) -> None:
    cut_short = tmp_path / "short.png"
    cut_short.write_bytes(photographs[0].read_bytes()[:2000])
    with pytest.raises(ImageError, match="short"):
        TiledDetector(Red(), 32, fit_on="tiles").fit([photographs[0], cut_short])
    with pytest.raises(ImageError, match="nowhere"):
        TiledDetector(Red(), 32, fit_on="tiles").fit([photographs[0], tmp_path / "nowhere.png"])
    outcomes = list(TileSource(ImageSource([cut_short, photographs[2]]), (32, 32)).outcomes())
    assert [type(outcome) for _, outcome in outcomes] == [ImageError, np.ndarray]
    assert [item for item, _ in outcomes] == [cut_short, photographs[2]]


def test_a_source_is_left_as_it_was() -> None:
    source = ImageSource([picture(40, 40)], workers=3, ahead=7)
    tiles = TileSource(source, (32, 32))
    assert len(list(tiles)) == 4
    assert (source.workers, source.ahead, len(source.items)) == (3, 7, 1)
    assert not tiles.items, "or a detector that takes paths would learn from whole images"


def test_tiles_can_be_cut_from_tiles() -> None:
    inner = Red()
    TiledDetector(TiledDetector(inner, 16, fit_on="tiles"), 48, fit_on="tiles").fit([picture(48, 96)])
    assert isinstance(inner.source, TileSource)
    assert len(inner.source) == len(inner.learnt[0]) == 18


def test_fitting_on_nothing_is_an_error() -> None:
    with pytest.raises(DetectorError, match="no images to fit on"):
        TiledDetector(Red(), 32, fit_on="tiles").fit([])


# State and settings


def test_state_and_weights_are_those_of_the_detector_inside(photographs: list[Path]) -> None:
    detector = TiledDetector(Red(), 32).fit(photographs)
    again = TiledDetector(Red(), 32)
    with pytest.raises(NotFittedError, match="TiledDetector is not fitted"):
        again.score_images([picture(40, 40)])
    assert again.weights is None
    again.load_state(detector.state())
    assert again.weights == {"source": "loaded"}
    assert len(again.detector.learnt) == 2
    expected = detector.predict_anomaly_map([picture(40, 70)])[0]
    np.testing.assert_array_equal(again.predict_anomaly_map([picture(40, 70)])[0], expected)


def test_fitting_takes_over_the_weights_that_were_loaded() -> None:
    class Loads(Red):
        def _fit(self, images: ImageSource) -> None:
            self.weights = {"source": "download"}

    assert TiledDetector(Loads(), 32).fit([picture(40, 40)]).weights == {"source": "download"}


def test_a_fitted_detector_is_ready_behind_tiling_but_its_threshold_does_not_hold_there() -> None:
    inner = fitted()
    inner.threshold = object()
    detector = TiledDetector(inner, 32)
    assert detector.decision_function([picture(40, 40)]).shape == (1,)
    with pytest.raises(NotFittedError, match="has no threshold"):
        detector.predict([picture(40, 40)])
    assert detector.runtime is inner.runtime


def test_options_that_ask_for_no_tiling_leave_the_detector_bare() -> None:
    inner = Red()
    assert TiledDetector.wrap(inner, TilingOptions()) is inner
    options = TilingOptions(
        tile_size=(32, 24), stride=8, score_reduce="topk_mean", score_topk=0.3, map_reduce="hann", fit_on="tiles"
    )
    wrapped = TiledDetector.wrap(inner, options)
    assert isinstance(wrapped, TiledDetector)
    assert wrapped.detector is inner
    assert wrapped.options == options


def test_the_options_survive_json_describe_themselves_and_have_the_defaults_of_the_class() -> None:
    for values in ({}, {"tile_size": 256}, {"tile_size": (300, 200), "stride": (150, 200), "score_topk": 1.0}):
        options = TilingOptions(**values)
        assert TilingOptions.model_validate_json(options.model_dump_json()) == options
    assert all(field.description for field in TilingOptions.model_fields.values())
    assert TiledDetector(Red(), 32).options == TilingOptions(tile_size=32)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tile_size": 7}, "tiling.tile_size: must be at least 8"),
        ({"tile_size": (64, 7)}, "tiling.tile_size: must be at least 8"),
        ({"tile_size": 20000}, "tiling.tile_size: must be at most 16384"),
        ({"tile_size": None}, "tiling.tile_size: is required"),
        ({"tile_size": 64, "stride": 0}, "tiling.stride: must be at least 1"),
        ({"tile_size": 64, "stride": 65}, "leaves gaps"),
        ({"tile_size": (64, 32), "stride": 33}, "leaves gaps"),
        ({"tile_size": 64, "score_topk": 0}, "tiling.score_topk: must be greater than 0"),
        ({"tile_size": 64, "score_topk": 1.1}, "tiling.score_topk: must be at most 1"),
        ({"tile_size": 64, "score_reduce": "median"}, "tiling.score_reduce: must be 'max', 'mean' or 'topk_mean'"),
        ({"tile_size": 64, "map_reduce": "min"}, "tiling.map_reduce: must be"),
        ({"tile_size": 64, "fit_on": "patches"}, "tiling.fit_on: must be 'images' or 'tiles'"),
    ],
)
def test_settings_out_of_bounds_are_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        TiledDetector(Red(), **values)


def test_a_stride_without_tiles_and_an_unknown_setting_are_refused() -> None:
    with pytest.raises(OptionsError, match="stride needs a tile_size"):
        parse(TilingOptions, {"stride": 8}, "tiling")
    with pytest.raises(OptionsError, match="did you mean tile_size"):
        parse(TilingOptions, {"tile_sise": 8}, "tiling")


# Lazy maps


def test_the_map_of_a_tiled_image_keeps_the_small_grids_and_renders_to_any_size() -> None:
    detector = create_model("vision_filterbank", resize=(64, 64), bank_size=200).fit([picture(64, 64)])
    (result,) = TiledDetector(detector, 64, 48, map_reduce="hann").score_images([picture(300, 400)])
    lazy = result.anomaly_map
    assert isinstance(lazy, TiledMap)
    assert sum(tile.grid.nbytes for tile in lazy.tiles) == len(lazy.coords) * 8 * 8 * 4
    assert lazy.render().shape == lazy.source == (300, 400)
    assert lazy.render((30, 20)).shape == (30, 20)
    assert lazy.grid.shape == (6, 8)
    assert lazy.grid.max() == max(tile.grid.max() for tile in lazy.tiles)
    assert lazy.render().tobytes() == lazy.render().tobytes()


def test_the_overview_of_a_tiled_map_lies_as_the_tiles_do() -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    image[15, 5] = 77
    (result,) = TiledDetector(fitted(), 10).score_images([image])
    assert result.anomaly_map.grid.tolist() == [[0, 0, 0], [77, 0, 0]]


def test_steps_run_on_the_stitched_map_at_image_size() -> None:
    (result,) = TiledDetector(fitted(), 32, 24).score_images([picture(70, 100)])
    seen: list[tuple[int, ...]] = []

    def negate(values: NDArray[np.float32], /) -> NDArray[np.float32]:
        seen.append(values.shape)
        return -values

    changed = result.anomaly_map.then(negate).then(lambda values: values + 1)
    assert isinstance(changed, TiledMap)
    np.testing.assert_allclose(changed.render(), 1 - picture(70, 100)[:, :, 0].astype(np.float32))
    assert changed.render((7, 10)).shape == (7, 10)
    assert seen == [(70, 100)] * 2
    np.testing.assert_array_equal(result.anomaly_map.render(), picture(70, 100)[:, :, 0])
    with pytest.raises(DetectorError, match="NaN"):
        result.anomaly_map.then(lambda values: values * np.float32(np.nan)).render()


def test_a_tiled_map_cannot_be_changed_by_its_overview() -> None:
    from dataclasses import replace

    (result,) = TiledDetector(fitted(), 32).score_images([picture(70, 100)])
    with pytest.raises((TypeError, ValueError), match="init=False"):
        replace(result.anomaly_map, grid=np.zeros((3, 4), np.float32))


def test_a_tile_whose_detector_smooths_is_smoothed_before_stitching() -> None:
    class Smooth(Red):
        def _one(self, image: Image) -> ImageScore:
            grid = image[::4, ::4, 0].astype(np.float32)
            return ImageScore(float(grid.max()), AnomalyMap(grid, image.shape[:2], MapRecipe((16, 16), 1.5)))

    image = picture(70, 100)
    (result,) = TiledDetector(fitted(Smooth()), 32, 24, map_reduce="mean").score_images([image])
    coords = list(iter_tile_coords(70, 100, 32, 24))
    maps = [Smooth()._one(extract_tile(image, y, x, 32)).anomaly_map.render() for y, x in coords]
    np.testing.assert_allclose(result.anomaly_map.render(), stitched_slowly(coords, maps, (70, 100), "mean"), rtol=1e-5)


def test_thresholds_metrics_and_postprocessing_take_tiled_maps() -> None:
    image = np.full((70, 100, 3), 10, np.uint8)
    image[30:35, 60:66] = 200
    detector = TiledDetector(fitted(), 32, 24, map_reduce="hann")
    normal, defective = detector.score_images([np.full_like(image, 10), image])
    threshold = PixelQuantile.of_maps([normal.anomaly_map], 0.9).threshold().value
    counts = count_pixels([PixelTruth(defective.anomaly_map, image[:, :, 0] == 200)], threshold)
    assert (counts.tp, counts.fp, counts.fn) == (30, 0, 0)
    changed = AnomalyMapPostprocess(open_ksize=9).apply(defective)
    assert count_pixels([PixelTruth(changed.anomaly_map, image[:, :, 0] == 200)], threshold).tp == 0


def test_a_pipeline_learns_calibrates_and_scores_through_tiles() -> None:
    images = [picture(60, 90, seed) // 2 for seed in range(16)]
    detector = TiledDetector(
        create_model("vision_filterbank", resize=(64, 64), bank_size=200), 32, fit_on="tiles", map_reduce="hann"
    )
    pipeline = Pipeline.around(detector).fit(images[:6])
    pipeline.calibrate(images[6:], CalibrationSettings(pixel_normal_quantile=0.99))
    defective = images[0].copy()
    defective[20:40, 50:70] = 255
    good, bad = (scored.result for scored in pipeline.score([images[3], defective]))
    assert bad.score > pipeline.score_threshold.value > good.score
    above = bad.anomaly_map.render() > pipeline.pixel_threshold.value
    assert above[20:40, 50:70].mean() > 0.5 > above[:, :40].mean()


# Memory

LARGE = r"""
import re
import numpy as np
from pyimgano.contracts import Detector, ImageScore, Runtime
from pyimgano.tiling import TiledDetector
from pyimgano.maps import AnomalyMap

class Coarse(Detector):
    def _fit(self, images): pass
    def state(self): return {}
    def load_state(self, arrays): pass
    def _score(self, images):
        grids = [np.ascontiguousarray(image[::16, ::16, 0], dtype=np.float32) for image in images]
        return [ImageScore(float(grid.max()), AnomalyMap(grid, (256, 256))) for grid in grids]

def peak():
    return int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]) / 1024

inner = Coarse(None, Runtime())
inner.mark_fitted()
tiled = TiledDetector(inner, 256, 192, map_reduce="hann")
tiled.score_images([np.zeros((600, 600, 3), np.uint8)])[0].anomaly_map.render()
image = np.full((6000, 6000, 3), 7, np.uint8)
start = peak()
(result,) = tiled.score_images([image])
scored = peak()
rendered = result.anomaly_map.render()
assert (rendered == 7).all()
print(scored - start, peak() - scored)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="measures as Linux does")
def test_a_large_image_costs_little_more_than_itself_and_its_map(shell: Callable[..., Any], tmp_path: Path) -> None:
    script = tmp_path / "large.py"
    script.write_text(LARGE, encoding="utf-8")
    done = shell(script)
    assert done.code == 0, done.err
    scoring, rendering = map(float, done.out.split())
    megabytes = 6000 * 6000 / 2**20
    assert scoring < 40, "the image has 103 MB; its tiles are cut one batch at a time"
    assert rendering < 4 * megabytes * 1.6, "one float32 map, and while it is checked one byte per pixel"


def test_scoring_asks_for_tiles_as_it_goes() -> None:
    alive: list[int] = []

    class Counting(Red):
        def _score(self, images: Sequence[Image]) -> list[ImageScore]:
            alive.append(tracemalloc.get_traced_memory()[0])
            return [ImageScore(1.0, AnomalyMap(np.ones((2, 2), np.float32), (64, 64))) for _ in images]

    image = picture(1024, 1024)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    TiledDetector(fitted(Counting(Runtime(batch_size=2))), 64).score_images([image])
    tracemalloc.stop()
    assert len(alive) == 128
    assert max(alive) - before < 40 * 64 * 64 * 3


def test_maps_are_taken_one_at_a_time() -> None:
    waiting = 0

    def maps() -> Iterator[NDArray[np.float32]]:
        nonlocal waiting
        for _ in range(100):
            waiting += 1
            yield np.ones((64, 64), np.float32)

    tracemalloc.start()
    stitch_maps(list(iter_tile_coords(640, 640, 64)), maps(), (640, 640), "hann")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert waiting == 100
    assert peak < 640 * 640 * 4 + 640 * 64 * 4 * 6
