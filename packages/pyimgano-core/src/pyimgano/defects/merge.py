"""Which regions are fragments of one defect: those whose boxes are near each other."""

from __future__ import annotations

import cv2
import numpy as np

from pyimgano.defects.components import Integers


def nearby_groups(boxes: Integers, max_gap_px: int, shape: tuple[int, int]) -> Integers:
    """Return the group of each box, numbered from 0 in the order of their first box.

    Two boxes are in one group if at most `max_gap_px` columns and at most as many rows lie between them, or if a chain of such
    boxes leads from one to the other.

    Parameters
    ----------
    boxes
        (N, 4): left, top, right, bottom, inclusive, inside the map.
    max_gap_px
        How far apart two boxes may be.
    shape
        (H, W) of the map.
    """
    # Boxes that are enlarged to the right and downwards by the gap touch where the boxes themselves are near enough, so the
    # groups are the 8-connected components of the enlarged boxes, whose area a table of corners sums up: no pairs are tried.
    height, width = shape
    gap = min(max_gap_px, max(shape))
    left, top, right, bottom = boxes.T
    canvas = np.zeros((height + gap + 1, width + gap + 1), dtype=np.int32)
    for rows, columns, sign in (
        (top, left, 1),
        (top, right + gap + 1, -1),
        (bottom + gap + 1, left, -1),
        (bottom + gap + 1, right + gap + 1, 1),
    ):
        np.add.at(canvas, (rows, columns), sign)
    for axis in (0, 1):
        np.cumsum(canvas, axis=axis, out=canvas)
    _, labels = cv2.connectedComponents((canvas > 0).astype(np.uint8), connectivity=8)
    _, first, groups = np.unique(labels[top, left], return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[groups]
