"""Pretrained weights: from a file, a package, the libraries, or random where that is asked for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bridge_models import PADIM, STFPM, fitted, needs_anomalib, needs_lite0, texture, textures

from pyimgano import create_model
from pyimgano.contracts import Detector
from pyimgano.errors import OptionsError, WeightsError
from pyimgano.registry import find

pytestmark = [needs_anomalib, needs_lite0]
CFA = "vision_cfa_anomalib"
IMAGES = [texture(40), texture(41, 60, 90)]
SMALL: dict[str, Any] = {"arguments": {"backbone": "resnet18"}, "image_size": [64, 64], "max_steps": 1}
"""A model whose network is torchvision's."""
HUB = {"backbone": "resnet10t.c3_in1k", "layers": ["layer1"], "n_features": 8}
"""Arguments of a model whose network is the hub's."""


@pytest.fixture(scope="module")
def padim() -> Detector:
    """Give a model with the weights of the package."""
    return fitted(PADIM)


@pytest.fixture
def resnet(tmp_path: Path) -> Path:
    """Give a file with weights of torchvision's ResNet-18, which nobody has trained."""
    import torch
    import torchvision

    with torch.random.fork_rng():
        torch.manual_seed(3)
        torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "resnet18.pth")
    return tmp_path / "resnet18.pth"


def same_stem(model: Any, file: Path) -> bool:
    """Return whether the first convolution of a model is that of a file."""
    import torch

    wanted = torch.load(file, weights_only=True)["conv1.weight"].numpy()
    stems = [array for array in model.state().values() if array.shape == wanted.shape]
    return any(np.array_equal(stem, wanted) for stem in stems)


