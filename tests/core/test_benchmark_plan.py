"""What a benchmark is told and what it would do: choices, config files, and the plan, before anything heavy loads."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyimgano.choice import Choice
from pyimgano.errors import OptionsError, PlanError
from pyimgano.evaluation import BenchmarkConfig
from pyimgano.evaluation.config import read_config
from pyimgano.evaluation.plan import Plan
from pyimgano.options import parse

ACME = """
from pydantic import Field

from pyimgano import hookimpl
from pyimgano.options import Options
from pyimgano.specs import DatasetSpec, DetectorSpec, MetricSpec, PostprocessorSpec


class ScoreOptions(Options):
    k: int = Field(3, ge=1, description="Neighbours.")
    layers: tuple[str, ...] = Field(("a",), description="Layers.")


def detector(name, **more):
    return DetectorSpec(name=name, summary="", factory="acme_heavy:Detector", options="acme_lab:ScoreOptions", **more)


@hookimpl
def register_detectors():
    return [
        detector("acme_scores", maps=False, presets={"small": {"k": 1, "layers": ["b"]}, "large": {"k": 9}}),
        detector("acme_maps", devices=("cpu", "cuda")),
        detector("acme_lacking", requires=("acme-absent>=2",), extra="fast"),
    ]


@hookimpl
def register_datasets():
    return [DatasetSpec(name="acme_bare", summary="", factory="acme_heavy:Bare")]


@hookimpl
def register_postprocessors():
    return [
        PostprocessorSpec(name="acme_shrink", summary="", factory="acme_heavy:Shrink"),
        PostprocessorSpec(name="acme_rank", summary="", factory="acme_heavy:Rank", acts_on="score"),
    ]


@hookimpl
def register_metrics():
    return [
        MetricSpec(name="acme_cost", summary="", factory="acme_heavy:Cost"),
        MetricSpec(name="acme_edge", summary="", factory="acme_heavy:Edge", level="pixel", needs_masks=True),
    ]
"""


@pytest.fixture
def acme(distribution: Callable, site: Path) -> Path:
    """Give a distribution whose implementations cannot be imported at all."""
    (site / "acme_heavy.py").write_text("raise RuntimeError('this is heavy')\n", encoding="utf-8")
    return distribution("acme-lab", ACME, version="2.3")


def planned(**values: Any) -> dict[str, list[dict[str, Any]]]:
    """Return the records of a plan by kind."""
    values = {"dataset": "folder", "root": Path("parts"), **values}
    found: dict[str, list[dict[str, Any]]] = {}
    for part in Plan.of(BenchmarkConfig(**values)).parts:
        found.setdefault(part.entry.spec.kind, []).append(part.record())
    return found


def refused(**values: Any) -> PlanError:
    with pytest.raises(PlanError) as caught:
        planned(**values)
    return caught.value


# A component as a user writes it


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        ("vision_x", "vision_x", {}),
        (" acme:vision_x , k = 3 ", "acme:vision_x", {"k": "3"}),
        ("x,resize=[32, 48],k=3", "x", {"resize": [32, 48], "k": "3"}),
        ('x,layers=["a","b"],deep=[[1,2],[3]]', "x", {"layers": ["a", "b"], "deep": [[1, 2], [3]]}),
        ('x,table={"a": [1, 2], "b": null},k=3', "x", {"table": {"a": [1, 2], "b": None}, "k": "3"}),
        ("x,size=none,other=null", "x", {"size": None, "other": None}),
        ("x,file=a=b.pt,empty=", "x", {"file": "a=b.pt", "empty": ""}),
        ("x,odd=],k=3", "x", {"odd": "]", "k": "3"}),
        ("x,open=[1,2", "x", {"open": "[1,2"}),
    ],
)
def test_a_component_is_written_as_a_name_with_options(text: str, name: str, options: dict[str, Any]) -> None:
    chosen = Choice.read(text)
    assert (chosen.name, chosen.options) == (name, options)
    assert parse(Choice, {"name": name, "options": options}, "models") == chosen
    assert BenchmarkConfig(models=[text]).models == (chosen,)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "'' names no component"),
        (" ,k=3", "' ,k=3' names no component"),
        ("x,k", "option 'k' is not of the form key=value"),
        ("x,=3", "option '=3' is not of the form key=value"),
        ("x,", "option '' is not of the form key=value"),
    ],
)
def test_a_component_without_a_name_or_an_option_without_a_value_is_refused(text: str, problem: str) -> None:
    with pytest.raises(OptionsError) as caught:
        Choice.read(text)
    assert caught.value.problem == problem
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("chosen", "label"),
    [
        (Choice(name="x"), "x"),
        (Choice(name="acme:x", options={"k": 3, "resize": [32, 48]}), "acme:x,k=3,resize=[32,48]"),
        (Choice.read("x,size=none,k=3"), "x,size=none,k=3"),
    ],
)
def test_a_label_is_what_the_user_wrote(chosen: Choice, label: str) -> None:
    assert chosen.label == label


# Config files

CONFIGS = {
    "bench.yaml": """
