"""Postprocessing of maps: options against their definitions, one range for all images, one chain from training to the line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pyimgano import AnomalyMapPostprocess, infer
from pyimgano.calibration import CalibrationSettings
from pyimgano.choice import Choice
from pyimgano.cli.app import main
from pyimgano.contracts import DatasetSplit, Detector, ImageScore, Postprocessor, Runtime
from pyimgano.errors import (
    BundleError,
    CalibrationError,
    DetectorError,
    MapError,
    NotFittedError,
    OptionsError,
    PyimganoError,
    UnknownComponentError,
)
from pyimgano.images import ImageSource
from pyimgano.maps import AnomalyMap, MapRecipe, resize_map
from pyimgano.pipeline import Pipeline, PostprocessStep
from pyimgano.postprocess.options import AnomalyMapOptions
from pyimgano.workbench.bundle import Bundle, bundle_files, write_bundle

Values = NDArray[np.float32]

SIZES = [(24, 30), (40, 16), (9, 50)]
SETTINGS = CalibrationSettings(pixel_normal_quantile=0.9)
EACH_OPTION: dict[str, Any] = {
    "normalize_method": "minmax",
    "percentile_range": [5.0, 95.0],
    "gaussian_sigma": 1.5,
    "open_ksize": 3,
    "close_ksize": 5,
    "component_threshold": 40.0,
    "min_component_area": 7,
}
"""Another value than the default for every option."""
DISCS = {
    1: ["#"],
    3: [".#.", "###", ".#."],
    5: ["..#..", "#####", "#####", "#####", "..#.."],
    7: ["...#...", ".#####.", "#######", "#######", "#######", ".#####.", "...#..."],
}


class Grey(Detector):
    """Gives grey values less 100 as the map, so that it may be negative, and the largest of them as the score."""

    def __init__(self) -> None:
        super().__init__(None, Runtime(batch_size=2))

    def _fit(self, images: ImageSource) -> None:
        """Learn nothing."""

    def _score(self, images: Sequence[NDArray[np.uint8]]) -> list[ImageScore]:
        grids = [image[:, :, 0].astype(np.float32) - 100 for image in images]
        return [ImageScore(float(grid.max()), AnomalyMap(grid, (grid.shape[0], grid.shape[1]))) for grid in grids]

    def state(self) -> dict[str, NDArray[Any]]:
        return {}

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.mark_fitted()


def random_map(seed: int, size: tuple[int, int] = (24, 30), recipe: MapRecipe | None = None) -> AnomalyMap:
    """Return a map of a small grid around -2, most of it negative."""
    grid = np.random.default_rng(seed).normal(-2, 3, (8, 10)).astype(np.float32)
    return AnomalyMap(grid, size, recipe or MapRecipe())


def whole(values: NDArray[Any]) -> AnomalyMap:
    return AnomalyMap(values.astype(np.float32), (values.shape[0], values.shape[1]))


def results(maps: Sequence[AnomalyMap]) -> list[ImageScore]:
    return [ImageScore(7.5, one) for one in maps]


def changed(one: AnomalyMap, *steps: Postprocessor) -> AnomalyMap:
    """Return the map after steps, each of which leaves the score alone."""
    result = ImageScore(7.5, one)
    for step in steps:
        result = step.apply(result)
    assert result.score == 7.5
    assert result.anomaly_map is not None
    return result.anomaly_map


def rendered(one: AnomalyMap, **options: Any) -> Values:
    return changed(one, AnomalyMapPostprocess(**options)).render()


def spots(*corners: tuple[int, int, int], size: tuple[int, int] = (20, 24), level: float = 1.0) -> NDArray[np.float64]:
    """Return zeros with squares at `level`, each given as row, column and side."""
    values = np.zeros(size)
    for row, column, side in corners:
        values[row : row + side, column : column + side] = level
    return values


def step(name: str = "anomaly_map", **options: Any) -> PostprocessStep:
    return PostprocessStep.create(Choice(name=name, options=options))


def pipeline_of(*steps: PostprocessStep) -> Pipeline:
    pipeline = Pipeline.around(Grey())
    pipeline.postprocess = steps
    pipeline.detector.mark_fitted()
    return pipeline


def photographs(count: int, low: int = 60, high: int = 140, seed: int = 0) -> list[NDArray[np.uint8]]:
    """Return noise of several sizes."""
    rng = np.random.default_rng(seed)
    return [rng.integers(low, high, (*SIZES[place % 3], 3), dtype=np.uint8) for place in range(count)]


def maps_of(pipeline: Pipeline, images: Sequence[Any]) -> list[Values]:
    maps = [result.anomaly_map for result in infer(pipeline, images)]
    return [one.render() for one in maps if one is not None]


# Normalisation


@pytest.mark.parametrize("ends", [(1, 99), (0, 100), (50, 99.9), (0.5, 50), (10, 20), (0, 0.01)])
def test_percentiles_are_those_of_all_held_out_pixels(ends: tuple[float, float]) -> None:
    maps = [random_map(seed, size, MapRecipe((20, 20), 1.0)) for seed, size in enumerate(SIZES)]
    pixels = np.concatenate([one.render().ravel() for one in maps]).astype(np.float64)
    fitted = AnomalyMapPostprocess(normalize_method="percentile", percentile_range=ends).fit(results(maps))
    low, high = np.percentile(pixels, ends)
    probe = whole(np.linspace(low, high, 12).reshape(3, 4))
    np.testing.assert_allclose(
        changed(probe, fitted).render().ravel(), np.linspace(0, 1, 12), atol=1e-6 * (1 + abs(low / (high - low)))
    )
    other = random_map(9)
    expected = (other.render().astype(np.float64) - low) / (high - low)
    np.testing.assert_allclose(changed(other, fitted).render(), expected, rtol=1e-6, atol=1e-6)


def test_the_range_is_that_of_held_out_pixels() -> None:
    maps = [whole(np.array([[-5.0, 1.0], [2.0, 3.0]])), whole(np.array([[0.0, 11.0, 4.0]]))]
    fitted = AnomalyMapPostprocess(normalize_method="minmax").fit(results(maps))
    assert changed(whole(np.array([[-5.0, 3.0, 11.0]])), fitted).render().tolist() == [[0.0, 0.5, 1.0]]


def test_nothing_is_clipped() -> None:
    fitted = AnomalyMapPostprocess(normalize_method="minmax").fit(results([whole(np.array([[0.0, 10.0]]))]))
    assert changed(whole(np.array([[-20.0, 5.0, 300.0]])), fitted).render().tolist() == [[-2.0, 0.5, 30.0]]


@pytest.mark.parametrize("method", ["minmax", "percentile"])
def test_every_image_is_changed_by_the_same_affine_map(method: str) -> None:
    pipeline = pipeline_of(step(normalize_method=method))
    pipeline.calibrate(photographs(6), SETTINGS)
    images = photographs(3, 20, 30, seed=1) + photographs(3, 90, 250, seed=2)
    plain, scaled = maps_of(pipeline_of(), images), maps_of(pipeline, images)
    slope, offset = np.polyfit(
        np.concatenate([one.ravel() for one in plain]), np.concatenate([one.ravel() for one in scaled]), 1
    )
    for before, after in zip(plain, scaled, strict=True):
        np.testing.assert_allclose(after, slope * before + offset, atol=1e-4)


def test_a_good_image_far_below_the_others_gets_no_pixel_at_one() -> None:
    pipeline = pipeline_of(step(normalize_method="minmax"))
    pipeline.calibrate(photographs(6, 60, 140), SETTINGS)
    faint, defective = maps_of(pipeline, [*photographs(1, 60, 68, seed=3), *photographs(1, 150, 250, seed=4)])
    assert faint.max() < 0.15
    assert defective.max() > 1


def test_images_that_are_scored_change_nothing_that_was_learned() -> None:
    pipeline = pipeline_of(step(normalize_method="percentile"))
    pipeline.calibrate(photographs(6), SETTINGS)
    learned, image = pipeline.postprocess[0].component.state(), photographs(1, seed=5)
    alone = maps_of(pipeline, image)[0]
    among_others = maps_of(pipeline, [*photographs(4, 0, 255, seed=6), *image])[-1]
    assert np.array_equal(alone, among_others)
    assert pipeline.postprocess[0].component.state() == learned


@pytest.mark.parametrize("method", ["minmax", "percentile"])
def test_what_normalises_must_be_calibrated_first(method: str) -> None:
    with pytest.raises(NotFittedError, match="no range to normalise by") as caught:
        rendered(random_map(0), normalize_method=method)
    assert "calibrate" in caught.value.next_step
    with pytest.raises(NotFittedError, match="no range"):
        infer(pipeline_of(step(normalize_method=method)), photographs(1))


def test_without_normalisation_nothing_needs_to_be_learned() -> None:
    postprocess = AnomalyMapPostprocess(gaussian_sigma=1)
    assert postprocess.fit([]).state() == {}
    assert changed(random_map(0), postprocess).render().shape == (24, 30)


@pytest.mark.parametrize("method", ["minmax", "percentile"])
def test_constant_calibration_maps_are_refused(method: str) -> None:
    flat = [np.full((12, 12, 3), 120, np.uint8)] * 3
    with pytest.raises(CalibrationError, match="reach from 20 to 20, which nothing can be scaled by") as caught:
        pipeline_of(step(normalize_method=method)).calibrate(flat, SETTINGS)
    assert "normalize_method=none" in caught.value.next_step


def test_there_is_no_range_without_maps() -> None:
    with pytest.raises(CalibrationError, match="no maps of held-out normal images"):
        AnomalyMapPostprocess(normalize_method="minmax").fit([ImageScore(1.0)])


# Smoothing


def convolved(values: Values, sigma: float) -> NDArray[np.float64]:
    """Return the convolution with a whole gaussian, with borders mirrored at the outermost pixels."""
    radius = round(6 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    padded = np.pad(values.astype(np.float64), radius, mode="reflect")
    rows = np.stack([np.convolve(row, kernel, "valid") for row in padded])
    return np.stack([np.convolve(column, kernel, "valid") for column in rows.T]).T


@pytest.mark.parametrize("sigma", [0.6, 1.0, 2.0, 3.7])
def test_smoothing_is_a_convolution_with_a_gaussian(sigma: float) -> None:
    one = random_map(1, (40, 33))
    before = one.render()
    np.testing.assert_allclose(rendered(one, gaussian_sigma=sigma), convolved(before, sigma), atol=4e-4 * np.ptp(before))


def test_smoothing_never_leaves_the_range_and_keeps_a_constant_map() -> None:
    one = random_map(2)
    smooth = rendered(one, gaussian_sigma=5)
    assert one.render().min() <= smooth.min() <= smooth.max() <= one.render().max()
    np.testing.assert_allclose(rendered(whole(np.full((9, 9), -3.25)), gaussian_sigma=2), -3.25, rtol=1e-6)


# Morphology


def ranked(values: NDArray[Any], disc: list[str], pick: Callable[..., Any]) -> NDArray[Any]:
    """Return the smallest or largest value under a disc around each pixel, of the pixels inside the map."""
    reach = len(disc) // 2
    offsets = [(i - reach, j - reach) for i, row in enumerate(disc) for j, sign in enumerate(row) if sign == "#"]
    chosen = np.empty_like(values)
    for row, column in np.ndindex(*values.shape):
        places = [(row + i, column + j) for i, j in offsets]
        chosen[row, column] = pick(values[i, j] for i, j in places if 0 <= i < values.shape[0] and 0 <= j < values.shape[1])
    return chosen


@pytest.mark.parametrize("side", sorted(DISCS))
def test_opening_and_closing_are_smallest_and_largest_values_under_a_disc(side: int) -> None:
    one, disc = random_map(3, (17, 21)), DISCS[side]
    values = one.render()
    assert np.array_equal(rendered(one, open_ksize=side), ranked(ranked(values, disc, min), disc, max))
    assert np.array_equal(rendered(one, close_ksize=side), ranked(ranked(values, disc, max), disc, min))


@pytest.mark.parametrize("level", [1.0, -90.0])
def test_opening_removes_a_peak_smaller_than_the_disc_and_keeps_a_larger_one_where_it_is(level: float) -> None:
    background = level - 10
    small, large = spots((3, 4, 3)) > 0, spots((10, 12, 8)) > 0
    opened = rendered(whole(np.where(small | large, level, background)), open_ksize=5)
    assert (opened[small] == background).all()
    cut = large & (opened != level)
    assert (opened[~large] == background).all()
    assert cut.sum() <= 12  # the corners, which a disc does not reach
    rows, columns = np.nonzero(opened == level)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 17, 12, 19)
    assert (rows.mean(), columns.mean()) == (13.5, 15.5)


def test_closing_fills_a_pit_and_leaves_peaks_alone() -> None:
    values = spots((2, 2, 16), level=5.0) + spots((15, 20, 1), level=3.0)
    values[8:10, 8:10] = -40
    closed = rendered(whole(values), close_ksize=5)
    assert (closed[2:18, 2:18] == 5).all()
    assert closed[15, 20] == 3
    assert (closed >= values).all()


def test_opening_does_not_eat_what_touches_the_border() -> None:
    values = spots((0, 0, 6), level=-1.0) - 9
    assert np.array_equal(rendered(whole(values), open_ksize=3)[:6, :5], values[:6, :5])


# Small regions


def flattened(values: NDArray[Any], threshold: float, least: int) -> NDArray[Any]:
    """Return the map with its small regions at the threshold, by a flood fill of eight neighbours."""
    left = {(int(row), int(column)) for row, column in np.argwhere(values > threshold)}
    result = values.copy()
    while left:
        region, frontier = set(), [left.pop()]
        while frontier:
            row, column = frontier.pop()
            region.add((row, column))
            near = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            frontier += near
        if len(region) < least:
            for place in region:
                result[place] = threshold
    return result


@pytest.mark.parametrize("least", [1, 2, 5, 20, 1000])
@pytest.mark.parametrize("threshold", [-3.0, -0.5, 2.0])
def test_small_regions_are_flattened_to_the_threshold(threshold: float, least: int) -> None:
    one = whole(np.random.default_rng(4).normal(-2, 2, (30, 26)))
    values = one.render()
    changed_map = rendered(one, component_threshold=threshold, min_component_area=least)
    assert np.array_equal(changed_map, flattened(values, threshold, least))
    assert (changed_map[values <= threshold] == values[values <= threshold]).all()


def test_a_region_of_exactly_the_least_area_stays_and_corners_connect() -> None:
    values = np.full((8, 9), -7.0)
    for place in range(4):
        values[place, place] = -1
    assert np.array_equal(rendered(whole(values), component_threshold=-2, min_component_area=4), values)
    gone = rendered(whole(values), component_threshold=-2, min_component_area=5)
    assert sorted(set(gone.ravel().tolist())) == [-7, -2]


def test_a_pixel_at_the_threshold_belongs_to_no_region() -> None:
    values = spots((3, 3, 2), (3, 6, 2), level=2.0)
    values[3, 5] = 1
    kept = rendered(whole(values), component_threshold=1, min_component_area=5)
    assert kept.max() == 1


# Steps together


def test_steps_run_in_order_normalise_smooth_open_close_flatten() -> None:
    rng = np.random.default_rng(5)
    maps = [whole(rng.gamma(1.0, 4.0, (30, 34))) for _ in range(3)]
    norm = {"normalize_method": "percentile", "percentile_range": (2.0, 97.0)}
    rest: list[dict[str, Any]] = [
        {"gaussian_sigma": 1.0},
        {"open_ksize": 3},
        {"close_ksize": 5},
        {"component_threshold": 0.35, "min_component_area": 12},
    ]
    together = AnomalyMapPostprocess(**norm, **{key: value for one in rest for key, value in one.items()}).fit(results(maps))
    first = AnomalyMapPostprocess(**norm).fit(results(maps))
    singly = [first, *(AnomalyMapPostprocess(**one) for one in rest)]
    expected = changed(maps[0], *singly).render()
    assert np.array_equal(changed(maps[0], together).render(), expected)
    for early, late in [(0, 4), (1, 2), (2, 3), (3, 4)]:  # normalisation and smoothing commute
        swapped = list(singly)
        swapped[early], swapped[late] = swapped[late], swapped[early]
        assert not np.allclose(changed(maps[0], *swapped).render(), expected, atol=1e-3), (early, late)


def test_images_of_mixed_sizes_keep_their_sizes() -> None:
    pipeline = pipeline_of(step(normalize_method="minmax", gaussian_sigma=1, open_ksize=3))
    pipeline.calibrate(photographs(6), SETTINGS)
    assert [one.shape for one in maps_of(pipeline, photographs(5))] == [SIZES[place % 3] for place in range(5)]


def test_another_size_is_the_changed_map_resized() -> None:
    one = random_map(6, (40, 30))
    smooth = changed(one, AnomalyMapPostprocess(gaussian_sigma=2, open_ksize=3))
    for size in [(80, 60), (7, 90), (13, 11)]:
        assert smooth.render(size).shape == size
        assert np.array_equal(smooth.render(size), resize_map(smooth.render(), size))


@pytest.mark.parametrize("as_it_is", [True, False])
def test_the_map_that_came_in_is_left_as_it_was(as_it_is: bool) -> None:
    one = random_map(7, (8, 10) if as_it_is else (24, 30))
    grid, before = one.grid.copy(), one.render().copy()
    options = {"gaussian_sigma": 1, "open_ksize": 3, "close_ksize": 3, "component_threshold": -2, "min_component_area": 9}
    after = changed(one, AnomalyMapPostprocess(**options))
    first = after.render()
    assert np.array_equal(after.render(), first)
    assert not np.array_equal(first, before)
    assert np.array_equal(one.grid, grid)
    assert np.array_equal(one.render(), before)


def test_image_scores_stay_as_they_are() -> None:
    pipeline = pipeline_of(step(normalize_method="minmax", gaussian_sigma=3, component_threshold=0.5, min_component_area=50))
    pipeline.calibrate(photographs(6), SETTINGS)
    images = photographs(7, 0, 255, seed=8)
    assert [one.score for one in infer(pipeline, images)] == [one.score for one in infer(pipeline_of(), images)]


def test_a_result_without_a_map_passes_through() -> None:
    assert AnomalyMapPostprocess(gaussian_sigma=2).apply(ImageScore(3.5)) == ImageScore(3.5)


def test_options_that_are_all_off_change_nothing() -> None:
    one = random_map(8)
    assert np.array_equal(rendered(one), one.render())


# Options


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"open_ksize": 4}, "open_ksize: must be odd"),
        ({"close_ksize": 2}, "close_ksize: must be odd"),
        ({"open_ksize": -1}, "open_ksize: must be at least 0"),
        ({"close_ksize": 1001}, "close_ksize: must be at most 999"),
        ({"percentile_range": (99, 1)}, "percentile_range must rise within 0 to 100, got 99 and 1"),
        ({"percentile_range": (5, 5)}, "must rise"),
        ({"percentile_range": (-1, 50)}, "must rise"),
        ({"percentile_range": (1, 101)}, "must rise"),
        ({"percentile_range": (float("nan"), 50)}, "must be a finite number"),
        ({"component_threshold": 1.0}, "component_threshold and min_component_area belong together"),
        ({"min_component_area": 5}, "component_threshold and min_component_area belong together"),
        (
            {"component_threshold": float("nan"), "min_component_area": 5},
            "component_threshold: must be a finite number",
        ),
        ({"gaussian_sigma": -1}, "gaussian_sigma: must be at least 0"),
        ({"gaussian_sigma": float("nan")}, "gaussian_sigma"),
        ({"gaussian_sigma": float("inf")}, "gaussian_sigma"),
        ({"normalize_method": "max"}, "normalize_method: must be 'none', 'minmax' or 'percentile'"),
        ({"sigma": 3}, "sigma: unknown option"),
        ({"gausian_sigma": 3}, "did you mean gaussian_sigma?"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionsError) as caught:
        AnomalyMapPostprocess(**options)
    assert caught.value.problem.startswith("anomaly_map")
    assert says in caught.value.problem
    assert caught.value.next_step == "pyimgano show postprocessor anomaly_map"


def test_options_come_as_a_model_or_by_name_and_never_both() -> None:
    assert AnomalyMapPostprocess(AnomalyMapOptions(gaussian_sigma=2)).options == AnomalyMapPostprocess(gaussian_sigma=2).options
    with pytest.raises(OptionsError, match="anomaly_map"):
        AnomalyMapPostprocess(AnomalyMapOptions(), gaussian_sigma=2)


# The chain


def test_thresholds_are_calibrated_on_postprocessed_maps() -> None:
    pipeline = pipeline_of(step(normalize_method="minmax", gaussian_sigma=2), step(open_ksize=3))
    held_out = photographs(6)
    pipeline.calibrate(held_out, SETTINGS)
    record = pipeline.pixel_threshold
    assert record is not None
    pixels = np.concatenate([one.ravel() for one in maps_of(pipeline, held_out)]).astype(np.float64)
    assert record.value == pytest.approx(np.quantile(pixels, 0.9), rel=1e-9)
    assert record.value != pytest.approx(
        np.quantile(np.concatenate([one.ravel() for one in maps_of(pipeline_of(), held_out)]), 0.9)
    )
    assert record.chain == pipeline.fingerprint()


def test_a_later_step_learns_from_what_the_earlier_one_made() -> None:
    pipeline = pipeline_of(step(gaussian_sigma=3), step(normalize_method="minmax"))
    held_out = photographs(4)
    pipeline.calibrate(held_out, SETTINGS)
    maps = maps_of(pipeline, held_out)
    assert min(one.min() for one in maps) == pytest.approx(0, abs=1e-6)
    assert max(one.max() for one in maps) == pytest.approx(1, abs=1e-6)


def test_the_fingerprint_changes_with_each_option() -> None:
    assert EACH_OPTION.keys() == AnomalyMapOptions.model_fields.keys()
    filtering = {"component_threshold": 20.0, "min_component_area": 3}
    prints = {pipeline_of().fingerprint(), pipeline_of(step()).fingerprint(), pipeline_of(step(**filtering)).fingerprint()}
    for name, value in EACH_OPTION.items():
        prints.add(pipeline_of(step(**{**(filtering if name in filtering else {}), name: value})).fingerprint())
    assert len(prints) == 3 + len(EACH_OPTION)


def test_the_fingerprint_changes_with_what_was_learned_and_with_the_order_of_steps() -> None:
    def calibrated(seed: int) -> str:
        pipeline = pipeline_of(step(normalize_method="percentile"))
        return pipeline.calibrate(photographs(4, seed=seed), SETTINGS).fingerprint()

    assert calibrated(1) == calibrated(1) != calibrated(2)
    smooth, opened = step(gaussian_sigma=1), step(open_ksize=3)
    assert pipeline_of(smooth, opened).fingerprint() != pipeline_of(opened, smooth).fingerprint()


# Bundles and configs


FLAGS = ("--postprocess-normalize-method", "percentile", "--postprocess-percentile-range", "2", "98.5")
OPTIONS = {
    "normalize_method": "percentile",
    "percentile_range": [2.0, 98.5],
    "gaussian_sigma": 2.0,
    "open_ksize": 3,
    "close_ksize": 0,
    "component_threshold": None,
    "min_component_area": 0,
}


@pytest.fixture(scope="module")
def trained(surface_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with the bundle ``b`` and the loose ``run`` of one training. Read-only: copy before changing anything."""
    folder = tmp_path_factory.mktemp("trained")
    line = ["train", "--root", str(surface_root), "--model", "vision_filterbank", "--resize", "32", "48", *FLAGS]
    line += ["--postprocess", "anomaly_map,gaussian_sigma=2,open_ksize=5", "--postprocess-open-ksize", "3"]
    with pytest.raises(SystemExit) as stopped:
        main([*line, "--export-deploy-bundle", str(folder / "b"), "--output", str(folder / "run")])
    assert not stopped.value.code
    return folder


