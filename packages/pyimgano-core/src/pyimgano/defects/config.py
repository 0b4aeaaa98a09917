"""The settings of the defects chain, one model for Python, infer_config.json and the command line."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, FiniteFloat, field_validator

from pyimgano.defects.blocks import LARGEST_SIDE, Hysteresis, MapSmoothing, MergeNearby, ShapeFilters, Share, flag, odd
from pyimgano.options import Options

Diameter = Annotated[int, Field(ge=0, le=99), AfterValidator(odd)]
Box = tuple[Share, Share, Share, Share]
Polygon = Annotated[tuple[tuple[Share, Share], ...], Field(min_length=3, max_length=10_000)]
SortKey = Literal["score_max", "score_mean", "area"]
MaskFormat = Literal["png", "npy", "npz"]


class DefectsConfig(Options):
    """From map to mask to regions; lengths and areas are in pixels of the map. Thresholds are exceeded, bounds are met."""

    pixel_threshold: FiniteFloat | None = Field(
        None,
        description="A pixel above it is abnormal; none is the calibrated one.",
        json_schema_extra=flag("pixel-threshold"),
    )
    border_ignore_px: int = Field(
        0,
        ge=0,
        le=LARGEST_SIDE,
        description="Width of the frame of the map that does not count.",
        json_schema_extra=flag("defect-border-ignore-px"),
    )
    roi_xyxy_norm: Box | None = Field(
        None,
        description="Only pixels whose centre is in this box count: left, top, right, bottom as shares of width and height.",
        json_schema_extra=flag("defect-roi-xyxy-norm", metavar="X1 Y1 X2 Y2"),
    )
    roi_polygons_norm: tuple[Polygon, ...] = Field(
        (),
        max_length=1000,
        description="Only pixels whose centre is in one of these polygons count: each a list of (x, y) as shares.",
        json_schema_extra=flag("defect-roi-polygons-norm"),
    )
    map_smoothing: MapSmoothing = Field(MapSmoothing(), description="Smoothing of the map before the threshold.")
    hysteresis: Hysteresis = Field(Hysteresis(), description="Two thresholds instead of one.")
    open_ksize: Diameter = Field(
        0,
        description="Opening by a disc of this diameter removes what it does not fit into; 0 for none.",
        json_schema_extra=flag("defect-open-ksize"),
    )
    close_ksize: Diameter = Field(
        0,
        description="Closing by a disc of this diameter bridges gaps that it does not fit into; 0 for none.",
        json_schema_extra=flag("defect-close-ksize"),
    )
    fill_holes: bool = Field(False, description="Fill what a defect encloses.", json_schema_extra=flag("defect-fill-holes"))
    min_area: int = Field(
        0,
        ge=0,
        le=LARGEST_SIDE**2,
        description="Least number of pixels of a region; 0 for any.",
        json_schema_extra=flag("defect-min-area"),
    )
    shape_filters: ShapeFilters = Field(ShapeFilters(), description="Which shapes stay.")
    min_score_max: FiniteFloat | None = Field(
        None, description="Least value of a region's highest pixel.", json_schema_extra=flag("defect-min-score-max")
    )
    min_score_mean: FiniteFloat | None = Field(
        None, description="Least mean value of a region's pixels.", json_schema_extra=flag("defect-min-score-mean")
    )
    component_threshold: FiniteFloat | None = Field(
        None,
        description="Only regions with any pixel above it stay.",
        json_schema_extra=flag("defect-component-threshold"),
    )
    dilate_px: int = Field(
        0,
        ge=0,
        le=49,
        description="Grow what passed the filters by this many pixels.",
        json_schema_extra=flag("defect-dilate-px"),
    )
    merge_nearby: MergeNearby = Field(MergeNearby(), description="Whether fragments are listed as one region.")
    max_regions_sort_by: SortKey = Field(
        "score_max",
        description="What regions are sorted by, the largest first.",
        json_schema_extra=flag("defect-max-regions-sort-by"),
    )
    max_regions: int = Field(
        0,
        ge=0,
        le=LARGEST_SIDE**2,
        description="How many regions are listed; 0 for all.",
        json_schema_extra=flag("defect-max-regions"),
    )
    mask_format: MaskFormat = Field("png", description="Format of mask files.", json_schema_extra=flag("mask-format"))

    @field_validator("roi_xyxy_norm")
    @classmethod
    def _has_an_inside(cls, box: Box | None) -> Box | None:
        if box is not None and not (box[0] < box[2] and box[1] < box[3]):
            raise ValueError("roi_xyxy_norm must be left, top, right, bottom with left < right and top < bottom")
        return box
