"""The steps of the defects chain by themselves: validity, smoothing, hysteresis, morphology, solidity, merging, space."""

from __future__ import annotations

import tracemalloc
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyimgano.defects.components import Components
from pyimgano.defects.hulls import solidities
from pyimgano.defects.hysteresis import hysteresis_mask
from pyimgano.defects.merge import nearby_groups
from pyimgano.defects.morphology import closed, dilated, disc, filled, opened
from pyimgano.defects.roi import validity_mask
from pyimgano.defects.smoothing import smooth_anomaly_map
from pyimgano.defects.space import image_boxes
from pyimgano.errors import DetectorError, OptionsError

seeds = st.integers(0, 2**32)


# Which pixels count


def test_where_everything_counts_there_is_no_mask() -> None:
    assert validity_mask((3, 4)) is None
    assert validity_mask((3, 4), 0, (0, 0, 1, 1)) is None
    assert validity_mask((3, 4), 0, None, [[(0, 0), (1, 0), (1, 1), (0, 1)]]) is None


def test_a_pixel_counts_if_its_centre_is_inside() -> None:
    valid = validity_mask((2, 10), 0, (0.149, 0, 0.85, 0.75))
    assert valid is not None
    assert valid.tolist() == [[False] + [True] * 7 + [False] * 2, [False] * 10]
    neighbour = validity_mask((2, 10), 0, (0.85, 0, 1, 0.75))
    assert neighbour is not None
    assert neighbour.tolist()[0] == [False] * 8 + [True] * 2


def test_boxes_and_polygons_are_cut_and_polygons_are_joined() -> None:
    left, right = [(0, 0), (0.25, 0), (0.25, 1), (0, 1)], [(0.75, 0), (1, 0), (1, 1), (0.75, 1)]
    valid = validity_mask((4, 8), 1, (0, 0, 1, 0.5), [left, right])
    assert valid is not None
    assert np.argwhere(valid).tolist() == [[1, 1], [1, 6]]


def test_a_polygon_that_crosses_itself_is_even_odd() -> None:
    star = [(0.5, 0.0), (0.8, 1.0), (0.0, 0.35), (1.0, 0.35), (0.2, 1.0)]
    valid = validity_mask((101, 101), 0, None, [star])
    assert valid is not None
    assert not valid[50, 50]
    assert valid[20, 50]


@settings(max_examples=60, deadline=None)
@given(seed=seeds)
def test_polygons_equal_the_even_odd_rule_point_by_point(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 20, 2)
    points = rng.random((rng.integers(3, 8), 2))
    expected = np.zeros((height, width), bool)
    for y, x in np.ndindex(height, width):
        for (ax, ay), (bx, by) in zip(points, np.roll(points, -1, axis=0), strict=True):
            v = (y + 0.5) / height
            if (ay <= v) != (by <= v):
                expected[y, x] ^= ax + (v - ay) * (bx - ax) / (by - ay) <= (x + 0.5) / width
    if expected.any():
        valid = validity_mask((int(height), int(width)), 0, None, [points.tolist()])
        assert np.array_equal(np.ones_like(expected) if valid is None else valid, expected)
    else:
        with pytest.raises(OptionsError, match="no pixel"):
            validity_mask((int(height), int(width)), 0, None, [points.tolist()])


def test_polygons_that_share_an_edge_share_no_pixel_and_leave_none_out() -> None:
    corners = [(0, 0), (1, 0), (1, 1), (0, 1)]
    for middle in ((0.3, 0.41), (0.5, 0.5), (1 / 3, 2 / 3)):
        triangles = [[a, b, middle] for a, b in zip(corners, [*corners[1:], corners[0]], strict=True)]
        parts = [validity_mask((64, 48), 0, None, [one]) for one in triangles]
        assert (np.sum([part for part in parts if part is not None], axis=0) == 1).all()


@pytest.mark.parametrize("settings", [{"border_ignore_px": 2}, {"border_ignore_px": 99}, {"roi_xyxy_norm": (0, 0, 0.01, 1)}])
def test_no_pixel_is_an_error_that_says_what_to_change(settings: dict[str, Any]) -> None:
    with pytest.raises(OptionsError, match="no pixel of a map of 4 x 9") as caught:
        validity_mask((4, 9), **settings)
    assert "border_ignore_px" in caught.value.next_step


# Smoothing


def slow_median(values: np.ndarray, valid: np.ndarray, side: int) -> np.ndarray:
    radius, result = side // 2, values.copy()
    for y, x in np.argwhere(valid):
        window = (slice(max(0, y - radius), y + radius + 1), slice(max(0, x - radius), x + radius + 1))
        result[y, x] = np.median(values[window][valid[window]].astype(np.float64))
    return result


