"""Uneven light: homomorphic filtering and flat-field correction."""

from __future__ import annotations

import numpy as np

from pyimgano.errors import ImageError
from pyimgano.preprocessing.pixels import (
    MAX_GAIN,
    Field,
    Pixels,
    as_unit,
    broad_gaussian,
    change_planes,
    check_number,
    check_pixels,
    luminance,
    planes,
)

_DARKEST = np.float32(1 / 255)


def homomorphic_filter(image: Pixels, cutoff: float = 2.0, gain_low: float = 0.5, gain_high: float = 1.0) -> Pixels:
    """Return the image with its illumination evened out and its detail kept or raised.

    Oppenheim, Schafer and Stockham (Nonlinear filtering of multiplied and convolved signals, Proceedings of the IEEE 56, 1968):
    the logarithm of the luma is illumination, which varies slowly, plus reflectance; a gaussian splits the two. The mean of the
    logarithm stays, so brightness does not jump, and all channels of a pixel have one gain, so hue stays.

    Parameters
    ----------
    image
        Grey (H, W) or RGB (H, W, 3), uint8 or floating point in [0, 1].
    cutoff
        Where illumination ends, in cycles per short side of the image, in [0.1, 100]: the gaussian's standard deviation in
        frequency.
    gain_low
        Factor of the illumination's variation, in [0, 1]; 0 removes it, 1 keeps it.
    gain_high
        Factor of the detail, in [0, 4]; 1 keeps it.

    Returns
    -------
    ndarray
        Of the same shape and dtype. No pixel is brightened more than 8 times.
    """
    check_pixels(image)
    check_number("cutoff", cutoff, 0.1, 100)
    check_number("gain_low", gain_low, 0, 1)
    check_number("gain_high", gain_high, 0, 4)
    logarithm = np.log(np.maximum(luminance(image), _DARKEST))
    sigma = min(image.shape[:2]) / (2 * np.pi * cutoff)
    slow = broad_gaussian(logarithm, sigma)
    detail = logarithm - slow
    slow -= np.float32(slow.mean(dtype=np.float64))
    change = np.float32(gain_low - 1) * slow + np.float32(gain_high - 1) * detail
    gain = np.exp(np.minimum(change, np.float32(np.log(MAX_GAIN))))
    return change_planes(image, lambda values, _: values * gain)


def shading_correction(image: Pixels, reference: Pixels | None = None, scale: float = 0.25) -> Pixels:
    """Return the image divided by its flat field, scaled to the field's mean.

    Young, Shading correction: compensation for illumination and sensor inhomogeneities, Current Protocols in Cytometry 2.11,
    2000.

    Parameters
    ----------
    image
        Grey (H, W) or RGB (H, W, 3), uint8 or floating point in [0, 1].
    reference
        Photograph of an evenly white surface under the same light, of the same height and width, grey or of as many channels.
        None estimates the field of every channel by a broad gaussian of the image itself, which also evens out the part.
    scale
        Standard deviation of that gaussian, as a share of the short side, in [0.01, 1].

    Returns
    -------
    ndarray
        Of the same shape and dtype. No pixel is brightened more than 8 times.

    Raises
    ------
    ImageError
        If the reference has another size, or a channel of it is black.
    """
    check_pixels(image)
    check_number("scale", scale, 0.01, 1)
    if reference is None:
        sigma = scale * min(image.shape[:2])
        return change_planes(image, lambda values, _: values * _flattening(broad_gaussian(values, sigma)))
    check_pixels(reference)
    if reference.shape not in (image.shape, image.shape[:2]):
        raise ImageError(
            f"a reference of shape {reference.shape} does not fit an image of shape {image.shape}",
            "take one with the same camera",
        )
    fields = planes(reference)
    if not fields.any(axis=(0, 1)).all():
        raise ImageError("a channel of the reference is black", "take a photograph of an evenly white surface")
    last = fields.shape[2] - 1
    return change_planes(image, lambda values, channel: values * _flattening(as_unit(fields[:, :, min(channel, last)])))


def _flattening(field: Field) -> Field:
    """Return the gains that make a field flat at its own mean, at most `MAX_GAIN`."""
    mean = np.float32(field.mean(dtype=np.float64))
    floor = max(mean / np.float32(MAX_GAIN), np.finfo(np.float32).tiny)
    return np.asarray(mean / np.maximum(field, floor), dtype=np.float32)
