"""Overlays: outlines that can be seen in a thumbnail, and labels that can all be read."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pyimgano.calibration import PixelThreshold
from pyimgano.defects.config import DefectsConfig
from pyimgano.defects.extract import extract_defects_from_anomaly_map
from pyimgano.defects.labels import draw_boxes, label_place
from pyimgano.defects.overlays import _heated, draw_heat, draw_overlay
from pyimgano.inference.result import InferenceResult

Pixels = NDArray[np.uint8]
NOTHING = (200, 300)


def sums(shape: tuple[int, int] = NOTHING, *shown: tuple[slice, slice]) -> NDArray[np.int32]:
    """Return the integral image of what labels had better leave free."""
    mask = np.zeros(shape, np.uint8)
    for place in shown:
        mask[place] = 1
    return cv2.integral(mask)


def overlap(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def photograph(height: int, width: int) -> Pixels:
    noise = np.random.default_rng(0).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def blobs(height: int, width: int, places: list[tuple[int, int, int, int]], level: float = 3.0) -> NDArray[np.float32]:
    """Return a map of noise below one with ellipses (x, y and two radii) at a level."""
    values = np.random.default_rng(1).uniform(0, 0.9, (height, width)).astype(np.float32)
    for x, y, across, down in places:
        cv2.ellipse(values, (x, y), (across, down), 0, 0, 360, level, -1)
    return values


def test_a_label_is_above_its_box_at_its_left_edge() -> None:
    assert label_place((50, 60, 90, 80), (40, 12), [], sums()) == (50, 48, 90, 60)


def test_a_label_without_room_above_is_below_and_one_without_room_beside_is_shifted() -> None:
    assert label_place((50, 5, 90, 30), (40, 12), [], sums()) == (50, 31, 90, 43)
    assert label_place((280, 60, 299, 80), (40, 12), [], sums()) == (260, 48, 300, 60)


def test_a_label_moves_off_another_label_and_off_another_defect() -> None:
    first = label_place((50, 60, 90, 80), (40, 12), [], sums())
    second = label_place((60, 62, 100, 90), (40, 12), [first], sums())
    assert not overlap(first, second)
    assert abs(second[0] - 60) + abs(second[1] - 50) <= 40
    defect = (slice(40, 60), slice(40, 100))
    moved = label_place((50, 60, 90, 80), (40, 12), [], sums(NOTHING, defect))
    assert not overlap(moved, (40, 40, 100, 60))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 290), st.integers(0, 190), st.integers(1, 120), st.integers(1, 120)), max_size=20),
    st.integers(0, 2**32 - 1),
)
def test_labels_never_cover_each_other_where_there_is_room_and_never_leave_the_image(
    boxes: list[tuple[int, int, int, int]], seed: int
) -> None:
    shown = np.random.default_rng(seed).uniform(size=NOTHING) < 0.3
    table = np.asarray(cv2.integral(shown.astype(np.uint8)))
    taken: list[tuple[int, int, int, int]] = []
    for x, y, wide, high in boxes:
        box = (x, y, min(x + wide, 299), min(y + high, 199))
        place = label_place(box, (40, 12), taken, table)
        assert min(place) >= 0
        assert place[2] <= 300
        assert place[3] <= 200
        assert not any(overlap(place, other) for other in taken)
        taken.append(place)


@pytest.mark.parametrize("shape", [(5, 9), (8, 400), (400, 8), (30, 40)])
def test_more_labels_than_there_is_room_for_are_still_drawn(shape: tuple[int, int]) -> None:
    image = np.zeros((*shape, 3), np.uint8)
    draw_boxes(image, {f"{place}: 0.1234": (0, 0, 3, 3) for place in range(20)}, np.ones(shape, bool))
    assert image.any()


SIZES = [(460, 1130), (1130, 460), (300, 300), (2000, 2000), (240, 320)]


@pytest.mark.parametrize("level", [1.05, 3.0, 100.0], ids=["faint", "plain", "glaring"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_outlines_are_seen_in_a_thumbnail(size: tuple[int, int], level: float) -> None:
    height, width = size
    places = [(width // 4, height // 4, width // 12, height // 12), (width // 2, 2 * height // 3, width // 40, height // 40)]
    image, values = photograph(height, width), blobs(height, width, places, level)
    threshold = PixelThreshold(value=1.0, method="normal_pixel_quantile", q=0.999)
    outlined, bare = draw_heat(image, values, threshold), _heated(image, values, threshold)
    scale = 240 / max(size)
    small = [cv2.resize(one, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(int) for one in (outlined, bare)]
    changed = np.abs(small[0] - small[1]).max(axis=2)
    for x, y, across, down in places:
        angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
        columns = np.clip(((x + across * np.cos(angles)) * scale).astype(int), 0, changed.shape[1] - 1)
        rows = np.clip(((y + down * np.sin(angles)) * scale).astype(int), 0, changed.shape[0] - 1)
        seen = [changed[max(r - 1, 0) : r + 2, max(c - 1, 0) : c + 2].max() for r, c in zip(rows, columns, strict=True)]
        assert np.mean(np.array(seen) > 50) > 0.9


def drawn(height: int, width: int, places: list[tuple[int, int, int, int]], **settings: Any) -> Pixels:
    values = blobs(height, width, places)
    defects = extract_defects_from_anomaly_map(values, DefectsConfig(**settings), pixel_threshold=1.0)
    result = InferenceResult(0, "part.png", 3.0, 1, 1.0, image=photograph(height, width))
    threshold = PixelThreshold(value=1.0, method="normal_pixel_quantile", q=0.999)
    return draw_overlay(result, values, threshold, defects)


def test_close_regions_all_have_a_whole_label() -> None:
    places = [(200 + 60 * number, 200 + 3 * number, 20, 12) for number in range(8)]
    overlay = drawn(460, 1130, places)[-460:, -1130:]
    dark = (overlay == (20, 20, 20)).all(axis=2).astype(np.uint8)
    closed = cv2.morphologyEx(dark, cv2.MORPH_CLOSE, np.ones((1, 25), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=4)
    area = sum(int(stat[4]) for stat in stats[1:] if stat[4] > 200)
    alone = drawn(460, 1130, places[:1])[-460:, -1130:]
    one = cv2.morphologyEx((alone == (20, 20, 20)).all(axis=2).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((1, 25), np.uint8))
    assert area > 7.5 * one.sum()
