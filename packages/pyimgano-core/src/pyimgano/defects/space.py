"""Boxes of the map in the coordinates of the image."""

from __future__ import annotations

import numpy as np

from pyimgano.defects.components import Integers


def image_boxes(boxes: Integers, map_size: tuple[int, int], image_size: tuple[int, int]) -> Integers:
    """Return boxes (N, 4) of a map as boxes of the image: left, top, right, bottom, inclusive.

    Column x of a map of width W covers the image from ``x / W`` to ``(x + 1) / W`` of its width; a box becomes the pixels of
    the image that it covers at least in part. It never reaches beyond the image and is the same where sizes are equal.

    Parameters
    ----------
    map_size, image_size
        (height, width).
    """
    (map_height, map_width), (height, width) = map_size, image_size
    scale, over = np.array([width, height]), np.array([map_width, map_height])
    starts = boxes[:, :2] * scale // over
    ends = -(-(boxes[:, 2:] + 1) * scale // over) - 1
    return np.concatenate([starts, ends], axis=1)
