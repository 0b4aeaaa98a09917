"""Morphology of masks in which some pixels do not count: those are treated like what lies beyond the edges of the map."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pyimgano.defects.checks import Mask


def disc(diameter: int) -> NDArray[np.uint8]:
    """Return the pixels whose centre is at most ``diameter / 2`` from that of the middle one; 3 is a square of 3 x 3."""
    squares = np.arange(-(diameter // 2), diameter // 2 + 1) ** 2
    return (4 * (squares[:, None] + squares) <= diameter**2).astype(np.uint8)


def opened(mask: Mask, diameter: int, valid: Mask | None) -> Mask:
    """Return `mask` without what a disc, centred on any pixel that counts, does not fit into."""
    return _dilated(_eroded(mask, diameter, valid), diameter, valid)


def closed(mask: Mask, diameter: int, valid: Mask | None) -> Mask:
    """Return `mask` with the gaps that a disc, centred on any pixel that counts, does not fit into."""
    return _eroded(_dilated(mask, diameter, valid), diameter, valid)


def dilated(mask: Mask, radius: int, valid: Mask | None) -> Mask:
    """Return `mask` grown by `radius` pixels."""
    return _dilated(mask, 2 * radius + 1, valid)


def filled(mask: Mask, valid: Mask | None) -> Mask:
    """Return `mask` with its holes: 4-connected background that touches neither the edges nor a pixel that does not count."""
    background = np.pad((~mask).astype(np.uint8), 1, constant_values=1)
    count, labels = cv2.connectedComponents(background, connectivity=4)
    hole = np.ones(count, dtype=np.bool_)
    hole[labels[0, 0]] = False
    inner = labels[1:-1, 1:-1]
    if valid is not None:
        hole[inner[~valid]] = False
    return np.asarray(hole[inner], dtype=np.bool_)


def _dilated(mask: Mask, diameter: int, valid: Mask | None) -> Mask:
    grown = cv2.dilate(mask.view(np.uint8), disc(diameter)).view(np.bool_)
    return grown if valid is None else grown & valid


def _eroded(mask: Mask, diameter: int, valid: Mask | None) -> Mask:
    around = mask if valid is None else mask | ~valid
    kept = cv2.erode(around.view(np.uint8), disc(diameter)).view(np.bool_)  # beyond its edges cv2 takes everything as set
    return kept if valid is None else kept & valid
