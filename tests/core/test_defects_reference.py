"""The defects chain against a slow one, written from its description with sets of pixels, and what must hold for any map."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pyimgano.defects.config import DefectsConfig
from pyimgano.defects.extract import Defects, extract_defects_from_anomaly_map, prepare_map
from pyimgano.defects.smoothing import smooth_anomaly_map
from pyimgano.errors import OptionsError
from pyimgano.reporting.strict_json import line

Pixel = tuple[int, int]
Pixels = set[Pixel]
Case = tuple[np.ndarray, DefectsConfig, float, float]
AROUND = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
BESIDE = [(-1, 0), (1, 0), (0, -1), (0, 1)]


# The slow chain: every step as the description has it, pixels as (row, column)


def in_polygon(points: list[tuple[Fraction, Fraction]], x: Fraction, y: Fraction) -> bool:
    """Count the edges to the left of or through a point, as the even-odd rule has it."""
    odd = False
    for (ax, ay), (bx, by) in zip(points, [*points[1:], points[0]], strict=True):
        if (ay <= y) != (by <= y) and ax + (y - ay) * (bx - ax) / (by - ay) <= x:
            odd = not odd
    return odd


def valid_pixels(height: int, width: int, config: DefectsConfig) -> Pixels:
    border = config.border_ignore_px
    valid = {(y, x) for y in range(border, height - border) for x in range(border, width - border)}
    if config.roi_xyxy_norm is not None:
        x1, y1, x2, y2 = (Fraction(v) for v in config.roi_xyxy_norm)
        valid = {
            (y, x)
            for y, x in valid
            if x1 * width <= x + Fraction(1, 2) < x2 * width and y1 * height <= y + Fraction(1, 2) < y2 * height
        }
    if config.roi_polygons_norm:
        half = Fraction(1, 2)
        polygons = [[(Fraction(x) * width, Fraction(y) * height) for x, y in one] for one in config.roi_polygons_norm]
        valid = {(y, x) for y, x in valid if any(in_polygon(one, x + half, y + half) for one in polygons)}
    return valid


def smoothed(values: np.ndarray, valid: Pixels, config: DefectsConfig) -> np.ndarray:
    smoothing = config.map_smoothing
    if smoothing.method == "none":
        return values
    sigma = smoothing.sigma or 0.3 * ((smoothing.ksize - 1) / 2 - 1) + 0.8
    radius = (smoothing.ksize - 1) // 2 if smoothing.ksize else max(1, round(4 * sigma))
    result = values.copy()
    for y, x in valid:
        reach = range(-radius, radius + 1)
        window = [(dy, dx, float(values[y + dy, x + dx])) for dy in reach for dx in reach if (y + dy, x + dx) in valid]
        if smoothing.method == "median":
            result[y, x] = np.median([value for _, _, value in window])
        else:
            gaussian = smoothing.method == "gaussian"
            weights = [math.exp(-(dy**2 + dx**2) / (2 * sigma**2)) if gaussian else 1 for dy, dx, _ in window]
            total = sum(weight * value for weight, (_, _, value) in zip(weights, window, strict=True))
            result[y, x] = total / sum(weights)
    return result


def connected(pixels: Pixels, steps: list[Pixel]) -> list[Pixels]:
    """Return the connected components, in raster order of their first pixels."""
    left, found = set(pixels), []
    for start in sorted(pixels):
        if start in left:
            left.remove(start)
            component, front = {start}, [start]
            while front:
                y, x = front.pop()
                for near in [(y + dy, x + dx) for dy, dx in steps]:
                    if near in left:
                        left.remove(near)
                        component.add(near)
                        front.append(near)
            found.append(component)
    return found


def disc(diameter: int) -> list[Pixel]:
    reach = range(-(diameter // 2), diameter // 2 + 1)
    return [(dy, dx) for dy in reach for dx in reach if math.hypot(dy, dx) <= diameter / 2]


def grown(pixels: Pixels, diameter: int, valid: Pixels) -> Pixels:
    return {(y + dy, x + dx) for y, x in pixels for dy, dx in disc(diameter)} & valid


def shrunk(pixels: Pixels, diameter: int, valid: Pixels) -> Pixels:
    missing = valid - pixels
    return {(y, x) for y, x in valid if not any((y + dy, x + dx) in missing for dy, dx in disc(diameter))}


def without_holes(pixels: Pixels, valid: Pixels) -> Pixels:
    full = set(pixels)
    for gap in connected(valid - pixels, BESIDE):
        if all((y + dy, x + dx) in valid for y, x in gap for dy, dx in BESIDE):
            full |= gap
    return full


def cross(o: Pixel, a: Pixel, b: Pixel) -> int:
    return (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0])


def solidity(pixels: Pixels) -> float | None:
    """Return area over pixels in the hull, which is found by the monotone chain and filled by looking at every pixel."""
    hull: list[Pixel] = []
    for points in (sorted(pixels), sorted(pixels, reverse=True)):
        chain: list[Pixel] = []
        for point in points:
            while len(chain) >= 2 and cross(chain[-2], chain[-1], point) <= 0:
                chain.pop()
            chain.append(point)
        hull += chain[:-1]
    if len(hull) < 3:
        return None
    ys, xs = [y for y, _ in hull], [x for _, x in hull]
    sides = list(zip(hull, [*hull[1:], hull[0]], strict=True))
    inside = sum(
        all(cross(a, b, (y, x)) >= 0 for a, b in sides)
        for y in range(min(ys), max(ys) + 1)
        for x in range(min(xs), max(xs) + 1)
    )
    return len(pixels) / inside


def described(pixels: Pixels, values: np.ndarray, config: DefectsConfig) -> dict[str, Any]:
    ys, xs = [y for y, _ in pixels], [x for _, x in pixels]
    scores = [float(values[pixel]) for pixel in sorted(pixels)]
    width, height = max(xs) - min(xs) + 1, max(ys) - min(ys) + 1
    return {
        "bbox_xyxy": [min(xs), min(ys), max(xs), max(ys)],
        "area": len(pixels),
        "centroid_xy": [sum(xs) / len(xs), sum(ys) / len(ys)],
        "bbox_area": width * height,
        "fill_ratio": len(pixels) / (width * height),
        "aspect_ratio": max(width / height, height / width),
        "solidity": solidity(pixels) if config.shape_filters.min_solidity > 0 else None,
        "score_max": max(scores),
        "score_mean": math.fsum(scores) / len(scores),
    }


def is_defect(region: dict[str, Any], config: DefectsConfig) -> bool:
    shape = config.shape_filters
    return (
        region["area"] >= config.min_area
        and region["fill_ratio"] >= shape.min_fill_ratio
        and (shape.max_aspect_ratio == 0 or region["aspect_ratio"] <= shape.max_aspect_ratio)
        and (region["solidity"] is None or region["solidity"] >= shape.min_solidity)
        and (config.min_score_max is None or region["score_max"] >= config.min_score_max)
        and (config.min_score_mean is None or region["score_mean"] >= config.min_score_mean)
        and (config.component_threshold is None or region["score_max"] > config.component_threshold)
    )


def place(region: dict[str, Any], config: DefectsConfig) -> tuple[Any, ...]:
    x1, y1, x2, y2 = region["bbox_xyxy"]
    falling = (region[config.max_regions_sort_by], region["score_max"], region["score_mean"], region["area"])
    return (*(-value for value in falling), y1, x1, y2, x2, *region["centroid_xy"])


def near(a: dict[str, Any], b: dict[str, Any], gap: int) -> bool:
    ax1, ay1, ax2, ay2 = a["bbox_xyxy"]
    bx1, by1, bx2, by2 = b["bbox_xyxy"]
    return max(bx1 - ax2, ax1 - bx2) - 1 <= gap and max(by1 - ay2, ay1 - by2) - 1 <= gap


def listed(components: list[Pixels], values: np.ndarray, config: DefectsConfig) -> list[dict[str, Any]]:
    parts = sorted(
        ((described(pixels, values, config), pixels) for pixels in components), key=lambda part: place(part[0], config)
    )
    if not config.merge_nearby.enabled:
        return [region for region, _ in parts]
    groups: list[list[int]] = []
    for number, (region, _) in enumerate(parts):
        touched = [one for one in groups if any(near(region, parts[n][0], config.merge_nearby.max_gap_px) for n in one)]
        groups = [one for one in groups if one not in touched] + [[number, *(n for one in touched for n in one)]]
    merged = []
    for group in groups:
        region = described(set().union(*(parts[n][1] for n in group)), values, config)
        if len(group) > 1:
            region["merged_from_ids"] = sorted(n + 1 for n in group)
        merged.append(region)
    return sorted(merged, key=lambda region: place(region, config))


def on_image(box: list[int], size: tuple[int, int], image: tuple[int, int]) -> list[int]:
    """Return the image's pixels that the box covers at least in part, by looking at every one."""
    x1, y1, x2, y2 = box
    ends = []
    for first, last, cells, pixels in ((x1, x2, size[1], image[1]), (y1, y2, size[0], image[0])):
        start, end = Fraction(first, cells), Fraction(last + 1, cells)
        covered = [n for n in range(pixels) if Fraction(n, pixels) < end and Fraction(n + 1, pixels) > start]
        ends.append((covered[0], covered[-1]))
    return [ends[0][0], ends[1][0], ends[0][1], ends[1][1]]