@pytest.fixture
def loose(trained: Path, tmp_path: Path) -> Path:
    """Give an infer_config.json that may be edited."""
    return Path(shutil.copytree(trained / "run", tmp_path / "run")) / "infer_config.json"


def config(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def edit(path: Path, **changes: Any) -> None:
    """Change fields of the one postprocessor in a config."""
    content = config(path)
    content["adaptation"]["postprocess"][0].update(changes)
    path.write_text(json.dumps(content), encoding="utf-8")


def edit_options(path: Path, **changes: Any) -> None:
    edit(path, options={**config(path)["adaptation"]["postprocess"][0]["options"], **changes})


def paths(split: DatasetSplit) -> list[str]:
    return [str(sample.path) for sample in split.test]


def test_flags_and_the_named_step_are_merged_and_flags_win(trained: Path) -> None:
    parts = config(trained / "run" / "infer_config.json")["adaptation"]["postprocess"]
    assert [part["options"] for part in parts] == [OPTIONS]
    assert [(part["name"], part["distribution"]) for part in parts] == [("pyimgano-core:anomaly_map", "pyimgano-core")]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ([], []),
        (["--postprocess-gaussian-sigma", "1.5"], [{"gaussian_sigma": 1.5}]),
        (["--postprocess", "anomaly_map,open_ksize=3"], [{"open_ksize": 3}]),
        (["--postprocess", "pyimgano-core:anomaly_map", "--postprocess-close-ksize", "3"], [{"close_ksize": 3}]),
        (
            ["--postprocess", "anomaly_map,open_ksize=3", "--postprocess", "anomaly_map,gaussian_sigma=1"],
            [{"open_ksize": 3}, {"gaussian_sigma": 1.0}],
        ),
        (
            [
                "--postprocess",
                "anomaly_map,normalize_method=minmax,percentile_range=[5,95]",
                "--postprocess-normalize-method",
                "none",
            ],
            [{"percentile_range": [5.0, 95.0]}],
        ),
        (
            ["--postprocess-component-threshold", "-1.5", "--postprocess-min-component-area", "4"],
            [{"component_threshold": -1.5, "min_component_area": 4}],
        ),
    ],
)
def test_train_takes_every_option_as_a_flag_or_as_a_named_step(
    cli: Callable, surface_root: Path, tmp_path: Path, line: list[str], expected: list[dict[str, Any]]
) -> None:
    common = ["train", "--root", surface_root, "--model", "vision_filterbank", "--resize", 32, 48, "-o", "patch=16"]
    done = cli(*common, *line, "--output", tmp_path / "run")
    assert done.code == 0, done.err
    defaults = AnomalyMapOptions().model_dump(mode="json")
    found = [part["options"] for part in config(tmp_path / "run" / "infer_config.json")["adaptation"]["postprocess"]]
    assert found == [{**defaults, **options} for options in expected]


