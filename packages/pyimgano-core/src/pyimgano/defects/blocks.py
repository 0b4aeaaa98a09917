"""The blocks of the settings of the defects chain: smoothing, hysteresis, shapes and merging.

A block that is switched off (``method: none``, ``enabled: false``) keeps its other values, so that one flag can switch a
configured block off.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, FiniteFloat, JsonValue, model_validator

from pyimgano.options import Options

LARGEST_MEDIAN = 31
"""Side of the largest median window: the work grows with its square."""
LARGEST_SIDE = 65_535
"""More rows or columns than a map has."""


def odd(side: int) -> int:
    """Return the side of a window, or raise ValueError if it has no centre."""
    if side and side % 2 == 0:
        raise ValueError("must be odd, so that it has a centre")
    return side


def flag(name: str, **more: JsonValue) -> dict[str, JsonValue]:
    """Return what the schema of a field says about its flag on the command line."""
    return {"flag": f"--{name}", **more}


Share = Annotated[float, Field(ge=0, le=1)]


class MapSmoothing(Options):
    """Smoothing of the map before the threshold."""

    method: Literal["none", "median", "gaussian", "box"] = Field(
        "none",
        description="Smoothing before the threshold; pixels that do not count are left out of every window.",
        json_schema_extra=flag("defect-map-smoothing"),
    )
    ksize: Annotated[int, AfterValidator(odd)] = Field(
        0,
        ge=0,
        le=999,
        description="Side of the window in pixels; 0 lets gaussian choose it by sigma.",
        json_schema_extra=flag("defect-map-smoothing-ksize"),
    )
    sigma: float = Field(
        0.0,
        ge=0,
        le=100,
        description="Standard deviation of gaussian in pixels; 0 chooses it by ksize.",
        json_schema_extra=flag("defect-map-smoothing-sigma"),
    )

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if self.method in ("median", "box"):
            if self.ksize < 3:
                raise ValueError(f"{self.method} needs ksize, an odd number of at least 3")
            if self.sigma:
                raise ValueError(f"sigma is of gaussian, {self.method} has none: set it to 0")
        if self.method == "median" and self.ksize > LARGEST_MEDIAN:
            raise ValueError(f"median goes up to ksize {LARGEST_MEDIAN}: use gaussian or box for larger windows")
        if self.method == "gaussian" and (self.ksize == 1 or (self.ksize == 0 and self.sigma == 0)):
            raise ValueError("gaussian needs sigma, or ksize of at least 3")
        return self


class Hysteresis(Options):
    """Two thresholds: what exceeds the low one stays where it is connected to something that exceeds the high one."""

    enabled: bool = Field(
        False,
        description="Let defects grow from pixels above the high threshold into connected ones above the low one.",
        json_schema_extra=flag("defect-hysteresis"),
    )
    low: FiniteFloat | None = Field(
        None,
        description="Low threshold; none is halfway between the median of held-out normal pixels and the high one.",
        json_schema_extra=flag("defect-hysteresis-low"),
    )
    high: FiniteFloat | None = Field(
        None, description="High threshold; none is the pixel threshold.", json_schema_extra=flag("defect-hysteresis-high")
    )

    @model_validator(mode="after")
    def _rise(self) -> Self:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low must not be above high, got {self.low:g} and {self.high:g}")
        return self


class ShapeFilters(Options):
    """Which shapes stay; a region exactly at a bound stays."""

    min_fill_ratio: Share = Field(
        0.0,
        description="Least share of its box that a region fills; 0 for any.",
        json_schema_extra=flag("defect-min-fill-ratio"),
    )
    max_aspect_ratio: float = Field(
        0.0,
        ge=0,
        le=LARGEST_SIDE,
        description="Largest ratio of the sides of its box, longer by shorter; 0 for any.",
        json_schema_extra=flag("defect-max-aspect-ratio"),
    )
    min_solidity: Share = Field(
        0.0,
        description="Least share of its convex hull that a region fills; lines, whose hull has no area, stay; 0 for any.",
        json_schema_extra=flag("defect-min-solidity"),
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if 0 < self.max_aspect_ratio < 1:
            raise ValueError("max_aspect_ratio is longer by shorter side, so at least 1; 0 allows any")
        return self


class MergeNearby(Options):
    """Whether fragments are listed as one region; the mask stays as it is."""

    enabled: bool = Field(
        False,
        description="List regions whose boxes are near each other as one.",
        json_schema_extra=flag("defect-merge-nearby"),
    )
    max_gap_px: int = Field(
        0,
        ge=0,
        le=LARGEST_SIDE,
        description="Rows and columns that may lie between two boxes; 0 for boxes that touch or overlap.",
        json_schema_extra=flag("defect-merge-nearby-max-gap-px"),
    )
