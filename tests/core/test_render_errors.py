"""A step that fails when a map is rendered, long after the image was scored: it costs that image alone, or names it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PillowImage

BRITTLE = """
import numpy as np

from pyimgano import AnomalyMap, Detector, ImageScore, Postprocessor, hookimpl
from pyimgano.specs import DetectorSpec, PostprocessorSpec


@hookimpl
def register_detectors():
    return [DetectorSpec(name="grey", summary="the grey value", factory="brittle_plugin:Grey")]


@hookimpl
def register_postprocessors():
    return [PostprocessorSpec(name="brittle", summary="breaks on 200", factory="brittle_plugin:Brittle")]


class Grey(Detector):
    def _fit(self, images):
        pass

    def _score(self, images):
        greys = [float(image[0, 0, 0]) for image in images]
        return [ImageScore(grey, AnomalyMap(np.full((2, 2), grey, np.float32), (16, 16))) for grey in greys]

    def state(self):
        return {"nothing": np.zeros(1)}

    def load_state(self, arrays):
        self.mark_fitted()


class Brittle(Postprocessor):
    def apply(self, result):
        return ImageScore(result.score, result.anomaly_map.then(self.change))

    def change(self, values):
        if values.max() == 200:
            raise RuntimeError("too bright")
        return values
"""
PROBLEM = "brittle-plugin:brittle failed: RuntimeError: too bright"
GREYS = (10, 200, 90, 200, 11)


@pytest.fixture
def line(cli: Callable, distribution: Callable, tmp_path: Path) -> list[object]:
    """Give a line that infers 5 images, of which the second and the fourth cannot be rendered."""
    distribution("brittle-plugin", BRITTLE)
    for folder, greys in (("parts/train/good", range(10, 20)), ("line", GREYS)):
        (tmp_path / folder).mkdir(parents=True)
        for number, grey in enumerate(greys):
            PillowImage.new("L", (16, 16), grey).save(tmp_path / folder / f"{number}.png")
    train = ["train", "--root", tmp_path / "parts", "--model", "grey", "--postprocess", "brittle"]
    done = cli(*train, "--export-deploy-bundle", tmp_path / "bundle")
    assert done.code == 0, done.err
    return ["infer", "--bundle", tmp_path / "bundle", "--input", tmp_path / "line", "--save-jsonl", tmp_path / "r.jsonl"]


def records(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in (tmp_path / "r.jsonl").read_text().splitlines()]


OUTPUTS = {
    "maps": ["--save-maps", "m"],
    "overlays": ["--save-overlays", "o"],
    "defects": ["--defects"],
    "values": ["--include-anomaly-map-values"],
    "all": ["--save-maps", "m", "--save-overlays", "o", "--save-masks", "k", "--contact-sheet", "s.html"],
}


@pytest.mark.parametrize("outputs", OUTPUTS)
def test_it_is_an_error_record_and_the_run_goes_on(
    cli: Callable, line: list[object], tmp_path: Path, outputs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli(*line, *OUTPUTS[outputs], "--continue-on-error")
    assert done.code == 1
    assert done.out == "5 images, 1 called defective; records in " + str(tmp_path / "r.jsonl") + "\n"
    assert "2 of 5 images could not be scored" in done.err
    found = records(tmp_path)
    assert [record.get("score") for record in found] == [10, None, 90, None, 11]
    for number in (1, 3):
        image = tmp_path / "line" / f"{number}.png"
        assert f"ERROR: {image}: {PROBLEM}\n" in done.err
        error = found[number]["error"]
        assert (found[number]["status"], error["type"], error["stage"]) == ("error", "MapError", "render")
        assert error["message"].startswith(f"{image}: {PROBLEM}")
        assert found[number]["bundle"]
        assert "label" not in found[number]
    for folder in ("m", "o", "k"):
        names = {path.stem for path in (tmp_path / folder).glob("*")}
        assert names in (set(), {"000000_0", "000002_2", "000004_4"})


def test_without_the_flag_it_ends_the_run_and_names_the_image_and_the_step(
    cli: Callable, line: list[object], tmp_path: Path
) -> None:
    done = cli(*line, "--save-maps", tmp_path / "m")
    assert done.code == 2
    assert f"Error: {tmp_path / 'line' / '1.png'}: {PROBLEM}\nNext:  " in done.err
    assert [record["index"] for record in records(tmp_path)] == [0]


def test_where_no_map_is_asked_for_none_is_rendered(cli: Callable, line: list[object], tmp_path: Path) -> None:
    assert cli(*line).code == 0
    assert [record["score"] for record in records(tmp_path)] == list(GREYS)


def test_only_the_sheet_goes_without_it_where_nothing_else_needs_the_map(
    cli: Callable, line: list[object], tmp_path: Path
) -> None:
    done = cli(*line, "--contact-sheet", tmp_path / "s.html", "--continue-on-error")
    assert done.code == 0
    assert done.err.count("the contact sheet goes without it") == 2
    assert (tmp_path / "s.html").read_text().count("<li>") == 3
    done = cli(*line[:-2], "--contact-sheet", tmp_path / "t.html")
    assert done.code == 2
    assert f"Error: {tmp_path / 'line' / '1.png'}: {PROBLEM}" in done.err


def test_such_errors_count_towards_the_most_that_are_allowed(cli: Callable, line: list[object], tmp_path: Path) -> None:
    done = cli(*line, "--include-anomaly-map-values", "--max-errors", 1)
    assert done.code == 1
    assert "stopped because 1 images could not be scored" in done.err
    assert len(records(tmp_path)) == 2


def test_a_resumed_run_tries_again(cli: Callable, line: list[object], tmp_path: Path) -> None:
    assert cli(*line, "--defects", "--continue-on-error").code == 1
    PillowImage.new("L", (16, 16), 12).save(tmp_path / "line" / "1.png")
    done = cli(*line, "--defects", "--continue-on-error", "--resume")
    assert done.code == 1
    assert [record.get("score") for record in records(tmp_path)] == [10, 12, 90, None, 11]