def test_every_option_has_a_flag(cli: Callable) -> None:
    shown = cli("train", "--help").out
    for name in AnomalyMapOptions.model_fields:
        assert f"--postprocess-{name.replace('_', '-')} " in shown


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (["--postprocess-open-ksize", "4"], "open_ksize: must be odd"),
        (["--postprocess-component-threshold", "4"], "belong together"),
        (["--postprocess-percentile-range", "9", "1"], "must rise"),
        (["--postprocess", "anomaly_mop"], "no postprocessor is called 'anomaly_mop'"),
        (["--postprocess", "anomaly_map,sigma=3"], "anomaly_map.sigma: unknown option"),
        (["--postprocess", ",sigma=3"], "names no component"),
    ],
)
def test_what_train_cannot_do_it_refuses_before_it_starts(
    cli: Callable, surface_root: Path, tmp_path: Path, line: list[str], says: str
) -> None:
    done = cli("train", "--root", surface_root, "--model", "vision_filterbank", "--output", tmp_path / "run", *line)
    assert done.code == 2
    assert says in done.err
    assert "Next:" in done.err
    assert not (tmp_path / "run").exists()


def test_what_was_learned_survives_a_bundle(surface_split: DatasetSplit, tmp_path: Path) -> None:
    choices = [Choice(name="anomaly_map", options=OPTIONS), Choice(name="anomaly_map", options={"normalize_method": "minmax"})]
    pipeline = Pipeline.create("vision_filterbank", {"resize": [32, 48]}, Runtime(), choices)
    pipeline.learn(surface_split, SETTINGS, 0)
    write_bundle(tmp_path / "b", bundle_files(pipeline, {}))
    again = Bundle.load(tmp_path / "b").pipeline()
    assert [one.component.state() for one in again.postprocess] == [one.component.state() for one in pipeline.postprocess]
    assert (again.fingerprint(), again.score_threshold, again.pixel_threshold) == (
        pipeline.fingerprint(),
        pipeline.score_threshold,
        pipeline.pixel_threshold,
    )
    images = paths(surface_split)
    assert [one.score for one in infer(again, images)] == [one.score for one in infer(pipeline, images)]
    for before, after in zip(maps_of(pipeline, images), maps_of(again, images), strict=True):
        assert before.tobytes() == after.tobytes()