@settings(max_examples=80, deadline=None)
@given(seed=seeds, side=st.sampled_from([3, 5, 7, 11]), share=st.sampled_from([0.2, 0.7, 0.95, 1.0]))
def test_the_median_is_exact(seed: int, side: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=rng.integers(1, 25, 2)).astype(np.float32) * np.float32(1e3)
    valid = rng.random(values.shape) < share
    assert np.array_equal(smooth_anomaly_map(values, "median", side, valid=valid), slow_median(values, valid, side))


def test_the_median_works_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(41, 41)).astype(np.float32)  # one more than blocks of 20
    whole = smooth_anomaly_map(values, "median", 7)
    monkeypatch.setattr("pyimgano.defects.smoothing.BLOCK", 1000)
    assert np.array_equal(smooth_anomaly_map(values, "median", 7), whole)


def test_the_median_of_a_large_map_takes_little_memory() -> None:
    values = np.random.default_rng(0).normal(size=(400, 400)).astype(np.float32)
    tracemalloc.start()
    smooth_anomaly_map(values, "median", 31)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6  # all windows at once are 600 MB


@settings(max_examples=60, deadline=None)
@given(
    seed=seeds,
    method=st.sampled_from([("box", 3, 0), ("box", 9, 0), ("gaussian", 5, 0), ("gaussian", 0, 1.7), ("gaussian", 7, 0.4)]),
    share=st.sampled_from([0.3, 1.0]),
)
def test_box_and_gaussian_are_weighted_means_of_what_counts(seed: int, method: tuple[Any, int, float], share: float) -> None:
    name, side, sigma = method
    rng = np.random.default_rng(seed)
    values = rng.normal(size=rng.integers(1, 16, 2)).astype(np.float32)
    valid = rng.random(values.shape) < share
    smooth = smooth_anomaly_map(values, name, side, sigma, valid)
    radius = side // 2 or round(4 * sigma)
    sigma = sigma or 0.3 * ((side - 1) / 2 - 1) + 0.8
    for y, x in np.ndindex(*values.shape):
        if not valid[y, x]:
            assert smooth[y, x] == values[y, x]
            continue
        near = [(v, u) for v, u in np.argwhere(valid) if max(abs(v - y), abs(u - x)) <= radius]
        squares = np.array([(v - y) ** 2 + (u - x) ** 2 for v, u in near])
        weights = np.ones(len(near)) if name == "box" else np.exp(-squares / (2 * sigma**2))
        expected = np.average([float(values[place]) for place in map(tuple, near)], weights=weights)
        assert smooth[y, x] == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.extras
def test_away_from_edges_smoothing_equals_that_of_opencv_and_scipy() -> None:
    values = np.random.default_rng(3).normal(size=(60, 70)).astype(np.float32)
    inner = (slice(20, -20), slice(20, -20))
    gaussian = cv2.GaussianBlur(values.astype(np.float64), (9, 9), 0.3 * (4 - 1) + 0.8)[inner]
    assert smooth_anomaly_map(values, "gaussian", 9)[inner] == pytest.approx(gaussian, rel=1e-6, abs=1e-7)
    ndimage = pytest.importorskip("scipy.ndimage")
    assert smooth_anomaly_map(values, "gaussian", sigma=2)[inner] == pytest.approx(
        ndimage.gaussian_filter(values.astype(np.float64), 2, truncate=4)[inner], rel=1e-6, abs=1e-7
    )
    assert np.array_equal(smooth_anomaly_map(values, "median", 9)[inner], ndimage.median_filter(values, 9)[inner])


@pytest.mark.parametrize("method", [("box", 7, 0.0), ("gaussian", 0, 3.0), ("median", 3, 0.0), ("median", 9, 0.0)])
def test_a_constant_map_stays_itself_to_the_last_bit(method: tuple[Any, int, float]) -> None:
    values = np.full((33, 21), -0.1, np.float32)
    valid = np.random.default_rng(1).random(values.shape) < 0.5
    assert np.array_equal(smooth_anomaly_map(values, *method), values)
    assert np.array_equal(smooth_anomaly_map(values, *method, valid=valid), values)


def test_none_leaves_the_map_and_float32_comes_back() -> None:
    values = np.arange(6).reshape(2, 3)
    smooth = smooth_anomaly_map(values, "none", 5, 2.0)
    assert smooth.dtype == np.float32
    assert np.array_equal(smooth, values)