@pytest.mark.parametrize(
    ("name", "options", "network", "host"),
    [
        (
            PADIM,
            {"arguments": {"backbone": "resnet10t.c3_in1k", "layers": ["layer1"], "n_features": 8}},
            "resnet10t.c3_in1k",
            "huggingface.co",
        ),
        (CFA, SMALL, "ResNet18_Weights.IMAGENET1K_V1", "download.pytorch.org"),
    ],
)
def test_weights_that_cannot_be_downloaded_are_an_error_with_the_other_ways(
    name: str,
    options: dict[str, Any],
    network: str,
    host: str,
    offline: list[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    import torch

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    model = create_model(name, device="cpu", **options)
    with pytest.raises(
        WeightsError, match=rf"not on this machine \({network} was not fetched before, and {host} does not answer\)"
    ) as caught:
        model.fit(textures(2))
    for way in ("connect to the internet", "-o backbone_weights=FILE", """-o 'arguments={"pre_trained": false}'"""):
        assert way in caught.value.next_step
    assert "Downloading" not in capfd.readouterr().err
    assert host in [address[0][0] for address in offline]
    asked = len(offline)
    with pytest.raises(WeightsError, match="does not answer"):
        create_model(name, device="cpu", **options).fit(textures(2))
    assert len(offline) == asked, "a host that does not answer is left alone for a while"


def test_what_torch_has_fetched_before_is_used_without_a_network(
    resnet: Path, offline: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    import torchvision

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    cached = tmp_path / "checkpoints" / torchvision.models.ResNet18_Weights.DEFAULT.url.rpartition("/")[2]
    cached.parent.mkdir()
    resnet.rename(cached)
    model = create_model(CFA, device="cpu", **SMALL).fit(textures(2))
    assert same_stem(model, cached)
    assert model.weights["source"] == "download by anomalib"


def test_what_the_hub_gave_before_is_used_without_a_network(
    offline: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants
    import timm
    import torch
    from safetensors.torch import save_file

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--timm--resnet10t.c3_in1k"
    for folder in (repository / "refs", repository / "snapshots" / "c0ffee"):
        folder.mkdir(parents=True)
    (repository / "refs" / "main").write_text("c0ffee", encoding="utf-8")
    with torch.random.fork_rng():
        torch.manual_seed(3)
        fetched = timm.create_model("resnet10t").state_dict()
    save_file(fetched, repository / "snapshots" / "c0ffee" / "model.safetensors")
    model = fitted(PADIM, arguments=HUB)
    stem = fetched["conv1.0.weight"].numpy()
    assert any(np.array_equal(array, stem) for array in model.state().values())


def test_a_file_reaches_networks_of_torchvision(resnet: Path, offline: list[object]) -> None:
    model = create_model(CFA, device="cpu", backbone_weights=resnet, **SMALL).fit(textures(2))
    assert same_stem(model, resnet)
    assert (model.weights["source"], model.weights["file"]) == ("file", "resnet18.pth")
    wide = {**SMALL, "arguments": {"backbone": "wide_resnet50_2"}}
    with pytest.raises(WeightsError, match=r"resnet18.pth are another network's: \d+ of \d+ tensors"):
        create_model(CFA, device="cpu", backbone_weights=resnet, **wide).fit(textures(2))
    assert offline == []


@pytest.mark.parametrize("name", [CFA, STFPM])
def test_random_weights_can_be_asked_for_where_the_class_of_anomalib_knows_no_such_argument(
    name: str, offline: list[object]
) -> None:
    options = {**SMALL, "arguments": {"backbone": "resnet18", "pre_trained": False}}
    model = create_model(name, device="cpu", **options).fit(textures(2))
    assert model.weights["source"] == "random"
    copy = create_model(name, device="cpu")
    copy.load_state(model.state())
    np.testing.assert_array_equal(copy.decision_function(IMAGES), model.decision_function(IMAGES))
    assert offline == []
    with pytest.raises(OptionsError, match=r"arguments\.pre_trained: .*boolean"):
        create_model(name, device="cpu", arguments={"pre_trained": "perhaps"}).fit(textures(2))


@pytest.mark.parametrize("name", ["vision_draem_anomalib", "vision_ganomaly_anomalib"])
def test_models_without_a_pretrained_network_say_so(name: str, resnet: Path) -> None:
    assert find("detector", name).spec.weights == "none"
    with pytest.raises(OptionsError, match="has no pretrained network"):
        create_model(name, device="cpu", backbone_weights=resnet).fit(textures(2))


def test_other_threads_get_pretrained_weights_as_ever() -> None:
    import timm.models._builder
    import torch

    from pyimgano_anomalib.pretrained import no_pretrained_weights

    def loads() -> bool:
        model = torch.nn.Linear(2, 2)
        try:
            timm.models._builder.load_pretrained(model, pretrained_cfg={})
        except RuntimeError:  # timm was asked for real, and knows of no weights
            return True
        return False

    with no_pretrained_weights(), ThreadPoolExecutor(1) as pool:
        assert not loads()
        assert pool.submit(loads).result()
    assert loads()


def test_weights_come_from_the_libraries_again_afterwards(padim: Detector) -> None:
    import timm.models._builder
    import torch
    import torchvision

    before = (timm.models._builder.load_pretrained, torch.nn.Module.load_state_dict)
    create_model(PADIM, device="cpu").load_state(padim.state())
    assert (timm.models._builder.load_pretrained, torch.nn.Module.load_state_dict) == before
    assert torchvision.models.WeightsEnum.get_state_dict.__module__ == "torchvision.models._api"


def test_a_backbone_comes_from_a_file_whose_tensors_are_used(tmp_path: Path, padim: Detector) -> None:
    from safetensors.torch import save_file

    from pyimgano_anomalib.pretrained import find_source

    tensors = {key: value.contiguous() for key, value in find_source(None, "tf_efficientnet_lite0").tensors.items()}
    save_file(tensors, tmp_path / "lite0.safetensors")
    model = fitted(PADIM, backbone_weights=tmp_path / "lite0.safetensors")
    np.testing.assert_array_equal(model.decision_function(IMAGES), padim.decision_function(IMAGES))
    assert (model.weights["source"], model.weights["file"]) == ("file", "lite0.safetensors")
    with pytest.raises(WeightsError, match=r"lite0.safetensors are another network's: \d+ of \d+ tensors .* the first is"):
        fitted(PADIM, backbone_weights=tmp_path / "lite0.safetensors", arguments={"backbone": "resnet18"})
    with pytest.raises(WeightsError, match="does not exist"):
        fitted(PADIM, backbone_weights=tmp_path / "nowhere.safetensors")
    (tmp_path / "empty.pth").touch()
    with pytest.raises(WeightsError, match="no readable file of weights"):
        fitted(PADIM, backbone_weights=tmp_path / "empty.pth")
