"""The defects chain on maps whose answer is known by hand, and the faults that such chains have elsewhere."""

from __future__ import annotations

import time
from typing import Any

import cv2
import numpy as np
import pytest

from pyimgano.calibration import PixelThreshold
from pyimgano.defects.config import DefectsConfig
from pyimgano.defects.extract import extract_defects_from_anomaly_map, prepare_map
from pyimgano.defects.presets import DEFECTS_PRESETS
from pyimgano.defects.regions import Region
from pyimgano.errors import DetectorError, OptionsError
from pyimgano.options import parse


def drawn(text: str, high: float = 10.0) -> np.ndarray:
    """Return a map drawn by its rows: ``.`` is 0, ``#`` is `high`, digits are themselves."""
    rows = text.split()
    return np.array([[0 if c == "." else high if c == "#" else int(c) for c in row] for row in rows], np.float32)


def found(values: np.ndarray, threshold: float | None = 5, **settings: Any) -> list[str]:
    """Return the mask of the chain, drawn."""
    config = parse(DefectsConfig, settings, "defects")
    mask = extract_defects_from_anomaly_map(values, config, pixel_threshold=threshold).mask
    return ["".join("#" if value else "." for value in row) for row in mask]


def listed(values: np.ndarray, threshold: float = 5, **settings: Any) -> tuple[Region, ...]:
    config = parse(DefectsConfig, settings, "defects")
    return extract_defects_from_anomaly_map(values, config, pixel_threshold=threshold).regions


# The record


def test_the_record_of_a_small_map_by_hand() -> None:
    values = drawn("""
        .......
        .##..7.
        .#9....
        """)
    provenance = PixelThreshold(value=5.0, method="normal_pixel_quantile", q=0.999)
    config = DefectsConfig(shape_filters={"min_solidity": 0.5}, mask_format="npz")
    defects = extract_defects_from_anomaly_map(values, config, pixel_threshold=provenance, image_size=(6, 14))
    assert defects.mask.dtype == np.uint8
    assert np.array_equal(defects.mask, (values > 5) * np.uint8(255))
    record = defects.record("masks/000000_a.npz")
    assert record == {
        "space": {"type": "anomaly_map", "shape": [3, 7]},
        "pixel_threshold": 5.0,
        "pixel_threshold_provenance": provenance.model_dump(),
        "mask": {"shape": [3, 7], "dtype": "uint8", "encoding": "npz", "path": "masks/000000_a.npz"},
        "regions": [
            {
                "id": 1,
                "bbox_xyxy": [1, 1, 2, 2],
                "area": 4,
                "centroid_xy": [1.5, 1.5],
                "bbox_area": 4,
                "fill_ratio": 1.0,
                "aspect_ratio": 1.0,
                "solidity": 1.0,
                "score_max": 10.0,
                "score_mean": 9.75,
                "bbox_xyxy_image": [2, 2, 5, 5],
            },
            {
                "id": 2,
                "bbox_xyxy": [5, 1, 5, 1],
                "area": 1,
                "centroid_xy": [5.0, 1.0],
                "bbox_area": 1,
                "fill_ratio": 1.0,
                "aspect_ratio": 1.0,
                "solidity": None,
                "score_max": 7.0,
                "score_mean": 7.0,
                "bbox_xyxy_image": [10, 2, 11, 3],
            },
        ],
        "map_stats_roi": {"max": 10.0, "mean": pytest.approx(46 / 21, rel=1e-15)},
    }


def test_what_was_not_given_is_not_in_the_record() -> None:
    record = extract_defects_from_anomaly_map(drawn("#."), DefectsConfig(), pixel_threshold=5).record()
    assert set(record) == {"space", "pixel_threshold", "mask", "regions", "map_stats_roi"}
    assert set(record["mask"]) == {"shape", "dtype", "encoding"}
    assert not {"bbox_xyxy_image", "merged_from_ids"} & set(record["regions"][0])
    assert record["regions"][0]["solidity"] is None


