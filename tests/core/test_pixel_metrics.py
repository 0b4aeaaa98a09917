"""Curves and counts over pixels against brute force and values worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyimgano.errors import MetricError
from pyimgano.maps import AnomalyMap
from pyimgano.metrics import curve
from pyimgano.metrics.curve import ThresholdCurve
from pyimgano.metrics.pixel import PixelTruth, compute_bg_fpr, compute_pixel_segf1, count_pixels, pixel_curves

Pairs = Sequence[tuple[np.ndarray, np.ndarray | None]]


def brute_force_pro(pairs: Pairs, limit: float) -> float:
    """Follow the definition: every threshold, every region, then the trapezoid up to the limit."""
    flat = np.concatenate([values.ravel() for values, _ in pairs]).astype(np.float64)
    clean = np.concatenate([(np.ones(v.shape, bool) if m is None else ~m).ravel() for v, m in pairs])
    regions = []
    for values, mask in pairs:
        if mask is not None:
            count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
            regions += [values[labels == number].astype(np.float64) for number in range(1, count)]
    x, y = [0.0], [0.0]
    for threshold in np.unique(flat)[::-1]:
        x.append(float((flat[clean] >= threshold).mean()))
        y.append(float(np.mean([(region >= threshold).mean() for region in regions])))
    area = 0.0
    for a, b, c, d in zip(x, x[1:], y, y[1:], strict=False):
        if b <= limit:
            area += (b - a) * (c + d) / 2
        elif a < limit:
            end = c + (d - c) * (limit - a) / (b - a)
            area += (limit - a) * (c + end) / 2
    return area / limit


@st.composite
def image_pairs(draw: st.DrawFn) -> list[tuple[np.ndarray, np.ndarray | None]]:
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    levels = draw(st.sampled_from([2, 5, 1000]))
    pairs: list[tuple[np.ndarray, np.ndarray | None]] = []
    for _ in range(draw(st.integers(1, 3))):
        shape = (draw(st.integers(3, 9)), draw(st.integers(3, 9)))
        values = rng.integers(-levels, levels, shape).astype(np.float32)
        pairs.append((values, rng.random(shape) < 0.3 if draw(st.booleans()) else None))
    pairs.append((rng.integers(-levels, levels, (6, 6)).astype(np.float32), np.eye(6, dtype=bool)))
    return pairs


@settings(max_examples=150, deadline=None)
@given(pairs=image_pairs(), limit=st.sampled_from([0.01, 0.05, 0.3, 0.77, 1.0]))
def test_aupro_equals_its_definition(pairs: Pairs, limit: float) -> None:
    curves = pixel_curves([PixelTruth(values, mask) for values, mask in pairs])
    assert curves.regions.area(limit) == pytest.approx(brute_force_pro(pairs, limit), abs=1e-9)


@settings(max_examples=150, deadline=None)
@given(pairs=image_pairs())
def test_auroc_and_precision_equal_their_definitions(pairs: Pairs) -> None:
    labels = np.concatenate([(np.zeros(v.shape, bool) if m is None else m).ravel() for v, m in pairs])
    scores = np.concatenate([values.ravel() for values, _ in pairs])
    gaps = scores[labels][:, None] - scores[~labels][None]
    curves = pixel_curves([PixelTruth(values, mask) for values, mask in pairs])
    assert curves.pixels.area() == pytest.approx(((gaps > 0) + 0.5 * (gaps == 0)).mean(), abs=1e-9)
    precision, best, before = 0.0, 0.0, 0
    for threshold in np.unique(scores)[::-1]:
        hits = int((scores[labels] >= threshold).sum())
        calls = int((scores >= threshold).sum())
        precision += (hits - before) / labels.sum() * hits / calls
        best = max(best, 2 * hits / (calls + labels.sum()))
        before = hits
    assert curves.pixels.average_precision() == pytest.approx(precision, abs=1e-9)
    point = curves.pixels.best_f1()
    assert point.f1 == pytest.approx(best, abs=1e-9)
    assert compute_pixel_segf1(labels, scores, point.threshold) == pytest.approx(best, abs=1e-9)


def test_a_perfect_map_with_a_large_offset_scores_one() -> None:
    mask = np.zeros((20, 20), bool)
    mask[5:9, 5:9] = True
    curves = pixel_curves([PixelTruth(np.where(mask, 2e5, 1e5).astype(np.float32), mask)])
    assert curves.regions.area(0.3) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
def test_a_constant_map_scores_half_the_limit(limit: float) -> None:
    mask = np.eye(8, dtype=bool)
    curves = pixel_curves([PixelTruth(np.ones((8, 8), np.float32), mask)])
    assert curves.regions.area(limit) == pytest.approx(limit / 2)
    assert curves.pixels.area() == pytest.approx(0.5)


def test_a_small_region_weighs_as_much_as_a_large_one() -> None:
    mask = np.zeros((30, 30), bool)
    mask[:20, :20] = True
    mask[25, 25] = True
    found_small = np.zeros((30, 30), np.float32)
    found_small[25, 25] = 1
    curves = pixel_curves([PixelTruth(found_small, mask)])
    assert curves.region_count == 2
    assert curves.regions.area(1e-9) == pytest.approx(0.5)


def test_regions_are_8_connected_and_never_join_across_images() -> None:
    diagonal = np.eye(4, dtype=bool)
    truths = [PixelTruth(np.zeros((4, 4), np.float32), diagonal), PixelTruth(np.zeros((4, 4), np.float32), diagonal)]
    assert pixel_curves(truths).region_count == 2


def test_without_defects_or_without_background_areas_are_undefined() -> None:
    good = pixel_curves([PixelTruth(np.zeros((4, 4), np.float32))])
    assert (good.pixels.area(), good.regions.area(0.3), good.pixels.average_precision(), good.pixels.best_f1()) == (None,) * 4
    bad = pixel_curves([PixelTruth(np.zeros((4, 4), np.float32), np.ones((4, 4), bool))])
    assert bad.pixels.area() is None


def test_counts_at_a_threshold_follow_the_one_comparison() -> None:
    mask = np.zeros((4, 6), bool)
    mask[0, :2] = True
    mask[3, 5] = True
    values = np.zeros((4, 6), np.float32)
    values[0, 0] = 1
    values[2, 3] = 1
    counts = count_pixels([PixelTruth(values, mask), PixelTruth(np.full((2, 2), 0.5, np.float32))], 0.5)
    assert (counts.tp, counts.fp, counts.fn, counts.tn) == (1, 1, 2, 24)
    assert counts.segf1 == pytest.approx(2 / 5)
    assert counts.bg_fpr == pytest.approx(1 / 25)
    assert (counts.regions, counts.regions_found, counts.false_regions, counts.images) == (2, 1, 1, 2)
    assert (counts.good_image_alarm_rate, counts.good_image_bg_fpr) == (0.0, 0.0)


def test_a_perfect_binary_map_has_segf1_one_at_its_own_lower_level() -> None:
    labels = np.array([[0, 1], [1, 0]])
    assert compute_pixel_segf1(labels, labels.astype(float), 0.0) == 1.0
    assert compute_bg_fpr(labels, labels.astype(float), 0.0) == 0.0


def test_nothing_defective_and_nothing_called_is_undefined() -> None:
    assert compute_pixel_segf1(np.zeros((2, 2)), np.zeros((2, 2)), 0.5) is None
    assert compute_bg_fpr(np.ones((2, 2)), np.zeros((2, 2)), 0.5) is None


def test_maps_of_mixed_sizes_are_rendered_at_their_images_size() -> None:
    truths = []
    for height, width in ((40, 80), (64, 32)):
        grid = np.zeros((4, 4), np.float32)
        grid[0, 0] = 1
        mask = np.zeros((height, width), bool)
        mask[: height // 8, : width // 8] = True
        truths.append(PixelTruth(AnomalyMap(grid, (height, width)), lambda mask=mask: mask))
    assert pixel_curves(truths).pixels.area() == 1.0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    values = np.zeros((4, 4), np.float32)
    values[1, 1] = bad
    for mask in (None, np.eye(4, dtype=bool)):
        with pytest.raises(MetricError, match="NaN or infinite"):
            pixel_curves([PixelTruth(values, mask)])
    with pytest.raises(MetricError, match="NaN or infinite"):
        count_pixels([PixelTruth(values)], 0.5)


def test_a_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(MetricError, match=r"shape \(4, 4\) cannot be compared with a mask of shape \(5, 4\)"):
        pixel_curves([PixelTruth(np.zeros((4, 4), np.float32), np.zeros((5, 4), bool))])


@pytest.mark.parametrize("chunk", [1, 7, 50])
def test_walking_in_small_stretches_changes_nothing(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    rng = np.random.default_rng(3)
    one = ThresholdCurve(rng.integers(0, 40, 100).astype(float), rng.random(100))
    one.add_negatives(rng.integers(-5, 35, 700).astype(float))
    whole = [one.area(0.3), one.unweighted().area(), one.average_precision(), one.best_f1()]
    monkeypatch.setattr(curve, "_CHUNK", chunk)
    parts = [one.area(0.3), one.unweighted().area(), one.average_precision(), one.best_f1()]
    assert parts[:3] == pytest.approx(whole[:3], abs=1e-12)
    assert parts[3] == whole[3]


def test_negatives_may_arrive_in_any_parts() -> None:
    rng = np.random.default_rng(0)
    positives, negatives = rng.random(50), rng.random(1000)
    whole, parts = ThresholdCurve(positives), ThresholdCurve(positives)
    whole.add_negatives(negatives)
    for part in np.array_split(rng.permutation(negatives), 13):
        parts.add_negatives(part)
    assert (whole.area(0.2), whole.average_precision()) == (parts.area(0.2), parts.average_precision())
