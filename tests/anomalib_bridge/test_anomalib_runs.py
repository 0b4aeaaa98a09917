"""The bridge's detectors where every other goes: benchmark, robustness run, tiles, bundle, command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bridge_models import DFM, PADIM, PATCHCORE, STFPM, TINY, fitted, needs_anomalib, needs_lite0

from pyimgano import infer_iter
from pyimgano.contracts import DatasetSplit, Runtime
from pyimgano.pipeline import Pipeline
from pyimgano.tiling import TilingOptions
from pyimgano.workbench.bundle import Bundle
from pyimgano.workbench.layers import resolve
from pyimgano.workbench.training import run_training

pytestmark = [needs_anomalib, needs_lite0]


def options_of(name: str) -> list[str]:
    """Return the options of a small model as the command line takes them."""
    return [part for key, value in TINY[name].items() for part in ("-o", f"{key}={json.dumps(value)}")]


@pytest.mark.parametrize("name", [PADIM, STFPM])
def test_it_runs_in_the_benchmark(name: str, cli: Callable, surface_root: Path, tmp_path: Path) -> None:
    line = ["benchmark", "--dataset", "folder", "--root", surface_root, "--model", name, *options_of(name)]
    done = cli(*line, "--device", "cpu", "--output", tmp_path / "report.json")
    assert done.code == 0, done.err
    results = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["results"]
    assert 0.5 < results["auroc"] <= 1
    assert results["pixel_metrics"]["aupro"] is not None


def test_it_runs_in_the_robustness_benchmark(surface_split: DatasetSplit) -> None:
    robustness = pytest.importorskip("pyimgano_robustness")
    from pyimgano import create_model

    detector = create_model(PADIM, device="cpu", **TINY[PADIM])
    report = robustness.run_robustness_benchmark(detector, surface_split, corruptions=["blur"], severities=[5])
    clean = report["robustness"]["clean"]["results"]
    assert clean["auroc"] > 0.7
    assert report["robustness"]["corruptions"]["blur"]["severity_5"]["results"]["auroc"] is not None


def test_it_looks_at_tiles(surface_split: DatasetSplit) -> None:
    tiling = TilingOptions(tile_size=64, stride=32)
    pipeline = Pipeline.create(DFM, TINY[DFM], Runtime(device="cpu"), tiling=tiling)
    pipeline.fit([sample.path for sample in surface_split.train[:6]])
    defective = next(sample for sample in surface_split.test if sample.label == 1)
    (scored,) = pipeline.score([defective.path])
    assert scored.result.anomaly_map.render().shape == scored.image.shape[:2]
    assert np.isfinite(scored.result.score)


@pytest.mark.parametrize("name", [PADIM, STFPM])
def test_a_bundle_judges_as_the_training_did_and_holds_no_pickle(name: str, surface_root: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "dataset": {"root": surface_root},
        "model": {"name": name, "options": TINY[name], "device": "cpu", "batch_size": 8},
        "calibration": {"false_alarm_rate": 0.2},
        "output": {"deploy_bundle": tmp_path / "parts.bundle"},
    }
    run = run_training(resolve(settings, recipe="industrial-adapt-fp40"))
    files = {path.name for path in (tmp_path / "parts.bundle").iterdir()}
    assert {path.rpartition(".")[2] for path in files} <= {"json", "safetensors", "sha256", "html"}
    images = [str(path) for path in sorted((surface_root / "test").rglob("*.png"))]
    bundle = Bundle.load(tmp_path / "parts.bundle")
    there = bundle.pipeline(Runtime(device="cpu", batch_size=8))
    for here, again in zip(infer_iter(run.pipeline, images), infer_iter(there, images), strict=True):
        assert (again.score, again.label) == (here.score, here.label)
        np.testing.assert_array_equal(again.anomaly_map.render(), here.anomaly_map.render())
    assert bundle.config.model.weights["licence"] == "Apache-2.0"
    assert str(tmp_path) not in (tmp_path / "parts.bundle" / "infer_config.json").read_text(encoding="utf-8")


def test_a_mistyped_argument_is_two_lines_on_the_command_line(cli: Callable, surface_root: Path) -> None:
    arguments = json.dumps({"backbon": "resnet18"})
    line = ["benchmark", "--dataset", "folder", "--root", surface_root, "--model", PADIM, "-o", f"arguments={arguments}"]
    done = cli(*line, "--device", "cpu")
    assert done.code == 2
    assert "did you mean backbone?" in done.err
    assert "Traceback" not in done.err


def test_training_writes_no_progress_bars_into_a_log(capfd: pytest.CaptureFixture[str]) -> None:
    fitted(PATCHCORE)
    assert capfd.readouterr().err == ""
