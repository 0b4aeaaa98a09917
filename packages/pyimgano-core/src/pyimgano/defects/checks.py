"""What a map must be before it is judged, and the one comparison by which it is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyimgano.errors import DetectorError

Values = NDArray[np.float32]
Mask = NDArray[np.bool_]


def checked_map(values: ArrayLike) -> Values:
    """Return an anomaly map as (H, W) float32.

    Raises
    ------
    DetectorError
        If it is not (H, W) numbers, is empty, or holds NaN or infinite values.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "buif":
        raise DetectorError(
            f"an anomaly map must be an array of numbers, got {type(values).__name__} of {array.dtype}",
            "pass (H, W) values; an AnomalyMap gives them by its render()",
        )
    if array.ndim != 2 or not array.size:
        raise DetectorError(
            f"an anomaly map must be (H, W) and not empty, got shape {array.shape}", "pass one map at a time, as (H, W)"
        )
    with np.errstate(over="ignore"):
        result = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(result).all():
        raise DetectorError(
            "an anomaly map holds NaN or infinite values, or some beyond float32", "report this to the detector's author"
        )
    return result


def checked_valid(valid: NDArray[Any] | None, shape: tuple[int, ...]) -> Mask | None:
    """Return which pixels count as (H, W) bool, or None where all do.

    Raises
    ------
    DetectorError
        If it has another shape than the map.
    """
    if valid is None:
        return None
    array = np.ascontiguousarray(valid, dtype=np.bool_)
    if array.shape != shape:
        raise DetectorError(
            f"the validity mask has shape {array.shape}, the map {shape}", "make it by validity_mask(map.shape, ...)"
        )
    return None if array.all() else array


def above(values: Values, threshold: float) -> Mask:
    """Return ``values > threshold``, compared in the map's own float32 as the metrics do."""
    with np.errstate(over="ignore"):
        return values > np.float32(threshold)
