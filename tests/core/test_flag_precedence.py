"""Every setting of the defects chain: its default, a config over that, and the line over both, be it zero, none or off."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage
from test_defects_settings import FLAGS, leaves

from pyimgano.calibration import PixelThreshold
from pyimgano.cli.app import main
from pyimgano.defects.config import DefectsConfig
from pyimgano.defects.extract import extract_defects_from_anomaly_map
from pyimgano.options import parse

Settings = Mapping[str, Any]

CALIBRATED = PixelThreshold(value=5.0, method="normal_pixel_quantile", q=0.999, normal_median=1.0)


@dataclass(frozen=True)
class Case:
    """A value in a config, words on the line that set another one, and words that set zero, none or the like.

    Attributes
    ----------
    configured
        The value in the config.
    other, words
        Another value, and what sets it behind the flag.
    zero, zero_words
        The value that switches it off, and what sets that behind the flag; None where that is a flag of its own, ``--no-...``.
    beside
        What else the config must say for the setting to matter.
    """

    configured: Any
    other: Any
    words: tuple[object, ...]
    zero: Any
    zero_words: tuple[object, ...] | None
    beside: Settings = field(default_factory=dict)


def number(configured: float, other: float, zero: float | None = 0, **beside: Any) -> Case:
    return Case(configured, other, (other,), zero, ("none" if zero is None else zero,), beside)


def word(configured: str, other: str, zero: str, **beside: Any) -> Case:
    return Case(configured, other, (other,), zero, (zero,), beside)


def switch(**beside: Any) -> Case:
    return Case(True, True, (), False, None, beside)


LEFT, RIGHT, ALL = (0.0, 0.0, 0.4, 1.0), (0.5, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0)
TRIANGLE, SQUARE = [(0.0, 0.0), (0.5, 0.0), (0.0, 1.0)], [(0.5, 0.5), (1.0, 0.5), (1.0, 1.0), (0.5, 1.0)]
GAUSSIAN = {"method": "gaussian", "ksize": 7, "sigma": 1.0}
CASES = {
    "pixel_threshold": number(6.0, 0.0, None),
    "border_ignore_px": number(3, 9),
    "roi_xyxy_norm": Case(LEFT, RIGHT, RIGHT, ALL, ALL),
    "roi_polygons_norm": Case([TRIANGLE], [SQUARE], (json.dumps([SQUARE]),), [], ("[]",)),
    "map_smoothing.method": word("median", "box", "none", map_smoothing={"ksize": 5}),
    "map_smoothing.ksize": number(3, 9, map_smoothing=GAUSSIAN),
    "map_smoothing.sigma": number(0.5, 3.0, map_smoothing=GAUSSIAN),
    "hysteresis.enabled": switch(),
    "hysteresis.low": number(1.5, 0.0, None, hysteresis={"enabled": True}),
    "hysteresis.high": number(7.0, 9.0, None, hysteresis={"enabled": True}),
    "open_ksize": number(3, 7),
    "close_ksize": number(5, 15),
    "fill_holes": switch(),
    "min_area": number(4, 20),
    "shape_filters.min_fill_ratio": number(0.7, 0.9),
    "shape_filters.max_aspect_ratio": number(3.0, 1.5),
    "shape_filters.min_solidity": number(0.8, 0.95),
    "min_score_max": number(6.0, 8.0, None),
    "min_score_mean": number(6.0, 7.0, None),
    "component_threshold": number(6.5, 8.5, None),
    "dilate_px": number(1, 3),
    "merge_nearby.enabled": switch(merge_nearby={"max_gap_px": 2}),
    "merge_nearby.max_gap_px": number(2, 6, merge_nearby={"enabled": True}),
    "max_regions": number(2, 4),
    "max_regions_sort_by": word("area", "score_mean", "score_max"),
    "mask_format": word("npy", "npz", "png"),
}


def rich_map() -> np.ndarray:
    """Return a map on which every setting makes a difference: blobs, specks, a ring and a line, of several heights."""
    values = np.random.default_rng(3).normal(2, 1.0, (48, 64)).astype(np.float32)
    spots = [(10, 10, 4), (30, 12, 6), (50, 35, 5), (20, 36, 3), (29, 36, 2), (2, 25, 3)]
    for place, (x, y, radius) in enumerate(spots):
        cv2.circle(values, (x, y), radius, 5.6 + 0.7 * place, -1)
    cv2.circle(values, (44, 14), 5, 7.4, 1)
    cv2.line(values, (6, 45), (40, 45), 8.2, 1)
    return values


PLUGIN = """
import os

import numpy as np

from pyimgano import AnomalyMap, Detector, ImageScore, hookimpl
from pyimgano.specs import DetectorSpec


@hookimpl
def register_detectors():
    return [DetectorSpec(name="acme_saved", summary="One map for every image", factory="acme_saved:Saved")]


class Saved(Detector):
    def _fit(self, images):
        pass

    def _score(self, images):
        values = np.load(os.environ["ACME_MAP"])
        return [ImageScore(1.0, AnomalyMap(values, image.shape[:2])) for image in images]

    def state(self):
        return {}

    def load_state(self, arrays):
        self.mark_fitted()