@pytest.mark.parametrize(
    ("hysteresis", "used"),
    [
        ({}, {"low": 3.0, "high": 5.0}),
        ({"low": 2}, {"low": 2.0, "high": 5.0}),
        ({"high": 7}, {"low": 4.0, "high": 7.0}),
        ({"low": -1.5, "high": 7}, {"low": -1.5, "high": 7.0}),
    ],
)
def test_the_record_says_which_thresholds_hysteresis_used(hysteresis: dict[str, float], used: dict[str, float]) -> None:
    config = DefectsConfig(hysteresis={"enabled": True, **hysteresis})
    record = extract_defects_from_anomaly_map(drawn("246#."), config, pixel_threshold=5, normal_median=1).record()
    assert record["hysteresis"] == used
    assert list(record)[:3] == ["space", "pixel_threshold", "hysteresis"]
    assert record["pixel_threshold"] == 5
    assert record["regions"][0]["area"] == sum(value > used["low"] for value in (2, 4, 6, 10, 0))


def test_a_clean_map_has_no_regions() -> None:
    defects = extract_defects_from_anomaly_map(np.full((4, 5), -3.0), DefectsConfig(), pixel_threshold=-3.0)
    assert defects.regions == ()
    assert not defects.mask.any()
    assert defects.record()["regions"] == []
    assert defects.map_stats_roi == {"max": -3.0, "mean": -3.0}


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2)])
def test_tiny_maps_pass_through_every_step(shape: tuple[int, int]) -> None:
    config = DefectsConfig(
        map_smoothing={"method": "median", "ksize": 7},
        open_ksize=1,
        close_ksize=5,
        fill_holes=True,
        dilate_px=3,
        shape_filters={"min_fill_ratio": 0.1, "max_aspect_ratio": 50, "min_solidity": 0.5},
        merge_nearby={"enabled": True, "max_gap_px": 65_535},
        hysteresis={"enabled": True, "low": -5},
    )
    defects = extract_defects_from_anomaly_map(np.full(shape, -1.0), config, pixel_threshold=-2, image_size=(100, 100))
    assert defects.mask.all()
    assert [region.area for region in defects.regions] == [shape[0] * shape[1]]
    assert defects.regions[0].bbox_xyxy_image == (0, 0, 99, 99)


def test_a_large_map_with_many_regions_is_quick() -> None:
    values = np.zeros((1000, 1000), np.float32)
    values[::5, ::5] = 1 + np.arange(40_000).reshape(200, 200) / 40_000
    values[1::5, 1::5] = 1
    config = DefectsConfig(min_area=2, shape_filters={"min_solidity": 0.5}, merge_nearby={"enabled": True, "max_gap_px": 2})
    started = time.process_time()
    regions = extract_defects_from_anomaly_map(values, config, pixel_threshold=0.5).regions
    seconds = time.process_time() - started
    assert [region.area for region in regions] == [2] * 40_000
    assert seconds < 8  # a pass over the map for each region takes longer for the areas alone


# The map and the thresholds


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.full((3, 3), np.nan), "NaN or infinite"),
        (np.array([[0.0, np.inf]]), "NaN or infinite"),
        (np.array([[1e300]]), "beyond float32"),
        (np.zeros(5), r"got shape \(5,\)"),
        (np.zeros((2, 3, 1)), r"got shape \(2, 3, 1\)"),
        (np.zeros((0, 4)), "not empty"),
        (np.array([["a"]]), "array of numbers"),
        (object(), "array of numbers, got object"),
    ],
)
def test_what_is_no_map_is_refused(values: Any, words: str) -> None:
    with pytest.raises(DetectorError, match=words) as caught:
        extract_defects_from_anomaly_map(values, DefectsConfig(), pixel_threshold=1)
    assert caught.value.next_step


def test_lists_integers_and_doubles_are_maps() -> None:
    for values in ([[0, 9]], np.array([[0, 9]], np.uint8), np.array([[False, True]]) * 9, np.array([[0.0, 9.0]])):
        assert extract_defects_from_anomaly_map(values, DefectsConfig(), pixel_threshold=5).regions[0].score_max == 9.0


def test_the_map_that_was_given_is_left_as_it_was() -> None:
    values = np.random.default_rng(0).normal(size=(20, 20)).astype(np.float32)
    before = values.copy()
    config = DefectsConfig(border_ignore_px=2, map_smoothing={"method": "median", "ksize": 3}, dilate_px=1)
    extract_defects_from_anomaly_map(values, config, pixel_threshold=0)
    extract_defects_from_anomaly_map(values, DefectsConfig(), pixel_threshold=0)
    assert np.array_equal(values, before)


