"""Options of the detectors of this distribution."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from pyimgano.options import Options, Side


class ElsewhereOptions(Options):
    """Options of a model that is trained by anomalib's own tools."""

    checkpoint: Path | None = Field(
        None, description="What anomalib has trained: .ckpt of Lightning, or an export: .pt, .onnx, .xml of OpenVINO."
    )
    trust_checkpoint: bool = Field(
        False, description="Whether code inside a checkpoint that is a pickle may run. Only for files whose maker you trust."
    )


class CheckpointOptions(ElsewhereOptions):
    """Options of ``vision_anomalib_checkpoint``."""

    model: str | None = Field(
        None, min_length=1, description="Class of anomalib that a .ckpt holds, such as Padim; none: as the checkpoint tells."
    )


class OnePassOptions(ElsewhereOptions):
    """Options of a model that learns in one pass, or is loaded from a checkpoint."""

    arguments: dict[str, Any] = Field(
        {}, description="Arguments of anomalib's class, by name; those left out have its defaults."
    )
    image_size: tuple[Side, Side] | None = Field(
        None, description="Height and width of the model's input; none: those of anomalib's class."
    )
    center_crop: tuple[Side, Side] | None = Field(
        None, description="Height and width of what is kept of that input's centre; none: as anomalib's class does."
    )
    backbone_weights: Path | None = Field(
        None, description="File with weights of the pretrained network, .safetensors or .pth; none: found by its name."
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        for name in ("arguments", "image_size", "center_crop", "backbone_weights"):
            if self.checkpoint is not None and getattr(self, name):
                raise ValueError(f"{name} has no effect beside a checkpoint, which holds all of the model; leave one away")
        if self.backbone_weights is not None and self.arguments.get("pre_trained") is False:
            raise ValueError("backbone_weights contradicts pre_trained=false in arguments; leave one of them away")
        return self


class GradientOptions(OnePassOptions):
    """Options of a model that learns by gradient descent, or is loaded from a checkpoint."""

    max_epochs: int | None = Field(
        None,
        ge=1,
        description="Most passes over the training images; none: as max_steps or anomalib's class asks for, else 100.",
    )
    max_steps: int | None = Field(None, ge=1, description="Most batches to learn from; none: no bound.")
    train_batch_size: int = Field(8, ge=1, description="Images that are learned from at once.")
