"""Smoothing of anomaly maps by windows that hold nothing but pixels that count."""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyimgano.defects.blocks import MapSmoothing
from pyimgano.defects.checks import Mask, Values, checked_map, checked_valid
from pyimgano.options import parse

BLOCK = 1 << 22
"""How many values of median windows are held at once."""
LARGEST_CV2_MEDIAN = 5
"""Side of the largest median window of OpenCV for float32."""
REACH = 4.0
"""Where a gaussian window ends, in standard deviations."""


def smooth_anomaly_map(
    anomaly_map: ArrayLike,
    method: Literal["none", "median", "gaussian", "box"] = "none",
    ksize: int = 0,
    sigma: float = 0.0,
    valid: NDArray[Any] | None = None,
) -> Values:
    """Return a smoothed map, (H, W) float32; neither invalid pixels nor what is beyond the edges of the map have a part in it.

    Parameters
    ----------
    anomaly_map
        (H, W) finite numbers.
    method
        ``median`` (of an even number of values: the mean of the middle two), ``box`` (mean) or ``gaussian``: both are
        normalised convolutions (Knutsson and Westin 1993), the weighted mean of the valid pixels in the window.
    ksize
        Side of the window, odd; for gaussian 0 reaches to four standard deviations.
    sigma
        Standard deviation of gaussian in pixels; 0 is ``0.3 * ((ksize - 1) / 2 - 1) + 0.8``, as in OpenCV.
    valid
        (H, W), which pixels count; None if all do. The others keep their value.

    Raises
    ------
    DetectorError
        If the map is not (H, W) finite numbers, or `valid` has another shape.
    OptionsError
        If the settings do not fit together.
    """
    settings = parse(MapSmoothing, {"method": method, "ksize": ksize, "sigma": sigma}, "map_smoothing")
    values = checked_map(anomaly_map)
    counted = checked_valid(valid, values.shape)
    if settings.method == "none":
        return values
    if settings.method == "median":
        smooth = _median(values, counted, settings.ksize)
    else:
        smooth = _weighted_mean(values, counted, _weights(settings))
    return smooth if counted is None else np.where(counted, smooth, values)


def reach_of(settings: MapSmoothing) -> int:
    """Return how many rows and columns from its centre a window reaches."""
    return settings.ksize // 2 or max(1, round(REACH * settings.sigma))


def _weights(settings: MapSmoothing) -> NDArray[np.float64]:
    if settings.method == "box":
        return np.ones(settings.ksize)
    sigma = settings.sigma or 0.3 * ((settings.ksize - 1) / 2 - 1) + 0.8
    radius = reach_of(settings)
    return np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)


def _weighted_mean(values: Values, valid: Mask | None, weights: NDArray[np.float64]) -> Values:
    counted = np.ones(values.shape) if valid is None else valid.astype(np.float64)
    total, weight = (
        cv2.sepFilter2D(part, cv2.CV_64F, weights, weights, borderType=cv2.BORDER_CONSTANT)
        for part in (values * counted, counted)
    )
    return np.divide(total, weight, out=np.zeros(values.shape), where=weight > 0).astype(np.float32)


def _median(values: Values, valid: Mask | None, side: int) -> Values:
    counted = np.ones(values.shape, dtype=np.bool_) if valid is None else valid
    radius = side // 2
    padded = np.pad(np.where(counted, values, np.float32(np.inf)), radius, constant_values=np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side))
    if side <= LARGEST_CV2_MEDIAN:
        smooth = np.array(cv2.medianBlur(values, side), dtype=np.float32)
        whole = cv2.erode((padded < np.inf).astype(np.uint8), np.ones((side, side), np.uint8))[radius:-radius, radius:-radius]
        places = np.flatnonzero(counted & (whole == 0))
    else:
        smooth = values.copy()
        places = np.flatnonzero(counted)
    step = max(1, BLOCK // side**2)
    for start in range(0, places.size, step):
        rows, columns = np.unravel_index(places[start : start + step], values.shape)
        smooth[rows, columns] = _middle(windows[rows, columns].reshape(rows.size, side**2))
    return smooth


def _middle(windows: Values) -> Values:
    """Return the median of the finite values of every row."""
    ordered = np.sort(windows, axis=1)
    count = np.isfinite(ordered).sum(axis=1)[:, None]
    low, high = (np.take_along_axis(ordered, place, axis=1)[:, 0] for place in ((count - 1) // 2, count // 2))
    return ((low.astype(np.float64) + high) / 2).astype(np.float32)