def test_the_bundle_that_train_writes_judges_by_its_own_chain(trained: Path, surface_split: DatasetSplit, caplog: Any) -> None:
    pipeline = Bundle.load(trained / "b").pipeline()
    assert pipeline.pixel_threshold is not None
    assert pipeline.pixel_threshold.chain == pipeline.fingerprint()
    split = surface_split.with_calibration(0.2, 0)
    pixels = np.concatenate([one.ravel() for one in maps_of(pipeline, [str(sample.path) for sample in split.calibration])])
    assert pipeline.pixel_threshold.value == pytest.approx(np.quantile(pixels.astype(np.float64), 0.999), rel=1e-9)
    assert caplog.messages == []


def test_an_edited_option_decides_the_next_run(loose: Path, surface_split: DatasetSplit) -> None:
    images = paths(surface_split)[:3]
    before = maps_of(Bundle.load_config(loose).pipeline(), images)
    edit_options(loose, gaussian_sigma=0, open_ksize=0)
    after = Bundle.load_config(loose).pipeline()
    low, high = after.postprocess[0].component.state()["range"]
    plain = maps_of(Pipeline.around(after.detector), images)
    for old, new, raw in zip(before, maps_of(after, images), plain, strict=True):
        assert not np.allclose(old, new, atol=1e-3)
        np.testing.assert_allclose(new, (raw.astype(np.float64) - low) / (high - low), rtol=1e-6)


