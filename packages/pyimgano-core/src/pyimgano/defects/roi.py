"""Which pixels of a map count: everything but its border and what is outside the region of interest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyimgano.defects.checks import Mask
from pyimgano.errors import OptionsError

Points = Sequence[tuple[float, float]]


def validity_mask(
    shape: tuple[int, int],
    border_ignore_px: int = 0,
    roi_xyxy_norm: tuple[float, float, float, float] | None = None,
    roi_polygons_norm: Sequence[Points] = (),
) -> Mask | None:
    """Return which pixels of a map of `shape` count, (H, W) bool, or None where all do.

    A pixel counts if it is outside the border, its centre is in the box, and its centre is in any of the polygons; those that
    are not given exclude nothing. Coordinates are shares of width and height; a centre exactly on a left or upper edge is
    inside, on a right or lower edge outside, so neighbours share no pixel. Polygons may cross themselves (even-odd rule).

    Raises
    ------
    OptionsError
        If no pixel counts.
    """
    valid = np.ones(shape, dtype=np.bool_)
    if roi_xyxy_norm is not None:
        left, top, right, bottom = roi_xyxy_norm
        valid &= _inside(shape, [(left, top), (right, top), (right, bottom), (left, bottom)])
    if roi_polygons_norm:
        valid &= np.logical_or.reduce([_inside(shape, points) for points in roi_polygons_norm])
    if border_ignore_px:
        width = border_ignore_px
        valid[:width] = valid[-width:] = valid[:, :width] = valid[:, -width:] = False
    if valid.all():
        return None
    if not valid.any():
        raise OptionsError(
            f"no pixel of a map of {shape[0]} x {shape[1]} is inside the region of interest and off the border",
            "enlarge roi_xyxy_norm or roi_polygons_norm, or lower border_ignore_px",
        )
    return valid


def _inside(shape: tuple[int, int], points: Points) -> Mask:
    """Return which pixel centres are inside a polygon: those with an odd number of edges to the left of them."""
    height, width = shape
    flips = np.zeros((height, width + 1), dtype=np.uint8)
    corners = [(x * width, y * height) for x, y in points]
    for start, end in zip(corners, [*corners[1:], corners[0]], strict=True):
        # from top to bottom whatever the direction, so that polygons that share an edge round it alike
        (x0, y0), (x1, y1) = sorted((start, end), key=lambda corner: corner[1])
        rows = np.arange(np.ceil(y0 - 0.5), np.ceil(y1 - 0.5), dtype=np.intp)
        if rows.size:
            crossing = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
            columns = np.clip(np.ceil(crossing - 0.5), 0, width).astype(np.intp)
            flips[rows, columns] ^= 1
    return np.bitwise_xor.accumulate(flips, axis=1)[:, :width].astype(np.bool_)