def test_a_missing_threshold_is_an_error_that_names_its_three_sources() -> None:
    with pytest.raises(OptionsError) as caught:
        extract_defects_from_anomaly_map(np.zeros((2, 2)), DefectsConfig())
    for words in ("--pixel-threshold", "defects.pixel_threshold", "calibrates"):
        assert words in str(caught.value)


def test_a_threshold_that_is_passed_goes_before_that_of_the_config() -> None:
    config = DefectsConfig(pixel_threshold=5)
    values = drawn("369")
    assert extract_defects_from_anomaly_map(values, config).pixel_threshold == 5
    passed = extract_defects_from_anomaly_map(values, config, pixel_threshold=8)
    assert (passed.pixel_threshold, passed.mask.tolist()) == (8, [[0, 0, 255]])


@pytest.mark.parametrize("threshold", [float("nan"), float("inf")])
def test_a_threshold_that_is_no_number_is_refused(threshold: float) -> None:
    with pytest.raises(OptionsError, match="finite"):
        extract_defects_from_anomaly_map(np.zeros((2, 2)), DefectsConfig(), pixel_threshold=threshold)


def test_a_threshold_beyond_float32_is_compared_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    assert found(drawn("#"), 1e300) == ["."]
    assert found(drawn("#"), -1e300) == ["#"]
    assert not recwarn.list


def test_thresholds_are_exceeded_and_compared_as_the_metrics_do() -> None:
    values = np.array([[0.1, 0.2]], np.float32)
    assert found(values, 0.1) == [".#"]
    assert (values > 0.1).tolist() == [[False, True]]


def test_an_image_without_pixels_is_refused() -> None:
    with pytest.raises(OptionsError, match=r"image_size must be \(height, width\)"):
        extract_defects_from_anomaly_map(drawn("#"), DefectsConfig(), pixel_threshold=5, image_size=(0, 4))


# Every setting: off by default, and what it does when it is on

ON: dict[str, tuple[str, dict[str, Any], str]] = {
    "border_ignore_px": ("### ### ###", {"border_ignore_px": 1}, "... .#. ..."),
    "roi_xyxy_norm": ("#### ####", {"roi_xyxy_norm": (0.25, 0.5, 0.75, 1)}, ".... .##."),
    "roi_polygons_norm": (
        "#### ####",
        {"roi_polygons_norm": [[(0, 0), (0.25, 0), (0.25, 1), (0, 1)], [(0.5, 0), (1, 0), (1, 0.5), (0.5, 0.5)]]},
        "#.## #...",
    ),
    "map_smoothing.method": (
        "..... .###. .#.#. .###.",
        {"map_smoothing": {"method": "median", "ksize": 3}},
        "..... ..#.. .###. ..#..",
    ),
    "map_smoothing.ksize": (".....#.....", {"map_smoothing": {"method": "box", "ksize": 5}}, "..........."),
    "map_smoothing.sigma": (".#.#.", {"map_smoothing": {"method": "gaussian", "sigma": 3}}, "....."),
    "hysteresis.enabled": ("433#334.44", {"hysteresis": {"enabled": True, "low": 2}}, "#######..."),
    "hysteresis.low": ("433#334.44", {"hysteresis": {"enabled": True, "low": 3}}, "...#......"),
    "hysteresis.high": ("6#6.66", {"hysteresis": {"enabled": True, "low": 5, "high": 7}}, "###..."),
    "open_ksize": ("#.###. ..###. ..####", {"open_ksize": 3}, "..###. ..###. ..###."),
    "close_ksize": ("..##.##.. ..##.##.. ..##.##..", {"close_ksize": 3}, "..#####.. ..#####.. ..#####.."),
    "fill_holes": (".###. .#.#. .###. .#.#.", {"fill_holes": True}, ".###. .###. .###. .#.#."),
    "min_area": ("##.#", {"min_area": 2}, "##.."),
    "shape_filters.min_fill_ratio": ("#...## .#..##", {"shape_filters": {"min_fill_ratio": 0.75}}, "....## ....##"),
    "shape_filters.max_aspect_ratio": ("####.##", {"shape_filters": {"max_aspect_ratio": 2}}, ".....##"),
    "shape_filters.min_solidity": (
        "#...#.## #...#.## #####.##",
        {"shape_filters": {"min_solidity": 0.9}},
        "......## ......## ......##",
    ),
    "min_score_max": ("67.66", {"min_score_max": 7}, "##..."),
    "min_score_mean": ("9666.77", {"min_score_mean": 7}, ".....##"),
    "component_threshold": ("67.66", {"component_threshold": 6}, "##..."),
    "dilate_px": (".... .... ...# ....", {"dilate_px": 1}, ".... ..## ..## ..##"),
}


