"""Before the detector: white balance, uneven light, tone. Pure functions; nothing is learned and nothing is random.

Every function takes grey (H, W) or RGB (H, W, 3), uint8 or floating point in [0, 1], returns the same shape and dtype, and
leaves its argument as it was. Each raises `ImageError` for anything else, and `OptionsError` for a setting out of bounds.
"""

from pyimgano.preprocessing.balance import gray_world_white_balance, max_rgb_white_balance
from pyimgano.preprocessing.chain import apply_illumination
from pyimgano.preprocessing.illumination import homomorphic_filter, shading_correction
from pyimgano.preprocessing.options import IlluminationOptions
from pyimgano.preprocessing.tone import clahe, contrast_stretch, gamma

__all__ = [
    "IlluminationOptions",
    "apply_illumination",
    "clahe",
    "contrast_stretch",
    "gamma",
    "gray_world_white_balance",
    "homomorphic_filter",
    "max_rgb_white_balance",
    "shading_correction",
]