def test_a_step_taken_out_of_a_config_is_gone(loose: Path, surface_split: DatasetSplit) -> None:
    content = config(loose)
    content["adaptation"]["postprocess"] = []
    loose.write_text(json.dumps(content), encoding="utf-8")
    pipeline = Bundle.load_config(loose).pipeline()
    images = paths(surface_split)[:2]
    for raw, new in zip(maps_of(Pipeline.around(pipeline.detector), images), maps_of(pipeline, images), strict=True):
        assert np.array_equal(raw, new)


def test_normalisation_that_is_turned_off_in_a_config_is_off(loose: Path, surface_split: DatasetSplit) -> None:
    edit_options(loose, normalize_method="none", gaussian_sigma=0, open_ksize=0)
    pipeline = Bundle.load_config(loose).pipeline()
    images = paths(surface_split)[:2]
    for raw, new in zip(maps_of(Pipeline.around(pipeline.detector), images), maps_of(pipeline, images), strict=True):
        assert np.array_equal(raw, new)


@pytest.mark.parametrize("changes", [{"normalize_method": "minmax"}, {"percentile_range": [10.0, 90.0]}])
def test_a_range_that_was_never_learned_is_refused(
    cli: Callable, loose: Path, surface_root: Path, changes: dict[str, Any]
) -> None:
    edit_options(loose, **changes)
    done = cli("infer", "--infer-config", loose, "--input", surface_root / "test/good/000.png")
    assert (done.code, done.out) == (2, "")
    assert "percentiles 2 and 98.5" in done.err
    assert "Next:" in done.err


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"range": [0, 1]},
        {"percentiles": [2.0, 98.5], "range": [1]},
        {"percentiles": [2.0, 98.5], "range": "ab"},
        {"percentiles": [2.0, 98.5], "range": None},
        {"percentiles": [2.0, 98.5], "range": [3, 3]},
        {"percentiles": [2.0, 98.5], "range": [5, 3]},
        {"percentiles": [2.0, 98.5], "range": [0, 1], "mean": 3},
    ],
)
def test_a_learned_state_that_is_none_is_refused(loose: Path, state: dict[str, Any]) -> None:
    edit(loose, state=state)
    with pytest.raises(PyimganoError, match="anomaly_map") as caught:
        Bundle.load_config(loose).pipeline()
    assert caught.value.next_step


