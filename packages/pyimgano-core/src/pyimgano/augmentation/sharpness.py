"""Blur: out of focus, in motion, and by too few pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pyimgano.augmentation.pixels import Pixels, check_uint8, scale_of
from pyimgano.preprocessing.pixels import check_number

_SAMPLES_PER_PIXEL = 8
_FINE_SIGMA, _FINE_RADIUS = 1.5, 2.4
"""What a blur must still be, in pixels, on the smaller copy that a broad one is computed on."""


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
    reach = sigma * scale_of(image)
    factor = max(1, int(reach // _FINE_SIGMA))
    kernel = _gaussian(math.sqrt(reach**2 - _added(factor)) / factor)
    return _on_smaller(image, factor, lambda small: cv2.sepFilter2D(small, -1, kernel, kernel, borderType=_border(factor)))


def defocus(image: Pixels, radius: float) -> Pixels:
    """Return the image blurred by an even disc, the circle of confusion of a lens that is out of focus.

    Parameters
    ----------
    image
        Grey (H, W) or RGB (H, W, 3), uint8.
    radius
        Of the disc, in pixels at a short side of 256, in [0, 64]; grows with the image. 0 changes nothing.
    """
    check_uint8(image)
    check_number("defocus", radius, 0, 64)
    reach = radius * scale_of(image)
    factor = max(1, int(reach // _FINE_RADIUS))
    kernel = _disc(math.sqrt(reach**2 - 4 * _added(factor)) / factor)
    return _on_smaller(image, factor, lambda small: cv2.filter2D(small, -1, kernel, borderType=_border(factor)))


def resolution_loss(image: Pixels, factor: float) -> Pixels:
    """Return the image as a camera with fewer pixels sees it, at its old size.

    Parameters
    ----------
    image
        Grey (H, W) or RGB (H, W, 3), uint8.
    factor
        How many times fewer along each side, at a short side of 256, in [1, 64]; grows with the image. 1 changes nothing.
    """
    check_uint8(image)
    check_number("resolution_loss", factor, 1, 64)
    added = (factor**2 - 1) * scale_of(image) ** 2
    return _on_smaller(image, math.sqrt(1 + added), lambda small: small)


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
    reach = length * scale_of(image)
    if angle % 90 == 0:
        return _box(image, math.hypot(reach, 1), down=angle % 180 != 0)
    kernel = _line(reach, math.radians(angle))
    return np.asarray(cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT_101), dtype=np.uint8)


def _on_smaller(image: Pixels, factor: float, change: Callable[[Pixels], NDArray[Any]]) -> Pixels:
    """Return what `change` makes of a copy that is `factor` times smaller, at the size of the image."""
    height, width = image.shape[:2]
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    if size == (width, height):
        return np.array(change(image), dtype=np.uint8)
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return np.asarray(cv2.resize(change(small), (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _border(factor: int) -> int:
    """Return how a copy is continued so that its image is mirrored about the outermost pixels: its own are large."""
    return cv2.BORDER_REFLECT_101 if factor == 1 else cv2.BORDER_REFLECT


def _added(factor: int) -> float:
    """Return the variance, in square pixels, that area averaging by `factor` and linear interpolation back add to a blur."""
    return (factor**2 - 1) / 4


def _box(image: Pixels, width: float, *, down: bool) -> Pixels:
    """Return the image averaged over `width` >= 1 pixels along its rows, or down its columns; the outermost count in part."""
    whole = 2 * int((width - 1) // 2) + 1
    edge = (width - whole) / 2
    inner, outer = (
        cv2.blur(image, (1, taps) if down else (taps, 1), borderType=cv2.BORDER_REFLECT_101) for taps in (whole, whole + 2)
    )
    mixed = cv2.addWeighted(inner, whole * (1 - edge) / width, outer, edge * (whole + 2) / width, 0)
    return np.asarray(mixed, dtype=np.uint8)


def _disc(radius: float) -> NDArray[np.float32]:
    """Return an odd square kernel of sum 1: a disc whose rim counts in part."""
    side = np.arange(-math.ceil(radius), math.ceil(radius) + 1)
    kernel = np.clip(radius + 0.5 - np.hypot(side[:, None], side[None, :]), 0, 1)
    return np.asarray(kernel / kernel.sum(), dtype=np.float32)


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
