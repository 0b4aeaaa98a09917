"""Pixel arithmetic that keeps an image's shape and dtype: curves, gain fields, luminance, percentiles, broad gaussians."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pyimgano.errors import ImageError, OptionsError

Pixels = NDArray[Any]
"""(H, W) or RGB (H, W, 3); uint8, or floating point in [0, 1]."""
Field = NDArray[np.float32]
Curve = Callable[[NDArray[np.floating[Any]]], NDArray[np.floating[Any]]]

MAX_GAIN = 8.0
"""No channel and no pixel is brightened more than this: three stops, beyond which noise is all that there is to see."""

_LUMA = (0.299, 0.587, 0.114)
_BROAD = 8.0


def check_pixels(image: Pixels) -> None:
    """Raise `ImageError` unless the image is what `Pixels` says."""
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3) or not image.size:
        raise ImageError(f"shape {image.shape} is not an image", "pass grey (H, W) or RGB (H, W, 3)")
    if image.dtype == np.uint8:
        return
    if not np.issubdtype(image.dtype, np.floating):
        raise ImageError(f"dtype {image.dtype} is not supported here", "pass uint8, or floating point in [0, 1]")
    if not (image.min() >= 0 and image.max() <= 1):
        raise ImageError("float values leave [0, 1], or are NaN", "scale them to [0, 1], or pass uint8")


def check_number(name: str, value: float, low: float, high: float) -> None:
    """Raise `OptionsError` unless `value` lies in [low, high]."""
    if not low <= value <= high:
        raise OptionsError(f"{name}: must lie in [{low:g}, {high:g}] (got {value})")


def white(image: Pixels) -> float:
    """Return the value of full white in the image's dtype."""
    return 255.0 if image.dtype == np.uint8 else 1.0


def planes(image: Pixels) -> Pixels:
    """Return the image as (H, W, C), a view."""
    return image.reshape(*image.shape[:2], -1)


def as_unit(values: Pixels) -> Field:
    """Return values as float32 in [0, 1]."""
    return np.asarray(values, dtype=np.float32) / np.float32(white(values))


def limited(values: NDArray[np.floating[Any]], like: Pixels) -> Pixels:
    """Return values in units of `like` clipped to black and white, in its dtype."""
    if like.dtype == np.uint8:
        values = np.rint(values)
    clipped: Pixels = np.clip(values, 0, white(like)).astype(like.dtype)
    return clipped


def apply_curves(image: Pixels, curves: Sequence[Curve]) -> Pixels:
    """Return the image with values in [0, 1] sent through one curve for all channels, or one for each.

    What a curve sends below black or above white is clipped. For uint8 the curves are tabulated once, so the cost does not
    depend on what they compute.
    """
    if image.dtype == np.uint8:
        levels = np.arange(256) / 255
        columns = [limited(curve(levels) * 255, image) for curve in curves]
        table = columns[0] if len(columns) == 1 else np.stack(columns, axis=-1)[None]
        return np.asarray(cv2.LUT(image, table), dtype=np.uint8)
    before, after = planes(image), np.empty_like(planes(image))
    for channel in range(before.shape[2]):
        curve = curves[channel if len(curves) > 1 else 0]
        after[:, :, channel] = limited(curve(before[:, :, channel]), image)
    return after.reshape(image.shape)


def scale_channels(image: Pixels, gains: Iterable[float]) -> Pixels:
    """Return the image with every channel multiplied by its gain."""
    return apply_curves(image, [partial(np.multiply, gain) for gain in gains])


def change_planes(image: Pixels, change: Callable[[Field, int], Field]) -> Pixels:
    """Return the image with ``change(values, channel)`` in place of every channel; values are float32 in the image's units."""
    before, after = planes(image), np.empty_like(planes(image), order="C")
    for channel in range(before.shape[2]):
        after[:, :, channel] = limited(change(before[:, :, channel].astype(np.float32), channel), image)
    return after.reshape(image.shape)


def luminance(image: Pixels) -> Field:
    """Return the luma of ITU-R BT.601, (H, W) float32 in [0, 1]; of a grey image itself."""
    if image.ndim == 2:
        return as_unit(image)
    total = np.zeros(image.shape[:2], dtype=np.float32)
    for channel, weight in enumerate(_LUMA):
        total += as_unit(image[:, :, channel]) * np.float32(weight)
    return total


def percentiles(values: Pixels, percents: Sequence[float]) -> list[float]:
    """Return percentiles as ``numpy.percentile`` defines them, in [0, 1]; of uint8 by counting, in little memory."""
    if values.dtype != np.uint8:
        return [float(value) for value in np.percentile(values.astype(np.float64), percents)]
    counts = np.zeros(256, dtype=np.int64)
    for row in values:
        counts += np.bincount(row.ravel(), minlength=256)
    ranks = np.cumsum(counts)
    places = np.asarray(percents, dtype=np.float64) / 100 * (ranks[-1] - 1)
    below = np.searchsorted(ranks, np.floor(places), side="right")
    above = np.searchsorted(ranks, np.ceil(places), side="right")
    return [float(value) / 255 for value in below + (places - np.floor(places)) * (above - below)]


def broad_gaussian(values: Field, sigma: float) -> Field:
    """Return values (H, W) smoothed by a gaussian, mirrored at the border.

    A broad one is computed on a smaller copy, which it leaves nothing finer than; the cost does not grow with sigma.
    """
    height, width = values.shape
    factor = max(1.0, sigma / _BROAD)
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    small = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    across, down = sigma * size[0] / width, sigma * size[1] / height
    smooth = cv2.GaussianBlur(small, (0, 0), sigmaX=across, sigmaY=down, borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)
