"""The vision tower run step by step: equal to open_clip's own pass, and its dense features to their definitions."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from tiny_clip import surfaces
from torch.nn import functional

from pyimgano.contracts import Runtime
from pyimgano.errors import WeightsError
from pyimgano.images import resize
from pyimgano_clip import OpenCLIPViTPatchEmbedder
from pyimgano_clip.architecture import Architecture, build_clip
from pyimgano_clip.checkpoint import load_clip
from pyimgano_clip.network import PromptNetwork, WindowNetwork
from pyimgano_clip.options import ClipOptions
from pyimgano_clip.tower import VisionTower
from pyimgano_clip.windows import window_places

IMAGES = [*surfaces(1, 4)[0], np.random.default_rng(0).integers(0, 256, (50, 130, 3), dtype=np.uint8)]


def built(**vision: object) -> torch.nn.Module:
    towers = {"image_size": 32, "patch_size": 8, "layers": 2, "width": 32, "head_width": 16, **vision}
    quick = bool(towers.pop("quick_gelu", False))
    text = {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 1, "layers": 1}
    torch.manual_seed(0)
    config = {"embed_dim": 24, "vision_cfg": towers, "text_cfg": text, "quick_gelu": quick}
    return build_clip(Architecture.of("test", config)).eval()


def inputs(side: tuple[int, int] = (32, 32)) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(3).standard_normal((3, 3, *side), dtype=np.float32))


@pytest.mark.parametrize(
    "vision",
    [
        {},
        {"pool_type": "avg"},
        {"quick_gelu": True},
        {"image_size": [32, 48]},
        {"no_ln_pre": True},
        {"final_ln_after_pool": True, "pool_type": "avg"},
        {"ls_init_value": 0.3},
        {"patch_dropout": 0.5},
    ],
    ids=str,
)
@torch.inference_mode()
def test_image_embeddings_are_those_of_open_clip(vision: dict[str, object]) -> None:
    model = built(**vision)
    tower = VisionTower(model.visual)
    batch = inputs(tower.native)
    np.testing.assert_allclose(
        tower.pooled(tower.run(tower.tokens(batch))), model.encode_image(batch, normalize=True), atol=1e-6
    )


@torch.inference_mode()
def test_patch_tokens_are_those_of_open_clip() -> None:
    model = built()
    tower = VisionTower(model.visual)
    theirs = model.visual.forward_intermediates(inputs(), indices=[0, 1], normalize_intermediates=True, output_fmt="NLC")
    for block in (0, 1):
        ours = tower.normed(tower.run(tower.tokens(inputs()), 0, block + 1)[:, 1:])
        np.testing.assert_allclose(ours, theirs["image_intermediates"][block], atol=1e-5)


@torch.inference_mode()
def test_projected_patches_of_an_averaging_network_add_up_to_the_image() -> None:
    model = built(pool_type="avg")
    tower = VisionTower(model.visual)
    tokens = tower.run(tower.tokens(inputs()))
    summed = functional.normalize((tower.normed(tokens[:, 1:]) @ model.visual.proj).mean(dim=1), dim=-1)
    np.testing.assert_allclose(summed, model.encode_image(inputs(), normalize=True), atol=1e-6)


@torch.inference_mode()
def test_value_value_attention_is_that_of_its_definition() -> None:
    block = built().visual.transformer.resblocks[-1]
    tokens = inputs()[:, 0, :17, :32]
    normed = functional.layer_norm(tokens, (32,), block.ln_1.weight, block.ln_1.bias)
    weights, biases = block.attn.in_proj_weight[64:], block.attn.in_proj_bias[64:]
    gathered = []
    for head in (slice(0, 16), slice(16, 32)):
        values = normed @ weights[head].T + biases[head]
        gathered.append(torch.softmax(values @ values.transpose(1, 2) / 16**0.5, dim=-1) @ values)
    expected = tokens + torch.cat(gathered, dim=-1) @ block.attn.out_proj.weight.T + block.attn.out_proj.bias
    np.testing.assert_allclose(VisionTower(built().visual).value_attended(tokens), expected, atol=1e-5)


@torch.inference_mode()
def test_value_value_attention_changes_patches_and_leaves_the_image(tiny: Path) -> None:
    clip = load_clip(ClipOptions(weights=tiny), 0)
    outputs = []
    for attention in ("block", "value"):
        network = PromptNetwork(ClipOptions(weights=tiny), attention, Runtime(device="cpu"))
        network.use(clip)
        outputs.append(network(IMAGES[:1])[0])
    np.testing.assert_array_equal(outputs[0].image, outputs[1].image)
    assert np.abs(outputs[0].patches - outputs[1].patches).max() > 1e-2


@torch.inference_mode()
def test_positions_are_interpolated_and_constant_ones_stay_so() -> None:
    model = built()
    model.visual.positional_embedding.data[1:] = model.visual.positional_embedding[1]
    tower = VisionTower(model.visual)
    wide = tower.tokens(inputs((32, 64)))
    assert wide.shape == (3, 1 + 4 * 8, 32)
    np.testing.assert_allclose(wide[:, 1:5], tower.tokens(inputs((32, 64))[..., :32])[:, 1:5], atol=1e-5)


@torch.inference_mode()
def test_a_window_sees_its_own_patches_and_the_class_token_alone(tiny: Path) -> None:
    network = WindowNetwork(ClipOptions(weights=tiny), (2, 3), Runtime(device="cpu"))
    network.load()
    features = network(IMAGES)
    tower = VisionTower(network._model)
    for image, result in zip(IMAGES, features, strict=True):
        pixels = torch.from_numpy(resize(image, (64, 64))).permute(2, 0, 1)[None].float() / 255
        tokens = tower.tokens((pixels - 0.5) / 0.08)
        for side, embeddings in zip((2, 3), result.windows, strict=True):
            for window, embedding in zip(window_places((4, 4), side), embeddings, strict=True):
                alone = tower.pooled(tower.run(tokens[:, [0, *(window + 1).tolist()]]))[0]
                np.testing.assert_allclose(embedding, alone, atol=1e-5)


def test_images_are_scaled_whole_and_normalised_as_the_checkpoint_says(tiny: Path) -> None:
    network = PromptNetwork(ClipOptions(weights=tiny), "block", Runtime(device="cpu"))
    clip = network.load_whole()
    network.use(clip)
    wide = np.random.default_rng(5).integers(0, 256, (100, 300, 3), dtype=np.uint8)
    pixels = torch.from_numpy(resize(wide, (64, 64))).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        expected = clip.model.encode_image((pixels - 0.5) / 0.08, normalize=True)[0]
    np.testing.assert_allclose(network([wide])[0].image, expected, atol=1e-5)


@pytest.mark.parametrize(("resized", "grid"), [(None, (4, 4)), ([32, 128], (2, 8)), ([40, 70], (2, 4)), ([120, 30], (8, 2))])
def test_the_input_is_made_of_whole_patches(tiny: Path, resized: list[int] | None, grid: tuple[int, int]) -> None:
    embedder = OpenCLIPViTPatchEmbedder(weights=tiny, resize=resized, device="cpu")
    assert embedder([IMAGES[0]])[0].layers[0].shape == (*grid, 32)


def test_the_embedder_takes_paths_and_arrays(tiny: Path, tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(IMAGES[4]).save(tmp_path / "wide.png")
    embedder = OpenCLIPViTPatchEmbedder(weights=tiny, device="cpu")
    assert embedder.record is None
    from_path, from_array = embedder.embed(tmp_path / "wide.png"), embedder.embed(IMAGES[4])
    np.testing.assert_array_equal(from_path.patches, from_array.patches)
    assert from_array.grid == (4, 4)
    assert from_array.original_size == (50, 130)
    assert from_array.patches.shape == (16, 32)
    assert embedder.record["source"] == "file"


@torch.inference_mode()
@pytest.mark.parametrize(("block", "projected"), [(-1, False), (0, False), (-1, True), (0, True)])
def test_the_embedder_gives_normed_tokens_of_the_block_asked_for(tiny: Path, block: int, projected: bool) -> None:
    embedder = OpenCLIPViTPatchEmbedder(weights=tiny, block=block, projected=projected, device="cpu")
    features = embedder(IMAGES[:1])[0]
    visual = load_clip(ClipOptions(weights=tiny), 0).model.visual
    pixels = torch.from_numpy(resize(IMAGES[0], (64, 64))).permute(2, 0, 1)[None].float() / 255
    indices = {"indices": [block % 2], "normalize_intermediates": True, "output_fmt": "NLC"}
    expected = visual.forward_intermediates((pixels - 0.5) / 0.08, **indices)["image_intermediates"][0][0]
    if projected:
        expected = functional.normalize(expected @ visual.proj, dim=-1)
    np.testing.assert_allclose(features.layers[0].reshape(len(expected), -1), expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(features.token), 1, rtol=1e-5)


def test_every_plain_transformer_of_open_clip_is_taken() -> None:
    taken = []
    for name in open_clip.list_models():
        with suppress(WeightsError):
            taken.append(Architecture.of(name, open_clip.get_model_config(name)).name)
    assert {"ViT-B-32", "ViT-B-16-plus-240", "ViT-L-14-336", "ViT-H-14"} <= set(taken)
    assert not {"RN50", "convnext_base", "coca_ViT-B-32", "ViT-B-16-SigLIP", "xlm-roberta-base-ViT-B-32"} & set(taken)