dataset: mvtec
root: data
category: all
models:
  - vision_filterbank,patch=4
  - {name: vision_filterbank, options: {patch: 16, resize: [32, 48]}}
metrics: [spro]
limit_test: 7
pixel: false
calibration: {false_alarm_rate: 0.1}
""",
    "bench.toml": """
dataset = "mvtec"
root = "data"
category = "all"
models = ["vision_filterbank,patch=4", {name = "vision_filterbank", options = {patch = 16, resize = [32, 48]}}]
metrics = ["spro"]
limit_test = 7
pixel = false
[calibration]
false_alarm_rate = 0.1
""",
    "bench.JSON": """
{"dataset": "mvtec", "root": "data", "category": "all", "metrics": ["spro"], "limit_test": 7, "pixel": false,
 "models": ["vision_filterbank,patch=4", {"name": "vision_filterbank", "options": {"patch": 16, "resize": [32, 48]}}],
 "calibration": {"false_alarm_rate": 0.1}}
""",
}


def test_yaml_toml_and_json_say_the_same(tmp_path: Path) -> None:
    read = []
    for name, text in CONFIGS.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        read.append(parse(BenchmarkConfig, read_config(tmp_path / name), "benchmark"))
    assert read[0] == read[1] == read[2]
    assert [model.options for model in read[0].models] == [{"patch": "4"}, {"patch": 16, "resize": [32, 48]}]
    assert (read[0].limit_test, read[0].pixel, read[0].calibration.false_alarm_rate) == (7, False, 0.1)
    assert (read[0].seed, read[0].calibration.calibration_fraction) == (0, 0.2)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.yaml", None, "cannot be read (No such file or directory)"),
        ("a.yaml", "models: [", "is not valid YAML"),
        ("a.toml", "models = [", "is not valid TOML"),
        ("a.json", "{", "is not valid JSON"),
        ("a.json", "[" * 100_000, "is not valid JSON"),
        ("a.yml", b"\xff\xfe\x00", "is not valid YML"),
        ("a.yaml", "", "holds NoneType, not keys with values"),
        ("a.yaml", "- vision_filterbank", "holds list, not keys with values"),
        ("a.json", "3", "holds int, not keys with values"),
        ("a.ini", "models = x", "a config is a file .yaml, .yml, .toml, .json"),
        ("a", "models: [x]", "a config is a file .yaml"),
        ("a.yaml", "models: !!python/object/apply:os.system ['touch {marker}']", "is not valid YAML"),
    ],
    ids=["absent", "yaml", "toml", "json", "deep", "binary", "empty", "list", "number", "suffix", "bare", "hostile"],
)
def test_a_file_that_is_no_config_is_refused_by_name(
    tmp_path: Path, name: str, content: str | bytes | None, problem: str
) -> None:
    file, marker = tmp_path / name, tmp_path / "marker"
    if isinstance(content, str):
        content = content.replace("{marker}", str(marker)).encode()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(OptionsError) as caught:
        read_config(file)
    assert str(file) in caught.value.problem
    assert problem in caught.value.problem
    assert caught.value.next_step
    assert not marker.exists()


def test_a_folder_is_no_config(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").mkdir()
    with pytest.raises(OptionsError, match=r"a\.yaml cannot be read"):
        read_config(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("models: [x]\nlimt_test: 3", "benchmark.limt_test: unknown option; did you mean limit_test?"),
        ("model: [x]", "benchmark.model: unknown option; did you mean models?"),
        ("models: [x]\ncalibration: {false_alrm_rate: 0.1}", "did you mean false_alarm_rate?"),
        ("models: [{nmae: x}]", "benchmark.models.0.nmae: unknown option"),
        ("models: [x]\n1: 2", "benchmark.1: keys should be strings"),
        ("models: [x]\nlimit_test: 1", "benchmark.limit_test: must be at least 2 (got 1)"),
        ("models: x", "benchmark.models: input should be a valid tuple (got 'x')"),
        ("models: 5", "benchmark.models: input should be a valid tuple (got 5)"),
        ("models: [5]", "benchmark.models.0: input should be a valid dictionary"),
        ("models: [x]\ncalibration:", "benchmark.calibration: input should be a valid dictionary"),
        ("models: [x]\ndataset_options: 5", "benchmark.dataset_options: input should be a valid dictionary"),
        ("seed: 1", "there is no model to benchmark"),
    ],
)
def test_a_wrong_value_in_a_config_is_explained(cli: Callable, tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "bench.yaml").write_text(text, encoding="utf-8")
    done = cli("benchmark", "--config", tmp_path / "bench.yaml", "--root", "parts", "--plan")
    assert (done.code, done.out) == (2, "")
    assert problem in done.err


# The plan


def test_a_plan_names_every_component_in_full_with_all_its_options(acme: Path) -> None:
    found = planned(
        dataset="mvtec",
        root="data",
        category="all",
        models=["acme_maps,k=5", "vision_filterbank"],
        postprocess=["acme_shrink", "anomaly_map,gaussian_sigma=2"],
        metrics=["acme_edge", "spro"],
    )
    names = {kind: [(part["name"], part["version"]) for part in parts] for kind, parts in found.items()}
    core = found["dataset"][0]["version"]
    assert names == {
        "dataset": [("pyimgano-core:mvtec", core)],
        "detector": [("acme-lab:acme_maps", "2.3"), ("pyimgano-core:vision_filterbank", core)],
        "postprocessor": [("acme-lab:acme_shrink", "2.3"), ("pyimgano-core:anomaly_map", core)],
        "metric": [("acme-lab:acme_edge", "2.3"), ("pyimgano-core:spro", core)],
    }
    assert found["dataset"][0]["options"] == {"root": "data", "category": None}
    assert found["detector"][0]["options"] == {"k": 5, "layers": ["a"]}
    assert (found["postprocessor"][1]["options"]["gaussian_sigma"], found["metric"][1]["options"]) == (2.0, {"limit": 0.05})


def test_planning_imports_no_implementation(cli: Callable, acme: Path) -> None:
    line = ["--root", "parts", "--model", "acme_maps", "--postprocess", "acme_shrink", "--metric", "acme_cost"]
    done = cli("benchmark", *line, "--plan")
    assert done.code == 0, done.err
    assert "acme_heavy" not in sys.modules


@pytest.mark.extras
@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("pyimgano_patchknn", "torch"))), reason="no deep detector is installed"
)
def test_planning_a_deep_detector_leaves_torch_alone(shell: Callable) -> None:
    code = """
