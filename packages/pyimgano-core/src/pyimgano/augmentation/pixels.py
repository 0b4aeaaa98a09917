"""What every operator here takes: grey or RGB uint8."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyimgano.errors import ImageError
from pyimgano.preprocessing.pixels import check_pixels

Pixels = NDArray[np.uint8]
"""Grey (H, W) or RGB (H, W, 3), uint8."""

REFERENCE_SIDE = 256
"""Lengths are given for an image whose short side has this many pixels, and grow with it."""


def check_uint8(image: Pixels) -> None:
    """Raise `ImageError` unless the image is what `Pixels` says."""
    check_pixels(image)
    if image.dtype != np.uint8:
        raise ImageError(f"dtype {image.dtype} cannot be augmented", "pass uint8; pyimgano.images.from_array converts")


def scale_of(image: Pixels) -> float:
    """Return how many pixels of this image a pixel at the reference size is."""
    return float(min(image.shape[:2])) / REFERENCE_SIDE


def channel_count(shape: tuple[int, ...]) -> int:
    """Return the number of channels of an image of that shape."""
    return shape[2] if len(shape) == 3 else 1