def test_thresholds_of_another_chain_are_warned_of(cli: Callable, loose: Path, surface_root: Path) -> None:
    line = ["infer", "--infer-config", loose, "--input", surface_root / "test/good/000.png"]
    assert cli(*line).err == ""
    edit_options(loose, gaussian_sigma=5.0)
    done = cli(*line)
    assert done.code == 0
    assert "image threshold was calibrated through another chain" in done.err
    content = config(loose)
    content.update(threshold=3.0, defects={**content["defects"], "pixel_threshold": 1.25})
    loose.write_text(json.dumps(content), encoding="utf-8")
    assert cli(*line).err == ""


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"name": "anomaly_mop"}, UnknownComponentError, "no postprocessor is called 'anomaly_mop'"),
        ({"name": "acme-smooth:blur"}, UnknownComponentError, "no plugin called 'acme-smooth' is loaded"),
        ({"options": {"sigma": 3}}, OptionsError, "anomaly_map.sigma: unknown option"),
        ({"options": {"open_ksize": 4}}, OptionsError, "open_ksize: must be odd"),
        ({"optoins": {}}, BundleError, "adaptation.postprocess.0.optoins: unknown option"),
    ],
)
def test_a_step_of_a_config_that_cannot_be_built_is_named(
    loose: Path, changes: dict[str, Any], error: type[PyimganoError], says: str
) -> None:
    edit(loose, **changes)
    with pytest.raises(error) as caught:
        Bundle.load_config(loose).pipeline()
    assert says in caught.value.problem
    assert caught.value.next_step


