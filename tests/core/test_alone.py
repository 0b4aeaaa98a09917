"""Core where nothing else is installed: no heavy module is there, and the whole job runs on core's own detector."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pyimgano.metrics.image import roc_auc

alone = pytest.mark.skipif(os.environ.get("PYIMGANO_TEST_ALONE") != "core", reason="PYIMGANO_TEST_ALONE is not 'core'")


@alone
@pytest.mark.parametrize("module", ["torch", "torchvision", "timm", "faiss", "sklearn", "scipy", "pyimgano_patchknn"])
def test_heavy_modules_are_absent(module: str) -> None:
    assert importlib.util.find_spec(module) is None


@alone
def test_every_plugin_that_is_not_there_is_named_with_its_command(cli: Callable) -> None:
    done = cli("list-plugins", "--strict")
    assert done.code == 0
    assert "not-installed  4 detectors" in done.out
    assert re.search(r"fix   .* install .*pyimgano-models-patchknn\n", done.out)


@alone
def test_using_a_plugin_that_is_not_there_names_its_command(cli: Callable, surface_root: Path, tmp_path: Path) -> None:
    done = cli("train", "--root", surface_root, "--model", "vision_patchcore", "--output", tmp_path / "run")
    assert done.code == 2
    assert "provided by pyimgano-models-patchknn, which is not installed" in done.err
    assert re.search(r"Next:  .* install .*pyimgano-models-patchknn\n", done.err)


def test_the_whole_job_runs_on_cores_own_detector(cli: Callable, surface_root: Path, tmp_path: Path) -> None:
    out, results = tmp_path / "out", tmp_path / "r.jsonl"
    trained = cli("train", "--root", surface_root, "--model", "vision_filterbank", "--export-deploy-bundle", out)
    assert trained.code == 0, trained.err
    inferred = cli("infer", "--bundle", out, "--input", surface_root / "test", "--save-jsonl", results)
    assert inferred.code == 0, inferred.err
    records = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    labels = np.array(["/good/" not in record["input"] for record in records])
    assert roc_auc(labels, np.array([record["score"] for record in records])) == 1.0


def test_the_demo_runs_on_synthetic_surfaces(cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    done = cli("demo", "--dataset", "surface", "--model", "vision_filterbank", "--output", tmp_path / "demo")
    assert done.code == 0, done.err
    for line in ("image AUROC", "precision at that threshold", "recall at that threshold", "false-alarm rate"):
        assert line in done.out
    assert len(list((tmp_path / "demo" / "overlays").glob("*.jpg"))) == 25
