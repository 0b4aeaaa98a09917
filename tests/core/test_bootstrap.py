"""Intervals of thresholds: what resampling whole images gives, and nothing that depends on chance beyond the seed."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from pyimgano.calibration import (
    CalibrationSettings,
    ImageThreshold,
    PixelThreshold,
    calibrate_images,
    calibrate_pixels,
    score_quantile,
    split_conformal,
)
from pyimgano.calibration import bootstrap as module
from pyimgano.calibration.bootstrap import BINS, PIXEL_RESAMPLES, score_interval
from pyimgano.maps import AnomalyMap, MapRecipe
from pyimgano.reporting.strict_json import plain

STRATEGIES = ["normal_pixel_quantile", "mean_std", "scaled_quantile"]


def strategy(name: str, **more: object) -> CalibrationSettings:
    return CalibrationSettings.model_validate({"pixel_threshold_strategy": name, "pixel_normal_quantile": 0.9, **more})


def as_map(values: NDArray[np.floating]) -> AnomalyMap:
    return AnomalyMap(values.astype(np.float32), (values.shape[0], values.shape[1]))


def varied_maps(count: int, seed: int = 0, offset: float = 5.0) -> list[AnomalyMap]:
    """Return maps of mixed sizes whose level and spread differ from image to image."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(5, 12, (count, 2))
    return [as_map(offset + rng.normal(rng.normal(), rng.uniform(0.5, 2), size)) for size in sizes]


def pixels_of(maps: Sequence[AnomalyMap]) -> list[NDArray[np.float64]]:
    return [one.render().ravel().astype(np.float64) for one in maps]


def resampled(maps: Sequence[AnomalyMap], seed: int) -> list[NDArray[np.float64]]:
    """Return all pixels of every resample, drawn image by image."""
    images = pixels_of(maps)
    count = len(images)
    draws = np.random.default_rng(seed).multinomial(count, [1 / count] * count, size=PIXEL_RESAMPLES)
    return [np.concatenate([np.tile(one, times) for one, times in zip(images, row, strict=True)]) for row in draws]


def percentiles(values: Sequence[float]) -> NDArray[np.float64]:
    return np.quantile(values, [0.025, 0.975])


def pixel_record(maps: Sequence[AnomalyMap], settings: CalibrationSettings, seed: int = 0) -> PixelThreshold:
    record = calibrate_pixels(maps, settings, seed=seed)
    assert record is not None
    return record


def ends(record: ImageThreshold | PixelThreshold) -> tuple[float, float]:
    assert record.interval is not None
    return record.interval


# Image thresholds


@pytest.mark.parametrize("name", ["split_conformal", "quantile"])
@pytest.mark.parametrize("count", [2, 3, 10, 19, 40, 300])
def test_the_interval_of_an_image_threshold_holds_it_and_lies_within_the_scores(name: str, count: int) -> None:
    scores = np.random.default_rng(count).gamma(2.0, size=count)
    record = calibrate_images(scores, CalibrationSettings.model_validate({"image_threshold_strategy": name}), None)
    low, high = ends(record)
    assert scores.min() <= low <= record.value <= high <= scores.max()
    assert low < high


@pytest.mark.parametrize(("count", "rate"), [(19, 0.05), (10, 0.05), (39, 0.1), (60, 0.5)])
def test_a_conformal_interval_follows_the_exact_distribution_of_a_resampled_rank(count: int, rate: float) -> None:
    rank = min(math.ceil((count + 1) * (1 - rate) - 1e-9), count)

    def at_most(place: int) -> float:
        """Return the chance that the rank-th smallest of a resample of 0 ... count - 1 is at most `place`."""
        share = (place + 1) / count
        return sum(math.comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(rank, count + 1))

    low, high = ends(split_conformal(np.arange(count, dtype=float), rate))
    for end, level in ((low, 0.025), (high, 0.975)):
        assert at_most(math.ceil(end)) >= level - 0.015
        assert at_most(math.floor(end) - 1) <= level + 0.015


def test_a_score_quantile_is_resampled_by_its_own_rule() -> None:
    scores = np.array([0.0, 1.0, 5.0, 7.0])
    exact = [np.quantile(row, 0.7) for row in itertools.product(scores, repeat=4)]
    assert ends(score_quantile(scores, 0.7)) == pytest.approx(percentiles(exact), abs=0.3)


def test_the_interval_of_the_median_covers_the_true_one_19_times_in_20() -> None:
    rng = np.random.default_rng(0)
    trials = 400
    covered = 0
    for trial in range(trials):
        low, high = ends(score_quantile(rng.normal(3.0, 1.0, 41), 0.5, seed=trial))
        covered += low <= 3.0 <= high
    assert covered / trials == pytest.approx(0.95, abs=0.035)  # three standard errors of 400 trials


def test_more_images_narrow_the_interval_as_the_root_of_their_number() -> None:
    rng = np.random.default_rng(1)
    widths = [np.mean([np.ptp(ends(score_quantile(rng.normal(size=n), 0.5))) for _ in range(30)]) for n in (50, 800)]
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.2)


