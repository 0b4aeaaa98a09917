"""How far thresholds would move with other held-out images: bootstrap intervals, but not the thresholds themselves.

Percentile intervals (Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 13) over images drawn with replacement:
whole ones, because the pixels of one image depend on each other. With a few dozen images they are a little too narrow (93 % for
the median of 40), and they say nothing of values beyond the largest that was seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from pyimgano.calibration.record import PixelThreshold

CONFIDENCE = 0.95
"""Share of the resamples whose threshold lies in the interval."""
SCORE_RESAMPLES = 1000
PIXEL_RESAMPLES = 300
BINS = 4096
"""Equal steps between the smallest and the largest normal pixel, in which pixels are counted."""

Floats = NDArray[np.float64]
Interval = tuple[float, float]
Seed = int | np.random.Generator
ScoreRule = Callable[[Floats], Floats]
"""A threshold along the last axis: scores (..., N) in, thresholds (...) out."""

_CHUNK = 1 << 21
_BLOCK = 64


def score_interval(scores: NDArray[np.floating[Any]], rule: ScoreRule, seed: Seed = 0) -> Interval | None:
    """Return the interval of a threshold that `rule` takes from image scores; None for fewer than 2 images.

    Parameters
    ----------
    scores
        (N,) finite scores of held-out normal images, in any order.
    """
    ordered = np.sort(np.asarray(scores, dtype=np.float64))
    count = ordered.size
    if count < 2:
        return None
    rng = np.random.default_rng(seed)
    thresholds = np.empty(SCORE_RESAMPLES)
    step = max(1, _CHUNK // count)
    for start in range(0, SCORE_RESAMPLES, step):
        part = thresholds[start : start + step]
        part[:] = rule(ordered[rng.integers(count, size=(part.size, count))])
    return _percentiles(thresholds)


class NormalPixels(Protocol):
    """The pixels of one held-out normal image that count: how many, and their values, of any shape, when asked for."""

    @property
    def pixel_count(self) -> int: ...

    def render(self) -> NDArray[np.float32]: ...


def binned_median(maps: Sequence[NormalPixels], record: PixelThreshold) -> float:
    """Return the median of the maps' pixels, within one bin; `record` has their range. Maps are rendered one at a time."""
    assert record.score_summary is not None
    lowest, highest = record.score_summary.min, record.score_summary.max
    if lowest == highest:
        return lowest
    counts = np.zeros(BINS)
    for one in maps:
        counts += _histogram(one.render(), lowest, highest)
    return lowest + (highest - lowest) / BINS * float(_binned_quantiles(np.cumsum(counts)[None], 0.5, "linear")[0])


def quantile_interval(
    maps: Sequence[NormalPixels], record: PixelThreshold, method: Literal["linear", "higher"] = "linear", seed: Seed = 0
) -> Interval | None:
    """Return the interval of a quantile of the maps' pixels; None for fewer than 2 maps.

    Pixels are counted in `BINS` equal bins and a quantile falls linearly within its bin, so that memory does not grow with
    the maps and each end is within one bin of where all pixels would put it. Maps are rendered one at a time.

    Parameters
    ----------
    record
        The quantile of all maps: its `value`, its `q` and the range of the pixels.
    method
        How a quantile falls between two pixels, as in `numpy.quantile`.
    """
    assert record.q is not None
    assert record.score_summary is not None
    if len(maps) < 2:
        return None
    lowest, highest = record.score_summary.min, record.score_summary.max
    if lowest == highest:
        return record.value, record.value
    draws = _drawn(len(maps), seed)
    counts = np.zeros((PIXEL_RESAMPLES, BINS))
    for start in range(0, len(maps), _BLOCK):
        block = [_histogram(one.render(), lowest, highest) for one in maps[start : start + _BLOCK]]
        counts += draws[:, start : start + _BLOCK] @ np.stack(block)
    bins = _binned_quantiles(np.cumsum(counts, axis=1), record.q, method)
    return _around(record.value, lowest + (highest - lowest) / BINS * bins)


def deviation_interval(maps: Sequence[NormalPixels], record: PixelThreshold, seed: Seed = 0) -> Interval | None:
    """Return the interval of the mean plus some standard deviations of the maps' pixels; None for fewer than 2 maps.

    Exact for the images drawn, from the count, mean and variance of each. Maps are rendered one at a time.

    Parameters
    ----------
    record
        That threshold of all maps: its `value`, and as `factor` the number of deviations.
    """
    assert record.factor is not None
    if len(maps) < 2:
        return None
    moments = np.array([_moments(one.render()) for one in maps])
    count, centre, variance = moments.T
    origin = centre.mean()  # around it the means are small, so that their squares keep digits
    offset = centre - origin
    draws = _drawn(len(maps), seed)
    total = draws @ count
    mean = draws @ (count * offset) / total
    square = draws @ (count * (variance + offset**2)) / total
    spread = np.sqrt(np.maximum(square - mean**2, 0.0))
    return _around(record.value, origin + mean + record.factor * spread)


def _drawn(count: int, seed: Seed) -> Floats:
    """Return how often each resample holds each image, (resamples, count)."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(count, np.full(count, 1 / count), size=PIXEL_RESAMPLES).astype(np.float64)


def _percentiles(thresholds: Floats) -> Interval:
    low, high = np.quantile(thresholds, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _around(value: float, thresholds: Floats) -> Interval:
    """Return the interval, which bins and rounding alone must not keep from holding the threshold itself."""
    low, high = _percentiles(thresholds)
    return min(low, value), max(high, value)


def _histogram(values: NDArray[np.float32], lowest: float, highest: float) -> Floats:
    """Return how many pixels of a map fall into each bin, (BINS,)."""
    places = np.subtract(values, lowest, dtype=np.float64)
    places *= BINS / (highest - lowest)
    bins = np.minimum(places.ravel().astype(np.intp), BINS - 1)
    return np.bincount(bins, minlength=BINS).astype(np.float64)


def _moments(values: NDArray[np.float32]) -> tuple[int, float, float]:
    """Return count, mean and variance of a map's pixels."""
    mean = float(values.mean(dtype=np.float64))
    return values.size, mean, float(np.square(np.subtract(values, mean, dtype=np.float64)).mean())


def _binned_quantiles(upto: Floats, q: float, method: Literal["linear", "higher"]) -> Floats:
    """Return the q-quantile of each row, in bins from the lowest; `upto` is (resamples, BINS) cumulative counts."""
    place = q * (upto[:, -1] - 1)
    high = _ranked(upto, np.ceil(place))
    if method == "higher":
        return high
    low = _ranked(upto, np.floor(place))
    return low + (place - np.floor(place)) * (high - low)


def _ranked(upto: Floats, rank: Floats) -> Floats:
    """Return where the value of a rank, counted from 0, lies in each row, with the values of a bin spread evenly in it."""
    bins = (upto <= rank[:, None]).sum(axis=1)
    rows = np.arange(len(upto))
    before = np.where(bins > 0, upto[rows, bins - 1], 0.0)
    return np.asarray(bins + (rank - before + 0.5) / (upto[rows, bins] - before))
