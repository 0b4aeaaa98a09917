"""Rotated copies of an image, for few-shot memory banks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from pyimgano.images import Image


def rotated(image: Image, count: int) -> Iterator[Image]:
    """Yield `count` copies of an image, turned by equal steps over the circle about its centre; the first is the image itself.

    The size stays; what turns into view is mirrored from inside.
    """
    height, width = image.shape[:2]
    yield image
    for step in range(1, count):
        turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 360 * step / count, 1.0)
        copy = cv2.warpAffine(image, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        yield np.asarray(copy, dtype=np.uint8)


def all_rotated(images: Iterable[Image], count: int) -> Iterator[Image]:
    """Yield `count` copies of each image."""
    for image in images:
        yield from rotated(image, count)