@pytest.mark.parametrize("name", ON)
def test_a_setting_that_is_on_changes_the_mask_as_described(name: str) -> None:
    text, settings, expected = ON[name]
    assert found(drawn(text)) == ["".join("#" if c in "#6789" else "." for c in row) for row in text.split()]
    assert found(drawn(text), **settings) == expected.split()


def test_every_setting_has_an_example_here() -> None:
    elsewhere = {
        "pixel_threshold",
        "merge_nearby.enabled",
        "merge_nearby.max_gap_px",
        "max_regions",
        "max_regions_sort_by",
        "mask_format",
    }
    names = set()
    for name, field in DefectsConfig.model_fields.items():
        inner = getattr(field.annotation, "model_fields", None)
        names |= {name} if inner is None else {f"{name}.{key}" for key in inner}
    assert names == set(ON) | elsewhere


def test_merging_lists_fragments_as_one_and_leaves_the_mask() -> None:
    values = drawn("""
        ##...8...........
        ##...8...........
        ................7
        """)
    for gap, expected in ((2, [(4, None), (2, None), (1, None)]), (3, [(6, (1, 2)), (1, None)]), (10, [(7, (1, 2, 3))])):
        settings = {"merge_nearby": {"enabled": True, "max_gap_px": gap}}
        assert [(region.area, region.merged_from_ids) for region in listed(values, **settings)] == expected
        assert found(values, **settings) == found(values)
    (merged,) = listed(values, merge_nearby={"enabled": True, "max_gap_px": 10}, shape_filters={"min_solidity": 0.01})
    assert merged == Region(
        id=1,
        bbox_xyxy=(0, 0, 16, 2),
        area=7,
        centroid_xy=(28 / 7, 5 / 7),
        score_max=10.0,
        score_mean=63 / 7,
        solidity=7 / 18,
        merged_from_ids=(1, 2, 3),
    )
    assert merged.record()["merged_from_ids"] == [1, 2, 3]
    assert merged.fill_ratio == 7 / 51


def test_the_default_gap_merges_boxes_that_touch_or_overlap() -> None:
    values = drawn("""
        #####....
        #........
        #.6...8.7
        #.....8.7
        #####....
        """)
    merged = listed(values, merge_nearby={"enabled": True})
    assert [(region.bbox_xyxy, region.merged_from_ids) for region in merged] == [
        ((0, 0, 4, 4), (1, 4)),
        ((6, 2, 6, 3), None),
        ((8, 2, 8, 3), None),
    ]


def test_merging_is_transitive_but_by_the_boxes_of_the_parts() -> None:
    chain = drawn("#..#..#..#")
    assert [r.merged_from_ids for r in listed(chain, merge_nearby={"enabled": True, "max_gap_px": 2})] == [(1, 2, 3, 4)]
    bars_and_dot = np.zeros((9, 9), np.float32)
    bars_and_dot[0, :4] = bars_and_dot[1:5, 5] = 10
    bars_and_dot[4, 0] = 8  # inside the box of both bars together, far from the box of either
    assert [r.merged_from_ids for r in listed(bars_and_dot, merge_nearby={"enabled": True, "max_gap_px": 1})] == [(1, 2), None]


@pytest.mark.parametrize(("key", "expected"), [("score_max", [9, 8, 7]), ("score_mean", [8, 9, 7]), ("area", [7, 9, 8])])
def test_the_sort_key_decides_which_regions_are_listed(key: str, expected: list[int]) -> None:
    values = drawn("966.8.6777")
    assert [region.score_max for region in listed(values, max_regions_sort_by=key)] == expected
    top = listed(values, max_regions_sort_by=key, max_regions=2)
    assert [(region.id, region.score_max) for region in top] == list(enumerate(expected[:2], start=1))
    assert found(values, max_regions_sort_by=key, max_regions=2) == found(values)


def test_ties_are_sorted_by_place() -> None:
    values = drawn("""
        ..#.#
        .....
        #.#..
        """)
    assert [region.bbox_xyxy[:2] for region in listed(values)] == [(2, 0), (4, 0), (0, 2), (2, 2)]


