"""Solidity: how much of its convex hull a region fills."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pyimgano.defects.components import Components, Integers
from pyimgano.defects.measures import Floats


def solidities(components: Components, area: Integers, places: Integers) -> Floats:
    """Return area over number of pixels in the convex hull, for the components at `places`; NaN where the hull has no area.

    The hull is that of the pixel centres, and a pixel is in it if its centre is, edges included. So discs, rectangles and
    straight lines are 1 at any size, and nothing is more.
    """
    order = np.argsort(components.labels, kind="stable")
    bounds = np.searchsorted(components.labels[order], np.arange(components.count + 1))
    ends = np.stack([components.left, components.rows, components.right, components.rows], axis=1).astype(np.int32)[order]
    inside = [_pixels_in_hull(ends[bounds[place] : bounds[place + 1]].reshape(-1, 2)) for place in places]
    return area[places] / np.array(inside, dtype=np.float64)


def _pixels_in_hull(points: NDArray[np.int32]) -> float:
    """Return the lattice points in the convex hull of lattice points by Pick's theorem; NaN if it has no area."""
    hull = cv2.convexHull(points)[:, 0].astype(np.int64)
    steps = np.roll(hull, -1, axis=0) - hull
    twice_area = abs(int((hull[:, 0] * steps[:, 1] - hull[:, 1] * steps[:, 0]).sum()))
    if not twice_area:
        return float("nan")
    return (twice_area + int(np.gcd(*steps.T).sum())) // 2 + 1
