"""Where weights come from, and what is said of those that cannot be had or do not fit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_clip import TOWERS, random_clip

from pyimgano.errors import WeightsError
from pyimgano_clip.checkpoint import _published, chosen_tag, known_architecture, load_clip
from pyimgano_clip.options import ClipOptions
from pyimgano_clip.places import _REPOSITORIES, USUAL_TAGS, weights_at


def refused(**options: object) -> WeightsError:
    with pytest.raises(WeightsError) as caught:
        load_clip(ClipOptions(**options), 0)
    return caught.value


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    """Give a copy of the tiny CLIP that may be changed."""
    return Path(shutil.copytree(tiny, tmp_path / "copy"))


def test_a_pytorch_file_holds_the_same_as_safetensors(copy: Path, tiny: Path) -> None:
    file = copy / "open_clip_model.safetensors"
    torch.save(load_file(file), copy / "open_clip_pytorch_model.bin")
    file.unlink()
    clip, same = load_clip(ClipOptions(weights=copy), 0), load_clip(ClipOptions(weights=tiny), 0)
    assert clip.record["file"] == "copy/open_clip_pytorch_model.bin"
    assert clip.record["sha256"] == same.record["sha256"]


def test_a_file_alone_belongs_to_the_backbone_that_is_named(tmp_path: Path) -> None:
    model = open_clip.CLIP(**open_clip.get_model_config("ViT-S-32-alt"))
    save_file(model.state_dict(), tmp_path / "small.safetensors")
    clip = load_clip(ClipOptions(backbone="ViT-S-32-alt", weights=tmp_path / "small.safetensors"), 0)
    assert (clip.record["architecture"], clip.record["file"]) == ("ViT-S-32-alt", "small.safetensors")
    assert clip.tokenizer()(["a plate"]).shape == (1, 77)
    error = refused(backbone="ViT-B-32", weights=tmp_path / "small.safetensors")
    assert error.problem.startswith("the weights do not fit ViT-B-32: positional_embedding is (77, 256), expected (77, 512)")
    assert "-o backbone=NAME" in error.next_step


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patch_size": 8}, r"visual.positional_embedding is (17, 32), expected (65, 32)"),
        ({"layers": 3}, "12 of 62 tensors are missing, the first is visual.transformer.resblocks.2."),
        ({"layers": 1}, "it has no place for 12 of them, the first is visual.transformer.resblocks.1."),
    ],
)
def test_a_checkpoint_of_another_architecture_is_refused_with_what_differs(
    copy: Path, change: dict[str, int], message: str
) -> None:
    config = json.loads((copy / "open_clip_config.json").read_text(encoding="utf-8"))
    config["model_cfg"]["vision_cfg"] |= change
    (copy / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    error = refused(weights=copy)
    assert error.problem.startswith("the weights do not fit copy: ")
    assert message in error.problem


class _Trap:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("sprung"),))


def test_code_in_a_checkpoint_is_never_run(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copy)
    torch.save({"state_dict": _Trap()}, copy / "trap.pt")
    assert "is not a readable file of weights" in refused(weights=copy / "trap.pt").problem
    assert not (copy / "sprung").exists()


def test_damaged_and_missing_files_are_named(copy: Path, tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "no_weights.pt")
    assert "does not hold a state dict" in refused(weights=tmp_path / "no_weights.pt").problem
    assert "nowhere.pt do not exist" in refused(weights=tmp_path / "nowhere.pt").problem
    whole = (copy / "open_clip_model.safetensors").read_bytes()
    (copy / "open_clip_model.safetensors").write_bytes(whole[: len(whole) // 2])
    assert "is not a readable file of weights" in refused(weights=copy).problem
    (copy / "open_clip_model.safetensors").unlink()
    assert "holds no open_clip_model.safetensors" in refused(weights=copy).problem
    (copy / "open_clip_config.json").write_text("{}", encoding="utf-8")
    assert "open_clip_config.json cannot be read" in refused(weights=copy).problem


def test_a_folder_says_itself_what_it_holds(tiny: Path) -> None:
    assert "backbone=ViT-B-32 has no effect beside a folder" in refused(backbone="ViT-B-32", weights=tiny).problem


@pytest.mark.parametrize(
    ("backbone", "hint"), [("ViT-B-16-plus-24O", "did you mean ViT-B-16-plus-240?"), ("resnet", "for example: ViT-B-32")]
)
def test_an_unknown_model_is_refused_with_the_nearest(backbone: str, hint: str) -> None:
    error = refused(backbone=backbone)
    assert error.problem == f"open_clip has no model called {backbone!r}"
    assert hint in error.next_step


def test_an_unknown_tag_is_refused_with_the_nearest() -> None:
    error = refused(backbone="ViT-B-16-plus-240", tag="laion400m_e23")
    assert error.problem == "ViT-B-16-plus-240 has no pretrained weights of tag 'laion400m_e23'"
    assert error.next_step == "did you mean laion400m_e32? it has: laion400m_e31, laion400m_e32"


def test_a_tag_is_asked_for_where_none_is_usual() -> None:
    assert "pass -o tag=TAG; it has: openai" in refused(backbone="ViT-B-32-quickgelu").next_step


@pytest.mark.parametrize("backbone", ["RN50", "convnext_base", "ViT-B-16-SigLIP", "coca_ViT-B-32"])
def test_networks_without_usable_patch_tokens_are_refused(backbone: str) -> None:
    error = refused(backbone=backbone)
    assert error.problem.startswith(backbone)
    assert "for example: ViT-B-32" in error.next_step


def test_usual_tags_are_those_of_open_clip_and_lie_where_it_downloads_from() -> None:
    for backbone, tag in USUAL_TAGS.items():
        assert chosen_tag(backbone, None) == tag
        known_architecture(backbone)
        assert open_clip.get_pretrained_cfg(backbone, tag)["hf_hub"].rstrip("/") == _REPOSITORIES[backbone, tag]


def test_published_weights_of_openai_get_their_own_gelu() -> None:
    config = open_clip.get_pretrained_cfg("ViT-L-14-336", "openai")
    assert known_architecture("ViT-L-14-336").quick_gelu is False
    assert known_architecture("ViT-L-14-336").pretrained(config).quick_gelu is True


def test_without_network_the_error_says_how_to_get_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    error = refused()
    assert "the weights laion400m_e31 of ViT-B-16-plus-240 are not on this machine" in error.problem
    assert "connect to the internet once, so that open_clip downloads laion400m_e31 of ViT-B-16-plus-240" in error.next_step
    assert "or give a checkpoint, -o weights=FILE" in error.next_step


def test_a_downloaded_checkpoint_is_found_where_the_hub_keeps_it(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    kept = tmp_path / f"models--{_REPOSITORIES['ViT-B-32', USUAL_TAGS['ViT-B-32']].replace('/', '--')}"
    snapshot = kept / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(snapshot.name, encoding="utf-8")
    shutil.copy(tiny / "open_clip_model.safetensors", snapshot)
    options = ClipOptions(backbone="ViT-B-32")
    assert weights_at(options).place == str(snapshot / "open_clip_model.safetensors")
    assert "the weights do not fit ViT-B-32" in refused(backbone="ViT-B-32").problem


@pytest.mark.parametrize(
    ("backbone", "tag", "licence"),
    [("ViT-B-16-plus-240", "laion400m_e31", "MIT"), ("ViT-B-32", "metaclip_400m", "CC-BY-NC-4.0"), ("ViT-B-16", "dfn2b", None)],
)
def test_published_weights_are_recorded_with_their_licence_where_it_is_known(
    backbone: str, tag: str, licence: str | None
) -> None:
    record = _published(tag, open_clip.get_pretrained_cfg(backbone, tag))
    assert (record["tag"], record["licence"]) == (tag, licence)
    assert "/" in record["hub_id"]


def test_where_weights_lie_is_known_without_torch(shell: Callable, tiny: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pyimgano_clip.places import weights_at; from pyimgano_clip.options import ClipOptions\n"
        f"print(weights_at(ClipOptions(weights={str(tiny)!r})).place)\n"
        "place = weights_at(ClipOptions()); print(place.name, place.place, place.fix)\n"
        "assert 'torch' not in sys.modules and 'open_clip' not in sys.modules"
    )
    done = shell("-c", code, HF_HOME=str(tmp_path))
    assert done.code == 0, done.err
    first, second = done.out.splitlines()
    assert first == str(tiny)
    assert second.startswith("ViT-B-16-plus-240 laion400m_e31 None ")
    assert "open_clip.create_model('ViT-B-16-plus-240', pretrained='laion400m_e31')" in second


def test_weights_that_are_not_there_have_no_place(tmp_path: Path) -> None:
    assert weights_at(ClipOptions(weights=tmp_path / "missing.pt")).place is None
    assert weights_at(ClipOptions(pretrained=False)).place == "random values"
    assert "-o tag=TAG" in weights_at(ClipOptions(backbone="ViT-B-32-quickgelu")).fix


def test_a_custom_text_tower_is_taken(tmp_path: Path) -> None:
    model = open_clip.CustomTextCLIP(**TOWERS)
    random_clip(tmp_path / "custom")
    towers = {**TOWERS, "custom_text": True}
    (tmp_path / "custom" / "open_clip_config.json").write_text(json.dumps({"model_cfg": towers}), encoding="utf-8")
    save_file(model.state_dict(), tmp_path / "custom" / "open_clip_model.safetensors")
    clip = load_clip(ClipOptions(weights=tmp_path / "custom"), 0)
    np.testing.assert_array_equal(clip.model.visual.proj.detach(), model.visual.proj.detach())
    assert clip.architecture.mean == open_clip.OPENAI_DATASET_MEAN