"""


@pytest.fixture(scope="module")
def trained(surface_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a plugin whose detector knows one map, that map, an image, and a run that was trained."""
    folder = tmp_path_factory.mktemp("saved")
    np.save(folder / "map.npy", rich_map())
    (folder / "acme_saved.py").write_text(PLUGIN, encoding="utf-8")
    PillowImage.new("RGB", (64, 48)).save(folder / "part.png")
    line = ["--plugin", folder / "acme_saved.py", "train", "--root", surface_root, "--model", "acme_saved"]
    original = dict(os.environ)
    os.environ["ACME_MAP"] = str(folder / "map.npy")
    with pytest.raises(SystemExit) as stopped:
        main([*map(str, line), "--output", str(folder / "run")])
    os.environ.clear()
    os.environ.update(original)
    assert not stopped.value.code
    return folder


@pytest.fixture(params=["infer", "defects"])
def record(
    request: pytest.FixtureRequest, cli: Callable, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    """Run a command with a config that holds some settings and with some words, and return its block of defects."""
    monkeypatch.setenv("ACME_MAP", str(trained / "map.npy"))
    path = trained / "run" / "infer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    calibrated = {"pixel_threshold": CALIBRATED.value, "pixel_threshold_provenance": CALIBRATED.model_dump(mode="json")}
    line = {
        "infer": ["--plugin", trained / "acme_saved.py", "infer", "--defects", "--input", trained / "part.png"],
        "defects": ["defects", trained / "map.npy"],
    }[request.param]

    def run(settings: Settings, *words: object) -> dict[str, Any]:
        path.write_text(json.dumps({**config, "defects": {**calibrated, **settings}}), encoding="utf-8")
        done = cli(*line, "--infer-config", path, *words)
        assert done.code == 0, done.err
        found: dict[str, Any] = json.loads(done.out)["defects"]
        return found

    return run


def effective(settings: Settings) -> dict[str, Any]:
    """Return the block of defects that settings must lead to, but for where the threshold comes from."""
    config = parse(DefectsConfig, settings, "defects")
    threshold = CALIBRATED.value if config.pixel_threshold is None else config.pixel_threshold
    defects = extract_defects_from_anomaly_map(rich_map(), config, pixel_threshold=threshold, normal_median=1.0)
    found: dict[str, Any] = json.loads(json.dumps(defects.record()))
    return found


def joined(settings: Settings, place: str, value: Any) -> dict[str, Any]:
    """Return settings with the one at ``block.name`` or ``name`` set to a value."""
    block, _, name = place.rpartition(".")
    return {**settings, block: {**settings.get(block, {}), name: value}} if block else {**settings, name: value}


def test_every_setting_has_a_case_here() -> None:
    assert set(CASES) == {place for place, _ in leaves()}


@pytest.mark.parametrize("place", CASES)
def test_the_line_goes_before_the_config_and_the_config_before_the_default(record: Callable, place: str) -> None:
    case, flag = CASES[place], FLAGS[place]
    off = (f"--no-{flag.removeprefix('--')}",) if case.zero_words is None else (flag, *case.zero_words)
    in_config, zero = joined(case.beside, place, case.configured), joined(case.beside, place, case.zero)
    other = joined(case.beside, place, case.other)
    expected = [effective(settings) for settings in (case.beside, in_config, other, zero)]
    assert expected[1] not in (expected[0], expected[3]), "the case shows nothing"
    found = [
        record(case.beside),
        record(in_config),
        record(zero if case.zero_words is None else in_config, flag, *case.words),
        record(in_config, *off),
    ]
    sources = [block.pop("pixel_threshold_provenance")["source"] for block in found]
    assert found == expected
    by_hand = ["calibration", "infer_config", "explicit", "calibration"]
    assert sources == (by_hand if place == "pixel_threshold" else ["calibration"] * 4)


def test_a_config_that_unsets_the_pixel_threshold_means_the_calibrated_one_as_the_line_does(record: Callable) -> None:
    assert record({"pixel_threshold": None}) == record({}) == record({"pixel_threshold": 9.0}, "--pixel-threshold", "none")


def test_all_flags_together_go_before_all_settings_of_a_config(record: Callable) -> None:
    configured: dict[str, Any] = {}
    words: list[object] = []
    for place, case in CASES.items():
        value = "gaussian" if place == "map_smoothing.method" else case.configured
        configured = joined(configured, place, value)
        flag = FLAGS[place]
        words += [f"--no-{flag.removeprefix('--')}"] if case.zero_words is None else [flag, *case.zero_words]
    found = record(configured)
    found.pop("pixel_threshold_provenance")
    assert found == effective(configured)
    assert record(configured, *words) == record({})


def test_a_preset_goes_before_the_config_and_the_line_before_the_preset(record: Callable) -> None:
    preset = ["--defects-preset", "industrial-defects-fp40"]
    assert record({"min_area": 2}, *preset) == record({}, *preset) != record({"min_area": 2})
    assert record({"min_area": 2}, *preset, "--defect-min-area", 0) == record({}, *preset, "--defect-min-area", 0)
    assert record({}, *preset, "--defect-min-area", 0) != record({}, *preset)
