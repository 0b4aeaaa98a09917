"""White balance: one gain per channel, from the image itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyimgano.preprocessing.pixels import MAX_GAIN, Pixels, check_number, check_pixels, percentiles, planes, scale_channels


def gray_world_white_balance(image: Pixels) -> Pixels:
    """Return the image with the means of its channels made equal, to their common mean.

    The grey-world assumption of Buchsbaum (A spatial processor model for object colour perception, Journal of the Franklin
    Institute 310, 1980): the scene is grey on average. It fails where one colour fills the image.

    Parameters
    ----------
    image
        RGB (H, W, 3), uint8 or floating point in [0, 1]. A grey image (H, W) comes back as it is.

    Returns
    -------
    ndarray
        Of the same shape and dtype. No gain is above 8.

    Raises
    ------
    ImageError
        For another shape, dtype or range.
    """
    check_pixels(image)
    means = planes(image).mean(axis=(0, 1), dtype=np.float64)
    return _balanced(image, means, float(means.mean()))


def max_rgb_white_balance(image: Pixels, percentile: float = 100.0) -> Pixels:
    """Return the image with the brightest values of its channels made equal, to the brightest of all.

    The white-patch assumption of Land and McCann (Lightness and retinex theory, Journal of the Optical Society of America 61,
    1971): somewhere the scene reflects all colours alike.

    Parameters
    ----------
    image
        RGB (H, W, 3), uint8 or floating point in [0, 1]. A grey image (H, W) comes back as it is.
    percentile
        Which percentile of a channel counts as its brightest value, in [1, 100]. 100 is the maximum, which one hot pixel
        decides; 99 ignores hot pixels.

    Returns
    -------
    ndarray
        Of the same shape and dtype. No gain is above 8.

    Raises
    ------
    ImageError
        For another shape, dtype or range.
    OptionsError
        For a percentile out of bounds.
    """
    check_pixels(image)
    check_number("percentile", percentile, 1, 100)
    channels = planes(image)
    peaks = np.array([percentiles(channels[:, :, place], [percentile])[0] for place in range(channels.shape[2])])
    return _balanced(image, peaks, float(peaks.max()))


def _balanced(image: Pixels, levels: NDArray[np.float64], target: float) -> Pixels:
    """Return the image with channels of these levels scaled to `target`; a black channel stays black."""
    gains = [min(target / level, MAX_GAIN) if level > 0 else 1.0 for level in levels.tolist()]
    return scale_channels(image, gains)