def test_smoothing_refuses_what_the_settings_refuse() -> None:
    with pytest.raises(OptionsError, match="map_smoothing: median needs ksize"):
        smooth_anomaly_map(np.zeros((3, 3)), "median")
    with pytest.raises(OptionsError, match=r"map_smoothing\.method"):
        smooth_anomaly_map(np.zeros((3, 3)), "bilateral", 3)  # type: ignore[arg-type]
    with pytest.raises(DetectorError, match="NaN"):
        smooth_anomaly_map(np.full((3, 3), np.nan), "box", 3)


@pytest.mark.parametrize("shape", [(3, 4), (12,), (1, 4, 3)])
def test_a_validity_mask_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DetectorError, match="validity mask has shape"):
        smooth_anomaly_map(np.zeros((4, 3)), "box", 3, valid=np.ones(shape))
    with pytest.raises(DetectorError, match="validity mask has shape"):
        hysteresis_mask(np.zeros((4, 3)), 0, 1, valid=np.ones(shape))


# Hysteresis


def test_hysteresis_keeps_the_low_regions_that_reach_the_high_threshold() -> None:
    values = np.array([[3, 3, 9, 0, 3, 3], [0, 0, 0, 3, 0, 0]])
    assert hysteresis_mask(values, 2, 8).tolist() == [[1, 1, 1, 0, 1, 1], [0, 0, 0, 1, 0, 0]]
    assert hysteresis_mask(values, 3, 8).sum() == 1
    assert hysteresis_mask(values, 2, 9).sum() == 0  # both thresholds are exceeded, not met
    assert hysteresis_mask(values, 8, 8).sum() == 1


def test_hysteresis_is_broken_by_what_does_not_count() -> None:
    values = np.array([[3, 3, 3, 9]])
    assert hysteresis_mask(values, 2, 8, valid=np.array([[1, 0, 1, 1]])).tolist() == [[False, False, True, True]]
    assert not hysteresis_mask(values, 2, 8, valid=np.array([[1, 1, 1, 0]])).any()


def test_hysteresis_of_negative_maps_works() -> None:
    assert hysteresis_mask(np.array([[-9, -5, -2, -5, -9]]), -6, -3).tolist() == [[False, True, True, True, False]]


@pytest.mark.parametrize(("low", "high"), [(2, 1), (float("nan"), 1), (0, float("nan"))])
def test_hysteresis_refuses_thresholds_that_fall(low: float, high: float) -> None:
    with pytest.raises(OptionsError, match="low <= high"):
        hysteresis_mask(np.zeros((2, 2)), low, high)


# Morphology


def test_discs_are_round_and_odd() -> None:
    assert disc(1).tolist() == [[1]]
    assert disc(3).tolist() == [[1] * 3] * 3
    assert disc(5).tolist() == [[0, 1, 1, 1, 0], [1] * 5, [1] * 5, [1] * 5, [0, 1, 1, 1, 0]]
    assert disc(99).sum() == pytest.approx(np.pi * 99**2 / 4, rel=0.01)


@settings(max_examples=50, deadline=None)
@given(seed=seeds, diameter=st.sampled_from([1, 3, 5, 9]), share=st.sampled_from([0.8, 1.0]))
def test_opening_only_removes_closing_only_adds_and_twice_is_once(seed: int, diameter: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    valid = rng.random(rng.integers(1, 20, 2)) < share
    mask = (rng.random(valid.shape) < 0.6) & valid
    less, more = opened(mask, diameter, valid), closed(mask, diameter, valid)
    assert not (less & ~mask).any()
    assert not (mask & ~more).any()
    assert not (more & ~valid).any()
    assert np.array_equal(opened(less, diameter, valid), less)
    assert np.array_equal(closed(more, diameter, valid), more)
    assert not (dilated(mask, 2, valid) & ~valid).any()


def test_a_gap_that_reaches_the_edge_or_a_pixel_that_does_not_count_is_no_hole() -> None:
    ring = np.zeros((5, 6), bool)
    ring[1:4, 1:5] = True
    ring[2, 2:4] = False
    assert filled(ring, None).sum() == 12
    valid = np.ones_like(ring)
    valid[2, 3] = False
    assert filled(ring & valid, valid).sum() == ring.sum()
    assert filled(ring[2:], None).sum() == ring[2:].sum()
    diamond = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], bool)  # closed by corners, which connect a defect
    assert filled(diamond, None).tolist() == [[False, True, False], [True] * 3, [False, True, False]]


# Components, solidity, merging, space


