"""What this distribution provides."""

from __future__ import annotations

from collections.abc import Iterable

from pyimgano import hookimpl
from pyimgano.specs import DetectorSpec


@hookimpl
def register_detectors() -> Iterable[DetectorSpec]:
    return [
        DetectorSpec(
            name="vision_patchcore",
            summary="PatchCore: nearest neighbours of pretrained patch features (Roth et al. 2022)",
            factory="pyimgano_patchknn.patchcore:PatchCore",
            options="pyimgano_patchknn.options:PatchCoreOptions",
            tags=frozenset({"vision", "deep", "patchknn", "patchcore"}),
            requires=("safetensors>=0.4.3", "timm>=1.0.9", "torch>=2.4", "torchvision>=0.19"),
            extra="torch",
            weights="download",
            devices=("cpu", "cuda"),
            embedder=True,
            presets={
                "industrial-fast": {"backbone": "efficientnet_lite0", "coreset_sampling_ratio": 0.02},
                "industrial-balanced": {"backbone": "efficientnet_lite0", "coreset_sampling_ratio": 0.1},
                "industrial-accurate": {"backbone": "wide_resnet50", "coreset_sampling_ratio": 0.1, "resize": [320, 320]},
            },
        )
    ]