def test_the_setting_of_mask_files_is_in_the_record() -> None:
    for kind in ("png", "npy", "npz"):
        defects = extract_defects_from_anomaly_map(drawn("#"), DefectsConfig(mask_format=kind), pixel_threshold=5)
        assert defects.record()["mask"]["encoding"] == kind


# Known faults


def test_an_ignored_border_of_a_negative_map_is_no_defect() -> None:
    values = np.full((20, 30), -8.0, np.float32)
    values[9:11, 14:16] = -2
    for method in ({"method": "none"}, {"method": "box", "ksize": 5}, {"method": "median", "ksize": 7}):
        regions = listed(values, -7, border_ignore_px=3, map_smoothing=method)
        assert all(region.bbox_xyxy[0] > 10 for region in regions)
        assert not listed(values, -1, border_ignore_px=3, map_smoothing=method)
    assert [region.area for region in listed(values, -7, border_ignore_px=3)] == [4]


def test_a_hot_border_does_not_bleed_into_what_counts() -> None:
    values = np.full((20, 20), -1.0, np.float32)
    values[:2] = values[-2:] = values[:, :2] = values[:, -2:] = 1e6
    for smoothing in ({"method": "box", "ksize": 7}, {"method": "gaussian", "sigma": 3}, {"method": "median", "ksize": 5}):
        judged, valid = prepare_map(values, DefectsConfig(border_ignore_px=2, map_smoothing=smoothing))
        assert valid is not None
        assert (judged[valid] == -1).all()


def test_the_region_of_interest_counts_before_the_filters() -> None:
    values = drawn("#####.##")
    settings = {"roi_xyxy_norm": (0.5, 0, 1, 1)}
    assert found(values, min_area=2, **settings) == ["......##"]
    assert [region.area for region in listed(values, **settings)] == [2, 1]


def test_areas_and_scores_are_filtered_with_filled_holes_and_without_dilation() -> None:
    ring = drawn("""
        ........
        .###....
        .#.#..##
        .###..##
        ........
        """)
    assert [region.area for region in listed(ring, fill_holes=True, min_area=9)] == [9]
    assert [region.area for region in listed(ring, min_area=9, dilate_px=2)] == []
    assert [region.area for region in listed(ring, fill_holes=True, min_score_mean=9)] == [4]
    assert [region.score_mean for region in listed(ring, fill_holes=True)] == [10, 80 / 9]


def test_statistics_are_those_of_the_final_pixels() -> None:
    (region,) = listed(drawn("..... .###. .#.#. .###. ....."), fill_holes=True, dilate_px=1)
    assert (region.area, region.bbox_xyxy, region.score_mean) == (25, (0, 0, 4, 4), 80 / 25)


def test_means_keep_what_single_precision_loses() -> None:
    values = np.ones((3, 200), np.float32)
    values[0, 0] = 1e8
    (region,) = listed(values, 0)
    assert region.score_mean == pytest.approx((1e8 + 599) / 600, rel=1e-14)


@pytest.mark.parametrize("end", [(40, 0), (0, 40), (40, 40), (40, 13), (7, 40), (40, 39)])
def test_lines_of_one_pixel_survive_a_filter_by_solidity(end: tuple[int, int]) -> None:
    values = np.zeros((50, 50), np.uint8)
    cv2.line(values, (3, 4), (3 + end[0], 4 + end[1]), 10, 1)
    (region,) = listed(values, shape_filters={"min_solidity": 1.0})
    assert region.solidity == (None if 0 in end or end[0] == end[1] else 1.0)


@pytest.mark.parametrize("radius", [1, 2, 5, 20])
def test_filled_shapes_have_solidity_one_at_any_size(radius: int) -> None:
    values = np.zeros((50, 50), np.uint8)
    cv2.rectangle(values, (4, 5), (4 + radius, 6 + 2 * radius), 10, -1)
    assert [region.solidity for region in listed(values, shape_filters={"min_solidity": 1.0})] == [1.0]


def test_a_web_is_told_from_a_stain_by_solidity() -> None:
    values = np.zeros((60, 60), np.uint8)
    values[5:45:5, 5:45] = values[5:41, 5:45:5] = 10
    cv2.circle(values, (52, 52), 5, 10, -1)
    assert [region.bbox_xyxy[0] for region in listed(values, shape_filters={"min_solidity": 0.7})] == [47]