def test_components_that_are_dropped_leave_the_mask() -> None:
    components = Components.of(np.array([[1, 0, 1, 1], [1, 0, 0, 0], [0, 0, 0, 1]], bool))
    areas = np.bincount(components.labels, components.lengths)
    assert sorted(areas) == [1, 2, 2]
    kept = components.kept(areas == 2)
    assert kept.mask.tolist() == [[True, False, True, True], [True, False, False, False], [False] * 4]
    assert np.bincount(kept.labels, kept.lengths).tolist() == [2, 2]
    assert components.mask.sum() == 5
    none = components.kept(np.zeros(3, bool))
    assert (none.count, none.mask.any(), none.labels.size) == (0, False, 0)


@settings(max_examples=60, deadline=None)
@given(seed=seeds)
def test_solidity_equals_counting_the_pixels_of_the_hull(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros((60, 60), np.uint8)
    for _ in range(rng.integers(1, 5)):
        points = rng.integers(5, 55, (rng.integers(1, 5), 2)).astype(np.int32)
        cv2.polylines(mask, [points], bool(rng.random() < 0.5), 1, int(rng.integers(1, 4)))
    components = Components.of(mask > 0)
    area = np.bincount(components.labels, components.lengths).astype(int)
    found = solidities(components, area, np.arange(components.count))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    expected = []
    for number in range(1, count):
        points = np.argwhere(labels == number)[:, ::-1].astype(np.int32)
        hull = cv2.convexHull(points)
        grid = [(x, y) for y in range(60) for x in range(60)]
        inside = sum(cv2.pointPolygonTest(hull, (float(x), float(y)), False) >= 0 for x, y in grid)
        flat = cv2.contourArea(hull) == 0
        expected.append((stats[number, cv2.CC_STAT_AREA], None if flat else len(points) / inside))
    pairs = [(int(a), None if np.isnan(s) else float(s)) for a, s in zip(area, found, strict=True)]
    assert sorted(pairs, key=str) == sorted(((int(a), s) for a, s in expected), key=str)


@settings(max_examples=100, deadline=None)
@given(seed=seeds, gap=st.sampled_from([0, 1, 2, 5, 1000]))
def test_merging_equals_trying_all_pairs(seed: int, gap: int) -> None:
    rng = np.random.default_rng(seed)
    count = rng.integers(1, 15)
    start = rng.integers(0, 40, (count, 2))
    boxes = np.concatenate([start, np.minimum(start + rng.integers(0, 6, (count, 2)), 39)], axis=1)
    groups = list(range(count))
    for a in range(count):
        for b in range(count):
            between = np.maximum(boxes[b, :2] - boxes[a, 2:], boxes[a, :2] - boxes[b, 2:]) - 1
            if (between <= gap).all():
                groups = [groups[a] if group == groups[b] else group for group in groups]
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    assert nearby_groups(boxes, gap, (40, 40)).tolist() == [numbers[group] for group in groups]


def test_no_boxes_make_no_groups() -> None:
    assert nearby_groups(np.zeros((0, 4), np.intp), 3, (5, 5)).tolist() == []


@pytest.mark.parametrize(
    ("box", "image", "expected"),
    [
        ((0, 0, 9, 4), (5, 10), (0, 0, 9, 4)),
        ((3, 1, 4, 2), (5, 10), (3, 1, 4, 2)),
        ((3, 1, 4, 2), (10, 20), (6, 2, 9, 5)),
        ((3, 1, 4, 2), (7, 14), (4, 1, 6, 4)),
        ((9, 4, 9, 4), (1, 1), (0, 0, 0, 0)),
        ((9, 4, 9, 4), (4000, 6000), (5400, 3200, 5999, 3999)),
    ],
)
def test_a_box_of_the_map_is_the_pixels_of_the_image_that_it_covers(box: Any, image: Any, expected: Any) -> None:
    assert image_boxes(np.array([box]), (5, 10), image).tolist() == [list(expected)]


@settings(max_examples=100, deadline=None)
@given(sizes=st.tuples(*[st.integers(1, 500)] * 4), seed=seeds)
def test_a_box_never_leaves_the_image_and_is_never_empty(sizes: tuple[int, int, int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    ends = [np.sort(rng.integers(0, side, 2)) for side in (sizes[1], sizes[0])]
    box = np.array([[ends[0][0], ends[1][0], ends[0][1], ends[1][1]]])
    left, top, right, bottom = image_boxes(box, sizes[:2], sizes[2:])[0]
    assert 0 <= left <= right < sizes[3]
    assert 0 <= top <= bottom < sizes[2]