def slow_chain(
    values: np.ndarray, config: DefectsConfig, threshold: float, normal_median: float | None, image: tuple[int, int] | None
) -> tuple[Pixels, dict[str, Any]]:
    height, width = values.shape
    valid = valid_pixels(height, width, config)
    judged = smoothed(values, valid, config)
    levels = {}
    if config.hysteresis.enabled:
        high = threshold if config.hysteresis.high is None else config.hysteresis.high
        low = config.hysteresis.low
        low = (normal_median + high) / 2 if low is None else low
        levels["hysteresis"] = {"low": low, "high": high}
        pixels: Pixels = set()
        for component in connected({pixel for pixel in valid if judged[pixel] > low}, AROUND):
            if any(judged[pixel] > high for pixel in component):
                pixels |= component
    else:
        pixels = {pixel for pixel in valid if judged[pixel] > threshold}
    if config.open_ksize:
        pixels = grown(shrunk(pixels, config.open_ksize, valid), config.open_ksize, valid)
    if config.close_ksize:
        pixels = shrunk(grown(pixels, config.close_ksize, valid), config.close_ksize, valid)
    if config.fill_holes:
        pixels = without_holes(pixels, valid)
    components = [one for one in connected(pixels, AROUND) if is_defect(described(one, judged, config), config)]
    pixels = set().union(*components)
    if config.dilate_px:
        pixels = grown(pixels, 2 * config.dilate_px + 1, valid)
    regions = listed(connected(pixels, AROUND), judged, config)
    if config.max_regions:
        regions = regions[: config.max_regions]
    for number, region in enumerate(regions, start=1):
        region["id"] = number
        if image is not None:
            region["bbox_xyxy_image"] = on_image(region["bbox_xyxy"], (height, width), image)
    counted = [float(judged[pixel]) for pixel in sorted(valid)]
    record = {
        "space": {"type": "anomaly_map", "shape": [height, width]},
        "pixel_threshold": threshold,
        **levels,
        "mask": {"shape": [height, width], "dtype": "uint8", "encoding": config.mask_format},
        "regions": regions,
        "map_stats_roi": {"max": max(counted), "mean": math.fsum(counted) / len(counted)},
    }
    return pixels, record


