"""Options of the detectors of this distribution."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import Field, ValidationInfo, field_validator

from pyimgano.options import Options, Side

Number = TypeVar("Number", int, float)


class PatchKNNOptions(Options):
    """What all patch nearest-neighbour detectors can be told."""

    NETWORK: ClassVar[tuple[str, ...]] = ("backbone", "weights")
    """Options of the network, which have no effect beside an embedder of the caller's own."""

    backbone: str = Field(min_length=1, description="Name of the pretrained network.")
    weights: Path | None = Field(
        None, description="File with weights of the backbone, .safetensors or .pth; none: found by name."
    )
    pretrained: bool = Field(True, description="Whether to use pretrained weights; without them scores mean nothing.")
    standardize: bool = Field(
        False, description="Whether feature channels are centred and divided by their deviation over the training patches."
    )
    coreset_sampling_ratio: float = Field(0.1, gt=0, le=1, description="Share of the training patches kept in the memory bank.")
    max_bank_size: int | None = Field(
        None,
        ge=1,
        description="Most patches in a memory bank. Memory while fitting then does not grow with the images; none: no bound.",
    )
    projection_dim: int = Field(128, ge=1, description="Dimensions of the random projection in which the coreset is chosen.")
    k: int = Field(1, ge=1, description="Nearest neighbours whose mean distance is a patch's score.")

    search: Literal["exact", "ivf", "hnsw", "pq"] = Field(
        "exact",
        description="How neighbours are found: exactly, or sooner with some missed, by cells, by a graph, or by short codes.",
    )

    @field_validator("pretrained")
    @classmethod
    def _file_or_random(cls, value: bool, info: ValidationInfo) -> bool:
        if not value and info.data.get("weights") is not None:
            raise ValueError("contradicts weights=FILE; leave one of them away")
        return value


class PatchCoreOptions(PatchKNNOptions):
    """Options of ``vision_patchcore``."""

    NETWORK: ClassVar[tuple[str, ...]] = ("backbone", "weights", "layers", "neighborhood")

    backbone: str = Field(
        "wide_resnet50", min_length=1, description="efficientnet_lite0, wide_resnet50, or any timm model name."
    )
    layers: tuple[str, ...] | None = Field(
        None, min_length=1, description="Feature layers of the backbone; none: those at strides 8 and 16."
    )
    resize: tuple[Side, Side] | None = Field(
        (256, 256), description="Height and width of the backbone's input; none: every image at its own size."
    )
    neighborhood: int = Field(
        3, ge=1, le=15, description="Side of the square over which neighbouring features are averaged; odd."
    )
    image_score: Literal["max", "reweighted"] = Field(
        "max", description="Image score: its largest patch score, or that reweighted by the neighbourhood of its match (paper)."
    )
    reweight_neighbors: int = Field(9, ge=2, description="Size of that neighbourhood.")
    smoothing: float = Field(4.0, ge=0, description="Gaussian sigma of the map, in pixels of the backbone's input.")

    @field_validator("neighborhood")
    @classmethod
    def _centred(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("must be odd, so that the square has a centre")
        return value

    @field_validator("reweight_neighbors")
    @classmethod
    def _only_reweighted(cls, value: int, info: ValidationInfo) -> int:
        return _only_with(cls, info, value, "image_score", "reweighted")


class SoftPatchOptions(PatchCoreOptions):
    """Options of ``vision_softpatch``."""

    max_bank_size: int | None = Field(
        None,
        ge=1,
        description="Most patches in the memory bank; none: no bound. All training patches are held while fitting.",
    )
    discrimination: Literal["position", "anywhere"] = Field(
        "position",
        description="Compare a training patch with those at the same place of other images (aligned parts), or at any place.",
    )
    lof_neighbors: int = Field(6, ge=1, description="Neighbours of the local outlier factor.")
    train_patch_outlier_quantile: float = Field(
        0.01, ge=0, lt=1, description="Share of the training patches, the most outlying, that is left out of the memory bank."
    )
    soft_weights: bool = Field(False, description="Whether distances are multiplied by the outlier factor of the match.")


class AnomalyDINOOptions(PatchKNNOptions):
    """Options of ``vision_anomalydino``."""

    NETWORK: ClassVar[tuple[str, ...]] = ("backbone", "weights", "short_side")

    backbone: str = Field(
        "dinov2_vits14", min_length=1, description="dinov2_vits14 (also b, l), dinov3_vits16 (also b, l), or a timm ViT."
    )
    coreset_sampling_ratio: float = Field(1.0, gt=0, le=1, description="Share of the training patches kept in the memory bank.")
    short_side: int = Field(
        448, ge=16, le=8192, description="Shorter side of the network's input; the other keeps the aspect ratio."
    )
    rotations: int | None = Field(
        None,
        ge=1,
        le=36,
        description="Rotated copies learned of a training image, evenly over the circle; none: 8 for up to 16 images, else 1.",
    )
    image_score: Literal["topk_mean", "mean", "max"] = Field("topk_mean", description="How patch scores make the image score.")
    topk: float = Field(0.01, gt=0, description="Largest patch scores in that mean: a share up to 1, or a count above 1.")
    foreground: bool = Field(
        False, description="Whether scores off the part, by the first principal component of its patches, count as 0."
    )
    foreground_threshold: float = Field(
        10.0, ge=0, description="How far along that component a patch must lie to be of the part, in units of the features."
    )
    smoothing: float = Field(4.0, ge=0, description="Gaussian sigma of the map, in pixels of the image.")

    @field_validator("topk")
    @classmethod
    def _only_topk(cls, value: float, info: ValidationInfo) -> float:
        if value > 1 and value != int(value):
            raise ValueError("must be a share in (0, 1] or a whole number above 1")
        return _only_with(cls, info, value, "image_score", "topk_mean")

    @field_validator("foreground_threshold")
    @classmethod
    def _only_foreground(cls, value: float, info: ValidationInfo) -> float:
        return _only_with(cls, info, value, "foreground", True)


Block = Annotated[int, Field(ge=-256, le=255)]


class SuperADOptions(AnomalyDINOOptions):
    """Options of ``vision_superad``."""

    NETWORK: ClassVar[tuple[str, ...]] = ("backbone", "weights", "short_side", "blocks")

    backbone: str = Field(
        "dinov2_vitl14", min_length=1, description="dinov2_vitl14 (also s, b), dinov3_vitl16 (also s, b), or a timm ViT."
    )
    k: int = Field(1, ge=1, description="A patch's score is its distance to its k-th nearest neighbour.")
    short_side: int = Field(
        672, ge=16, le=8192, description="Shorter side of the network's input; the other keeps the aspect ratio."
    )
    rotations: int = Field(8, ge=1, le=36, description="Rotated copies learned of a reference image, evenly over the circle.")
    foreground_threshold: float = Field(
        1.0, ge=0, description="How far along that component a patch must lie to be of the part, in units of the features."
    )
    blocks: tuple[Block, ...] | None = Field(
        None, min_length=1, description="Blocks that get a memory bank each, from 0; none: the last of each quarter."
    )
    references: int = Field(
        16, ge=1, description="Training images that are kept, chosen so that they cover all by their class tokens."
    )


def _only_with(model: type[Options], info: ValidationInfo, value: Number, other: str, wanted: object) -> Number:
    """Refuse a changed option that another one switches off, rather than ignore it."""
    default = model.model_fields[info.field_name or ""].default
    if value != default and info.data.get(other, wanted) != wanted:
        raise ValueError(f"has no effect unless {other} is {wanted}")
    return value