@pytest.mark.parametrize("calibrate", [split_conformal, score_quantile])
def test_equal_scores_have_an_interval_without_width(calibrate: object) -> None:
    assert calibrate(np.full(25, 0.1)).interval == (0.1, 0.1)  # type: ignore[operator]


@pytest.mark.parametrize("calibrate", [split_conformal, score_quantile])
def test_the_order_of_the_images_does_not_matter(calibrate: object) -> None:
    scores = np.random.default_rng(2).random(50)
    assert calibrate(scores) == calibrate(scores[::-1])  # type: ignore[operator]


def test_drawing_in_parts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.random.default_rng(3).random(57)
    whole = ends(split_conformal(scores))
    monkeypatch.setattr(module, "_CHUNK", 57 * 13)
    assert ends(split_conformal(scores)) == whole
    monkeypatch.setattr(module, "_CHUNK", 1)
    assert ends(split_conformal(scores)) == whole


def test_any_rule_over_the_last_axis_has_an_interval() -> None:
    scores = np.random.default_rng(4).normal(10, 2, 200)
    interval = score_interval(scores, lambda rows: rows.mean(axis=-1))
    assert interval is not None
    half = 1.96 * scores.std() / math.sqrt(200)
    assert interval == pytest.approx((scores.mean() - half, scores.mean() + half), abs=0.2 * half)


# Pixel thresholds


@pytest.mark.parametrize("count", [2, 5, 70])
@pytest.mark.parametrize("method", ["linear", "higher"])
@pytest.mark.parametrize("q", [0.5, 0.9, 0.999])
def test_binned_pixels_agree_with_all_pixels_within_a_bin(count: int, method: str, q: float) -> None:
    maps = varied_maps(count, seed=count)
    record = pixel_record(maps, strategy("normal_pixel_quantile", pixel_normal_quantile=q, quantile_method=method), seed=4)
    exact = percentiles([float(np.quantile(one, q, method=method)) for one in resampled(maps, 4)])  # type: ignore[call-overload]
    assert record.score_summary is not None
    width = (record.score_summary.max - record.score_summary.min) / BINS
    assert np.abs(np.array(ends(record)) - exact).max() <= width
    assert exact[0] < exact[1]


@pytest.mark.parametrize("offset", [0.0, 5.0, 1e6])
def test_mean_and_deviations_agree_with_all_pixels(offset: float) -> None:
    maps = varied_maps(30, offset=offset)
    record = pixel_record(maps, strategy("mean_std", pixel_deviations=2.5), seed=7)
    exact = percentiles([one.mean() + 2.5 * one.std() for one in resampled(maps, 7)])
    assert ends(record) == pytest.approx(exact, rel=1e-12, abs=1e-9)


def test_a_scaled_quantile_scales_its_interval() -> None:
    maps = varied_maps(12)
    plain_record = pixel_record(maps, strategy("normal_pixel_quantile", pixel_normal_quantile=0.95))
    scaled = pixel_record(maps, strategy("scaled_quantile", pixel_factor=1.5))
    assert ends(scaled) == pytest.approx(1.5 * np.array(ends(plain_record)), rel=1e-12)


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("count", [2, 3, 8, 40])
def test_the_interval_of_a_pixel_threshold_holds_it(name: str, count: int) -> None:
    record = pixel_record(varied_maps(count, seed=1, offset=9.0), strategy(name))
    low, high = ends(record)
    assert low <= record.value <= high
    assert low < high


@pytest.mark.parametrize("name", STRATEGIES)
def test_images_that_are_all_alike_give_a_narrow_interval_that_holds_the_threshold(name: str) -> None:
    record = pixel_record(varied_maps(1, offset=9.0) * 6, strategy(name))
    low, high = ends(record)
    assert record.score_summary is not None
    assert low <= record.value <= high
    assert high - low <= 1.5 * (record.score_summary.max - record.score_summary.min) / BINS


def correlated_maps(rng: np.random.Generator, count: int) -> list[AnomalyMap]:
    return [as_map(rng.normal() + 0.05 * rng.normal(size=(8, 8))) for _ in range(count)]


def test_the_interval_of_the_median_pixel_covers_the_true_one_though_pixels_depend_on_each_other() -> None:
    rng = np.random.default_rng(5)
    trials = 100
    median = strategy("normal_pixel_quantile", pixel_normal_quantile=0.5)
    covered = 0
    for trial in range(trials):
        low, high = ends(pixel_record(correlated_maps(rng, 60), median, trial))
        covered += low <= 0.0 <= high
    assert covered / trials >= 0.86  # 0.94 for so few images, less three standard errors; single pixels would give 0.2


