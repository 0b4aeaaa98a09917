"""Tone: power law, contrast stretch and adaptive histogram equalisation."""

from __future__ import annotations

import cv2
import numpy as np

from pyimgano.errors import OptionsError
from pyimgano.preprocessing.pixels import (
    Pixels,
    apply_curves,
    as_unit,
    change_planes,
    check_number,
    check_pixels,
    luminance,
    percentiles,
    white,
)

_SMALLEST_CELL = 16


def gamma(image: Pixels, exponent: float) -> Pixels:
    """Return the image with every value v in [0, 1] as v ** exponent (Poynton 2003, Digital Video and HDTV, chapter 23).

    Parameters
    ----------
    image
        Grey (H, W) or RGB (H, W, 3), uint8 or floating point in [0, 1].
    exponent
        In [0.1, 10]; below 1 brightens, above 1 darkens, 1 changes nothing.

    Returns
    -------
    ndarray
        Of the same shape and dtype.
    """
    check_pixels(image)
    check_number("gamma", exponent, 0.1, 10)
    return apply_curves(image, [lambda values: values**exponent])


def contrast_stretch(image: Pixels, low: float = 1.0, high: float = 99.0) -> Pixels:
    """Return the image with two of its percentiles moved to black and white, linearly (Gonzalez and Woods 2018, section 3.2).

    The percentiles are those of all channels together, so colours keep their hue.

    Parameters
    ----------
    image
        Grey (H, W) or RGB (H, W, 3), uint8 or floating point in [0, 1].
    low, high
        Percentiles, 0 <= low < high <= 100.

    Returns
    -------
    ndarray
        Of the same shape and dtype; unchanged where both percentiles are one value.
    """
    check_pixels(image)
    if not 0 <= low < high <= 100:
        raise OptionsError(f"contrast_stretch: percentiles must rise within 0 to 100 (got {low} and {high})")
    dark, bright = percentiles(image, [low, high])
    if bright - dark <= np.finfo(np.float32).eps:
        return image.copy()
    return apply_curves(image, [lambda values: (values - dark) / (bright - dark)])


def clahe(image: Pixels, clip_limit: float = 2.0, grid: int = 8) -> Pixels:
    """Return the image after contrast-limited adaptive histogram equalisation of its luma (Zuiderveld 1994, Graphics Gems IV).

    Every channel is moved by what the luma moved by, so grey stays grey. The equalising curve has 256 levels for every dtype.

    Parameters
    ----------
    image
        Grey (H, W) or RGB (H, W, 3), uint8 or floating point in [0, 1].
    clip_limit
        Height at which histograms are clipped, as a multiple of a flat one, in [1, 100].
    grid
        Cells along each side, in [1, 64]; fewer where a cell would be narrower than 16 pixels.

    Returns
    -------
    ndarray
        Of the same shape and dtype.
    """
    check_pixels(image)
    check_number("clip_limit", clip_limit, 1, 100)
    check_number("grid", grid, 1, 64)
    before = np.rint(luminance(image) * 255).astype(np.uint8)
    height, width = (max(1, min(grid, side // _SMALLEST_CELL)) for side in before.shape)
    after = np.asarray(cv2.createCLAHE(clip_limit, (width, height)).apply(before), dtype=np.uint8)
    moved = (as_unit(after) - as_unit(before)) * np.float32(white(image))
    return change_planes(image, lambda values, _: values + moved)
