"""Options of core's postprocessors."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, FiniteFloat, model_validator

from pyimgano.options import Options


def _odd(side: int) -> int:
    if side and side % 2 == 0:
        raise ValueError("must be odd, so that a disc has a centre")
    return side


Diameter = Annotated[int, Field(ge=0, le=999), AfterValidator(_odd)]


class AnomalyMapOptions(Options):
    """Options of ``anomaly_map``; lengths and areas are in pixels of the image."""

    FLAG_PREFIX: ClassVar[str] = "postprocess-"

    normalize_method: Literal["none", "minmax", "percentile"] = Field(
        "none", description="Scale maps so that 0 and 1 are the range, or two percentiles, of held-out normal pixels."
    )
    percentile_range: tuple[float, float] = Field(
        (1.0, 99.0), description="Those percentiles.", json_schema_extra={"metavar": "LOW HIGH"}
    )
    gaussian_sigma: float = Field(0.0, ge=0, le=1000, description="Gaussian smoothing; 0 for none.")
    open_ksize: Diameter = Field(0, description="Opening by a disc of this diameter removes smaller peaks; 0 for none.")
    close_ksize: Diameter = Field(0, description="Closing by a disc of this diameter fills smaller pits; 0 for none.")
    component_threshold: FiniteFloat | None = Field(
        None, description="Regions above this value that are too small are flattened to it."
    )
    min_component_area: int = Field(0, ge=0, description="The least area of a region that stays.")

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        low, high = self.percentile_range
        if not 0 <= low < high <= 100:
            raise ValueError(f"percentile_range must rise within 0 to 100, got {low:g} and {high:g}")
        if (self.component_threshold is None) != (self.min_component_area == 0):
            raise ValueError("component_threshold and min_component_area belong together: set both or neither")
        return self
