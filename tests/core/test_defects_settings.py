"""The settings of the defects chain: keys, flags, bounds, and the sentences by which contradictions are refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pyimgano.defects.config import DefectsConfig
from pyimgano.defects.presets import DEFECTS_PRESETS
from pyimgano.errors import OptionsError
from pyimgano.options import parse


def leaves(model: type[BaseModel] = DefectsConfig, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield every field that is no block, with its place."""
    for name, field in model.model_fields.items():
        inner: Any = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from leaves(inner, f"{prefix}{name}.")
        else:
            yield prefix + name, field


FLAGS = {
    "pixel_threshold": "--pixel-threshold",
    "border_ignore_px": "--defect-border-ignore-px",
    "roi_xyxy_norm": "--defect-roi-xyxy-norm",
    "roi_polygons_norm": "--defect-roi-polygons-norm",
    "map_smoothing.method": "--defect-map-smoothing",
    "map_smoothing.ksize": "--defect-map-smoothing-ksize",
    "map_smoothing.sigma": "--defect-map-smoothing-sigma",
    "hysteresis.enabled": "--defect-hysteresis",
    "hysteresis.low": "--defect-hysteresis-low",
    "hysteresis.high": "--defect-hysteresis-high",
    "open_ksize": "--defect-open-ksize",
    "close_ksize": "--defect-close-ksize",
    "fill_holes": "--defect-fill-holes",
    "min_area": "--defect-min-area",
    "shape_filters.min_fill_ratio": "--defect-min-fill-ratio",
    "shape_filters.max_aspect_ratio": "--defect-max-aspect-ratio",
    "shape_filters.min_solidity": "--defect-min-solidity",
    "min_score_max": "--defect-min-score-max",
    "min_score_mean": "--defect-min-score-mean",
    "component_threshold": "--defect-component-threshold",
    "dilate_px": "--defect-dilate-px",
    "merge_nearby.enabled": "--defect-merge-nearby",
    "merge_nearby.max_gap_px": "--defect-merge-nearby-max-gap-px",
    "max_regions": "--defect-max-regions",
    "max_regions_sort_by": "--defect-max-regions-sort-by",
    "mask_format": "--mask-format",
}


def test_every_key_has_its_flag() -> None:
    flags = {place: field.json_schema_extra["flag"] for place, field in leaves() if isinstance(field.json_schema_extra, dict)}
    assert flags == FLAGS
    assert len(set(flags.values())) == len(flags)


def test_every_key_is_described_in_sentences() -> None:
    for place, field in leaves():
        assert field.description, place
        assert field.description[0].isupper(), place
        assert field.description.endswith("."), place


def test_the_settings_survive_json_and_carry_their_flags_in_the_schema() -> None:
    config = DEFECTS_PRESETS["industrial-defects-fp40"].model_copy(update={"roi_polygons_norm": (((0, 0), (1, 0), (1, 1)),)})
    assert DefectsConfig.model_validate(json.loads(config.model_dump_json())) == config
    assert DefectsConfig.model_json_schema()["properties"]["min_area"]["flag"] == "--defect-min-area"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"map_smoothing": {"method": "median"}}, "median needs ksize, an odd number of at least 3"),
        ({"map_smoothing": {"method": "box", "ksize": 1}}, "box needs ksize"),
        ({"map_smoothing": {"method": "median", "ksize": 4}}, "map_smoothing.ksize: must be odd"),
        ({"map_smoothing": {"method": "median", "ksize": 33}}, "use gaussian or box"),
        ({"map_smoothing": {"method": "box", "ksize": 3, "sigma": 1}}, "sigma is of gaussian"),
        ({"map_smoothing": {"method": "gaussian"}}, "gaussian needs sigma, or ksize"),
        ({"map_smoothing": {"method": "gaussian", "ksize": 1, "sigma": 2}}, "gaussian needs sigma, or ksize"),
        ({"map_smoothing": {"method": "gaussian", "sigma": 101}}, "sigma: must be at most 100"),
        ({"map_smoothing": {"method": "bilateral"}}, "must be 'none', 'median', 'gaussian' or 'box'"),
        ({"map_smoothing": {"size": 3}}, "map_smoothing.size: unknown option"),
        ({"hysteresis": {"low": 2, "high": 1}}, "low must not be above high, got 2 and 1"),
        ({"hysteresis": {"low": float("nan")}}, "hysteresis.low"),
        ({"shape_filters": {"max_aspect_ratio": 0.5}}, "at least 1; 0 allows any"),
        ({"shape_filters": {"min_solidity": 1.5}}, "min_solidity: must be at most 1"),
        ({"shape_filters": {"min_fill_ratio": -1}}, "min_fill_ratio: must be at least 0"),
        ({"merge_nearby": {"max_gap_px": -1}}, "max_gap_px: must be at least 0"),
        ({"roi_xyxy_norm": (0.5, 0, 0.5, 1)}, "left < right and top < bottom"),
        ({"roi_xyxy_norm": (0, 0.9, 1, 0.5)}, "left < right and top < bottom"),
        ({"roi_xyxy_norm": (0, 0, 1, 640)}, "roi_xyxy_norm.3: must be at most 1"),
        ({"roi_polygons_norm": [[(0, 0), (1, 1)]]}, "at least 3 items"),
        ({"roi_polygons_norm": [[(0, 0), (1, 1), (0, 2)]]}, "must be at most 1"),
        ({"open_ksize": 4}, "open_ksize: must be odd"),
        ({"close_ksize": 101}, "close_ksize: must be at most 99"),
        ({"dilate_px": 50}, "dilate_px: must be at most 49"),
        ({"min_area": -1}, "min_area: must be at least 0"),
        ({"border_ignore_px": -1}, "border_ignore_px: must be at least 0"),
        ({"max_regions": -1}, "max_regions: must be at least 0"),
        ({"max_regions_sort_by": "size"}, "must be 'score_max', 'score_mean' or 'area'"),
        ({"mask_format": "bmp"}, "must be 'png', 'npy' or 'npz'"),
        ({"pixel_threshold": float("inf")}, "pixel_threshold"),
        ({"min_ara": 3}, "did you mean min_area"),
    ],
)
def test_contradictions_are_refused_in_words(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionsError) as caught:
        parse(DefectsConfig, settings, "defects")
    assert words in str(caught.value)
    assert str(caught.value).startswith("defects")


@pytest.mark.parametrize(
    "settings",
    [
        {"map_smoothing": {"method": "none", "ksize": 5, "sigma": 2}},
        {"hysteresis": {"enabled": False, "low": 1, "high": 2}},
        {"merge_nearby": {"enabled": False, "max_gap_px": 4}},
        {"hysteresis": {"enabled": True, "low": 1, "high": 1}},
    ],
)
def test_a_block_that_is_switched_off_keeps_its_values(settings: dict[str, Any]) -> None:
    kept = parse(DefectsConfig, settings, "defects").model_dump()
    for block, values in settings.items():
        assert values.items() <= kept[block].items()


def test_the_settings_are_read_without_numpy_and_opencv() -> None:
    code = "import sys, pyimgano.defects.presets; print([m for m in ('numpy', 'cv2', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
