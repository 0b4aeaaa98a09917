"""Blur: out of focus, and in motion."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from pyimgano.augmentation.pixels import Pixels, check_uint8, scale_of
from pyimgano.preprocessing.pixels import check_number

_SAMPLES_PER_PIXEL = 8


def gaussian_blur(image: Pixels, sigma: float) -> Pixels:
    """Return the image smoothed by a gaussian, mirrored at the border.

    The kernel is the discrete analogue of Lindeberg (Scale-space for discrete signals, IEEE Transactions on Pattern Analysis
    and Machine Intelligence 12, 1990). Its variance is right for any sigma, where samples of a gaussian do nothing below a
    third of a pixel; so more sigma is more blur on small images too.

    Parameters
    ----------
    image
        Grey (H, W) or RGB (H, W, 3), uint8.
    sigma
        Standard deviation in pixels at a short side of 256, in [0, 64]; grows with the image. 0 changes nothing.
    """
    check_uint8(image)
    check_number("gaussian_blur", sigma, 0, 64)
    kernel = _gaussian(sigma * scale_of(image))
    return np.asarray(cv2.sepFilter2D(image, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT_101), dtype=np.uint8)


def motion_blur(image: Pixels, length: float, angle: float) -> Pixels:
    """Return the image averaged along a line, as if the part moved evenly while the shutter was open.

    Parameters
    ----------
    image
        Grey (H, W) or RGB (H, W, 3), uint8.
    length
        Way of the part in pixels at a short side of 256, in [0, 128]; grows with the image. 0 changes nothing.
    angle
        Its direction in degrees, anticlockwise from horizontal.
    """
    check_uint8(image)
    check_number("motion_blur", length, 0, 128)
    kernel = _line(length * scale_of(image), math.radians(angle))
    return np.asarray(cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT_101), dtype=np.uint8)


def _gaussian(sigma: float) -> NDArray[np.float32]:
    """Return an odd kernel of sum 1 and variance sigma^2, from its transform exp(sigma^2 (cos - 1))."""
    radius = math.ceil(4 * sigma) + 1
    cosines = np.cos(np.pi * np.arange(2 * radius + 1) / (2 * radius))
    taps = np.fft.irfft(np.exp(sigma**2 * (cosines - 1)))[: radius + 1]
    kernel = np.concatenate([taps[:0:-1], taps])
    return np.asarray(kernel / kernel.sum(), dtype=np.float32)


def _line(length: float, angle: float) -> NDArray[np.float32]:
    """Return an odd square kernel of sum 1: points along a centred line, each shared among the four pixels around it."""
    radius = math.ceil(length / 2) + 1
    places = np.linspace(-length / 2, length / 2, _SAMPLES_PER_PIXEL * math.ceil(length) + 1)
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1))
    rows, columns = radius - places * math.sin(angle), radius + places * math.cos(angle)
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    down, right = rows - top, columns - left
    for row, share in ((top, 1 - down), (top + 1, down)):
        np.add.at(kernel, (row, left), share * (1 - right))
        np.add.at(kernel, (row, left + 1), share * right)
    return np.asarray(kernel / kernel.sum(), dtype=np.float32)
