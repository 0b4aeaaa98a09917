"""Options of the illumination chain."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from pyimgano.options import Options


class IlluminationOptions(Options):
    """What is done about light and contrast before the detector; by default nothing."""

    FLAG_PREFIX: ClassVar[str] = "illumination-"

    shading: bool = Field(False, description="Divide by the flat field, estimated from each image.")
    shading_scale: float = Field(
        0.25, ge=0.01, le=1, description="Sigma of the gaussian that estimates it, as a share of the short side."
    )
    white_balance: Literal["none", "gray_world", "max_rgb"] = Field(
        "none", description="Make the channels' means, or their brightest values, equal."
    )
    max_rgb_percentile: float = Field(100.0, ge=1, le=100, description="Percentile that counts as a channel's brightest value.")
    homomorphic: bool = Field(False, description="Even out slow variation of the light, by homomorphic filtering.")
    homomorphic_cutoff: float = Field(
        2.0, ge=0.1, le=100, description="What is slow: cycles per short side below which variation counts as light."
    )
    homomorphic_gain_low: float = Field(0.5, ge=0, le=1, description="How much of that variation stays.")
    homomorphic_gain_high: float = Field(1.0, ge=0, le=4, description="Factor of the detail.")
    gamma: float = Field(1.0, ge=0.1, le=10, description="Exponent of the power law; below 1 brightens.")
    contrast_stretch: tuple[float, float] | None = Field(
        None,
        description="Percentiles of each image that become black and white; none to leave contrast alone.",
        json_schema_extra={"metavar": "LOW HIGH"},
    )
    clahe: bool = Field(False, description="Contrast-limited adaptive histogram equalisation.")
    clahe_clip_limit: float = Field(2.0, ge=1, le=100, description="Height at which its histograms are clipped.")
    clahe_grid: int = Field(8, ge=1, le=64, description="Its cells along each side.")

    @model_validator(mode="after")
    def _percentiles_rise(self) -> Self:
        if self.contrast_stretch is not None:
            low, high = self.contrast_stretch
            if not 0 <= low < high <= 100:
                raise ValueError(f"contrast_stretch must rise within 0 to 100, got {low:g} and {high:g}")
        return self