@pytest.mark.parametrize("name", STRATEGIES)
def test_drawing_images_is_wider_than_drawing_pixels_where_pixels_depend_on_each_other(name: str) -> None:
    maps = [as_map(one.grid + 10) for one in correlated_maps(np.random.default_rng(6), 30)]
    pixels = np.concatenate(pixels_of(maps))
    dealt = [as_map(part.reshape(8, 8)) for part in np.split(np.random.default_rng(0).permutation(pixels), 30)]
    by_image, by_pixel = (pixel_record(one, strategy(name)) for one in (maps, dealt))
    assert by_image.value == pytest.approx(by_pixel.value)
    assert np.ptp(ends(by_image)) > 3 * np.ptp(ends(by_pixel))


def test_maps_are_taken_at_the_size_of_their_images() -> None:
    rng = np.random.default_rng(7)
    grids = rng.random((6, 4, 4), dtype=np.float32)
    small = [AnomalyMap(grid, (16, 20), MapRecipe((8, 8), 1.0)) for grid in grids]
    whole = [as_map(one.render()) for one in small]
    for name in STRATEGIES:
        assert ends(pixel_record(small, strategy(name))) == ends(pixel_record(whole, strategy(name)))


@pytest.mark.parametrize("value", [0.1, -3.0, 1e6])
@pytest.mark.parametrize("name", ["normal_pixel_quantile", "mean_std"])
def test_equal_pixels_have_an_interval_without_width(name: str, value: float) -> None:
    record = pixel_record([as_map(np.full((side, side + 3), value)) for side in range(3, 40)], strategy(name))
    assert record.interval == (record.value, record.value)


def test_a_tiny_range_far_from_zero_is_still_binned() -> None:
    rng = np.random.default_rng(8)
    maps = [as_map(1e6 + rng.integers(0, 4, (9, 9)) / 16) for _ in range(10)]
    record = pixel_record(maps, strategy("normal_pixel_quantile", pixel_normal_quantile=0.5))
    low, high = ends(record)
    assert 1e6 <= low <= record.value <= high <= 1e6 + 3 / 16


def test_memory_does_not_grow_with_the_number_of_maps() -> None:
    peaks = []
    for count in (64, 256):
        maps = [AnomalyMap(grid, (200, 200)) for grid in np.random.default_rng(9).random((count, 4, 4), dtype=np.float32)]
        record = pixel_record(maps, strategy("normal_pixel_quantile"))
        tracemalloc.start()
        try:
            module.quantile_interval(maps, record)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]  # the pixels of 256 maps would take 41 MB


# One image, no threshold, seeds, records


def test_one_image_has_no_interval() -> None:
    assert split_conformal(np.array([0.5])).interval is None
    assert score_quantile(np.array([0.5])).interval is None
    for name in STRATEGIES:
        record = pixel_record(varied_maps(1, offset=9.0), strategy(name))
        assert record.interval is None
        assert np.isfinite(record.value)


def test_the_strategy_none_gives_no_pixel_threshold_and_needs_no_maps() -> None:
    assert calibrate_pixels([], strategy("none")) is None


def every_record(seed: int) -> list[ImageThreshold | PixelThreshold]:
    scores = np.random.default_rng(10).random(2000)
    images = [split_conformal(scores, 0.5, seed=seed), score_quantile(scores, 0.7, seed=seed)]
    for name in ("split_conformal", "quantile"):
        images.append(
            calibrate_images(scores, CalibrationSettings.model_validate({"image_threshold_strategy": name}), None, seed=seed)
        )
    return [*images, *(pixel_record(varied_maps(20, offset=9.0), strategy(name), seed) for name in STRATEGIES)]


def test_a_seed_fixes_every_interval_and_another_gives_another() -> None:
    assert every_record(3) == every_record(3)
    for one, other in zip(every_record(3), every_record(4), strict=True):
        assert one.value == other.value
        assert ends(one) != ends(other)


def test_the_seed_is_0_unless_told_otherwise() -> None:
    scores, maps = np.random.default_rng(11).random(30), varied_maps(9)
    assert split_conformal(scores, 0.5) == split_conformal(scores, 0.5, seed=0)
    assert score_quantile(scores) == score_quantile(scores, seed=0)
    assert calibrate_pixels(maps, strategy("mean_std")) == calibrate_pixels(maps, strategy("mean_std"), seed=0)


def test_a_generator_may_be_passed_and_goes_on_from_where_it_is() -> None:
    scores, rng = np.random.default_rng(12).random(30), np.random.default_rng(0)
    first, second = (score_interval(scores, lambda rows: rows.mean(axis=-1), rng) for _ in range(2))
    assert first == score_interval(scores, lambda rows: rows.mean(axis=-1), 0)
    assert first != second


def test_the_global_generator_is_left_alone_and_does_not_matter() -> None:
    first = every_record(0)
    np.random.seed(5)
    before = np.random.get_state()
    assert every_record(0) == first
    after = np.random.get_state()
    assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))


def test_intervals_survive_json_and_older_records_without_one_are_read() -> None:
    for record in every_record(0):
        assert type(record).model_validate_json(record.model_dump_json()) == record
        assert plain(record)["interval"] == list(ends(record))
        old = {key: value for key, value in record.model_dump(mode="json").items() if key != "interval"}
        assert type(record).model_validate(old).interval is None