@pytest.mark.parametrize("side", [7, 9, 31])
def test_a_median_of_a_large_window_works(side: int) -> None:
    values = np.zeros((40, 40), np.float32)
    values[20, 20] = values[10, 5:15] = 10
    assert not listed(values, map_smoothing={"method": "median", "ksize": side})


def test_low_of_hysteresis_is_halfway_between_normal_pixels_and_high_at_any_offset() -> None:
    for offset in (0.0, -100.0, 1000.0):
        values = drawn("2.55679.555.6") + np.float32(offset)
        config = DefectsConfig(hysteresis={"enabled": True})
        defects = extract_defects_from_anomaly_map(values, config, pixel_threshold=8 + offset, normal_median=offset)
        assert defects.mask[0].tolist() == [255 if 2 <= x <= 6 else 0 for x in range(13)]


def test_hysteresis_without_a_median_says_what_to_do() -> None:
    config = DefectsConfig(hysteresis={"enabled": True})
    with pytest.raises(OptionsError, match="median of held-out normal pixels is not known") as caught:
        extract_defects_from_anomaly_map(drawn("#"), config, pixel_threshold=5)
    assert "hysteresis.low" in caught.value.next_step


@pytest.mark.parametrize("median", [6.0, float("nan")])
def test_hysteresis_refuses_a_median_above_the_threshold(median: float) -> None:
    config = DefectsConfig(hysteresis={"enabled": True})
    with pytest.raises(OptionsError, match="at most its high threshold"):
        extract_defects_from_anomaly_map(drawn("#"), config, pixel_threshold=5, normal_median=median)


def test_hysteresis_refuses_a_low_threshold_above_the_pixel_threshold() -> None:
    config = DefectsConfig(hysteresis={"enabled": True, "low": 6})
    with pytest.raises(OptionsError, match="low <= high, got 6 and 5"):
        extract_defects_from_anomaly_map(drawn("#"), config, pixel_threshold=5)


def test_hysteresis_with_its_own_high_threshold_needs_no_other() -> None:
    on = DefectsConfig(hysteresis={"enabled": True, "low": 2, "high": 7})
    assert extract_defects_from_anomaly_map(drawn("39.3"), on).record()["pixel_threshold"] == 7
    off = DefectsConfig(hysteresis={"enabled": False, "low": 2, "high": 7})
    with pytest.raises(OptionsError, match="no pixel threshold"):
        extract_defects_from_anomaly_map(drawn("39.3"), off)


# Presets


def test_the_industrial_preset_drops_alarms_and_keeps_defects() -> None:
    values = np.random.default_rng(1).normal(0, 0.3, (300, 300)).astype(np.float32)
    values[:2, 100:130] = 9  # the edge
    values[30:33, 20:23] = 9  # a small spot
    values[100:102, 40:42] = 9  # a speck
    for end in (180, 280):  # threads of a web
        values[180:282, end : end + 2] = values[end : end + 2, 180:282] = 9
    values[290:293, 10:200] = 9  # a row of the camera
    cv2.line(values, (60, 20), (190, 60), 9, 3)  # a scratch
    cv2.circle(values, (140, 140), 9, 9, -1)  # a stain
    settings = DEFECTS_PRESETS["industrial-defects-fp40"]
    plain = extract_defects_from_anomaly_map(values, DefectsConfig(), pixel_threshold=4)
    clean = extract_defects_from_anomaly_map(values, settings, pixel_threshold=4, normal_median=0.0)
    assert len(plain.regions) == 7
    kept = sorted(region.bbox_xyxy for region in clean.regions)
    assert len(kept) == 2
    assert kept[0] == pytest.approx((59, 19, 191, 61), abs=2)
    assert kept[1] == pytest.approx((131, 131, 149, 149), abs=2)
    for off in ("shape_filters", "min_area", "border_ignore_px"):
        weaker = settings.model_copy(update={off: DefectsConfig.model_fields[off].default})
        more = extract_defects_from_anomaly_map(values, weaker, pixel_threshold=4, normal_median=0.0)
        assert len(more.regions) > 2, off


def test_a_preset_cannot_be_changed_by_accident() -> None:
    with pytest.raises(TypeError):
        DEFECTS_PRESETS["mine"] = DefectsConfig()  # type: ignore[index]
