"""Options of core's detectors."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pyimgano.options import Options, Side


class FilterBankOptions(Options):
    """Options of ``vision_filterbank``."""

    resize: tuple[Side, Side] = Field((256, 256), description="Height and width that images are scaled to before filtering.")
    patch: int = Field(8, ge=2, le=64, description="Side of a patch in pixels of the scaled image.")
    distance: Literal["nearest", "mahalanobis"] = Field(
        "nearest", description="Distance to the nearest normal patch, or to their mean; both in whitened space."
    )
    bank_size: int = Field(8000, ge=1, description="Normal patches kept for the nearest-neighbour distance.")
    shrinkage: float = Field(0.05, ge=0, le=1, description="How far correlations between features are shrunk towards none.")
    top_fraction: float = Field(
        0.01, gt=0, le=1, description="Share of the patches, the most abnormal, whose mean distance is the image score."
    )
    smoothing: float = Field(4.0, ge=0, description="Gaussian sigma of the map, in pixels of the scaled image.")
