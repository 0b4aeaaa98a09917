"""Every option of every detector changes the result, or is refused: none is accepted and ignored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from embedders import colourful, patch_means
from safetensors.torch import save_file

from pyimgano.registry import create_model, find

CONV = {"backbone": "resnet10t", "pretrained": False, "resize": [64, 64], "coreset_sampling_ratio": 0.5}
VIT = {"backbone": "vit_tiny_patch16_224", "pretrained": False, "short_side": 64, "rotations": 1}

SHARED: dict[str, tuple[dict[str, Any], Any]] = {
    "standardize": ({}, True),
    "coreset_sampling_ratio": ({}, 0.25),
    "max_bank_size": ({"coreset_sampling_ratio": 0.5}, 20),
    "projection_dim": ({"coreset_sampling_ratio": 0.2}, 1),
    "k": ({}, 3),
    "search": ({"coreset_sampling_ratio": 1.0, "k": 200}, "ivf"),
    "smoothing": ({}, 1.0),
}
PATCHCORE = {
    **SHARED,
    "backbone": (CONV, "resnet18"),
    "weights": (CONV, "FILE"),
    "pretrained": ({**CONV, "backbone": "efficientnet_lite0"}, True),
    "layers": (CONV, ["layer1"]),
    "resize": (CONV, [96, 64]),
    "neighborhood": (CONV, 1),
    "image_score": ({}, "reweighted"),
    "reweight_neighbors": ({"image_score": "reweighted"}, 3),
}
ANOMALYDINO = {
    **SHARED,
    "backbone": (VIT, "vit_small_patch16_224"),
    "weights": (VIT, "FILE"),
    "pretrained": ({**VIT, "weights": "FILE"}, False),
    "short_side": (VIT, 96),
    "rotations": ({"rotations": 1}, 4),
    "image_score": ({}, "mean"),
    "topk": ({}, 0.5),
    "foreground": ({}, True),
    "foreground_threshold": ({"foreground": True}, 60.0),
}
CHANGES = {
    "vision_patchcore": PATCHCORE,
    "vision_softpatch": {
        **PATCHCORE,
        "discrimination": ({}, "anywhere"),
        "lof_neighbors": ({}, 2),
        "train_patch_outlier_quantile": ({}, 0.4),
        "soft_weights": ({}, None),
    },
    "vision_anomalydino": ANOMALYDINO,
    "vision_superad": {**ANOMALYDINO, "blocks": (VIT, [0, 1]), "references": ({}, 2)},
}
CASES = [(name, option) for name, changes in CHANGES.items() for option in changes]


def shaded(seed: int) -> np.ndarray:
    """Return noise of all colours that grows brighter from left to right, so that one side is the foreground."""
    return (colourful(seed) * 0.3 + np.linspace(0, 178, 96)[:, None]).astype(np.uint8)


def outcome(name: str, options: dict[str, Any]) -> list[np.ndarray]:
    """Return scores and maps of two images after fitting on five."""
    own = "backbone" not in options
    model = create_model(name, device="cpu", embedder=patch_means if own else None, **options)
    model.fit([shaded(number) for number in range(5)])
    results = model.score_images([shaded(50), shaded(51)])
    return [np.array([result.score for result in results]), *(result.anomaly_map.render() for result in results)]


def written(options: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Put a weights file of the backbone in the place of FILE."""
    if options.get("weights") != "FILE":
        return options
    with torch.random.fork_rng():
        torch.manual_seed(77)
        save_file(timm.create_model(options["backbone"]).state_dict(), folder / "weights.safetensors")
    return {**options, "weights": folder / "weights.safetensors", "pretrained": True}


def differ(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> bool:
    return any(not np.array_equal(one, two) for one, two in zip(first, second, strict=True))


@pytest.mark.parametrize(("name", "option"), CASES)
def test_a_changed_option_changes_the_result(name: str, option: str, tmp_path: Path) -> None:
    context, value = CHANGES[name][option]
    model = find("detector", name).options_model()
    default = context.get(option, model.model_fields[option].default)
    changed = (not default) if value is None else value
    base = written(dict(context), tmp_path)
    if option == "pretrained" and base.get("weights"):
        del base["weights"]
        base["pretrained"] = False
        other = written({**context, "weights": "FILE"}, tmp_path)
    else:
        other = written({**context, option: changed}, tmp_path)
    assert differ(outcome(name, base), outcome(name, other)), f"{option}={changed} changes nothing"


@pytest.mark.parametrize("name", CHANGES)
def test_all_options_are_covered_above(name: str) -> None:
    assert set(CHANGES[name]) == set(find("detector", name).options_model().model_fields)


@pytest.mark.parametrize("name", CHANGES)
def test_equal_options_give_equal_results(name: str) -> None:
    assert not differ(outcome(name, {}), outcome(name, {}))
