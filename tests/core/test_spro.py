"""The saturated per-region overlap against its definition, worked out threshold by threshold."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import LOCO_DEFECTS, SIZE, SPOT, loco, mask, spot
from numpy.typing import NDArray

from pyimgano import load_dataset
from pyimgano.datasets.masks import DefectConfig
from pyimgano.errors import DatasetError, MetricError
from pyimgano.maps import AnomalyMap
from pyimgano.metrics.pixel import PixelTruth, pixel_curves
from pyimgano.metrics.spro import SaturatedTruth, au_spro, loco_truth, saturation, spro_curve

Channels = list[tuple[int, NDArray[np.bool_]]]
Images = Sequence[tuple[NDArray[np.float32], Channels]]

CONFIGS = {int(row["pixel_value"]): DefectConfig.model_validate(row) for row in LOCO_DEFECTS}


def relative(share: float) -> DefectConfig:
    return DefectConfig(defect_name="a", pixel_value=1, saturation_threshold=share, relative_saturation=True)


def absolute(pixels: float) -> DefectConfig:
    return DefectConfig(defect_name="a", pixel_value=1, saturation_threshold=pixels, relative_saturation=False)


def brute_force(images: Images, limit: float) -> float:
    """Follow the definition: every threshold, every defect, then the trapezoid up to the limit."""
    free = [
        ~np.any([marked for _, marked in channels], axis=0) if channels else np.ones(v.shape, bool) for v, channels in images
    ]
    background = sum(int(one.sum()) for one in free)
    levels = np.unique(np.concatenate([values.ravel() for values, _ in images]))
    x, y = [], []
    for threshold in [*levels[::-1], -np.inf]:
        called = [values > threshold for values, _ in images]
        x.append(sum(int((one & clean).sum()) for one, clean in zip(called, free, strict=True)) / background)
        found = []
        for one, (_, channels) in zip(called, images, strict=True):
            found += [min(int((one & marked).sum()) / wanted, 1.0) for wanted, marked in channels]
        y.append(sum(found) / len(found))
    area = 0.0
    for a, b, c, d in zip(x, x[1:], y, y[1:], strict=False):
        if b <= limit:
            area += (b - a) * (c + d) / 2
        elif a < limit:
            end = c + (d - c) * (limit - a) / (b - a)
            area += (limit - a) * (c + end) / 2
    return area / limit


def truths_of(images: Images) -> list[SaturatedTruth]:
    return [SaturatedTruth(values, channels) for values, channels in images]


# The definition


@st.composite
def annotated_images(draw: st.DrawFn) -> Images:
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    levels = draw(st.sampled_from([1, 3, 10, 10_000]))
    images: list[tuple[NDArray[np.float32], Channels]] = []
    for number in range(draw(st.integers(1, 3))):
        shape = (draw(st.integers(3, 9)), draw(st.integers(3, 9)))
        values = rng.integers(-levels, levels, shape).astype(np.float32)
        channels: Channels = []
        for _ in range(draw(st.integers(0 if number else 1, 3))):
            marked = rng.random(shape) < draw(st.sampled_from([0.1, 0.5]))
            marked[0, 0], marked[-1, -1] = True, False
            area = int(marked.sum())
            config = draw(st.one_of(st.floats(0.01, 1).map(relative), st.integers(1, area + 5).map(absolute)))
            channels.append((saturation(config, area), marked))
        images.append((values, channels))
    return images


@settings(max_examples=300, deadline=None)
@given(images=annotated_images(), limit=st.sampled_from([0.01, 0.05, 0.1, 0.3, 0.77, 1.0]))
def test_au_spro_equals_its_definition(images: Images, limit: float) -> None:
    assert au_spro(truths_of(images), limit) == pytest.approx(brute_force(images, limit), abs=1e-9)


def test_an_absolute_and_a_relative_saturation_by_hand() -> None:
    marked = np.zeros((10, 12), bool)
    marked[:2, :5] = True
    values = np.zeros((10, 12), np.float32)
    values[0, :3] = 2
    first = [SaturatedTruth(values, [(saturation(absolute(4), 10), marked)])]
    assert spro_curve(first).area(1e-9) == pytest.approx(3 / 4)
    assert au_spro(first, 1.0) == pytest.approx((3 / 4 + 1) / 2)  # the rest of the map is one tie
    second = [SaturatedTruth(values, [(saturation(relative(0.3), 10), marked)])]
    assert au_spro(second) == 1.0


def test_pixels_beyond_the_saturation_change_nothing() -> None:
    marked = np.zeros((10, 12), bool)
    marked[:5, :5] = True
    whole = np.where(marked, np.float32(2), np.float32(0))
    part = whole.copy()
    part[marked] = np.r_[np.full(7, 2), np.full(18, -9)]
    areas = [au_spro([SaturatedTruth(values, [(7, marked)])], limit) for values in (whole, part) for limit in (0.05, 1.0)]
    assert areas == [1.0] * 4


def test_saturated_by_their_whole_area_regions_give_aupro() -> None:
    rng = np.random.default_rng(5)
    spots = np.zeros((2, 30, 40), bool)
    spots[0, 2:9, 3:20], spots[1, 20:22, 30:33] = True, True
    pairs = [(rng.random((30, 40), dtype=np.float32), spots), (rng.random((30, 40), dtype=np.float32), spots[:1])]
    regions = pixel_curves([PixelTruth(values, marked.any(axis=0)) for values, marked in pairs]).regions
    for limit in (0.05, 0.3, 1.0):
        whole = [SaturatedTruth(values, [(int(one.sum()), one) for one in marked]) for values, marked in pairs]
        assert au_spro(whole, limit) == pytest.approx(regions.area(limit), abs=1e-12)


def test_defects_weigh_alike_whatever_their_number_in_an_image_and_their_size() -> None:
    small, large, other = np.zeros((3, 20, 20), bool)
    small[0, 0], large[5:15, 5:15], other[3, 3:5] = True, True, True
    first = np.where(small, np.float32(1), np.float32(0))
    second = np.zeros((20, 20), np.float32)
    truths = [SaturatedTruth(first, [(1, small), (100, large)]), SaturatedTruth(second, [(2, other)])]
    assert spro_curve(truths).area(1e-9) == pytest.approx(1 / 3)


def test_where_channels_overlap_a_pixel_counts_for_each_and_never_as_background() -> None:
    left, right = np.zeros((2, 4, 8), bool)
    left[:, :3], right[:, 2:6] = True, True
    values = np.zeros((4, 8), np.float32)
    values[:, 2] = 1
    curve = spro_curve([SaturatedTruth(values, [(4, left), (4, right)])])
    assert curve.area(1e-9) == pytest.approx(1.0)
    assert curve.negative_count == 8


@pytest.mark.parametrize("limit", [0.01, 0.05, 0.3, 1.0])
def test_a_constant_map_scores_half_the_limit(limit: float) -> None:
    truths = [SaturatedTruth(np.full((9, 9), 3.5, np.float32), [(2, np.eye(9, dtype=bool))])]
    assert au_spro(truths, limit) == pytest.approx(limit / 2)


def test_good_images_count_as_background_and_the_limit_is_5_percent() -> None:
    marked = np.zeros((10, 10), bool)
    marked[0] = True
    bad, good = np.where(marked, np.float32(1), np.float32(0)), np.zeros((10, 10), np.float32)
    good.flat[:19] = 2
    truths = [SaturatedTruth(bad, [(10, marked)]), SaturatedTruth(good)]
    assert spro_curve(truths).negative_count == 190
    assert au_spro(truths) == au_spro(truths, 0.05) == 0.0
    assert au_spro(truths, 0.2) == pytest.approx(0.5)


def test_without_defects_or_without_background_it_is_undefined() -> None:
    assert au_spro([SaturatedTruth(np.zeros((4, 4), np.float32))]) is None
    assert au_spro([SaturatedTruth(np.zeros((4, 4), np.float32), list)]) is None
    assert au_spro([SaturatedTruth(np.zeros((4, 4), np.float32), [(3, np.ones((4, 4), bool))])]) is None
    assert au_spro([]) is None


# Saturation


@pytest.mark.parametrize(
    ("config", "area", "expected"),
    [
        (relative(1.0), 40, 40),
        (relative(0.75), 41, 30),
        (relative(0.01), 40, 1),
        (absolute(30), 40, 30),
        (absolute(40), 40, 40),
        (absolute(50), 40, 40),
        (absolute(0.5), 40, 1),
        (absolute(1), 1, 1),
    ],
)
def test_a_saturation_is_a_share_rounded_down_or_pixels_up_to_the_area(config: DefectConfig, area: int, expected: int) -> None:
    wanted = saturation(config, area)
    assert (wanted, type(wanted)) == (expected, int)


@pytest.mark.parametrize("wanted", [0, -1, 5])
def test_a_saturation_that_no_defect_can_reach_is_refused(wanted: int) -> None:
    with pytest.raises(MetricError, match=f"a defect of 4 pixels cannot be saturated by {wanted}"):
        spro_curve([SaturatedTruth(np.zeros((4, 4), np.float32), [(wanted, np.eye(4, dtype=bool))])])


# What is refused


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_wherever_they_are(bad: float) -> None:
    for place in [(1, 1), (3, 3), (0, 1)]:
        values = np.arange(16, dtype=np.float32).reshape(4, 4)
        values[place] = bad
        for channels in ([], [(1, np.eye(4, dtype=bool))]):
            with pytest.raises(MetricError, match="NaN or infinite"):
                au_spro([SaturatedTruth(values, channels)])


@pytest.mark.parametrize(
    ("marked", "words"),
    [
        (np.ones((5, 4), bool), r"map of shape \(4, 4\) cannot be compared with a bool mask of shape \(5, 4\)"),
        (np.ones((4, 4), np.uint8), r"cannot be compared with a uint8 mask"),
    ],
)
def test_a_mask_of_another_shape_or_type_is_refused(marked: NDArray[np.bool_], words: str) -> None:
    with pytest.raises(MetricError, match=words):
        spro_curve([SaturatedTruth(np.zeros((4, 4), np.float32), [(1, np.eye(4, dtype=bool)), (1, marked)])])


@pytest.mark.parametrize("limit", [0.0, -0.1, 1.1, np.nan])
def test_a_limit_that_is_no_rate_is_refused(limit: float) -> None:
    with pytest.raises(MetricError, match=r"must lie in \(0, 1\]"):
        au_spro([SaturatedTruth(np.zeros((4, 4), np.float32), [(1, np.eye(4, dtype=bool))])], limit)


# Memory


def lazy_truths(count: int, side: int) -> list[SaturatedTruth]:
    def channels(number: int) -> Channels:
        return [(10 + number, np.arange(side * side).reshape(side, side) < side * side // 2)]

    grids = np.random.default_rng(0).random((count, 5, 5), dtype=np.float32)
    return [SaturatedTruth(AnomalyMap(grid, (side, side)), partial(channels, at)) for at, grid in enumerate(grids)]


def peak_memory(truths: Sequence[SaturatedTruth]) -> int:
    tracemalloc.start()
    try:
        curve = spro_curve(truths)
        assert curve.positive_count == sum(10 + number for number in range(len(truths)))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_number_of_maps() -> None:
    assert peak_memory(lazy_truths(60, 300)) < 1.2 * peak_memory(lazy_truths(6, 300))


# MVTec LOCO folders


def flat(values: float = 0.0) -> AnomalyMap:
    return AnomalyMap(np.full(SIZE[::-1], values, np.float32), SIZE[::-1])


def test_real_folders_give_their_channels_and_saturations(tmp_path: Path) -> None:
    folder = tmp_path / "000"
    mask(folder / "000.png", spot(7))
    stripe = np.zeros(SIZE[::-1], np.uint8)
    stripe[:, :3] = 255
    mask(folder / "001.png", stripe)
    mask(folder / "002.png", spot(7))
    _, channels = loco_truth(flat(), folder, CONFIGS).load()
    areas = [int(marked.sum()) for _, marked in channels]
    assert areas[0] == areas[2] == spot(1).sum()
    assert [wanted for wanted, _ in channels] == [min(40, areas[0]), areas[1], min(40, areas[0])]
    assert channels[0][1][SPOT].all()


def test_a_dataset_is_rated_as_its_definition_says(tmp_path: Path) -> None:
    dataset = load_dataset("mvtec_loco", loco(tmp_path), category="pushpins")
    configs = dataset.defects_config()
    rng = np.random.default_rng(2)
    truths = [
        loco_truth(AnomalyMap(rng.random(SIZE[::-1], dtype=np.float32), SIZE[::-1]), sample.mask_path, configs)
        for sample in dataset.load().test
    ]
    images = [(values, list(channels)) for values, channels in (truth.load() for truth in truths)]
    assert [len(channels) for _, channels in images] == [0, 2, 1]
    for limit in (0.05, 0.3, 1.0):
        assert au_spro(truths, limit) == pytest.approx(brute_force(images, limit), abs=1e-9)


def test_masks_are_read_when_they_are_needed(tmp_path: Path) -> None:
    folder = tmp_path / "000"
    truth = loco_truth(flat(), folder, CONFIGS)
    mask(folder / "000.png", spot(255))
    assert au_spro([truth], 1.0) == pytest.approx(0.5)


def test_an_image_without_masks_is_good() -> None:
    assert loco_truth(flat(), None, CONFIGS).load()[1] == ()


def test_a_value_that_the_configuration_lacks_is_named_with_its_file_and_the_known_values(tmp_path: Path) -> None:
    mask(tmp_path / "000" / "000.png", spot(7))
    mask(tmp_path / "000" / "001.png", spot(9))
    with pytest.raises(DatasetError) as caught:
        au_spro([loco_truth(flat(), tmp_path / "000", CONFIGS)])
    assert str(tmp_path / "000" / "001.png") in caught.value.problem
    assert "holds the value 9" in caught.value.problem
    assert "it names: 7, 255" in caught.value.problem
    assert caught.value.next_step


def test_a_mask_file_of_another_size_is_named(tmp_path: Path) -> None:
    mask(tmp_path / "000" / "000.png", np.full((5, 6), 7, np.uint8))
    with pytest.raises(DatasetError, match=r"000\.png is 6x5 pixels but its image is 24x16"):
        au_spro([loco_truth(flat(), tmp_path / "000", CONFIGS)])