import sys
from pyimgano.cli.app import main
try:
    main(["benchmark", "--root", "parts", "--model", "vision_patchcore", "--plan", "--json"])
finally:
    print(*sorted({"torch", "timm", "faiss"} & set(sys.modules)), file=sys.stderr)
"""
    done = shell("-c", code)
    assert done.code == 0, done.err
    assert json.loads(done.out)["parts"][1]["name"] == "pyimgano-models-patchknn:vision_patchcore"
    assert done.err.strip() == ""


def test_every_problem_of_a_plan_is_listed_at_once(acme: Path, cli: Callable) -> None:
    line = ["--dataset", "mvtek", "--model", "acme_mapz", "--model", "acme_scores,k=0,j=1", "--device", "cuda"]
    done = cli("benchmark", *line, "--preset", "smal", "--postprocess", "blur", "--metric", "aurocc", "--plan")
    assert (done.code, done.out) == (2, "")
    problem, _, advice = done.err.partition("Next:")
    assert [text.strip().removeprefix("Error: ") for text in problem.strip().splitlines()] == [
        "no dataset is called 'mvtek'",
        "no detector is called 'acme_mapz'",
        "acme_scores has no preset 'smal'",
        "acme_scores does not run on device 'cuda'",
        "acme_scores.k: must be at least 1 (got '0')",
        "acme_scores.j: unknown option; it knows k, layers",
        "no postprocessor is called 'blur'",
        "no metric is called 'aurocc'",
    ]
    assert all(
        hint in advice for hint in ("mvtec", "acme_maps", "did you mean small? it has small, large", "auto, cpu", "auroc")
    )


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"postprocess": ["acme_shrink"]}, "acme_shrink needs anomaly maps, and acme_scores makes none"),
        ({"metrics": ["acme_edge"]}, "acme_edge needs anomaly maps, and acme_scores makes none"),
        ({"metrics": ["spro"]}, "spro needs anomaly maps, and acme_scores makes none"),
        (
            {"metrics": ["acme_edge"], "models": ["acme_maps"], "dataset": "acme_bare", "root": None},
            "acme_edge needs masks, and the dataset acme_bare has none",
        ),
        ({"device": "cuda:0"}, "acme_scores does not run on device 'cuda:0'"),
        ({"preset": "medium"}, "acme_scores has no preset 'medium'"),
        ({"preset": "small", "models": ["acme_maps"]}, "acme_maps has no preset 'small'"),
        ({"models": ["acme_lacking"]}, "acme-lab:acme_lacking needs acme-absent>=2, which is not installed"),
        ({"resize": (32, 48)}, "acme_scores.resize: unknown option; it knows k, layers"),
        ({"category": "bottle"}, "folder.category: unknown option; it knows root"),
        ({"root": None}, "dataset folder needs the folder of its images"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(acme: Path, values: dict[str, Any], problem: str) -> None:
    error = refused(**{"models": ["acme_scores"], **values})
    assert error.problem == problem
    assert error.next_step


@pytest.mark.parametrize(
    "values",
    [
        {"postprocess": ["acme_rank"], "metrics": ["acme_cost", "auroc"]},
        {"models": ["acme_maps"], "device": "cuda:1"},
        {"models": ["acme_maps"], "dataset": "acme_bare", "root": None, "metrics": ["acme_cost"]},
        {"preset": "large", "device": "cpu"},
    ],
)
def test_parts_that_fit_together_are_planned(acme: Path, values: dict[str, Any]) -> None:
    assert planned(**{"models": ["acme_scores"], **values})


def test_advice_names_the_presets_there_are_and_the_command_that_installs(acme: Path) -> None:
    assert "small, large" in refused(models=["acme_scores"], preset="medium").next_step
    assert "it has no presets" in refused(models=["acme_maps"], preset="small").next_step
    assert "install" in refused(models=["acme_lacking"]).next_step
    assert '"acme-lab[fast]"' in refused(models=["acme_lacking"]).next_step


def test_options_win_over_the_size_for_all_and_that_over_a_preset(acme: Path) -> None:
    def options(**values: Any) -> dict[str, Any]:
        return planned(**values)["detector"][0]["options"]

    assert options(models=["acme_scores"], preset="small") == {"k": 1, "layers": ["b"]}
    assert options(models=["acme_scores,k=7"], preset="small") == {"k": 7, "layers": ["b"]}
    assert options(models=["vision_filterbank"], preset="industrial-accurate")["resize"] == [384, 384]
    assert options(models=["vision_filterbank"], preset="industrial-accurate", resize=(32, 48))["resize"] == [32, 48]
    own = options(models=["vision_filterbank,resize=[64,64]"], preset="industrial-accurate", resize=(32, 48))
    assert (own["resize"], own["bank_size"]) == ([64, 64], 20000)
