"""The real ViT-B-16-plus-240, where the environment variable PYIMGANO_CLIP_WEIGHTS names its checkpoint.

No values are recorded in this repository. `python tests/clip/test_clip_real.py` records those of open_clip's own pass, on a
machine that has the checkpoint, in ``<checkpoint>.reference.npz`` beside it; the test compares with that file where it is,
and with open_clip's own pass in any case.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from pyimgano.contracts import Runtime
from pyimgano.registry import create_model
from pyimgano_clip.checkpoint import load_clip
from pyimgano_clip.network import PromptNetwork
from pyimgano_clip.options import ClipOptions

BACKBONE = "ViT-B-16-plus-240"
WEIGHTS = Path(os.environ.get("PYIMGANO_CLIP_WEIGHTS", ""))
SENTENCES = ["a photo of a flawless plate.", "a photo of a damaged plate."]

pytestmark = [
    pytest.mark.clip_weights,
    pytest.mark.skipif(
        "PYIMGANO_CLIP_WEIGHTS" not in os.environ, reason=f"PYIMGANO_CLIP_WEIGHTS names no {BACKBONE} checkpoint"
    ),
]


def plate(scratched: bool) -> np.ndarray:
    """Return a noisy grey plate, (240, 240, 3), with a bright scratch or without."""
    image = np.random.default_rng(0).integers(100, 140, (240, 240, 3)).astype(np.uint8)
    if scratched:
        image[100:104, 40:200] = 250
    return image


def reference_file() -> Path:
    return WEIGHTS.with_name(f"{WEIGHTS.name}.reference.npz")


@torch.inference_mode()
def of_open_clip() -> dict[str, np.ndarray]:
    """Return embeddings of images, patches and texts by open_clip alone."""
    model, _, _ = open_clip.create_model_and_transforms(BACKBONE, pretrained=str(WEIGHTS))
    model.eval()
    mean, std = (torch.tensor(one).view(1, 3, 1, 1) for one in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD))
    pixels = torch.from_numpy(np.stack([plate(False), plate(True)])).permute(0, 3, 1, 2) / 255
    inputs = (pixels - mean) / std
    tokens = model.visual.forward_intermediates(inputs, indices=1, normalize_intermediates=True, output_fmt="NLC")
    patches = torch.nn.functional.normalize(tokens["image_intermediates"][-1] @ model.visual.proj, dim=-1)
    texts = model.encode_text(open_clip.get_tokenizer(BACKBONE)(SENTENCES), normalize=True)
    images = model.encode_image(inputs, normalize=True)
    return {"images": images.numpy(), "patches": patches.numpy(), "texts": texts.numpy()}


def test_embeddings_are_the_recorded_ones_and_those_of_open_clip() -> None:
    options = ClipOptions(backbone=BACKBONE, weights=WEIGHTS)
    clip = load_clip(options, 0)
    network = PromptNetwork(options, "block", Runtime(device="cpu"))
    network.use(clip)
    features = network([plate(False), plate(True)])
    with torch.inference_mode():
        texts = clip.model.encode_text(clip.tokenizer()(SENTENCES), normalize=True).numpy()
    references = [of_open_clip()]
    if reference_file().is_file():
        references.append(dict(np.load(reference_file())))
    for reference in references:
        np.testing.assert_allclose(np.stack([one.image for one in features]), reference["images"], atol=1e-4)
        patches = np.stack([one.patches.reshape(225, -1) for one in features])
        np.testing.assert_allclose(patches, reference["patches"], atol=1e-3)
        np.testing.assert_allclose(texts, reference["texts"], atol=1e-4)


def test_winclip_with_one_reference_finds_a_scratch() -> None:
    model = create_model("vision_winclip", weights=WEIGHTS, references=1, class_name="plate").fit([plate(False)])
    good, bad = model.decision_function([plate(False), plate(True)])
    peak = np.unravel_index(int(model.get_anomaly_map(plate(True)).argmax()), (240, 240))
    assert bad > good
    assert abs(peak[0] - 102) < 32


if __name__ == "__main__":
    np.savez(reference_file(), **of_open_clip())
