"""Options of augmented training."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from pyimgano.options import Options


class AugmentationOptions(Options):
    """Whether a detector also learns from changed copies of the training images; calibration images are never changed."""

    FLAG_PREFIX: ClassVar[str] = "augment-"

    preset: Literal["none", "industrial-camera-robust", "industrial-drift"] = Field(
        "none", description="What may happen to a copy: what tells cameras of one model apart, or what a line does over months."
    )
    copies: int = Field(1, ge=1, le=32, description="Changed copies of every training image, beside the image itself.")
