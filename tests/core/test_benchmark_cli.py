"""``pyimgano benchmark``: what the line, the config and the defaults add up to, what is printed where, and exit codes."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import layouts
import pytest

ACME = '''
import os
import signal
from pathlib import Path

import numpy as np
from pydantic import Field

from pyimgano import AnomalyMap, Detector, ImageScore, hookimpl
from pyimgano.options import Options
from pyimgano.specs import DetectorSpec

FITS, ORDER = Path(__file__).with_name("fits.txt"), Path(__file__).with_name("order.txt")


class PlainOptions(Options):
    k: int = Field(3, ge=1, description="Neighbours.")
    gain: float = Field(1.0, gt=0, description="Factor of the scores.")
    cap: float | None = Field(5.0, description="A bound.")
    layers: tuple[str, ...] = Field(("a",), description="Layers.")


class Plain(Detector):
    """The distance to the mean image; the second fit can be ordered to be the last."""

    def _fit(self, images):
        with FITS.open("a") as file:
            file.write("fit\\n")
        if ORDER.exists() and len(FITS.read_text().split()) == 2:
            if ORDER.read_text() == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise KeyboardInterrupt
        self.mean_ = np.mean([image.mean(axis=2) for image in images], axis=0)

    def _score(self, images):
        grids = [self.options.gain * abs(image.mean(axis=2) - self.mean_) for image in images]
        return [ImageScore(float(grid.max()), AnomalyMap(grid, grid.shape)) for grid in grids]

    def state(self):
        return {"mean": self.mean_}

    def load_state(self, arrays):
        self.mean_ = arrays["mean"]
        self.mark_fitted()


class Broken(Plain):
    def _fit(self, images):
        raise ValueError("no light")


@hookimpl
def register_detectors():
    presets = {"small": {"k": 1, "gain": 0.5}}
    return [
        DetectorSpec(
            name=name, summary="", factory=f"acme_plain:{factory}", options="acme_plain:PlainOptions", presets=presets
        )
        for name, factory in (("acme_plain", "Plain"), ("acme_broken", "Broken"))
    ]
'''


@pytest.fixture
def acme(site: Path, tmp_path: Path) -> Path:
    """Give a plugin file."""
    file = tmp_path / "plugins" / "acme_plain.py"
    file.parent.mkdir()
    file.write_text(ACME, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give two categories. Read-only."""
    return layouts.mvtec(tmp_path_factory.mktemp("data") / "parts")


@pytest.fixture
def bench(cli: Callable, acme: Path, data: Path) -> Callable[..., Any]:
    """Run ``pyimgano benchmark`` on the two categories."""
    return lambda *line: cli("--plugin", acme, "benchmark", "--dataset", "mvtec", "--root", data, *line)