# Postprocessors of others


class Custom(Postprocessor):
    """Runs any function as a step of the map."""

    def __init__(self, function: Callable[[Values], Any]) -> None:
        super().__init__(None)
        self.function = function

    def apply(self, result: ImageScore) -> ImageScore:
        assert result.anomaly_map is not None
        return ImageScore(result.score, result.anomaly_map.then(self.function))


def raising(values: Values) -> Values:
    raise RuntimeError("no licence")


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda values: values[1:], r"shape \(23, 30\)"),
        (lambda values: values[None], r"shape \(1, 24, 30\)"),
        (lambda values: values * np.nan, "NaN"),
        (lambda values: values.astype(np.float64) + 1e300, "infinite"),
        (lambda values: None, r"shape \(\)"),
        (lambda values: "map", "failed"),
        (raising, "failed: RuntimeError: no licence"),
    ],
)
def test_a_step_that_makes_no_map_is_an_error_that_names_it(function: Callable[[Values], Any], says: str) -> None:
    one = changed(random_map(0), Custom(function))
    with pytest.raises(MapError, match=says) as caught:
        one.render()
    assert caught.value.problem.startswith(function.__qualname__)
    assert caught.value.next_step
    with pytest.raises(MapError, match=f"^acme:custom .*{says}"):
        pipeline_of(PostprocessStep(Custom(function), "acme:custom", None, {})).calibrate(
            [np.zeros((24, 30, 3), np.uint8)], SETTINGS
        )


