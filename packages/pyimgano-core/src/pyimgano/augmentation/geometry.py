"""Small moves of a part under the camera: images and masks are warped by one matrix and one border rule."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from pyimgano.augmentation.pixels import Pixels, check_uint8

Matrix = NDArray[np.float64]
_BORDER = cv2.BORDER_REFLECT_101


def placement(shape: tuple[int, ...], angle: float, shift: tuple[float, float], scale: float) -> Matrix:
    """Return the (2, 3) matrix that moves a part about the middle of the image.

    Parameters
    ----------
    shape
        Of the image, height and width first.
    angle
        In degrees, anticlockwise.
    shift
        Down and to the right, as shares of the short side.
    scale
        Above 1 the part comes nearer.
    """
    height, width = shape[:2]
    row, column = (height - 1) / 2, (width - 1) / 2
    cos, sin = scale * math.cos(math.radians(angle)), scale * math.sin(math.radians(angle))
    down, right = (share * min(height, width) for share in shift)
    return np.array([[cos, sin, column + right - cos * column - sin * row], [-sin, cos, row + down + sin * column - cos * row]])


def warp_image(image: Pixels, matrix: Matrix) -> Pixels:
    """Return the image moved by a (2, 3) matrix, interpolated linearly and mirrored at the border."""
    check_uint8(image)
    return _warped(image, matrix, cv2.INTER_LINEAR)


def warp_mask(mask: NDArray[np.bool_], matrix: Matrix) -> NDArray[np.bool_]:
    """Return a mask (H, W) moved as `warp_image` moves its image; each pixel takes the value of the nearest."""
    return np.asarray(_warped(mask.astype(np.uint8), matrix, cv2.INTER_NEAREST) != 0, dtype=np.bool_)


def _warped(image: Pixels, matrix: Matrix, interpolation: int) -> Pixels:
    size = (image.shape[1], image.shape[0])
    return np.asarray(cv2.warpAffine(image, matrix, size, flags=interpolation, borderMode=_BORDER), dtype=np.uint8)