# Any map and any settings


def random_map(rng: np.random.Generator) -> np.ndarray:
    """Return a small map in steps of a quarter: noise, ties, plateaus, negative values, a constant now and then."""
    height, width = rng.integers(*((9, 16) if rng.random() < 0.8 else (1, 9)), 2)
    levels = rng.choice([40, 40, 40, 8, 8, 4, 2, 1])
    values = rng.integers(0, levels, (height, width)).astype(np.float32)
    if rng.random() < 0.6:
        side = rng.integers(2, 4)
        coarse = rng.integers(0, levels, (height // side + 1, width // side + 1))
        plateaus = np.kron(coarse, np.ones((side, side)))[:height, :width]
        values = (values // 4 + 3 * plateaus).astype(np.float32)
    return (values + np.float32(rng.choice([0, -2, -50, 7]))) / 4


def random_smoothing(rng: np.random.Generator) -> dict[str, Any]:
    """Return settings of one of the methods."""
    median = [{"method": "median", "ksize": side} for side in (3, 5, 7)]
    box = [{"method": "box", "ksize": side} for side in (3, 5, 9)]
    pairs = ((3, 0), (0, 0.5), (0, 1.25), (5, 2))
    gaussian = [{"method": "gaussian", "ksize": side, "sigma": sigma} for side, sigma in pairs]
    return rng.choice([*median, *box, *gaussian])


def random_config(rng: np.random.Generator, levels: list[float], threshold: float) -> dict[str, Any]:
    """Return settings, most of them left off, so that few steps at a time are on and something is left to look at."""

    def maybe(*values: Any, off: Any = 0) -> Any:
        return values[rng.integers(len(values))] if rng.random() < 0.2 else off

    def points(count: int) -> list[tuple[float, float]]:
        return [(float(x), float(y)) for x, y in rng.integers(0, 9, (count, 2)) / 8]

    (x1, y1), (x2, y2) = rng.integers(0, 4, 2) / 8, rng.integers(4, 9, 2) / 8
    high = maybe(*levels, off=None)
    low = maybe(*levels, off=None)
    return {
        "border_ignore_px": maybe(1, 2),
        "roi_xyxy_norm": maybe((x1, y1, x2, y2), off=None),
        "roi_polygons_norm": maybe([points(3), points(5)], [points(4)], [[(0, 0), (1, 0.125), (0.875, 1)]], off=()),
        "hysteresis": {
            "enabled": rng.random() < 0.25,
            "low": None if low is None else min(low, threshold if high is None else high),
            "high": high,
        },
        "open_ksize": maybe(1, 3, 3, 5),
        "close_ksize": maybe(1, 3, 5, 7),
        "fill_holes": rng.random() < 0.3,
        "min_area": maybe(2, 3, 6),
        "shape_filters": {
            "min_fill_ratio": maybe(0.25, 0.5, 0.75),
            "max_aspect_ratio": maybe(1, 1.5, 2, 4),
            "min_solidity": maybe(0.01, 0.5, 0.75, 0.9),
        },
        "min_score_max": maybe(*levels, off=None),
        "min_score_mean": maybe(*levels, off=None),
        "component_threshold": maybe(*levels, off=None),
        "dilate_px": maybe(1, 2, 3),
        "merge_nearby": {"enabled": rng.random() < 0.4, "max_gap_px": int(rng.integers(0, 4))},
        "max_regions": maybe(1, 2, 4),
        "max_regions_sort_by": ["score_max", "score_mean", "area"][rng.integers(3)],
    }


def random_case(seed: int) -> Case:
    """Return a map, settings, a pixel threshold and a median of normal pixels below the thresholds."""
    rng = np.random.default_rng(seed)
    values = random_map(rng)
    smoothing = random_smoothing(rng) if rng.random() < 0.25 else {"method": "none"}
    smooth = smooth_anomaly_map(values, **smoothing)
    levels = [math.floor(4 * np.quantile(smooth, share)) / 4 for share in (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1)]
    threshold = levels[rng.choice(7, p=[0.05, 0.1, 0.2, 0.3, 0.3, 0.04, 0.01])] - (rng.random() < 0.05)
    plain = random_config(rng, levels, threshold) | {"map_smoothing": smoothing}
    config = DefectsConfig.model_validate(plain)
    top = threshold if config.hysteresis.high is None else config.hysteresis.high
    return values, config, threshold, min(levels[1], top)


cases = st.integers(0, 2**40).map(random_case)


def run(case: Case, **more: Any) -> Defects:
    """Run the chain; a case in which no pixel counts is none."""
    values, config, threshold, normal_median = case
    assume(valid_pixels(*values.shape, config))
    return extract_defects_from_anomaly_map(values, config, pixel_threshold=threshold, normal_median=normal_median, **more)


def on_a_slanted_edge(shape: tuple[int, int], config: DefectsConfig) -> bool:
    """Return whether a pixel centre is exactly on a slanted edge, where rounding may decide."""
    height, width = shape
    for polygon in config.roi_polygons_norm:
        points = [(Fraction(x) * width, Fraction(y) * height) for x, y in polygon]
        for (ax, ay), (bx, by) in zip(points, [*points[1:], points[0]], strict=True):
            for row in range(height):
                y = row + Fraction(1, 2)
                if ax != bx and (ay <= y) != (by <= y):
                    x = ax + (y - ay) * (bx - ax) / (by - ay)
                    if (x - Fraction(1, 2)).denominator == 1:
                        return True
    return False


def close(value: Any) -> Any:
    """Return a record in which numbers compare within rounding; pytest.approx does not look into nested mappings."""
    if isinstance(value, dict):
        return {key: close(item) for key, item in value.items()}
    if isinstance(value, list):
        return [close(item) for item in value]
    return pytest.approx(value, rel=1e-6, abs=1e-9) if isinstance(value, float) else value


@settings(max_examples=800, deadline=None)
@given(case=cases, image=st.one_of(st.none(), st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_the_chain_equals_the_slow_one(case: Case, image: tuple[int, int] | None) -> None:
    values, config, threshold, normal_median = case
    assume(not on_a_slanted_edge(values.shape, config))
    found = run(case, image_size=image)
    pixels, record = slow_chain(values, config, threshold, normal_median, image)
    assert {(int(y), int(x)) for y, x in np.argwhere(found.mask)} == pixels
    assert found.record() == close(record)


@settings(max_examples=200, deadline=None)
@given(case=cases)
def test_regions_lie_in_the_mask_and_the_mask_where_pixels_count(case: Case) -> None:
    values, config, *_ = case
    found = run(case)
    assert found.mask.shape == values.shape
    assert found.mask.dtype == np.uint8
    assert set(np.unique(found.mask)) <= {0, 255}
    _, valid = prepare_map(values, config)
    if valid is not None:
        assert not found.mask[~valid].any()
    assert [region.id for region in found.regions] == list(range(1, len(found.regions) + 1))
    for region in found.regions:
        x1, y1, x2, y2 = region.bbox_xyxy
        inside = found.mask[y1 : y2 + 1, x1 : x2 + 1] > 0
        assert all(side.any() for side in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
        assert region.area <= inside.sum()
        assert x1 <= region.centroid_xy[0] <= x2
        assert y1 <= region.centroid_xy[1] <= y2
    if not config.max_regions:
        assert sum(region.area for region in found.regions) == (found.mask > 0).sum()


@settings(max_examples=100, deadline=None)
@given(case=cases)
def test_equal_input_gives_equal_bytes(case: Case) -> None:
    first = run(case)
    again = run((np.asfortranarray(case[0].astype(np.float64)), *case[1:]))
    assert line(first.record()) == line(again.record())
    assert first.mask.tobytes() == again.mask.tobytes()
    assert json.loads(line(first.record())) == first.record()  # strict JSON holds all of it


@settings(max_examples=150, deadline=None)
@given(case=cases, power=st.sampled_from([-12, -3, -1, 1, 5, 20]))
def test_scaling_map_and_thresholds_by_a_power_of_two_scales_the_scores_alone(case: Case, power: int) -> None:
    values, config, threshold, normal_median = case
    factor = 2.0**power
    plain = config.model_dump()
    for block, key in (
        (plain, "min_score_max"),
        (plain, "min_score_mean"),
        (plain, "component_threshold"),
        (plain["hysteresis"], "low"),
        (plain["hysteresis"], "high"),
    ):
        block[key] = None if block[key] is None else block[key] * factor
    before = run(case).record()
    scaled = (values * np.float32(factor), DefectsConfig.model_validate(plain), threshold * factor, normal_median * factor)
    after = run(scaled).record()
    for region in before["regions"]:
        region["score_max"] *= factor
        region["score_mean"] *= factor
    before["pixel_threshold"] *= factor
    for block in ("map_stats_roi", "hysteresis"):
        if block in before:
            before[block] = {key: value * factor for key, value in before[block].items()}
    assert after == before


@settings(max_examples=150, deadline=None)
@given(case=cases, margins=st.tuples(*[st.integers(0, 3)] * 4), filler=st.sampled_from([-1e30, 0.0, 1e30]))
def test_what_is_outside_the_region_of_interest_is_like_what_is_beyond_the_map(
    case: Case, margins: tuple[int, int, int, int], filler: float
) -> None:
    values, config, *rest = case
    plain = config.model_dump() | {"border_ignore_px": 0, "roi_xyxy_norm": None, "roi_polygons_norm": ()}
    config = DefectsConfig.model_validate(plain)
    top, bottom, left, right = margins
    padded = np.pad(values, ((top, bottom), (left, right)), constant_values=filler).astype(np.float32)
    height, width = padded.shape
    corners = (left / width, top / height, (width - right) / width, (height - bottom) / height)
    alone = run((values, config, *rest))
    within = run((padded, DefectsConfig.model_validate(plain | {"roi_xyxy_norm": corners}), *rest))
    inside = within.mask[top : height - bottom, left : width - right]
    assert np.array_equal(inside, alone.mask)
    assert within.mask.sum() == inside.sum()
    assert within.map_stats_roi == close(alone.map_stats_roi)
    for one, other in zip(within.regions, alone.regions, strict=True):
        moved = one.record()
        moved["bbox_xyxy"] = [value - shift for value, shift in zip(moved["bbox_xyxy"], (left, top) * 2, strict=True)]
        moved["centroid_xy"] = [value - shift for value, shift in zip(moved["centroid_xy"], (left, top), strict=True)]
        assert moved == close(other.record())


@settings(max_examples=100, deadline=None)
@given(case=cases)
def test_turned_maps_give_turned_masks(case: Case) -> None:
    values, config, *rest = case
    plain = config.model_dump() | {"roi_xyxy_norm": None, "roi_polygons_norm": ()}
    config = DefectsConfig.model_validate(plain)
    assume(config.map_smoothing.method != "gaussian")  # its sums may round differently
    mask = run((values, config, *rest)).mask
    assert np.array_equal(run((values.T, config, *rest)).mask, mask.T)
    assert np.array_equal(run((values[::-1, ::-1], config, *rest)).mask, mask[::-1, ::-1])


@pytest.mark.extras
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), share=st.sampled_from([0.02, 0.2, 0.4, 0.6]), min_area=st.integers(0, 5))
def test_a_larger_map_equals_scipy(seed: int, share: float, min_area: int) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    values = np.random.default_rng(seed).normal(size=(90, 120)).astype(np.float32)
    threshold = float(np.quantile(values, 1 - share))
    found = extract_defects_from_anomaly_map(values, DefectsConfig(min_area=min_area), pixel_threshold=threshold)
    labels, count = ndimage.label(values > threshold, structure=np.ones((3, 3)))
    numbers = [n for n in range(1, count + 1) if (labels == n).sum() >= min_area]
    places = ndimage.find_objects(labels)
    expected = sorted(
        (
            (x.start, y.start, x.stop - 1, y.stop - 1),
            int((labels == n).sum()),
            float(ndimage.maximum(values, labels, n)),
        )
        for n, (y, x) in zip(numbers, [places[n - 1] for n in numbers], strict=True)
    )
    assert sorted((region.bbox_xyxy, region.area, region.score_max) for region in found.regions) == expected
    assert np.array_equal(found.mask > 0, np.isin(labels, numbers))


def test_a_region_of_interest_without_a_pixel_is_refused() -> None:
    with pytest.raises(OptionsError, match="no pixel of a map of 4 x 6"):
        prepare_map(np.zeros((4, 6)), DefectsConfig(border_ignore_px=2))
