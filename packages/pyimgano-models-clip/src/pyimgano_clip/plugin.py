"""What this distribution provides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pyimgano import hookimpl
from pyimgano.specs import DetectorSpec

_WEIGHTS_AT = "pyimgano_clip.places:weights_at"
_TAGS = frozenset({"vision", "deep", "clip", "vit"})
_PRESETS: Mapping[str, Mapping[str, Any]] = {
    "industrial-fast": {"backbone": "ViT-B-32"},
    "industrial-balanced": {"backbone": "ViT-B-16-plus-240"},
    "industrial-accurate": {"backbone": "ViT-L-14-336"},
}


@hookimpl
def register_detectors() -> Iterable[DetectorSpec]:
    winclip = _winclip()
    return [_promptscore(), winclip, replace(winclip, name="winclip", summary="another name of vision_winclip"), _patchknn()]


def _promptscore() -> DetectorSpec:
    return DetectorSpec(
        name="vision_openclip_promptscore",
        summary="Zero-shot: an image and its patches compared by CLIP with phrases for good and defective parts",
        factory="pyimgano_clip.promptscore:OpenCLIPPromptScore",
        options="pyimgano_clip.options:OpenCLIPPromptScoreOptions",
        tags=_TAGS | {"zero-shot"},
        learning="zero_shot",
        weights="download",
        weights_at=_WEIGHTS_AT,
        devices=("cpu", "cuda"),
        amp=True,
        presets=_PRESETS,
    )


def _winclip() -> DetectorSpec:
    return DetectorSpec(
        name="vision_winclip",
        summary="WinCLIP: windows compared with phrases and with a few reference images (Jeong et al. 2023)",
        factory="pyimgano_clip.winclip:WinCLIP",
        options="pyimgano_clip.options:WinCLIPOptions",
        tags=_TAGS | {"zero-shot", "few-shot"},
        learning="few_shot",
        weights="download",
        weights_at=_WEIGHTS_AT,
        devices=("cpu", "cuda"),
        amp=True,
        presets={
            "industrial-fast": {"backbone": "ViT-B-16-plus-240", "windows": [3], "references": 2},
            "industrial-balanced": {"backbone": "ViT-B-16-plus-240", "references": 4},
            "industrial-accurate": {"backbone": "ViT-B-16-plus-240", "references": 16},
        },
    )


def _patchknn() -> DetectorSpec:
    return DetectorSpec(
        name="vision_openclip_patchknn",
        summary="Nearest neighbours of CLIP patch tokens, with few or many images",
        factory="pyimgano_clip.patchknn:OpenCLIPPatchKNN",
        options="pyimgano_clip.options:OpenCLIPPatchKNNOptions",
        tags=_TAGS | {"patchknn", "few-shot"},
        learning="few_shot",
        weights="download",
        weights_at=_WEIGHTS_AT,
        devices=("cpu", "cuda"),
        embedder=True,
        amp=True,
        presets={name: {**values, "coreset_sampling_ratio": 0.25} for name, values in _PRESETS.items()},
    )
