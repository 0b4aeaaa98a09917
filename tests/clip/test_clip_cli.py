"""The detectors as a user meets them: benchmark, training, drift, and mistakes on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from moved_bundle import judged_here_and_there
from tiny_clip import PART


@pytest.fixture
def line(surface_root: Path, tiny: Path) -> list[object]:
    """Give the arguments of a small benchmark."""
    return ["benchmark", "--dataset", "folder", "--root", surface_root, "-o", f"weights={tiny}", "--device", "cpu"]


@pytest.mark.parametrize("name", ["vision_openclip_promptscore", "winclip", "vision_openclip_patchknn"])
def test_a_local_checkpoint_is_benchmarked(cli: Callable, line: list[object], name: str, tmp_path: Path) -> None:
    done = cli(*line, "--model", name, "--save-run", tmp_path / "run")
    assert done.code == 0, done.err
    report = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))
    assert "RANDOM WEIGHTS" not in done.err
    (category,) = (tmp_path / "run" / "categories").iterdir()
    one = json.loads((category / "report.json").read_text(encoding="utf-8"))
    assert one["weights"]["file"] == "tiny_clip/open_clip_model.safetensors"
    assert report["model"] == f"pyimgano-models-clip:{name}"
    assert one["results"]["auroc"] is not None
    assert one["results"]["pixel_metrics"]["pixel_auroc"] is not None


@pytest.mark.parametrize(
    ("mistake", "message", "advice"),
    [
        (["-o", "backbone=ViT-B-99", "-o", "weights=none"], "open_clip has no model called 'ViT-B-99'", "did you mean"),
        (["-o", "class_name="], "vision_winclip.class_name: must not be empty", "pyimgano show detector vision_winclip"),
        (["-o", "prompts=nowhere.yaml"], "vision_winclip.prompts: no such file", "pyimgano show detector"),
        (["-o", 'prompts={"anomalous": []}'], "vision_winclip.prompts.anomalous", "pyimgano show detector"),
        (["-o", "tag=openai"], "vision_winclip.weights: contradicts tag", "pyimgano show detector"),
        (["--preset", "industrial-quick"], "has no preset 'industrial-quick'", "did you mean"),
    ],
)
def test_mistakes_cost_a_sentence_and_no_traceback(
    cli: Callable, line: list[object], mistake: list[str], message: str, advice: str
) -> None:
    done = cli(*line, "--model", "vision_winclip", *mistake)
    assert done.code == 2
    assert message in done.err
    assert advice in done.err
    assert "Traceback" not in done.err


@pytest.mark.slow
def test_a_moved_bundle_judges_without_network_as_the_training_process_did(
    shell: Callable, surface_root: Path, trained: Path, tmp_path: Path
) -> None:
    images = sorted((surface_root / "test").rglob("*.png"))[::2]
    options = {"weights": str(trained), "class_name": PART, "temperature": 0.1, "references": 2}
    model = {"name": "vision_winclip", "options": options, "device": "cpu"}
    records, _ = judged_here_and_there(shell, surface_root, tmp_path, model, test=images)
    assert len({record["score"] for record in records}) == len(images)


def test_a_bundle_of_the_zero_shot_detector_says_which_weights_it_holds(
    cli: Callable, surface_root: Path, tiny: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "parts.bundle"
    done = cli(
        *("train", "--root", surface_root, "--model", "vision_openclip_promptscore", "--device", "cpu"),
        *("-o", f"weights={tiny}", "-o", "class_name=plate", "--export-deploy-bundle", bundle),
    )
    assert done.code == 0, done.err
    licences = cli("bundle", "info", bundle, "--licences").out
    assert "tiny_clip" in licences
    config = json.loads((bundle / "infer_config.json").read_text(encoding="utf-8"))
    assert config["model"]["options"]["class_name"] == "plate"
    assert config["model"]["options"]["weights"] == "tiny_clip"
    assert len(config["model"]["options"]["prompts"]["templates"]) == 22
    assert not any(path.suffix in (".pt", ".bin", ".pkl") for path in bundle.rglob("*"))
