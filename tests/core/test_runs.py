"""Runs that are there: listed, compared, and refused by a gate when a metric has become worse than it may."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyimgano import run_training
from pyimgano.workbench.layers import resolve
from pyimgano.workbench.regression import Row


def train(root: Path, folder: Path, **more: Any) -> None:
    config = {"dataset": {"root": root}, "model": {"name": "vision_filterbank", "options": {"resize": [48, 64]}}}
    run_training(resolve({**config, "output": {"run": folder}}, more))


@pytest.fixture(scope="module")
def made(surface_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with two trainings, ``a`` and ``b``. Read-only."""
    folder = tmp_path_factory.mktemp("runs")
    train(surface_root, folder / "a")
    train(surface_root, folder / "b", seed=1, calibration={"pixel_normal_quantile": 0.99})
    return folder


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    """Give copies of the two that may be changed."""
    return Path(shutil.copytree(made, tmp_path / "runs"))


def edit(path: Path, change: Callable[[Any], None]) -> None:
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    path.write_text(json.dumps(values), encoding="utf-8")


def lower(run: Path, metric: str, by: float, block: str | None = None) -> None:
    """Make a metric of a run worse."""

    def change(report: Any) -> None:
        results = report["results"][block] if block else report["results"]
        results[metric] -= by

    edit(run / "report.json", change)


# Listed


def test_runs_of_training_and_of_benchmarks_are_listed_with_their_metrics(
    cli: Callable, runs: Path, surface_root: Path
) -> None:
    models = ["--model", "vision_filterbank,patch=16", "--model", "vision_filterbank"]
    assert cli("benchmark", "--root", surface_root, *models, "--resize", 32, 48, "--save-run", runs / "deep" / "two").code == 0
    listed = {row["run"]: row for row in json.loads(cli("runs", "list", runs, "--json").out)}
    two = [f"deep/two/{name}" for name in ("vision_filterbank", "vision_filterbank-2")]
    assert list(listed) == [str(runs / name) for name in ("a", "b", *two)]
    assert [row["kind"] for row in listed.values()] == ["training", "training", "benchmark", "benchmark"]
    report = json.loads((runs / "a" / "report.json").read_text(encoding="utf-8"))
    assert listed[str(runs / "a")]["metrics"]["auroc"] == report["results"]["auroc"]
    shown = cli("runs", "list", runs).out
    assert [line.split()[0] for line in shown.splitlines()] == ["RUN", "a", "b", *two]
    assert f"{report['results']['pixel_metrics']['pixel_auroc']:.4f}" in shown


def test_an_unfinished_run_is_listed_as_such_and_bundles_are_not(cli: Callable, runs: Path) -> None:
    (runs / "b" / "infer_config.json").unlink()
    shutil.copytree(runs / "a", runs / "bundle")
    (runs / "bundle" / "manifest.json").touch()
    listed = json.loads(cli("runs", "list", runs, "--json").out)
    assert [(Path(row["run"]).name, row["finished"]) for row in listed] == [("a", True), ("b", False)]
    assert "unfinished" in cli("runs", "list", runs).out


def test_a_folder_without_runs_says_so(cli: Callable, tmp_path: Path) -> None:
    assert f"there are no runs in {tmp_path}" in cli("runs", "list", tmp_path).out
    done = cli("runs", "list", tmp_path / "nowhere")
    assert done.code == 2
    assert "is not a folder" in done.err


# Compared


