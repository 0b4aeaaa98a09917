# Copyright (c) 2026 Acme Industries. Confidential; see LICENSE.
"""Options of the scratch detector."""

from typing import Literal

from pydantic import Field

from pyimgano.options import Options, Side


class ScratchOptions(Options):
    """Options of ``acme_scratch``."""

    resize: tuple[Side, Side] = Field((256, 256), description="Height and width the detector sees.")
    width: float = Field(1.5, ge=0.5, le=10, description="Deviation of the filter across a scratch, in pixels of that size.")
    length: float = Field(7.0, ge=1, le=50, description="Deviation of the filter along a scratch, in pixels of that size.")
    directions: int = Field(12, ge=2, le=72, description="How many directions are looked at, evenly over half a turn.")
    polarity: Literal["bright", "dark", "both"] = Field("both", description="What a scratch is against its surface.")
    ignore_direction: float | None = Field(
        None,
        ge=0,
        lt=180,
        description="Direction of brushing that is no scratch, in degrees from the rows; none: nothing is ignored.",
    )
    ignore_within: float = Field(15.0, gt=0, lt=90, description="How near to ignore_direction a line is brushing, in degrees.")
