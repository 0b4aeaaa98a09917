"""Options of tiling."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from pyimgano.images import MIN_SIDE
from pyimgano.options import Options
from pyimgano.tiling.coords import Size, as_size

_GREATEST_SIDE = 16384


def _fits_a_tile(sides: int | Size) -> int | Size:
    if min(as_size(sides)) < MIN_SIDE:
        raise ValueError(f"must be at least {MIN_SIDE}, the smallest image")
    return _fits_a_stride(sides)


def _fits_a_stride(sides: int | Size) -> int | Size:
    if min(as_size(sides)) < 1:
        raise ValueError("must be at least 1")
    if max(as_size(sides)) > _GREATEST_SIDE:
        raise ValueError(f"must be at most {_GREATEST_SIDE}")
    return sides


def _flag(name: str, **more: str) -> dict[str, Any]:
    return {"flag": f"--{name}", **more}


class TileScoring(Options):
    """Whether images are cut into tiles before they are scored, and how the answers are joined; by default they are not.

    A side is one number, or height and width.
    """

    tile_size: Annotated[int | Size, AfterValidator(_fits_a_tile)] | None = Field(
        None,
        description="Side of the tiles in pixels; none scores images whole.",
        json_schema_extra=_flag("tile-size"),
    )
    stride: Annotated[int | Size, AfterValidator(_fits_a_stride)] | None = Field(
        None,
        description="Pixels from one tile to the next; none puts them side by side.",
        json_schema_extra=_flag("tile-stride"),
    )
    score_reduce: Literal["max", "mean", "topk_mean"] = Field(
        "max",
        description="Score of an image from those of its tiles.",
        json_schema_extra=_flag("tile-reduce"),
    )
    score_topk: float = Field(
        0.1,
        gt=0,
        le=1,
        description="Share of the tiles, the most abnormal and at least one, that topk_mean averages.",
        json_schema_extra=_flag("tile-score-topk", metavar="SHARE"),
    )
    map_reduce: Literal["max", "mean", "hann", "gaussian"] = Field(
        "max",
        description="What happens where tiles overlap: the largest value, or an average that hann and gaussian fade at edges.",
        json_schema_extra=_flag("tile-map-reduce"),
    )

    @model_validator(mode="after")
    def _leaves_no_gaps(self) -> Self:
        if self.stride is not None:
            if self.tile_size is None:
                raise ValueError("stride needs a tile_size")
            if any(step > side for step, side in zip(as_size(self.stride), as_size(self.tile_size), strict=True)):
                raise ValueError(f"stride {self.stride} leaves gaps between tiles of {self.tile_size}; make it smaller")
        return self

    @property
    def tile(self) -> Size | None:
        """Return height and width of the tiles; None where images are scored whole."""
        return None if self.tile_size is None else as_size(self.tile_size)

    @property
    def step(self) -> Size | None:
        """Return the stride down and across; None for tiles side by side."""
        return None if self.stride is None else as_size(self.stride)


class TilingOptions(TileScoring):
    """The same, and what the detector learns from, which nothing changes once it has."""

    fit_on: Literal["images", "tiles"] = Field(
        "images", description="What the detector learns from.", json_schema_extra=_flag("tile-fit-on")
    )
