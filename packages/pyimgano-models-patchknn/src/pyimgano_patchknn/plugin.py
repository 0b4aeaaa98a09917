"""What this distribution provides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pyimgano import hookimpl
from pyimgano.specs import DetectorSpec

_TORCH = ("safetensors>=0.4.3", "timm>=1.0.9", "torch>=2.4", "torchvision>=0.19")
_WEIGHTS_AT = "pyimgano_patchknn.places:weights_at"
_CONVOLUTIONAL: Mapping[str, Mapping[str, Any]] = {
    "industrial-fast": {"backbone": "efficientnet_lite0", "coreset_sampling_ratio": 0.02},
    "industrial-balanced": {"backbone": "efficientnet_lite0", "coreset_sampling_ratio": 0.1},
    "industrial-accurate": {"backbone": "wide_resnet50", "coreset_sampling_ratio": 0.1, "resize": [320, 320]},
}


@hookimpl
def register_detectors() -> Iterable[DetectorSpec]:
    return [_patchcore(), _softpatch(), _anomalydino(), _superad()]


def _patchcore() -> DetectorSpec:
    return DetectorSpec(
        name="vision_patchcore",
        summary="PatchCore: nearest neighbours of pretrained patch features (Roth et al. 2022)",
        factory="pyimgano_patchknn.patchcore:PatchCore",
        options="pyimgano_patchknn.options:PatchCoreOptions",
        tags=frozenset({"vision", "deep", "patchknn", "patchcore"}),
        requires=_TORCH,
        extra="torch",
        weights="download",
        weights_at=_WEIGHTS_AT,
        devices=("cpu", "cuda"),
        embedder=True,
        amp=True,
        presets=_CONVOLUTIONAL,
    )


def _softpatch() -> DetectorSpec:
    return DetectorSpec(
        name="vision_softpatch",
        summary="SoftPatch: PatchCore for training images among which some may be defective (Jiang et al. 2022)",
        factory="pyimgano_patchknn.softpatch:SoftPatch",
        options="pyimgano_patchknn.options:SoftPatchOptions",
        tags=frozenset({"vision", "deep", "softpatch", "patchknn", "robust"}),
        requires=_TORCH,
        extra="torch",
        weights="download",
        weights_at=_WEIGHTS_AT,
        devices=("cpu", "cuda"),
        embedder=True,
        amp=True,
        presets=_CONVOLUTIONAL,
    )


def _anomalydino() -> DetectorSpec:
    return DetectorSpec(
        name="vision_anomalydino",
        summary="AnomalyDINO: nearest neighbours of DINOv2 patch tokens, with few or many images (Damm et al. 2025)",
        factory="pyimgano_patchknn.anomalydino:AnomalyDINO",
        options="pyimgano_patchknn.options:AnomalyDINOOptions",
        tags=frozenset({"vision", "deep", "anomalydino", "patchknn", "vit", "few-shot"}),
        learning="few_shot",
        requires=_TORCH,
        extra="torch",
        weights="download",
        weights_at=_WEIGHTS_AT,
        devices=("cpu", "cuda"),
        embedder=True,
        amp=True,
        presets={
            "industrial-fast": {"short_side": 280, "rotations": 1, "coreset_sampling_ratio": 0.1},
            "industrial-balanced": {"short_side": 448, "coreset_sampling_ratio": 0.25},
            "industrial-accurate": {"short_side": 672},
        },
    )


def _superad() -> DetectorSpec:
    return DetectorSpec(
        name="vision_superad",
        summary="SuperAD: several layers of a large DINOv2, banks of a few reference images (VAND 3.0 challenge, 2025)",
        factory="pyimgano_patchknn.superad:SuperAD",
        options="pyimgano_patchknn.options:SuperADOptions",
        tags=frozenset({"vision", "deep", "superad", "patchknn", "vit", "few-shot"}),
        learning="few_shot",
        requires=_TORCH,
        extra="torch",
        weights="download",
        weights_at=_WEIGHTS_AT,
        devices=("cpu", "cuda"),
        embedder=True,
        amp=True,
        presets={
            "industrial-fast": {"backbone": "dinov2_vits14", "short_side": 448, "references": 8, "rotations": 1},
            "industrial-balanced": {"backbone": "dinov2_vitb14", "short_side": 448, "rotations": 4},
            "industrial-accurate": {"backbone": "dinov2_vitl14", "short_side": 672},
        },
    )
