"""Which components are defects: filters by area, score and shape."""

from __future__ import annotations

import numpy as np

from pyimgano.defects.checks import Mask, above
from pyimgano.defects.components import Components
from pyimgano.defects.config import DefectsConfig
from pyimgano.defects.hulls import solidities
from pyimgano.defects.measures import Measures


def passing(components: Components, measures: Measures, config: DefectsConfig) -> Mask:
    """Return which components pass every filter of `config`, one value each."""
    shape = config.shape_filters
    keep = measures.area >= config.min_area
    keep &= measures.fill_ratio >= shape.min_fill_ratio
    if shape.max_aspect_ratio:
        keep &= measures.aspect_ratio <= shape.max_aspect_ratio
    if config.min_score_max is not None:
        keep &= measures.score_max >= config.min_score_max
    if config.min_score_mean is not None:
        keep &= measures.score_mean >= config.min_score_mean
    if config.component_threshold is not None:
        keep &= above(measures.score_max, config.component_threshold)
    if shape.min_solidity:
        places = np.flatnonzero(keep)
        keep[places] = ~(solidities(components, measures.area, places) < shape.min_solidity)  # NaN stays: a line has none
    return keep
