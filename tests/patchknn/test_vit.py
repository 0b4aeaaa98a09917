"""Vision transformers as embedders: randomly initialised ones for shapes, real DINOv2 where its weights are at hand."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from embedders import texture
from safetensors.torch import save_file

from pyimgano.contracts import Runtime
from pyimgano.errors import WeightsError
from pyimgano.registry import create_model
from pyimgano_patchknn.vit import VisionTransformer, quarters
from pyimgano_patchknn.weights import ALIASES, timm_name

TINY, REGISTERS, ROTARY = "vit_tiny_patch16_224", "vit_small_patch14_reg4_dinov2", "vit_small_patch16_dinov3"
DINOV2 = Path(os.environ.get("PYIMGANO_DINOV2_WEIGHTS", ""))
needs_dinov2 = pytest.mark.skipif(
    "PYIMGANO_DINOV2_WEIGHTS" not in os.environ, reason="PYIMGANO_DINOV2_WEIGHTS names no folder with DINOv2 weights"
)


def transformer(name: str = TINY, blocks: tuple[int, ...] | None = (-1,), short_side: int = 64) -> VisionTransformer:
    network = VisionTransformer(name, blocks, short_side, Runtime(device="cpu"))
    network.load(None, pretrained=False)
    return network


@pytest.mark.parametrize(
    ("name", "size", "short_side", "grid"),
    [
        (TINY, (64, 96), 64, (4, 6)),
        (TINY, (500, 300), 100, (10, 6)),
        (TINY, (300, 500), 100, (6, 10)),
        (TINY, (40, 400), 16, (1, 10)),
        (REGISTERS, (200, 310), 56, (4, 6)),
        (ROTARY, (64, 96), 64, (4, 6)),
    ],
)
def test_grids_keep_the_aspect_of_the_image(name: str, size: tuple[int, int], short_side: int, grid: tuple[int, int]) -> None:
    network = transformer(name, short_side=short_side)
    features = network([texture(0, *size)])[0]
    width = network.state()["cls_token"].shape[-1]
    assert [layer.shape for layer in features.layers] == [(*grid, width)]
    assert features.token.shape == (width,)


def test_blocks_come_in_order_and_the_last_is_timms_normalised_output() -> None:
    network = transformer(blocks=(-1, 2, 5))
    image = texture(0, 64, 64)
    features = network([image])[0]
    assert len(features.layers) == 3
    model = timm.create_model(TINY, pretrained=False, num_classes=0, dynamic_img_size=True).eval()
    model.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in network.state().items()})
    mean, std = (torch.tensor(model.default_cfg[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    inputs = (torch.from_numpy(image).permute(2, 0, 1)[None] / 255 - mean) / std
    with torch.inference_mode():
        tokens = model.forward_features(inputs)[0].numpy()
        fifth = model.norm(model.forward_intermediates(inputs, indices=[5], output_fmt="NLC", intermediates_only=True)[0])
    np.testing.assert_allclose(features.token, tokens[0], atol=2e-4)
    np.testing.assert_allclose(features.layers[2].reshape(-1, 192), tokens[1:], atol=2e-4)
    np.testing.assert_allclose(features.layers[1].reshape(-1, 192), fifth[0].numpy(), atol=2e-4)


def test_images_of_several_sizes_keep_their_order() -> None:
    network = transformer()
    images = [texture(0, 64, 64), texture(1, 64, 128), texture(2, 64, 64)]
    together = network(images)
    assert [one.layers[0].shape[:2] for one in together] == [(4, 4), (4, 8), (4, 4)]
    for image, features in zip(images, together, strict=True):
        np.testing.assert_allclose(features.layers[0], network([image])[0].layers[0], atol=1e-4)


def test_a_transformer_without_class_token_has_none() -> None:
    assert transformer("vit_medium_patch16_gap_256")([texture(0)])[0].token is None


@pytest.mark.parametrize("corner", [(0, 0), (0, -1), (-1, 0), (-1, -1)])
@pytest.mark.parametrize("name", ["vision_anomalydino", "vision_superad"])
def test_a_changed_corner_lights_that_corner(name: str, corner: tuple[int, int]) -> None:
    model = create_model(name, backbone=TINY, pretrained=False, short_side=64, rotations=1, device="cpu")
    model.fit([np.full((80, 200, 3), 90, np.uint8)])
    image = np.full((80, 200, 3), 90, np.uint8)
    rows = slice(0, 20) if corner[0] == 0 else slice(60, 80)
    columns = slice(0, 20) if corner[1] == 0 else slice(180, 200)
    image[rows, columns] = (255, 0, 0)
    grid = model.score_images([image])[0].anomaly_map.grid
    assert grid.shape == (4, 10)
    assert np.unravel_index(int(grid.argmax()), grid.shape) == (corner[0] % 4, corner[1] % 10)


@pytest.mark.parametrize(("depth", "expected"), [(24, [5, 11, 17, 23]), (12, [2, 5, 8, 11]), (2, [0, 1])])
def test_one_block_is_taken_of_each_quarter(depth: int, expected: list[int]) -> None:
    assert quarters(depth) == expected


def test_a_convolutional_network_is_refused_by_name() -> None:
    with pytest.raises(WeightsError, match="resnet10t is not a vision transformer") as caught:
        transformer("resnet10t")
    assert "dinov2_vits14" in caught.value.next_step


def test_a_missing_block_lists_those_that_are_there() -> None:
    with pytest.raises(WeightsError, match="has no block 12") as caught:
        transformer(blocks=(0, 12))
    assert caught.value.next_step == "it has: 0 to 11"


@pytest.mark.parametrize("alias", [alias for alias in ALIASES if alias.startswith("dino")])
def test_short_names_mean_transformers_that_timm_has(alias: str) -> None:
    family, size, patch = alias[:6], alias[7:11], alias[11:]
    name = timm_name(alias)
    assert {"vits": "small", "vitb": "base", "vitl": "large"}[size] in name
    assert f"patch{patch}_{family}" in name
    assert timm.is_model_pretrained(name)


def test_a_local_file_is_used_and_recorded(tmp_path: Path) -> None:
    original = transformer()
    tensors = {name: torch.from_numpy(np.array(array, order="C")) + 0.01 for name, array in original.state().items()}
    save_file(tensors, tmp_path / "tiny.safetensors")
    network = VisionTransformer(TINY, (-1,), 64, Runtime(device="cpu"))
    network.load(tmp_path / "tiny.safetensors", pretrained=True)
    assert (network.record["source"], network.record["file"]) == ("file", "tiny.safetensors")
    assert not np.allclose(network([texture(0)])[0].token, original([texture(0)])[0].token)


def test_without_network_the_error_says_how_to_get_weights(shell: Callable, tmp_path: Path) -> None:
    code = (
        "from pyimgano import create_model; import numpy as np;"
        "create_model('vision_anomalydino').fit([np.zeros((32, 32, 3), np.uint8)])"
    )
    done = shell("-c", code, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path), TORCH_HOME=str(tmp_path))
    assert done.code == 1
    message = done.err.split("WeightsError:")[-1]
    assert "the pretrained weights of 'dinov2_vits14' are not on this machine" in message
    assert "timm downloads vit_small_patch14_dinov2.lvd142m; or give a file, -o weights=FILE" in message
    assert "efficientnet" not in message


@pytest.mark.dinov2
@needs_dinov2
def test_real_dinov2_finds_a_scratch_from_one_image() -> None:
    files = [path for path in sorted(DINOV2.iterdir()) if "vits14" in path.name or "vit_small_patch14_dinov2" in path.name]
    assert files, f"{DINOV2} holds no weights of dinov2_vits14"
    model = create_model("vision_anomalydino", weights=files[0], short_side=224).fit([texture(0, 224, 224)])
    scratched = texture(1, 224, 224)
    scratched[100:104, 40:180] = 255
    good, bad = model.decision_function([texture(2, 224, 224), scratched])
    peak = np.unravel_index(int(model.get_anomaly_map(scratched).argmax()), (224, 224))
    assert bad > 1.5 * good
    assert abs(peak[0] - 102) < 28
