"""The illumination steps in their one order."""

from __future__ import annotations

from pyimgano.preprocessing.balance import gray_world_white_balance, max_rgb_white_balance
from pyimgano.preprocessing.illumination import homomorphic_filter, shading_correction
from pyimgano.preprocessing.options import IlluminationOptions
from pyimgano.preprocessing.pixels import Pixels, check_pixels
from pyimgano.preprocessing.tone import clahe, contrast_stretch, gamma


def apply_illumination(image: Pixels, options: IlluminationOptions) -> Pixels:
    """Return the image after the steps that the options ask for; the image itself where they ask for none.

    The order is shading, white balance, homomorphic filter, gamma, contrast stretch, CLAHE: first what light and lens did to
    the signal, which is a product and is undone while values are still proportional to it, then tone, global before local.

    Parameters
    ----------
    image
        Grey (H, W) or RGB (H, W, 3), uint8 or floating point in [0, 1]; left as it was.
    options
        Which steps, and how.

    Returns
    -------
    ndarray
        Of the same shape and dtype.
    """
    check_pixels(image)
    if options.shading:
        image = shading_correction(image, scale=options.shading_scale)
    if options.white_balance == "gray_world":
        image = gray_world_white_balance(image)
    elif options.white_balance == "max_rgb":
        image = max_rgb_white_balance(image, options.max_rgb_percentile)
    if options.homomorphic:
        image = homomorphic_filter(
            image, options.homomorphic_cutoff, options.homomorphic_gain_low, options.homomorphic_gain_high
        )
    if options.gamma != 1:
        image = gamma(image, options.gamma)
    if options.contrast_stretch is not None:
        image = contrast_stretch(image, *options.contrast_stretch)
    if options.clahe:
        image = clahe(image, options.clahe_clip_limit, options.clahe_grid)
    return image
