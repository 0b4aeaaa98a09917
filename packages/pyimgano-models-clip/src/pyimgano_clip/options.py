"""Options of the detectors of this distribution."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from pyimgano.options import Options, Side
from pyimgano_clip.prompts import Phrase, Prompts, PromptSet
from pyimgano_patchknn.options import PatchKNNOptions

Attention = Literal["block", "value"]
TOPK = 0.01


class ClipOptions(Options):
    """Which network, with which weights, and at what size it sees an image."""

    backbone: str = Field("ViT-B-16-plus-240", min_length=1, description="open_clip model whose vision tower is a transformer.")
    tag: str | None = Field(
        None, min_length=1, description="open_clip tag of its pretrained weights; none: the usual one of the backbone."
    )
    weights: Path | None = Field(
        None,
        description="Checkpoint, .safetensors or .pt, or a folder with open_clip_config.json and one; none: by download.",
    )
    pretrained: bool = Field(True, description="Whether to use pretrained weights; without them scores mean nothing.")
    resize: tuple[Side, Side] | None = Field(
        None,
        description="Height and width of the network's input, rounded to whole patches; none: the square it was trained on.",
    )

    @field_validator("weights")
    @classmethod
    def _file_or_tag(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and info.data.get("tag") is not None:
            raise ValueError("contradicts tag; leave one of them away")
        return value

    @field_validator("pretrained")
    @classmethod
    def _weights_or_random(cls, value: bool, info: ValidationInfo) -> bool:
        given = next((name for name in ("weights", "tag") if info.data.get(name) is not None), None)
        if not value and given is not None:
            raise ValueError(f"contradicts {given}; leave one of them away")
        return value


class PromptOptions(ClipOptions):
    """Options of the detectors that compare with text."""

    class_name: Phrase = Field("object", description="What the part is called in the prompts, for example metal nut.")
    prompts: Prompts = Field(
        default_factory=PromptSet,
        description="YAML file, or mapping, with phrases normal and anomalous, and templates; by default those of WinCLIP.",
    )
    temperature: float = Field(0.01, gt=0, le=10, description="Divides cosine similarities before the softmax.")
    smoothing: float = Field(0.0, ge=0, description="Gaussian sigma of the map, in pixels of the network's input.")


class OpenCLIPPromptScoreOptions(PromptOptions):
    """Options of ``vision_openclip_promptscore``."""

    attention: Attention = Field(
        "value",
        description="Last block of the patch tokens: its own, or value-value attention, which aligns them better with text.",
    )
    image_score: Literal["image", "max", "topk_mean"] = Field(
        "image", description="Image score: that of the image embedding, or made of its patch scores."
    )
    topk: float = Field(TOPK, gt=0, description="Largest patch scores in that mean: a share up to 1, or a count above 1.")

    @field_validator("topk")
    @classmethod
    def _only_topk(cls, value: float, info: ValidationInfo) -> float:
        return _checked_topk(value, info)


def _checked_topk(value: float, info: ValidationInfo) -> float:
    if value > 1 and value != int(value):
        raise ValueError("must be a share in (0, 1] or a whole number above 1")
    if value != TOPK and info.data.get("image_score") != "topk_mean":
        raise ValueError("has no effect unless image_score is topk_mean")
    return value


def _distinct(sides: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(sides)) < len(sides):
        raise ValueError("must not name a side twice")
    return sides


Window = Annotated[int, Field(ge=1, le=64)]


class WinCLIPOptions(PromptOptions):
    """Options of ``vision_winclip``."""

    windows: Annotated[tuple[Window, ...], AfterValidator(_distinct)] = Field(
        (2, 3), min_length=1, description="Sides of the windows, in patches; each size is a scale."
    )
    references: int = Field(
        4, ge=0, description="Training images, drawn by the seed, that windows and patches are compared with; 0: zero-shot."
    )
    epsilon: float = Field(
        1e-6, gt=0, lt=1, description="Least score in a harmonic mean, which a single 0 would otherwise take to 0."
    )


class EmbedderOptions(ClipOptions):
    """Options of `OpenCLIPViTPatchEmbedder`."""

    block: int = Field(-1, ge=-256, le=255, description="Block whose patch tokens are taken, from 0; -1 is the last.")
    projected: bool = Field(
        False, description="Whether tokens are projected to where texts are compared; all get the network's final norm."
    )
    attention: Attention = Field("block", description="Last block of the patch tokens: its own, or value-value attention.")

    @field_validator("attention")
    @classmethod
    def _only_last(cls, value: Attention, info: ValidationInfo) -> Attention:
        if value == "value" and info.data.get("block") != -1:
            raise ValueError("has no effect unless block is -1")
        return value


class OpenCLIPPatchKNNOptions(EmbedderOptions, PatchKNNOptions):
    """Options of ``vision_openclip_patchknn``."""

    NETWORK: ClassVar[tuple[str, ...]] = ("backbone", "tag", "weights", "resize", "block", "projected", "attention")

    coreset_sampling_ratio: float = Field(1.0, gt=0, le=1, description="Share of the training patches kept in the memory bank.")
    image_score: Literal["topk_mean", "mean", "max"] = Field("max", description="How patch scores make the image score.")
    topk: float = Field(TOPK, gt=0, description="Largest patch scores in that mean: a share up to 1, or a count above 1.")
    smoothing: float = Field(4.0, ge=0, description="Gaussian sigma of the map, in pixels of the network's input.")

    @field_validator("topk")
    @classmethod
    def _only_topk(cls, value: float, info: ValidationInfo) -> float:
        return _checked_topk(value, info)
