"""Windows over a grid of patches, and the score of each patch from those of the windows that it lies in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def window_places(grid: tuple[int, int], side: int) -> NDArray[np.int64]:
    """Return which patches each window holds, (n, k), counted row by row from the top left.

    Windows are `side` patches high and wide, one starts at every patch, and all lie inside the grid, so that its last row and
    column are covered too; along a side of the grid that is shorter than `side` they are as long as that.
    """
    height, width = (min(side, length) for length in grid)
    tops, lefts = grid[0] - height + 1, grid[1] - width + 1
    corners = (np.arange(tops)[:, None] * grid[1] + np.arange(lefts)).reshape(-1, 1)
    inside = (np.arange(height)[:, None] * grid[1] + np.arange(width)).reshape(1, -1)
    return corners + inside


def spread(scores: NDArray[np.floating[Any]], grid: tuple[int, int], side: int, epsilon: float) -> NDArray[np.float64]:
    """Return the score of every patch, (h, w): the harmonic mean over the windows (n,) that it lies in.

    Jeong et al., WinCLIP, CVPR 2023, section 4.1. Scores below `epsilon` count as that.
    """
    places = window_places(grid, side)
    inverse = np.repeat(1 / np.maximum(np.asarray(scores, dtype=np.float64), epsilon), places.shape[1])
    flat, count = places.ravel(), grid[0] * grid[1]
    mean = np.bincount(flat, minlength=count) / np.bincount(flat, weights=inverse, minlength=count)
    return np.asarray(mean).reshape(grid)


def harmonic_mean(scores: NDArray[np.floating[Any]], epsilon: float) -> NDArray[np.float64]:
    """Return the harmonic mean along the first axis; scores below `epsilon` count as that."""
    clipped = np.maximum(np.asarray(scores, dtype=np.float64), epsilon)
    return np.asarray(len(clipped) / (1 / clipped).sum(axis=0))