def test_two_runs_are_compared_metric_by_metric(cli: Callable, runs: Path) -> None:
    done = cli("runs", "compare", runs / "a", runs / "b", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    first, second = (json.loads((runs / name / "report.json").read_text(encoding="utf-8")) for name in "ab")
    row = found["metrics"]["pixel_segf1"]
    old, new = (report["results"]["pixel_metrics"]["pixel_segf1"] for report in (first, second))
    assert (row["old"], row["new"], row["change"]) == (old, new, pytest.approx(new - old))
    assert found["thresholds"]["pixel"]["old"]["value"] == first["thresholds"]["pixel"]["value"]
    assert found["same_images"] == {"train": False, "calibration": False, "test": True, "data parts": True}
    changes = {change["key"]: (change["old"], change["new"]) for change in found["settings"]}
    assert changes == {"/seed": (0, 1), "/calibration/pixel_normal_quantile": (0.999, 0.99)}
    assert found["environment"] == []
    shown = cli("runs", "compare", runs / "a", runs / "b").out
    for words in ("auroc", "pixel threshold", "train: DIFFERENT", "test: the same", "/seed: 0 -> 1"):
        assert words in shown


def test_another_environment_and_another_test_set_are_named(cli: Callable, runs: Path) -> None:
    edit(runs / "b" / "report.json", lambda report: report["environment"].update(python="4.0"))
    edit(runs / "b" / "report.json", lambda report: report["split"]["test"].update(sha256="other"))
    done = cli("runs", "compare", runs / "a", runs / "b")
    assert "/python: " in done.out
    assert "the images differ (test)" in done.err


def test_a_training_is_compared_with_a_benchmark_on_the_same_images(cli: Callable, runs: Path, surface_root: Path) -> None:
    line = ["benchmark", "--root", surface_root, "--model", "vision_filterbank", "--resize", 48, 64]
    assert cli(*line, "--save-run", runs / "c").code == 0
    found = json.loads(cli("runs", "compare", runs / "a", runs / "c", "--json").out)
    assert found["metrics"]["auroc"]["change"] == 0
    assert found["same_images"]["data parts"] is True


@pytest.mark.parametrize(
    ("metric", "by", "block", "allowed", "code"),
    [
        ("auroc", 0.006, None, 0.005, 1),
        ("auroc", 0.004, None, 0.005, 0),
        ("auroc", 0.005, None, 0.005, 0),
        ("auroc", -0.3, None, 0.0, 0),
        ("pixel_segf1", 0.01, "pixel_metrics", 0.0, 1),
        ("false_alarm_rate", -0.02, "metrics", 0.01, 1),
        ("false_alarm_rate", 0.1, "metrics", 0.0, 0),
    ],
)
def test_the_gate_fails_a_run_that_is_worse_than_allowed(
    cli: Callable, runs: Path, metric: str, by: float, block: str | None, allowed: float, code: int
) -> None:
    shutil.rmtree(runs / "b")
    shutil.copytree(runs / "a", runs / "b")
    lower(runs / "b", metric, by, block)
    done = cli("runs", "compare", runs / "a", runs / "b", "--max-drop", f"{metric}={allowed}")
    assert done.code == code, done.err
    assert (f"FAILED: {metric}" in done.err) == bool(code)
    as_json = cli("runs", "compare", runs / "a", runs / "b", "--json", "--max-drop", f"{metric}={allowed}")
    assert as_json.code == code
    assert json.loads(as_json.out)["failed"] == ([metric] if code else [])


def test_the_gate_fails_a_metric_that_one_run_does_not_have(cli: Callable, runs: Path) -> None:
    edit(runs / "b" / "report.json", lambda report: report["results"].update(auroc=None))
    done = cli("runs", "compare", runs / "a", runs / "b", "--max-drop", "auroc=0.5")
    assert done.code == 1
    edit(runs / "b" / "report.json", lambda report: report.pop("results"))
    assert cli("runs", "compare", runs / "a", runs / "b", "--max-drop", "recall=1").code == 1


@pytest.mark.parametrize("pair", ["auroc", "=0.1", "auroc=-1", "auroc=much", "auroc=nan", "auroc="])
def test_a_gate_that_is_no_number_is_refused(cli: Callable, runs: Path, pair: str) -> None:
    done = cli("runs", "compare", runs / "a", runs / "b", "--max-drop", pair)
    assert done.code == 2
    assert "--max-drop auroc=0.005" in done.err


def test_a_gate_on_a_metric_that_no_run_has_names_those_there_are(cli: Callable, runs: Path) -> None:
    done = cli("runs", "compare", runs / "a", runs / "b", "--max-drop", "aurok=0.1")
    assert done.code == 2
    assert "did you mean auroc?" in done.err


def test_rounding_is_no_drop() -> None:
    assert not Row("auroc", 0.9, 0.9 - 0.1, True, 0.1).failed
    assert Row("auroc", 0.9, 0.79, True, 0.1).failed


def test_what_is_no_run_of_one_model_is_refused_with_what_to_name(cli: Callable, runs: Path, surface_root: Path) -> None:
    models = ["--model", "vision_filterbank,patch=16", "--model", "vision_filterbank"]
    assert cli("benchmark", "--root", surface_root, *models, "--resize", 32, 48, "--save-run", runs / "two").code == 0
    (runs / "empty").mkdir()
    (runs / "begun").mkdir()
    shutil.copy(runs / "a" / "config.json", runs / "begun")
    for name, reason in (("two", "holds several runs"), ("empty", "holds no run"), ("begun", "unfinished")):
        done = cli("runs", "compare", runs / "a", runs / name)
        assert done.code == 2
        assert reason in done.err
    assert str(runs / "two" / "vision_filterbank-2") in cli("runs", "compare", runs / "two", runs / "a").err
