"""Boxes with labels on a picture: where each label goes, so that all can be read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from pyimgano.images import Image

RED, WHITE, INK = (225, 45, 45), (255, 255, 255), (20, 20, 20)
Box = tuple[int, int, int, int]
"""Left, top, right, bottom."""
_FONT, _PAD = cv2.FONT_HERSHEY_SIMPLEX, 3


def draw_boxes(image: Image, boxes: Mapping[str, Box], shown: NDArray[np.bool_]) -> None:
    """Draw boxes, and above each, or near it where there is no room, its label on a dark ground; in place.

    No label covers another as long as there is room for all, and none leaves the image if it is not wider than that.

    Parameters
    ----------
    boxes
        A box for each label, right and bottom not included; the first get the best places.
    shown
        (H, W), pixels that labels had better leave free.
    """
    height, width = int(image.shape[0]), int(image.shape[1])
    gap, thick = max(3, round(middle_side(image) / 100)), max(1, round(middle_side(image) / 700))
    size = min(max(middle_side(image) / 650, 0.45), 1.6)
    around = [
        (max(left - gap, 0), max(top - gap, 0), min(right + gap, width - 1), min(bottom + gap, height - 1))
        for left, top, right, bottom in boxes.values()
    ]
    for left, top, right, bottom in around:
        cv2.rectangle(image, (left, top), (right, bottom), WHITE, thick, cv2.LINE_AA)
    sums = np.asarray(cv2.integral(shown.astype(np.uint8)), dtype=np.int32)
    taken: list[Box] = []
    for text, box in zip(boxes, around, strict=True):
        (wide, high), below = cv2.getTextSize(text, _FONT, size, thick)
        left, top, right, bottom = place = label_place(box, (wide + 2 * _PAD, high + below + 2 * _PAD), taken, sums)
        taken.append(place)
        cv2.rectangle(image, (left, top), (right - 1, bottom - 1), INK, -1)
        cv2.putText(image, text, (left + _PAD, top + _PAD + high), _FONT, size, WHITE, thick, cv2.LINE_AA)


def middle_side(image: Image) -> float:
    """Return the side of a square of the image's area, which lines and letters are scaled by."""
    return math.sqrt(image.shape[0] * image.shape[1])


def label_place(box: Box, size: tuple[int, int], taken: Sequence[Box], sums: NDArray[np.int32]) -> Box:
    """Return where a label goes: above its box or, if it would cover another label, leave the image or hide much, nearby.

    Parameters
    ----------
    box
        What it belongs to.
    size
        Its width and height.
    taken
        Where other labels are.
    sums
        (H + 1, W + 1) integral image of what had better stay visible; hiding 8 pixels of it is as bad as being one farther.
    """
    (wide, high), (left, top, _, bottom) = size, box
    lowest, rightmost = max(sums.shape[0] - 1 - high, 0), max(sums.shape[1] - 1 - wide, 0)
    wanted = (min(left, rightmost), top - high if top >= high else min(bottom + 1, lowest))
    x, y = np.meshgrid(_steps(wanted[0], wide // 8, rightmost), _steps(wanted[1], high // 4, lowest))
    right, below = np.minimum(x + wide, sums.shape[1] - 1), np.minimum(y + high, sums.shape[0] - 1)
    hidden = sums[below, right] - sums[y, right] - sums[below, x] + sums[y, x]
    cost = np.hypot(x - wanted[0], y - wanted[1]) + hidden / 8
    for other in taken:
        cost[(x < other[2]) & (x + wide > other[0]) & (y < other[3]) & (y + high > other[1])] = np.inf
    best = np.unravel_index(cost.argmin(), cost.shape)
    x0, y0 = (int(x[best]), int(y[best])) if np.isfinite(cost[best]) else wanted
    return x0, y0, x0 + wide, y0 + high


def _steps(start: int, step: int, last: int) -> NDArray[np.intp]:
    """Return the places from 0 to `last` that are whole steps away from a start among them, ends included."""
    step = max(step, 1)
    return np.unique([0, *range(start % step, last + 1, step), last])
