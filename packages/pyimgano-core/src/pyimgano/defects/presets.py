"""Named settings of the defects chain."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pyimgano.defects.blocks import Hysteresis, MapSmoothing, ShapeFilters
from pyimgano.defects.config import DefectsConfig

# industrial-defects-fp40 removes what is seldom a defect and often an alarm; each value is the mildest that does its work:
# - border 2: bilinear enlargement repeats the outermost patches, so the last pixels of a map are extrapolated;
# - median 3: takes away specks of up to 4 pixels, less than half of its window, and moves no straight edge, as a gaussian
#   would; a line must be 2 pixels wide to stay, and nothing that a map is enlarged from is thinner;
# - hysteresis: outlines follow the low threshold, so the pixel threshold can be strict without cutting defects to pieces;
# - area 16: a 4 x 4 spot; the patches behind a map are 8 or 16 pixels wide, a smaller peak is interpolation or noise;
# - aspect 40: scratches are rarely thinner than 1:40, rows of a camera and edges of a belt are;
# - fill 0.02: a diagonal scratch 3 pixels wide and 300 long is at the bound;
# - solidity 0.1: a half circle 3 pixels wide and 100 across is above it, a web along the threads of a fabric below.
DEFECTS_PRESETS: Mapping[str, DefectsConfig] = MappingProxyType(
    {
        "industrial-defects-fp40": DefectsConfig(
            border_ignore_px=2,
            map_smoothing=MapSmoothing(method="median", ksize=3),
            hysteresis=Hysteresis(enabled=True),
            min_area=16,
            shape_filters=ShapeFilters(min_fill_ratio=0.02, max_aspect_ratio=40.0, min_solidity=0.1),
        )
    }
)
"""Every preset by its name."""
