"""What a CLIP is made of, as plain data, and models built from it; weights are not its concern."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray

from pyimgano.errors import BundleError, WeightsError
from pyimgano_clip.places import USUAL_TAGS

_NO_TEXT = {"context_length": 1, "vocab_size": 1, "width": 8, "heads": 1, "layers": 1}


@dataclass(frozen=True)
class Architecture:
    """A CLIP whose vision tower is open_clip's transformer.

    Attributes
    ----------
    name
        What to call it in errors.
    embed_dim
        Dimensions of the space in which images and texts are compared.
    vision, text
        As open_clip configures the towers; no text where only images are embedded.
    quick_gelu
        Whether it has OpenAI's approximation of GELU.
    custom_text
        Whether its text tower is a module of its own.
    mean, std
        Of the three channels, in [0, 1].
    """

    name: str
    embed_dim: int
    vision: Mapping[str, Any]
    text: Mapping[str, Any] | None = None
    quick_gelu: bool = False
    custom_text: bool = False
    mean: tuple[float, float, float] = open_clip.OPENAI_DATASET_MEAN
    std: tuple[float, float, float] = open_clip.OPENAI_DATASET_STD

    @classmethod
    def of(cls, name: str, config: Mapping[str, Any]) -> Self:
        """Return the architecture of open_clip's config of a model.

        Raises
        ------
        WeightsError
            If it has no vision transformer of open_clip's own, or a text tower of another library.
        """
        vision, text = dict(config.get("vision_cfg") or {}), dict(config.get("text_cfg") or {})
        foreign = [key for key in ("timm_model_name", "attentional_pool") if vision.get(key)]
        if foreign or not isinstance(vision.get("layers"), int) or vision.get("pool_type", "tok") not in ("tok", "avg"):
            raise WeightsError(
                f"{name} has no patch tokens that can be used: its vision tower is not open_clip's plain transformer",
                f"for example: {', '.join(USUAL_TAGS)}",
            )
        if text.get("hf_model_name") or config.get("multimodal_cfg") or not text:
            raise WeightsError(f"{name} has a text tower that is not open_clip's own", f"for example: {', '.join(USUAL_TAGS)}")
        quick_gelu, custom_text = (bool(config.get(key, False)) for key in ("quick_gelu", "custom_text"))
        return cls(name, int(config["embed_dim"]), vision, text, quick_gelu, custom_text)

    def pretrained(self, config: Mapping[str, Any]) -> Self:
        """Return the architecture with what its published weights were trained with: channel statistics, kind of GELU."""
        mean, std = (tuple(config.get(key) or getattr(self, key)) for key in ("mean", "std"))
        return replace(self, quick_gelu=bool(config.get("quick_gelu", self.quick_gelu)), mean=mean, std=std)

    def to_array(self) -> NDArray[np.uint8]:
        """Return what is needed to build the vision tower, as bytes of JSON."""
        content = {**asdict(self), "text": None, "custom_text": False}
        return np.frombuffer(json.dumps(content, sort_keys=True).encode(), dtype=np.uint8)

    @classmethod
    def from_array(cls, array: NDArray[np.uint8] | None) -> Self:
        """Return the architecture that `to_array` wrote."""
        if array is None:
            raise BundleError("the state does not say which network it holds", "export the bundle again")
        return cls(**json.loads(bytes(np.asarray(array, dtype=np.uint8))))


def build_clip(architecture: Architecture) -> Any:
    """Return the whole model with random initial values."""
    make = open_clip.CustomTextCLIP if architecture.custom_text else open_clip.CLIP
    return make(
        embed_dim=architecture.embed_dim,
        vision_cfg=dict(architecture.vision),
        text_cfg=dict(architecture.text or _NO_TEXT),
        quick_gelu=architecture.quick_gelu,
    )


def build_vision(architecture: Architecture) -> Any:
    """Return the vision tower alone, its values not set."""
    with torch.device("meta"):
        model = build_clip(replace(architecture, text=None, custom_text=False))
    return model.visual.to_empty(device="cpu")
