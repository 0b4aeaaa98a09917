"""Options of the detectors of this distribution."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from pyimgano.options import Options, Side


class PatchCoreOptions(Options):
    """Options of ``vision_patchcore``."""

    backbone: str = Field(
        "wide_resnet50", min_length=1, description="efficientnet_lite0, wide_resnet50, or any timm model name."
    )
    weights: Path | None = Field(
        None, description="File with weights of the backbone, .safetensors or .pth; none: found by name."
    )
    pretrained: bool = Field(True, description="Whether to use pretrained weights; without them scores mean nothing.")
    layers: tuple[str, ...] | None = Field(
        None, min_length=1, description="Feature layers of the backbone; none: those at strides 8 and 16."
    )
    resize: tuple[Side, Side] | None = Field(
        (256, 256), description="Height and width of the backbone's input; none: every image at its own size."
    )
    neighborhood: int = Field(3, ge=1, le=15, description="Side of the square over which neighbouring features are averaged.")
    coreset_sampling_ratio: float = Field(0.1, gt=0, le=1, description="Share of the training patches kept in the memory bank.")
    projection_dim: int = Field(128, ge=1, description="Dimensions of the random projection in which the coreset is chosen.")
    k: int = Field(1, ge=1, description="Nearest neighbours whose mean distance is a patch's score.")
    image_score: Literal["max", "reweighted"] = Field(
        "max", description="Image score: its largest patch score, or that reweighted by the neighbourhood of its match (paper)."
    )
    reweight_neighbors: int = Field(9, ge=2, description="Size of that neighbourhood.")
    smoothing: float = Field(4.0, ge=0, description="Gaussian sigma of the map, in pixels of the backbone's input.")
