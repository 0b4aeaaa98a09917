"""Options of core's metrics."""

from __future__ import annotations

from pydantic import Field

from pyimgano.options import Options


class AUPROOptions(Options):
    """Options of ``aupro``."""

    limit: float = Field(0.3, gt=0, le=1, description="False-positive rate up to which the curve is integrated.")


class SPROOptions(Options):
    """Options of ``spro``."""

    limit: float = Field(0.05, gt=0, le=1, description="False-positive rate up to which the curve is integrated.")
