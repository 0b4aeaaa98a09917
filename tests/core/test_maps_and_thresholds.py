"""Maps and thresholds: what is rendered stays inside what was computed, and every number equals its definition."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from pyimgano.calibration import PixelQuantile, calibrate_normal_pixel_quantile_threshold, split_conformal
from pyimgano.datasets.splits import split_train_calibration
from pyimgano.errors import CalibrationError, DetectorError
from pyimgano.maps import AnomalyMap, MapRecipe, resize_map
from pyimgano.metrics.image import Confusion, roc_auc

PLAIN = MapRecipe()
PATCHCORE = MapRecipe((64, 64), 4.0)
SIZES = [(60, 80), (80, 60), (64, 64), (30, 400), (400, 30), (9, 1000), (17, 23)]

heights = st.floats(-1e4, 1e4, width=32)
grids = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=heights)
sides = st.integers(1, 70)
recipes = st.one_of(st.just(PLAIN), st.builds(MapRecipe, st.tuples(sides, sides), st.floats(0, 6)))


# Maps


@settings(max_examples=200, deadline=None)
@given(grids, st.tuples(sides, sides), recipes)
def test_a_map_has_the_size_asked_for_and_never_leaves_the_grids_range(
    grid: NDArray[np.float32], size: tuple[int, int], recipe: MapRecipe
) -> None:
    rendered = AnomalyMap(grid, size, recipe).render()
    assert rendered.shape == size
    assert rendered.dtype == np.float32
    rounding = 1e-6 * float(np.abs(grid).max())
    assert grid.min() - rounding <= rendered.min() <= rendered.max() <= grid.max() + rounding


def test_a_map_is_rendered_at_its_images_size_unless_told_otherwise() -> None:
    one = AnomalyMap(np.eye(4, dtype=np.float32), (30, 50))
    assert one.render().shape == (30, 50)
    assert one.render((7, 9)).shape == (7, 9)
    assert np.array_equal(one.render((4, 4)), np.eye(4, dtype=np.float32))


@pytest.mark.parametrize("recipe", [PLAIN, PATCHCORE], ids=["plain", "patchcore"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, -1), (-1, 0), (-1, -1)])
def test_an_impulse_in_a_corner_of_the_grid_lights_that_corner(
    row: int, column: int, size: tuple[int, int], recipe: MapRecipe
) -> None:
    grid = np.zeros((4, 5), np.float32)
    grid[row, column] = 1
    rendered = AnomalyMap(grid, size, recipe).render()
    place = np.unravel_index(rendered.argmax(), rendered.shape)
    assert (place[0] >= size[0] / 2, place[1] >= size[1] / 2) == (row < 0, column < 0)
    assert rendered[row, column] > 0.7
    assert rendered[-1 - row, -1 - column] == 0


@pytest.mark.parametrize("recipe", [PLAIN, PATCHCORE], ids=["plain", "patchcore"])
@pytest.mark.parametrize("size", SIZES)
def test_rendering_does_not_shift_a_map_to_one_side(size: tuple[int, int], recipe: MapRecipe) -> None:
    grid = np.random.default_rng(0).random((7, 5), dtype=np.float32)
    rendered = AnomalyMap(grid, size, recipe).render()
    turned = AnomalyMap(grid[::-1, ::-1], size, recipe).render()
    np.testing.assert_allclose(turned[::-1, ::-1], rendered, atol=1e-5)


def test_a_recipe_enlarges_then_smooths_then_fits_the_image() -> None:
    grid = np.random.default_rng(1).random((6, 6), dtype=np.float32)
    at_input_size = cv2.GaussianBlur(cv2.resize(grid, (64, 64), interpolation=cv2.INTER_LINEAR), (33, 33), 4.0)
    expected = cv2.resize(at_input_size, (50, 40), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(AnomalyMap(grid, (40, 50), PATCHCORE).render(), expected, atol=2e-4)


def test_enlarging_interpolates_between_the_centres_of_cells() -> None:
    rendered = resize_map(np.array([[0, 1]], np.float32), (1, 8))
    assert rendered[0].tolist() == [0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_a_map_that_is_not_finite_as_float32_is_refused(value: float) -> None:
    grid = np.zeros((3, 3))
    grid[1, 2] = value
    with pytest.raises(DetectorError, match="NaN or infinite"):
        AnomalyMap(grid, (9, 9))


@pytest.mark.parametrize("shape", [(0, 3), (3,), (3, 3, 1), ()])
def test_a_map_that_is_no_grid_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DetectorError, match=r"must be \(h, w\) and not empty"):
        AnomalyMap(np.zeros(shape, np.float32), (9, 9))


def test_a_map_takes_any_number_type_and_memory_order() -> None:
    grid = np.asfortranarray(np.arange(6).reshape(2, 3))
    one = AnomalyMap(grid, (2, 3))
    assert one.grid.dtype == np.float32
    assert one.grid.flags.c_contiguous
    assert one.render().tolist() == [[0, 1, 2], [3, 4, 5]]


# The pixel threshold


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from(["linear", "higher"]))
def test_the_pixel_quantile_in_parts_equals_numpys(data: st.DataObject, method: Any) -> None:
    few = st.integers(-3, 3).map(float)
    values = np.array(data.draw(st.lists(st.one_of(few, st.floats(-1e6, 1e6)), min_size=1, max_size=120)))
    q = data.draw(st.one_of(st.sampled_from([0.5, 0.9, 0.99, 0.999]), st.floats(1e-6, 1 - 1e-6)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(values)), max_size=6)))
    quantile = PixelQuantile(q, len(values), method)
    for part in np.split(values, cuts):
        quantile.add(part)
    record = quantile.threshold()
    expected = np.quantile(values, q, method=method)
    assert record.value == pytest.approx(expected, rel=1e-9, abs=1e-9)
    summary = record.score_summary
    assert summary is not None
    assert (summary.count, summary.min, summary.max) == (len(values), values.min(), values.max())
    assert summary.mean == pytest.approx(values.mean(), rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("method", ["linear", "higher"])
@pytest.mark.parametrize("order", ["random", "rising", "falling"])
def test_the_pixel_quantile_of_many_float32_pixels_equals_numpys(order: str, method: Any) -> None:
    values = np.random.default_rng(3).gamma(2.0, size=200_000).astype(np.float32)
    values = {"random": values, "rising": np.sort(values), "falling": np.sort(values)[::-1]}[order]
    quantile = PixelQuantile(0.999, values.size, method)
    for part in np.array_split(values, 37):
        quantile.add(part)
    expected = np.quantile(values.astype(np.float64), 0.999, method=method)
    assert quantile.threshold().value == pytest.approx(expected, rel=1e-9)


def test_the_pixel_quantile_keeps_only_the_largest_values_in_memory() -> None:
    total, part = 2_000_000, 20_000
    rng = np.random.default_rng(0)
    quantile = PixelQuantile(0.99, total)
    tracemalloc.start()
    try:
        for _ in range(total // part):
            quantile.add(rng.random(part, dtype=np.float32))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    kept = 0.01 * total * 8
    assert kept < peak < 8 * kept  # all of them would take 100 times as much
    assert quantile.threshold().value == pytest.approx(0.99, abs=1e-3)


def test_the_pixel_quantile_of_maps_takes_every_pixel_at_image_size() -> None:
    rng = np.random.default_rng(4)
    maps = [AnomalyMap(rng.random((5, 7), dtype=np.float32), size, PATCHCORE) for size in [(40, 60), (80, 30), (64, 64)]]
    pixels = np.concatenate([one.render().ravel() for one in maps]).astype(np.float64)
    record = PixelQuantile.of_maps(maps, 0.9).threshold(len(maps))
    assert record.value == pytest.approx(np.quantile(pixels, 0.9), rel=1e-9)
    assert (record.calibration_map_count, record.calibration_pixel_count) == (3, pixels.size)
    assert (record.method, record.q, record.source, record.split) == (
        "normal_pixel_quantile",
        0.9,
        "calibration",
        "calibration",
    )


def test_pixels_that_labels_call_abnormal_do_not_count() -> None:
    rng = np.random.default_rng(5)
    scores, labels = rng.random((3, 40, 50)), rng.integers(0, 3, (3, 40, 50))
    normal = np.quantile(scores[labels == 0], 0.95)
    assert calibrate_normal_pixel_quantile_threshold(scores, labels, 0.95) == pytest.approx(normal, rel=1e-9)
    assert calibrate_normal_pixel_quantile_threshold(scores, labels > 0, 0.95) == pytest.approx(normal, rel=1e-9)
    everything = calibrate_normal_pixel_quantile_threshold(scores, q=0.95)
    assert everything == pytest.approx(np.quantile(scores, 0.95), rel=1e-9)


@pytest.mark.parametrize(
    ("scores", "labels"), [(np.zeros((0, 4)), None), (np.ones((4, 4)), np.ones((4, 4))), (np.array([0.1, np.nan]), None)]
)
def test_without_finite_normal_pixels_there_is_no_pixel_threshold(scores: NDArray[Any], labels: NDArray[Any] | None) -> None:
    with pytest.raises(CalibrationError, match="normal pixels"):
        calibrate_normal_pixel_quantile_threshold(scores, labels)


@pytest.mark.parametrize("q", [-0.1, 0, 1, 1.5, math.nan])
def test_a_quantile_outside_0_and_1_is_refused(q: float) -> None:
    with pytest.raises(CalibrationError, match="between 0 and 1"):
        PixelQuantile(q, 100)


def test_pixels_that_were_announced_must_arrive() -> None:
    with pytest.raises(CalibrationError, match="10 pixels were announced and 9 arrived"):
        PixelQuantile(0.5, 10).add(np.ones(9)).threshold()


@pytest.mark.parametrize(("count", "warns"), [(9_999, True), (10_000, False)])
def test_too_few_pixels_for_a_quantile_are_warned_of_with_the_number_needed(count: int, warns: bool) -> None:
    warning = PixelQuantile(0.999, count).add(np.ones(count)).threshold().warning
    assert (warning is not None and f"{count} normal pixels" in warning and "10000 are needed" in warning) == warns


# The image threshold


def _conformal_rank(count: int, rate: Fraction) -> int:
    """Return the k of the definition, in exact arithmetic."""
    return math.ceil((count + 1) * (1 - rate))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.one_of(st.integers(0, 5).map(float), st.floats(-1e6, 1e6)), min_size=1, max_size=60),
    st.integers(2, 60),
    st.data(),
)
def test_the_image_threshold_is_the_conformal_one(scores: list[float], denominator: int, data: st.DataObject) -> None:
    rate = Fraction(data.draw(st.integers(1, denominator - 1)), denominator)
    record = split_conformal(np.array(scores), float(rate))
    rank = _conformal_rank(len(scores), rate)
    if rank <= len(scores):
        assert (record.value, record.method, record.warning) == (sorted(scores)[rank - 1], "split_conformal", None)
        assert record.quantile == rank / len(scores)
    else:
        needed = next(n for n in itertools.count(1) if _conformal_rank(n, rate) <= n)
        assert (record.value, record.method, record.quantile) == (max(scores), "maximum", 1)
        assert record.warning is not None
        assert f"{len(scores)} held-out normal images are too few" in record.warning
        assert f"{needed} are needed" in record.warning


@pytest.mark.parametrize(("count", "rate", "promised"), [(39, 0.1, 0.1), (99, 0.05, 0.05), (30, 0.07, 0.07), (5, 0.05, 1 / 6)])
def test_new_normal_images_raise_no_more_false_alarms_than_promised(count: int, rate: float, promised: float) -> None:
    rng = np.random.default_rng(0)
    trials = 1500
    alarms = np.empty(trials)
    for trial in range(trials):
        scores = rng.gamma(1.5, size=count + 20)
        alarms[trial] = (scores[count:] > split_conformal(scores[:count], rate).value).mean()
    error = 4 * alarms.std() / math.sqrt(trials)
    assert alarms.mean() <= promised + error
    assert (
        alarms.mean() >= promised - 1 / (count + 1) - error
    )  # and the promise is not bought with a threshold that is too high


@pytest.mark.parametrize(("count", "needed"), [(18, 19), (19, None), (1, 19)])
def test_too_few_images_give_their_maximum_and_a_warning_with_the_number_needed(count: int, needed: int | None) -> None:
    record = split_conformal(np.arange(count, dtype=float), 0.05, chain="abc")
    assert record.value == count - 1
    assert record.method == ("split_conformal" if needed is None else "maximum")
    assert (f"{needed} are needed" in (record.warning or "")) == (needed is not None)
    assert (f"promises at most {1 / (count + 1):.3g}" in (record.warning or "")) == (needed is not None)
    assert (record.calibration_count, record.false_alarm_rate, record.split, record.chain) == (
        count,
        0.05,
        "calibration",
        "abc",
    )


def test_the_order_of_the_scores_does_not_matter_and_they_are_left_alone() -> None:
    scores = np.random.default_rng(0).random(50)
    before = scores.copy()
    assert split_conformal(scores) == split_conformal(np.sort(scores)[::-1])
    assert np.array_equal(scores, before)


@pytest.mark.parametrize("scores", [[], [0.5, math.nan], [0.5, math.inf]])
def test_without_finite_scores_there_is_no_image_threshold(scores: list[float]) -> None:
    with pytest.raises(CalibrationError, match="no finite scores"):
        split_conformal(np.array(scores))


@pytest.mark.parametrize("rate", [-0.1, 0, 1, 2, math.nan])
def test_a_false_alarm_rate_outside_0_and_1_is_refused(rate: float) -> None:
    with pytest.raises(CalibrationError, match="between 0 and 1"):
        split_conformal(np.arange(30.0), rate)


# Metrics


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.one_of(st.integers(0, 3).map(float), st.floats(-10, 10))), max_size=25))
def test_auroc_is_the_share_of_pairs_in_the_right_order_with_ties_half(pairs: list[tuple[bool, float]]) -> None:
    labels, scores = np.array([label for label, _ in pairs], int), np.array([score for _, score in pairs])
    good, bad = scores[labels == 0], scores[labels == 1]
    wins = [1.0 if b > g else 0.5 if b == g else 0.0 for b in bad for g in good]
    measured = roc_auc(labels, scores)
    assert measured == (pytest.approx(sum(wins) / len(wins), abs=1e-12) if wins else None)


@pytest.mark.parametrize(
    ("labels", "scores", "expected"),
    [
        ([0, 0, 1, 1], [1, 2, 3, 4], 1.0),
        ([0, 0, 1, 1], [3, 4, 1, 2], 0.0),
        ([0, 1, 0, 1], [7, 7, 7, 7], 0.5),
        ([0, 0, 1], [1, 2, 2], 0.75),
        ([0, 0], [1, 2], None),
        ([1, 1], [1, 2], None),
        ([], [], None),
    ],
)
def test_auroc_of_small_cases_by_hand(labels: list[int], scores: list[float], expected: float | None) -> None:
    assert roc_auc(np.array(labels), np.array(scores, float)) == expected


@pytest.mark.extras
def test_auroc_agrees_with_scikit_learn_on_many_scores() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 5000), rng.integers(0, 300, 5000) / 7
    assert roc_auc(labels, scores) == pytest.approx(sklearn.roc_auc_score(labels, scores), abs=1e-12)


def test_an_image_at_the_threshold_counts_as_good() -> None:
    counts = Confusion.at(np.array([0, 0, 0, 1, 1]), np.array([0.1, 0.5, 0.9, 0.5, 0.7]), 0.5)
    assert counts == Confusion(tp=1, fp=1, tn=2, fn=1)
    assert (counts.precision, counts.recall, counts.false_alarm_rate) == (0.5, 0.5, 1 / 3)


def test_shares_of_nothing_are_none() -> None:
    nothing = Confusion.at(np.array([]), np.array([]), 0.5)
    assert (nothing.precision, nothing.recall, nothing.false_alarm_rate) == (None, None, None)
    assert Confusion.at(np.array([0]), np.array([0.0]), 0.5).false_alarm_rate == 0


# The split


@settings(max_examples=200, deadline=None)
@given(st.integers(2, 200), st.floats(1e-3, 1 - 1e-3), st.integers(0, 2**31))
def test_a_split_is_disjoint_complete_ordered_and_seeded(count: int, fraction: float, seed: int) -> None:
    paths = [f"{number}.png" for number in range(count)]
    train, calibration = split_train_calibration(paths, fraction, seed)
    assert train
    assert calibration
    assert not set(train) & set(calibration)
    assert sorted(train + calibration, key=paths.index) == paths
    assert all(part == sorted(part, key=paths.index) for part in (train, calibration))
    assert (train, calibration) == split_train_calibration(paths, fraction, seed)
    assert abs(len(calibration) - count * fraction) <= 1


def test_another_seed_gives_another_split() -> None:
    held_out = {tuple(split_train_calibration(range(100), seed=seed)[1]) for seed in range(20)}
    assert len(held_out) == 20


def test_equal_paths_are_split_by_place_and_not_by_value() -> None:
    train, calibration = split_train_calibration(["same.png"] * 10, 0.2)
    assert (len(train), len(calibration)) == (8, 2)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_splitting_leaves_the_global_generator_alone_and_does_not_use_it(seed: int) -> None:
    first = split_train_calibration(range(50), seed=1)
    np.random.seed(seed)
    before = np.random.get_state()
    assert split_train_calibration(range(50), seed=1) == first
    after = np.random.get_state()
    assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))


@pytest.mark.parametrize(("count", "words"), [(0, "0 good training images"), (1, "1 good training image cannot")])
def test_fewer_than_two_images_cannot_be_split(count: int, words: str) -> None:
    with pytest.raises(CalibrationError, match=words) as caught:
        split_train_calibration(["a.png"] * count)
    assert "at least 2" in caught.value.next_step


@pytest.mark.parametrize("fraction", [0, 1, -0.2, 1.2, math.nan])
def test_a_fraction_outside_0_and_1_is_refused(fraction: float) -> None:
    with pytest.raises(CalibrationError, match="between 0 and 1"):
        split_train_calibration(range(10), fraction)
