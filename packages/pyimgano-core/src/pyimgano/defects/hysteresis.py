"""Hysteresis: two thresholds, so that a defect is found by its peak and outlined by its foot."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike, NDArray

from pyimgano.defects.checks import Mask, above, checked_map, checked_valid
from pyimgano.defects.components import Components
from pyimgano.errors import OptionsError


def hysteresis_mask(anomaly_map: ArrayLike, low: float, high: float, valid: NDArray[Any] | None = None) -> Mask:
    """Return the 8-connected regions of ``map > low`` that hold any pixel with ``map > high`` (Canny 1986).

    Parameters
    ----------
    anomaly_map
        (H, W) finite numbers.
    low, high
        Thresholds of any sign, ``low <= high``.
    valid
        (H, W), which pixels count; None if all do. The others are in no region and connect none.

    Returns
    -------
    ndarray
        (H, W) bool.

    Raises
    ------
    DetectorError
        If the map is not (H, W) finite numbers, or `valid` has another shape.
    OptionsError
        If `low` is above `high`.
    """
    check_levels(low, high)
    values = checked_map(anomaly_map)
    mask = above(values, low)
    counted = checked_valid(valid, values.shape)
    if counted is not None:
        mask &= counted
    components = Components.of(mask)
    return components.kept(above(components.peaks(values[mask]), high)).mask


def check_levels(low: float, high: float) -> None:
    """Raise OptionsError if thresholds fall."""
    if not low <= high:
        raise OptionsError(
            f"hysteresis needs low <= high, got {low:g} and {high:g}", "lower hysteresis.low or raise hysteresis.high"
        )
