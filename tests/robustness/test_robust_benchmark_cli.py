"""``pyimgano robust-benchmark``: the guide's command lines, resuming, and what is refused."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyimgano_robustness.cli import joined

NAME = "robust-benchmark"


@pytest.fixture(scope="session")
def mvtec(surface_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mvtec") / "mvtec_ad"
    shutil.copytree(surface_root, root / "bottle")
    return root


@pytest.fixture
def line(mvtec: Path) -> list[Any]:
    place = ["--dataset", "mvtec", "--root", mvtec, "--category", "bottle"]
    return [NAME, *place, "--model", "vision_filterbank", "-o", "resize=[64,64]", "--device", "cpu"]


def without_times(report: Any) -> Any:
    if isinstance(report, dict):
        return {key: without_times(value) for key, value in report.items() if not key.endswith(("ms_per_image", "_s"))}
    return [without_times(one) for one in report] if isinstance(report, list) else report


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--severities", "1", "2", "3", "--output", "x"], ["--severities", "1,2,3", "--output", "x"]),
        (["--severities", "1,2", "3"], ["--severities", "1,2,3"]),
        (["--severities=1,2", "--seed", "4"], ["--severities=1,2", "--seed", "4"]),
        (["--limit-test", "64", "--severities", "1"], ["--limit-test", "64", "--severities", "1"]),
        (["--severities", "--seed", "4"], ["--severities", "--seed", "4"]),
    ],
)
def test_severities_may_be_separate_words(words: list[str], expected: list[str]) -> None:
    assert joined(words) == expected


def test_the_guides_first_line_parses_as_written_and_writes_its_report(
    cli: Callable, mvtec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = f"""--dataset mvtec --root {mvtec} --category bottle --model vision_filterbank
        --preset industrial-balanced --device cpu --pixel-normal-quantile 0.999 --pixel-calibration-fraction 0.2
        --corruptions lighting,jpeg,blur,glare,geo_jitter --severities 1 2 3 4 5
        --output runs/robust_mvtec_bottle_filterbank.json"""
    done = cli(NAME, *text.split(), "-o", "resize=[64,64]", "--limit-test", "6")
    assert done.code == 0, done.err
    report = json.loads((tmp_path / "runs" / "robust_mvtec_bottle_filterbank.json").read_text(encoding="utf-8"))
    assert (report["dataset"], report["category"], report["preset"]) == ("pyimgano-core:mvtec", "bottle", "industrial-balanced")
    assert list(report["robustness"]["corruptions"]) == sorted(["lighting", "jpeg", "blur", "glare", "geo_jitter"])
    assert all(len(severities) == 5 for severities in report["robustness"]["corruptions"].values())
    assert "loses" in done.out


def test_the_guides_first_line_as_written_says_what_is_missing(cli: Callable, mvtec: Path) -> None:
    text = f"""--dataset mvtec --root {mvtec} --category bottle --model vision_patchcore
        --preset industrial-balanced --device cuda --severities 1 2 3 4 5"""
    done = cli(NAME, *text.split())
    assert done.code != 0
    assert "Traceback" not in done.err
    assert "vision_patchcore" in done.err or "cuda" in done.err


def test_the_guides_smoke_line_prints_json_with_every_key(cli: Callable, mvtec: Path) -> None:
    text = f"""--dataset mvtec --root {mvtec} --category bottle --model vision_filterbank --device cpu --no-pretrained
        --corruptions lighting --severities 1 --limit-train 32 --limit-test 64"""
    done = cli(NAME, *text.split(), "-o", "resize=[64,64]")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert {"dataset", "category", "model", "robustness", "robustness_summary"} <= report.keys()
    assert {"pixel_threshold_strategy", "pixel_normal_quantile", "clean", "corruptions"} <= report["robustness"].keys()
    for condition in (report["robustness"]["clean"], report["robustness"]["corruptions"]["lighting"]["severity_1"]):
        assert {"latency_ms_per_image", "results"} <= condition.keys()
    assert report["robustness_summary"]["sentence"]


def test_an_interrupted_run_goes_on_and_gives_the_same_report(cli: Callable, line: list[Any], tmp_path: Path) -> None:
    line = [*line, "--corruptions", "blur,dust", "--severities", "2", "4", "--save-run", tmp_path / "run"]
    done = cli(*line)
    assert done.code == 0, done.err
    place = tmp_path / "run" / "categories" / "bottle"
    whole = json.loads((place / "report.json").read_text(encoding="utf-8"))
    (place / "report.json").unlink()
    (place / "conditions" / "dust_4.json").unlink()
    again = cli(*line, "--jobs", "2")
    assert again.code == 0, again.err
    assert "blur_2: done before" in again.err
    assert "dust_4: done before" not in again.err
    assert without_times(json.loads((place / "report.json").read_text(encoding="utf-8"))) == without_times(whole)
    assert cli(*line).err.splitlines()[0] == "bottle vision_filterbank,resize=[64,64]: done before"


def test_a_run_with_other_settings_is_not_mixed_in(cli: Callable, line: list[Any], tmp_path: Path) -> None:
    line = [*line, "--corruptions", "blur", "--limit-test", "6", "--save-run", tmp_path / "run"]
    assert cli(*line, "--severities", "1").code == 0
    other = cli(*line, "--severities", "2")
    assert other.code == 2
    assert "differs in settings.severities" in other.err
    assert cli(*line, "--severities", "2", "--overwrite").code == 0


def test_the_table_of_conditions_has_a_row_for_each(cli: Callable, line: list[Any], tmp_path: Path) -> None:
    done = cli(*line, "--corruptions", "blur,glare", "--severities", "1", "5", "--save-run", tmp_path / "run")
    assert done.code == 0, done.err
    with (tmp_path / "run" / "categories" / "bottle" / "conditions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [(row["condition"], row["severity"]) for row in rows]
    assert names == [("clean", "0"), ("blur", "1"), ("blur", "5"), ("glare", "1"), ("glare", "5")]
    report = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))
    assert float(rows[0]["auroc"]) == report["robustness"]["clean"]["results"]["auroc"]


def test_several_models_stand_beside_each_other(cli: Callable, line: list[Any], tmp_path: Path) -> None:
    more = ["--model", "vision_filterbank,distance=mahalanobis", "--corruptions", "blur", "--severities", "1"]
    done = cli(*line, *more, "--limit-test", "6", "--save-run", tmp_path / "run")
    assert done.code == 0, done.err
    report = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))
    assert [run["label"] for run in report["runs"]] == [
        "vision_filterbank,resize=[64,64]",
        "vision_filterbank,resize=[64,64],distance=mahalanobis",
    ]
    assert len(list((tmp_path / "run" / "categories").iterdir())) == 2


def test_no_pixel_segf1_leaves_the_pixel_threshold_out(cli: Callable, line: list[Any]) -> None:
    done = cli(*line, "--no-pixel-segf1", "--corruptions", "blur", "--severities", "1", "--limit-test", "6")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert report["robustness"]["pixel_threshold_strategy"] == "none"
    assert report["robustness"]["clean"]["results"]["pixel_metrics"]["pixel_segf1"] is None


def test_tiles_and_postprocessing_are_in_the_chain(cli: Callable, line: list[Any]) -> None:
    flags = ["--tile-size", "64", "--postprocess", "anomaly_map", "--corruptions", "blur", "--severities", "1"]
    done = cli(*line, *flags, "--limit-test", "6")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert report["tiling"]["tile_size"] == 64
    assert report["postprocess"][0]["name"] == "pyimgano-core:anomaly_map"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--corruptions", "glair"], "did you mean glare"),
        (["--severities", "9"], "has severities 1 to 5 (got 9)"),
        (["--severities", "strong"], "are no severities"),
        (["--jobs", "0"], "robust-benchmark.jobs: must be at least 1"),
    ],
)
def test_what_cannot_run_is_refused_in_a_sentence(cli: Callable, line: list[Any], words: list[str], message: str) -> None:
    done = cli(*line, *words)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("suffix", ["yaml", "toml", "json"])
def test_a_config_says_what_the_flags_say_and_flags_win(cli: Callable, line: list[Any], tmp_path: Path, suffix: str) -> None:
    texts = {
        "yaml": "models: [{name: vision_filterbank, options: {distance: mahalanobis, resize: [32, 32]}}]\n"
        "corruptions: [blur, dust]\nseverities: [2]\nseed: 3\ncalibration: {false_alarm_rate: 0.1}\n",
        "toml": 'corruptions = ["blur", "dust"]\nseverities = [2]\nseed = 3\n[calibration]\nfalse_alarm_rate = 0.1\n'
        '[[models]]\nname = "vision_filterbank"\noptions = {distance = "mahalanobis", resize = [32, 32]}\n',
        "json": '{"models": ["vision_filterbank,distance=mahalanobis,resize=[32,32]"], "corruptions": ["blur", "dust"], '
        '"severities": [2], "seed": 3, "calibration": {"false_alarm_rate": 0.1}}',
    }
    file = tmp_path / f"drift.{suffix}"
    file.write_text(texts[suffix], encoding="utf-8")
    place = line[1:7]
    done = cli(
        NAME, *place, "--config", file, "--plan", "--json", "--seed", "4", "-o", "resize=[64,64]", "--severities", "1", "3"
    )
    assert done.code == 0, done.err
    plan = json.loads(done.out)
    settings = plan["settings"]
    assert (settings["seed"], settings["severities"], settings["calibration"]["false_alarm_rate"]) == (4, [1, 3], 0.1)
    assert settings["models"] == [{"name": "vision_filterbank", "options": {"distance": "mahalanobis", "resize": [64, 64]}}]
    assert [part["name"] for part in plan["parts"] if part["kind"] == "corruption"] == [
        "pyimgano-robustness:blur",
        "pyimgano-robustness:dust",
    ]


def test_a_plan_is_a_table_and_runs_nothing(cli: Callable, line: list[Any], tmp_path: Path) -> None:
    words = ["--corruptions", "blur", "--severities", "1", "3", "--compare-preprocessing", "--save-run", tmp_path / "run"]
    done = cli(*line, *words, "--plan")
    assert done.code == 0, done.err
    rows = [row.split()[:2] for row in done.out.splitlines()[1:4]]
    kinds = [["dataset", "pyimgano-core:mvtec"], ["detector", "pyimgano-core:vision_filterbank"]]
    assert rows == [*kinds, ["corruption", "pyimgano-robustness:blur"]]
    told = "tested: clean, every corruption at severity 1 3, all of it without preprocessing and with it"
    assert done.out.splitlines()[-1] == told
    assert not (tmp_path / "run").exists()


def test_options_of_all_models_may_be_a_json_object(cli: Callable, line: list[Any]) -> None:
    kwargs = ["--model-kwargs", '{"distance": "mahalanobis", "resize": [32, 32]}', "--plan", "--json"]
    (model,) = json.loads(cli(*line, *kwargs).out)["settings"]["models"]
    assert model["options"] == {"distance": "mahalanobis", "resize": [64, 64]}
    refused = cli(*line, "--model-kwargs", "[1]")
    assert refused.code == 2
    assert "--model-kwargs is not a JSON object" in refused.err


def test_no_pretrained_is_told_to_models_that_know_it_and_an_option_wins(cli: Callable, line: list[Any]) -> None:
    more = ["--model", "vision_patchcore", "--no-pretrained", "--plan", "--json"]
    done = cli(*[word for word in line if word not in ("-o", "resize=[64,64]")], *more)
    if done.code:
        pytest.skip("needs pyimgano-models-patchknn[torch]")
    filterbank, patchcore = json.loads(done.out)["settings"]["models"]
    assert (filterbank["options"], patchcore["options"]) == ({}, {"pretrained": False})


def test_json_can_be_asked_for_beside_a_saved_run(cli: Callable, line: list[Any], tmp_path: Path) -> None:
    words = ["--corruptions", "blur", "--severities", "1", "--limit-test", "6", "--json", "--output", tmp_path / "r.json"]
    done = cli(*line, *words)
    assert json.loads(done.out) == json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))


def test_another_plugins_corruption_takes_part(cli: Callable, line: list[Any], tmp_path: Path) -> None:
    (tmp_path / "acme.py").write_text(
        "import numpy as np\n"
        "from pyimgano import hookimpl\n"
        "from pyimgano.contracts import Corruption\n"
        "from pyimgano.specs import CorruptionSpec\n"
        "class Stripe(Corruption):\n"
        "    def draw(self, rng, shape):\n"
        "        return int(rng.integers(shape[1]))\n"
        "    def apply(self, image, params, severity):\n"
        "        striped = image.copy()\n"
        "        striped[:, params : params + severity] = 255\n"
        "        return striped\n"
        "@hookimpl\n"
        "def register_corruptions():\n"
        '    return [CorruptionSpec(name="stripe", summary="a dead column", factory="acme:Stripe", severities=2)]\n',
        encoding="utf-8",
    )
    words = ["--corruptions", "stripe,blur", "--severities", "1", "2", "--limit-test", "6"]
    done = cli("--plugin", tmp_path / "acme.py", *line, *words)
    assert done.code == 0, done.err
    assert list(json.loads(done.out)["robustness"]["corruptions"]["stripe"]) == ["severity_1", "severity_2"]
