"""Patch scores as a flat row: the score of their image, and the grid that they form."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pyimgano.errors import OptionsError

Method = Literal["max", "mean", "topk_mean"]


def aggregate_patch_scores(scores: NDArray[np.floating[Any]], method: Method = "topk_mean", topk: float = 0.01) -> float:
    """Return the score of an image from those of its patches.

    Parameters
    ----------
    scores
        Patch scores of any shape, at least one.
    method
        The largest, the mean, or the mean of the `topk` largest.
    topk
        A share in (0, 1], rounded down but never to none (1.0 is all of them), or a whole number above 1: how many.

    Raises
    ------
    OptionsError
        For no scores, an unknown method, or a `topk` that is neither a share nor a count.
    """
    flat = np.asarray(scores, dtype=np.float64).ravel()
    if not flat.size:
        raise OptionsError("there are no patch scores to aggregate", "pass at least one")
    if method == "max":
        return float(flat.max())
    if method == "mean":
        return float(flat.mean())
    if method != "topk_mean":
        raise OptionsError(f"no aggregation is called {method!r}", "use max, mean or topk_mean")
    count = _count(topk, flat.size)
    return float(np.partition(flat, flat.size - count)[flat.size - count :].mean())


def _count(topk: float, size: int) -> int:
    if not topk > 0 or (topk > 1 and topk != int(topk)):
        raise OptionsError(f"topk must be a share in (0, 1] or a whole number above 1, got {topk:g}", "for example 0.01 or 10")
    # 0.29 * 100 is 28.999999999999996
    return max(int(topk * size + 1e-9), 1) if topk <= 1 else min(int(topk), size)


def reshape_patch_scores(scores: NDArray[np.floating[Any]], grid_h: int, grid_w: int) -> NDArray[np.float32]:
    """Return a flat row of patch scores, row by row from the top left, as a (grid_h, grid_w) float32 grid.

    Raises
    ------
    OptionsError
        If there are not exactly ``grid_h * grid_w`` of them.
    """
    flat = np.asarray(scores, dtype=np.float32)
    if flat.ndim != 1 or grid_h < 1 or grid_w < 1 or flat.size != grid_h * grid_w:
        raise OptionsError(
            f"Expected {grid_h} x {grid_w} = {grid_h * grid_w} patch scores in a row, got shape {flat.shape}",
            "pass the scores of one image and the grid that they come from",
        )
    return flat.reshape(grid_h, grid_w)