class Scaled(Postprocessor):
    """Changes the score by a function of it."""

    def __init__(self, function: Callable[[float], Any]) -> None:
        super().__init__(None)
        self.function = function

    def apply(self, result: ImageScore) -> ImageScore:
        made: ImageScore = self.function(result.score)
        return made


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda score: ImageScore(float("nan")), "acme:scaled made the score nan"),
        (lambda score: ImageScore(float("inf")), "acme:scaled made the score inf"),
        (lambda score: score, "acme:scaled returned float"),
        (lambda score: None, "acme:scaled returned NoneType"),
        (lambda score: 1 / 0, "acme:scaled failed: ZeroDivisionError"),
    ],
)
def test_a_score_that_is_none_is_an_error_and_never_good(function: Callable[[float], Any], says: str) -> None:
    pipeline = pipeline_of(PostprocessStep(Scaled(function), "acme:scaled", None, {}))
    with pytest.raises(DetectorError, match=says):
        pipeline.calibrate(photographs(3), SETTINGS)
    for result in infer(pipeline, photographs(3), continue_on_error=True):
        assert result.label is None
        assert result.error is not None


def test_what_learns_nothing_takes_nothing_back() -> None:
    component = Scaled(ImageScore)
    component.load_state({})
    with pytest.raises(BundleError, match="Scaled learns nothing"):
        component.load_state({"mean": 3})


ZSCORE = """
import numpy as np
from pydantic import Field

from pyimgano import ImageScore, Postprocessor, hookimpl
from pyimgano.options import Options
from pyimgano.specs import PostprocessorSpec


class ZOptions(Options):
    factor: float = Field(1.0, gt=0, description="Scores are multiplied by it.")


class Z(Postprocessor):
    def fit(self, results):
        scores = np.array([result.score for result in results])
        self.mean, self.deviation = scores.mean(), scores.std()
        return self

    def apply(self, result):
        score = self.options.factor * (result.score - self.mean) / self.deviation
        return ImageScore(float(score), result.anomaly_map)

    def state(self):
        return {"mean": self.mean, "deviation": self.deviation}

    def load_state(self, values):
        self.mean, self.deviation = values["mean"], values["deviation"]


@hookimpl
def register_postprocessors():
    return [
        PostprocessorSpec(
            name="acme_z",
            summary="z-scores",
            factory="acme_zscore:Z",
            options="acme_zscore:ZOptions",
            acts_on="score",
            fits=True,
        )
    ]
"""


def test_a_plugins_step_on_scores_is_fitted_saved_and_used(
    cli: Callable, site: Path, surface_root: Path, tmp_path: Path
) -> None:
    plugin = tmp_path / "acme_zscore.py"
    plugin.write_text(ZSCORE, encoding="utf-8")
    line = ["--plugin", plugin, "train", "--root", surface_root, "--model", "vision_filterbank", "--resize", 32, 48]
    assert cli(*line, "--output", tmp_path / "plain").code == 0
    done = cli(*line, "--postprocess", "acme_z,factor=10", "--export-deploy-bundle", tmp_path / "b")
    assert done.code == 0, done.err

    def records(*source: object) -> list[dict[str, Any]]:
        done = cli("--plugin", plugin, "infer", *source, "--input", surface_root / "test")
        assert done.code == 0, done.err
        return [json.loads(text) for text in done.out.splitlines()]

    raw = records("--infer-config", tmp_path / "plain" / "infer_config.json")
    learned = config(tmp_path / "b" / "infer_config.json")["adaptation"]["postprocess"][0]["state"]
    summary = config(tmp_path / "plain" / "infer_config.json")["threshold_provenance"]["score_summary"]
    assert (learned["mean"], learned["deviation"]) == pytest.approx((summary["mean"], summary["std"]))
    for before, after in zip(raw, records("--bundle", tmp_path / "b"), strict=True):
        assert after["score"] == pytest.approx(10 * (before["score"] - learned["mean"]) / learned["deviation"])
        assert after["label"] == before["label"]
    done = cli("infer", "--bundle", tmp_path / "b", "--input", surface_root / "test")
    assert done.code == 2
    assert "acme_z" in done.err


NO_MAPS = """
from pyimgano import Detector, ImageScore, hookimpl
from pyimgano.specs import DetectorSpec


class Bare(Detector):
    def _fit(self, images):
        pass

    def _score(self, images):
        return [ImageScore(float(image.mean())) for image in images]

    def state(self):
        return {}

    def load_state(self, arrays):
        self.mark_fitted()


@hookimpl
def register_detectors():
    return [DetectorSpec(name="acme_bare", summary="Scores only", factory="acme_bare:Bare", maps=False)]
"""


def test_a_step_on_maps_behind_a_detector_without_any_is_refused(
    cli: Callable, site: Path, surface_root: Path, tmp_path: Path
) -> None:
    plugin = tmp_path / "acme_bare.py"
    plugin.write_text(NO_MAPS, encoding="utf-8")
    line = ["--plugin", plugin, "train", "--root", surface_root, "--model", "acme_bare", "--output", tmp_path / "run"]
    done = cli(*line, "--postprocess-gaussian-sigma", 2)
    assert done.code == 2
    assert "needs anomaly maps, and acme_bare makes none" in done.err
    assert cli(*line).code == 0
