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
    # Rows and columns between two edges are alike, so the table has one for all of them and is as small as the boxes are few.
    gap = min(max_gap_px, max(shape))
    left, top, right, bottom = boxes.T
    columns, across = np.unique([left, right + gap + 1], return_inverse=True)
    rows, down = np.unique([top, bottom + gap + 1], return_inverse=True)
    (start_x, stop_x), (start_y, stop_y) = across.reshape(2, -1), down.reshape(2, -1)
    canvas = np.zeros((len(rows) + 1, len(columns) + 1), dtype=np.int32)
    for y, x, sign in ((start_y, start_x, 1), (start_y, stop_x, -1), (stop_y, start_x, -1), (stop_y, stop_x, 1)):
        np.add.at(canvas, (y, x), sign)
    for axis in (0, 1):
        np.cumsum(canvas, axis=axis, out=canvas)
    _, labels = cv2.connectedComponents((canvas > 0).astype(np.uint8), connectivity=8)
    _, first, groups = np.unique(labels[start_y, start_x], return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[groups]