@pytest.fixture
def planned(cli: Callable, acme: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Return what ``--plan`` says with a config and a line: settings, and all options of the models and steps."""

    def plan(config: str, *line: object) -> dict[str, Any]:
        (tmp_path / "bench.yaml").write_text(config, encoding="utf-8")
        flags = ["--config", tmp_path / "bench.yaml", "--plan", "--json"]
        done = cli("--plugin", acme, "benchmark", "--root", "parts", *flags, *line)
        assert done.code == 0, done.err
        told = json.loads(done.out)
        of_kind = {kind: [part["options"] for part in told["parts"] if part["kind"] == kind] for kind in KINDS}
        return {**told["settings"], **of_kind}

    return plan


KINDS = ("detector", "postprocessor")
MODEL = "models: [acme_plain]\n"
EVERYTHING = f"{MODEL}pixel: true\nthreads: 3\nlimit_test: 7\nlimit_train: 8\npreset: small\ncategory: bolt\namp: true\n"


# The line, the config and the defaults


def test_flags_beat_the_config_and_the_config_beats_the_defaults(planned: Callable) -> None:
    config = f"{MODEL}seed: 3\nbatch_size: 4\nresize: [32, 48]\ncalibration: {{false_alarm_rate: 0.1, score_quantile: 0.9}}\n"
    config = config.replace("acme_plain", "vision_filterbank")
    line = ["--seed", 5, "--false-alarm-rate", 0.2, "--device", "cpu"]
    found = planned(config, *line)
    assert (found["seed"], found["batch_size"], found["device"], found["limit_test"]) == (5, 4, "cpu", None)
    calibration = found["calibration"]
    assert (calibration["false_alarm_rate"], calibration["score_quantile"]) == (0.2, 0.9)
    assert calibration["calibration_fraction"] == 0.2
    assert found["detector"][0]["resize"] == [32, 48]
    assert planned(config, "--resize", 64, 80)["detector"][0]["resize"] == [64, 80]


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ((), "pixel", True),
        (("--no-pixel",), "pixel", False),
        (("--no-amp",), "amp", False),
        (("--threads", 0), "threads", 0),
        (("--seed", 0), "seed", 0),
        (("--limit-test", "none"), "limit_test", None),
        (("--limit-train", "none"), "limit_train", None),
        (("--limit-train", "9"), "limit_train", 9),
        (("--preset", "none"), "preset", None),
    ],
)
def test_false_zero_and_none_on_the_line_beat_the_config(
    planned: Callable, line: tuple[str, ...], name: str, value: Any
) -> None:
    config = EVERYTHING.replace("category: bolt\n", "seed: 4\n")
    assert planned(config, *line)[name] == value


def test_a_category_of_a_config_can_be_unset_on_the_line(planned: Callable) -> None:
    config = f"{MODEL}dataset: mvtec\ncategory: bolt\n"
    assert (planned(config)["category"], planned(config, "--category", "none")["category"]) == ("bolt", None)


def test_flags_of_preprocessing_and_tiles_beat_those_of_the_config_one_by_one(planned: Callable) -> None:
    config = f"{MODEL}preprocessing: {{gamma: 2, clahe: true}}\ntiling: {{tile_size: 64, stride: 32, score_reduce: mean}}\n"
    line = ["--illumination-gamma", 0.5, "--tile-size", 48, "--tile-map-reduce", "hann"]
    found = planned(config, *line)
    assert (found["preprocessing"]["gamma"], found["preprocessing"]["clahe"]) == (0.5, True)
    assert found["tiling"] == {
        "tile_size": 48,
        "stride": 32,
        "score_reduce": "mean",
        "score_topk": 0.1,
        "map_reduce": "hann",
        "fit_on": "tiles",
    }
    whole = planned(config, "--tile-size", "none", "--no-illumination-clahe")
    assert (whole["tiling"]["tile_size"], whole["tiling"]["stride"], whole["preprocessing"]["clahe"]) == (None, None, False)


def test_models_learn_from_tiles_unless_told_otherwise(planned: Callable) -> None:
    assert planned(MODEL)["tiling"]["fit_on"] == "images"
    assert planned(MODEL, "--tile-size", 64)["tiling"]["fit_on"] == "tiles"
    assert planned(MODEL, "--tile-size", 64, "--tile-fit-on", "images")["tiling"]["fit_on"] == "images"
    assert planned(f"{MODEL}tiling: {{tile_size: 64}}\n")["tiling"]["fit_on"] == "tiles"
    assert planned(f"{MODEL}tiling: {{tile_size: 64, fit_on: images}}\n")["tiling"]["fit_on"] == "images"


def test_reduced_precision_that_a_model_does_not_know_is_said_once(bench: Callable) -> None:
    done = bench("--model", "acme_plain", "--model", "acme_plain,k=4", "--category", "all", "--amp")
    assert done.code == 0
    assert done.err.count("acme_plain knows no reduced precision (amp)") == 1


def test_a_strategy_called_none_is_a_value(planned: Callable) -> None:
    config = f"{MODEL}calibration: {{pixel_threshold_strategy: mean_std}}\n"
    assert planned(config, "--pixel-threshold-strategy", "none")["calibration"]["pixel_threshold_strategy"] == "none"


def test_lists_on_the_line_replace_those_of_the_config(planned: Callable) -> None:
    config = "models: [acme_plain, vision_filterbank]\nmetrics: [spro]\npostprocess: [anomaly_map]\n"
    found = planned(config, "--model", "acme_plain,k=4", "--metric", "auroc", "--metric", "aupro,limit=0.1")
    assert [(one["name"], one["options"]) for one in found["models"]] == [("acme_plain", {"k": "4"})]
    assert [one["name"] for one in found["metrics"]] == ["auroc", "aupro"]
    assert [one["name"] for one in found["postprocess"]] == ["anomaly_map"]
    found = planned(config, "--postprocess", "anomaly_map,gaussian_sigma=2")
    assert [one["gaussian_sigma"] for one in found["postprocessor"]] == [2.0]


def test_flags_of_the_map_postprocessor_change_the_step_of_the_config(planned: Callable) -> None:
    steps = ["anomaly_map,open_ksize=3,gaussian_sigma=1", "pyimgano-core:anomaly_map,gaussian_sigma=5,close_ksize=3"]
    config = f"{MODEL}postprocess: {json.dumps(steps)}\n"
    found = planned(config, "--postprocess-gaussian-sigma", 2)["postprocessor"]
    assert [(one["open_ksize"], one["close_ksize"], one["gaussian_sigma"]) for one in found] == [(3, 0, 1.0), (0, 3, 2.0)]
    assert planned(MODEL, "--postprocess-close-ksize", 5)["postprocessor"][0]["close_ksize"] == 5


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ((), {"k": 3, "gain": 1.0, "cap": 5.0, "layers": ["a"]}),
        (("--model-kwargs", '{"k": 5, "layers": ["b", "c"], "cap": null}'), {"k": 5, "layers": ["b", "c"], "cap": None}),
        (("--model-kwargs", '{"k": 5, "gain": 2}', "-o", "k=6"), {"k": 6, "gain": 2.0}),
        (("-o", "k=6", "-o", "k=7", "-o", 'layers=["d"]', "-o", "cap=none"), {"k": 7, "layers": ["d"], "cap": None}),
        (("--model-kwargs", '{"k": 5}', "--preset", "small"), {"k": 5, "gain": 0.5}),
        (("--preset", "small"), {"k": 1, "gain": 0.5}),
    ],
)
def test_shared_options_are_those_of_every_model(planned: Callable, line: tuple[str, ...], options: dict[str, Any]) -> None:
    found = planned("models: [acme_plain]", *line, "--model", "acme_plain", "--model", "acme_plain,k=9")["detector"]
    assert {key: found[0][key] for key in options} == options
    assert {key: found[1][key] for key in options} == {**options, "k": 9}


def test_options_on_the_line_beat_those_of_a_model_in_the_config(planned: Callable) -> None:
    config = "models: ['acme_plain,k=8,gain=3', {name: acme_plain, options: {cap: 1}}]"
    found = planned(config, "-o", "k=2")["detector"]
    assert [(one["k"], one["gain"], one["cap"]) for one in found] == [(2, 3.0, 5.0), (2, 1.0, 1.0)]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (("--model", "acme_plain", "--model-kwargs", "{k: 3}"), "--model-kwargs is not JSON"),
        (("--model", "acme_plain", "--model-kwargs", "[3]"), "--model-kwargs is not a JSON object"),
        (("--model", "acme_plain", "-o", "k"), "option 'k' is not of the form key=value"),
        (("--model", "acme_plain", "-o", "j=3"), "acme_plain.j: unknown option"),
        (("--model", ",k=3"), "',k=3' names no component"),
        (("--model", "acme_plain", "--metric", "auroc,x"), "option 'x' is not of the form key=value"),
        (("--model", "acme_plain", "--limit-test", "few"), "benchmark.limit_test: input should be a valid integer"),
        (("--model", "acme_plain", "--batch-size", "-1"), "benchmark.batch_size: must be at least 0 (got -1)"),
        (("--model", "acme_plain", "--output", "."), "--output . is a folder"),
        (("--model", "acme_plain", "--tile-stride", 8), "benchmark.tiling: stride needs a tile_size"),
        ((), "there is no model to benchmark"),
        (("--model", "acme_plain"), "holds 2 categories, and none was chosen"),
        (("--model", "acme_broken", "--category", "all"), "acme-plain:acme_broken failed: ValueError: no light"),
        (("--config", "away.yaml"), "away.yaml cannot be read"),
    ],
)
def test_a_user_error_says_what_to_do_next_and_exits_with_2(bench: Callable, line: tuple[str, ...], problem: str) -> None:
    done = bench(*line)
    assert (done.code, done.out) == (2, "")
    assert problem in done.err
    assert "\nNext:  " in done.err
    assert "Traceback" not in done.err


# What is printed


def test_a_plan_is_a_table_and_touches_nothing(bench: Callable, acme: Path, tmp_path: Path) -> None:
    done = bench("--model", "acme_plain,k=4", "--metric", "spro", "--plan", "--save-run", tmp_path / "run")
    assert (done.code, done.err) == (0, "")
    header, *rows = [re.split(r"\s{2,}", line) for line in done.out.splitlines()]
    assert header == ["KIND", "COMPONENT", "VERSION", "OPTIONS"]
    assert [row[:2] for row in rows] == [
        ["dataset", "pyimgano-core:mvtec"],
        ["detector", "acme-plain:acme_plain"],
        ["metric", "pyimgano-core:spro"],
    ]
    assert rows[1][3] == 'k=4 gain=1.0 cap=5.0 layers=["a"]'
    assert not (tmp_path / "run").exists()
    assert not acme.with_name("fits.txt").exists()


def test_stdout_is_the_table_and_stderr_the_progress(bench: Callable) -> None:
    done = bench("--model", "acme_plain,k=4", "--model", "acme_plain", "--category", "all")
    assert done.code == 0, done.err
    header, *rows, note = done.out.splitlines()
    assert header.split()[:2] == ["MODEL", "CATEGORY"]
    assert [row.split()[:2] for row in rows] == [
        [model, category] for model in ("acme_plain,k=4", "acme_plain") for category in ("bottle", "grid", "all")
    ]
    assert note.startswith("* tuned on the test labels")
    assert [line[:15] for line in done.err.splitlines() if line.startswith("[")] == [
        *("[1/2] bottle ac", "[2/2] grid acme") * 2
    ]


def test_json_on_stdout_is_the_report_and_so_is_the_output_file(bench: Callable, tmp_path: Path) -> None:
    file = tmp_path / "new" / "report.json"
    done = bench("--model", "acme_plain", "--category", "all", "--json", "--output", file)
    assert done.code == 0, done.err
    assert json.loads(done.out, parse_constant=pytest.fail)["category"] == "all"
    assert file.read_text(encoding="utf-8") == done.out
    assert "[2/2] grid acme_plain: " in done.err


def test_json_is_pure_in_a_pipe(shell: Callable, acme: Path, data: Path) -> None:
    line = ["benchmark", "--dataset", "mvtec", "--root", data, "--category", "grid", "--model", "acme_plain", "--json", "-vv"]
    done = shell("-m", "pyimgano", "--plugin", acme, *line)
    assert done.code == 0, done.err
    assert json.loads(done.out)["category"] == "grid"


def test_one_category_is_one_row(bench: Callable) -> None:
    done = bench("--model", "acme_plain", "--category", "grid", "--no-pixel")
    _, row, _ = done.out.splitlines()
    assert row.split()[:2] == ["acme_plain", "grid"]
    assert row.split()[-5:-1] == ["-"] * 4


@pytest.mark.extras
@pytest.mark.parametrize("more", [(), ("--model", "acme_plain,gain=2", "--model", "acme_broken")], ids=["one", "several"])
def test_a_kept_run_has_a_page_and_is_taken_up_again(
    bench: Callable, acme: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    line = ["--model", "acme_plain", *more, "--category", "grid", "--save-run", tmp_path / "run"]
    first = bench(*line)
    assert first.code == (1 if more else 0)
    assert f"report  {tmp_path / 'run/report.html'}" in first.err
    assert "acme_plain" in (tmp_path / "run/report.html").read_text(encoding="utf-8")
    fits = acme.with_name("fits.txt").read_text(encoding="utf-8")
    again = bench(*line)
    assert (again.code, again.out) == (first.code, first.out)
    assert acme.with_name("fits.txt").read_text(encoding="utf-8") == fits


def test_without_the_extra_for_pages_everything_else_is_kept(
    bench: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    done = bench("--model", "acme_plain", "--category", "grid", "--save-run", tmp_path / "run")
    assert done.code == 0
    assert "report.html needs jinja2 and matplotlib" in done.err
    assert "pyimgano-core[report]" in done.err
    assert json.loads((tmp_path / "run/report.json").read_text(encoding="utf-8"))["category"] == "grid"


# Failures and stops


def test_a_failed_category_exits_with_1_after_everything_is_printed(
    bench: Callable, cli: Callable, acme: Path, tmp_path: Path
) -> None:
    root = layouts.mvtec(tmp_path / "parts")
    (root / "grid/test/good/000.png").write_bytes(b"broken")
    line = ["--root", root, "--category", "all", "--model", "acme_plain", "--json"]
    done = bench(*line, "--output", tmp_path / "report.json")
    assert done.code == 1
    report = json.loads(done.out)
    assert (list(report["failed"]), report["categories"]) == (["grid"], ["bottle"])
    assert (tmp_path / "report.json").read_text(encoding="utf-8") == done.out
    assert done.err.splitlines()[-1].startswith("1 failed: grid; ")
    several = bench(*line, "--model", "acme_broken")
    assert several.code == 1
    assert several.err.splitlines()[-1].startswith("2 failed: acme_broken, acme_plain on grid; ")


def run(plugin: Path, data: Path, folder: Path) -> str:
    """Return code that runs a benchmark into a folder."""
    return f"""
import os
os.environ["PYIMGANO_PLUGIN_FILES"] = {str(plugin)!r}
from pathlib import Path
from pyimgano import BenchmarkConfig, run_benchmark
config = BenchmarkConfig(dataset="mvtec", root={str(data)!r}, category="all", models=["acme_plain"])
run_benchmark(config, Path({str(folder)!r}), say=print)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_run_goes_on_where_it_was(shell: Callable, acme: Path, data: Path, tmp_path: Path) -> None:
    code, place = run(acme, data, tmp_path / "run"), tmp_path / "run/categories/bottle/report.json"
    acme.with_name("order.txt").write_text("kill", encoding="utf-8")
    assert shell("-c", code).code == -signal.SIGKILL
    before = place.stat().st_mtime_ns
    assert not (tmp_path / "run/report.json").exists()
    done = shell("-c", code)
    assert done.code == 0, done.err
    assert done.out.splitlines()[0] == "[1/2] bottle acme_plain: done before"
    assert place.stat().st_mtime_ns == before
    assert acme.with_name("fits.txt").read_text(encoding="utf-8").split() == ["fit"] * 3
    assert json.loads((tmp_path / "run/report.json").read_text(encoding="utf-8"))["categories"] == ["bottle", "grid"]


@pytest.mark.parametrize("more", [(), ("--overwrite",)])
def test_a_stopped_run_says_how_to_go_on(bench: Callable, acme: Path, tmp_path: Path, more: tuple[str, ...]) -> None:
    acme.with_name("order.txt").write_text("stop", encoding="utf-8")
    done = bench("--model", "acme_plain", "--category", "all", "--save-run", tmp_path / "run", *more)
    assert done.code not in (0, 1, 2)
    without = " without --overwrite" if more else ""
    assert f"what is finished is in {tmp_path / 'run'}, and the same command{without} goes on from there" in done.err
    assert [path.name for path in (tmp_path / "run/categories").iterdir()] == ["bottle"]


def test_a_metric_that_was_asked_for_has_a_column(bench: Callable) -> None:
    done = bench("--category", "all", "--model", "acme_plain", "--metric", "aupro,limit=0.1")
    assert done.code == 0, done.err
    header, *rows = done.out.splitlines()[:4]
    assert header.split()[-2:] == ["aupro,limit=0.1", "MS/IMAGE"]
    assert [row.split()[1] for row in rows] == ["bottle", "grid", "all"]
    assert all(0 <= float(row.split()[-2]) <= 1 for row in rows)
