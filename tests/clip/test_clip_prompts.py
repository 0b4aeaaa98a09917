"""Prompts are data: composed of states and templates, replaceable in Python, on the command line and from a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pyimgano.errors import OptionsError
from pyimgano.registry import create_model, find
from pyimgano_clip.options import OpenCLIPPromptScoreOptions
from pyimgano_clip.prompts import PromptSet

DETECTORS = ("vision_openclip_promptscore", "vision_winclip", "vision_openclip_patchknn")
OWN = "normal: ['clean {}', intact plate]\nanomalous: ['{} with a crack']\ntemplates: ['an x-ray of the {}.']\n"


def refused(name: str, **options: object) -> str:
    with pytest.raises(OptionsError) as caught:
        create_model(name, **options)
    return caught.value.problem


def test_the_ensemble_has_the_published_size() -> None:
    normal, anomalous = PromptSet().sentences("bottle")
    assert (len(normal), len(anomalous)) == (7 * 22, 4 * 22)
    assert len(set(normal + anomalous)) == 11 * 22
    assert "a cropped photo of a flawless bottle." in normal
    assert "a photo of the bottle with damage for anomaly detection." in anomalous
    assert not any("{" in sentence for sentence in normal + anomalous)


def test_own_phrases_need_no_name_of_the_part() -> None:
    prompts = PromptSet(normal=("clean {}", "intact plate"), anomalous=("crack",), templates=("an x-ray of the {}.",))
    assert prompts.sentences("weld") == (
        ("an x-ray of the clean weld.", "an x-ray of the intact plate."),
        ("an x-ray of the crack.",),
    )


def test_a_file_holds_the_same_as_a_mapping(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(OWN, encoding="utf-8")
    from_file = OpenCLIPPromptScoreOptions(prompts=tmp_path / "own.yaml")
    given = {"normal": ["clean {}", "intact plate"], "anomalous": ["{} with a crack"], "templates": ["an x-ray of the {}."]}
    assert from_file == OpenCLIPPromptScoreOptions(prompts=given)
    assert from_file.model_dump()["prompts"]["anomalous"] == ("{} with a crack",)


def test_a_file_may_replace_only_some(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("anomalous: ['scratched {}']\n", encoding="utf-8")
    prompts = OpenCLIPPromptScoreOptions(prompts=str(tmp_path / "own.yaml")).prompts
    assert prompts.anomalous == ("scratched {}",)
    assert prompts.normal == PromptSet().normal


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("anomalous: []\n", "prompts.anomalous"),
        ("anomalous: ['  ']\n", "must not be empty"),
        ("templates: ['a photo']\n", "must hold {} once"),
        ("anomalus: [a]\n", "did you mean anomalous?"),
        ("- a\n- b\n", "holds a list; it takes a mapping"),
        ("a: [b\n", "cannot be read as YAML"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "own.yaml").write_text(content, encoding="utf-8")
    problem = refused("vision_winclip", prompts=str(tmp_path / "own.yaml"))
    assert problem.startswith("vision_winclip.prompts")
    assert message in problem


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompts": "nowhere.yaml"}, "vision_winclip.prompts: no such file"),
        ({"class_name": " "}, "vision_winclip.class_name: must not be empty"),
        ({"temperature": 0}, "temperature: must be greater than 0"),
        ({"windows": []}, "windows"),
        ({"windows": [2, 2]}, "windows: must not name a side twice"),
        ({"references": -1}, "references: must be at least 0"),
        ({"tag": "openai", "weights": "a.pt"}, "weights: contradicts tag"),
        ({"pretrained": False, "weights": "a.pt"}, "pretrained: contradicts weights"),
        ({"pretrained": False, "tag": "openai"}, "pretrained: contradicts tag"),
        ({"class": "nut"}, "vision_winclip.class: unknown option; did you mean class_name?"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, object], message: str) -> None:
    assert message in refused("vision_winclip", **options)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vision_openclip_promptscore", {"topk": 0.5}, "topk: has no effect unless image_score is topk_mean"),
        ("vision_openclip_promptscore", {"topk": 1.5, "image_score": "topk_mean"}, "topk: must be a share"),
        ("vision_openclip_patchknn", {"attention": "value", "block": 0}, "attention: has no effect unless block is -1"),
        ("vision_openclip_patchknn", {"topk": 0.5}, "topk: has no effect unless image_score is topk_mean"),
    ],
)
def test_options_without_effect_are_refused(name: str, options: dict[str, object], message: str) -> None:
    assert message in refused(name, **options)


@pytest.mark.parametrize("name", DETECTORS)
def test_every_preset_is_a_set_of_valid_options(name: str) -> None:
    entry = find("detector", name)
    assert set(entry.spec.presets) == {"industrial-fast", "industrial-balanced", "industrial-accurate"}
    for values in entry.spec.presets.values():
        assert entry.parse_options(values)


def test_the_alias_is_the_same_detector(cli: Callable) -> None:
    alias, original = (find("detector", name) for name in ("winclip", "vision_winclip"))
    assert alias.factory() is original.factory()
    assert alias.spec.presets == original.spec.presets
    assert "another name of vision_winclip" in cli("list-models", "--tag", "clip").out
