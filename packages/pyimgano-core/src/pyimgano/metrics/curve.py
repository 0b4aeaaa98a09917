"""The exact curve of a score against binary truth, in memory that only the positive values need."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyimgano.errors import MetricError

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

_CHUNK = 1 << 18


@dataclass(frozen=True)
class OperatingPoint:
    """The best F1 that any threshold reaches, and that threshold; tuned on the labels, so an `oracle` value."""

    f1: float
    threshold: float


@dataclass(frozen=True)
class _Stretch:
    """A stretch of the curve from higher to lower values; one entry per distinct positive value.

    `true`: positives from the value on; `above`, `upto`: negatives above it, and from it on; `before`, `height`: weighted share
    of the positives above it, and from it on.
    """

    values: NDArray[np.floating[Any]]
    count: Counts
    true: Counts
    above: Counts
    upto: Counts
    before: Floats
    height: Floats


class ThresholdCurve:
    """True and false positives at every threshold, ties merged.

    Positives come first, all at once; negatives follow in parts and are only counted between the positives, so that any
    number of them costs no memory. Every area and precision below is then exact, because a ROC, PR or PRO curve only bends at
    the value of a positive.

    Parameters
    ----------
    positives
        (P,) values of the positive pixels or images, finite.
    weights
        (P,) weight of each, by which `area` rises; equal weights for a ROC curve, ``1 / region size`` for PRO.
    """

    def __init__(self, positives: NDArray[np.floating[Any]], weights: NDArray[np.floating[Any]] | None = None) -> None:
        _check_finite(positives)
        order = np.argsort(positives, kind="stable")
        ordered = positives[order]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if ordered.size else np.empty(0, np.int64)
        self.values = ordered[starts]
        self.positives = np.diff(np.r_[starts, ordered.size]).astype(np.uint32)
        self.weights: NDArray[Any] = self.positives
        if weights is not None and starts.size:
            self.weights = np.add.reduceat(np.asarray(weights, dtype=np.float64)[order], starts)
        self._between: Counts = np.zeros(len(self.values) + 1, dtype=np.int64)
        self._equal: Counts = np.zeros(len(self.values) + 1, dtype=np.int64)

    def add_negatives(self, negatives: NDArray[np.floating[Any]]) -> None:
        """Count the next negative values, of any shape."""
        _check_finite(negatives)
        ordered = np.sort(negatives, axis=None)
        places = np.searchsorted(self.values, ordered, side="left")
        tied = np.zeros(len(ordered), dtype=bool)
        inside = places < len(self.values)
        tied[inside] = self.values[places[inside]] == ordered[inside]
        _count_runs(self._between, places[~tied])
        _count_runs(self._equal, places[tied])

    def unweighted(self) -> ThresholdCurve:
        """Return the same curve with every positive alike, sharing all counts."""
        other = copy.copy(self)
        other.weights = self.positives
        return other

    @property
    def positive_count(self) -> int:
        """Number of positives."""
        return int(self.positives.sum(dtype=np.int64))

    @property
    def negative_count(self) -> int:
        """Number of negatives counted so far."""
        return int(self._between.sum() + self._equal.sum())

    def _stretches(self) -> Iterator[_Stretch]:
        """Walk down from the largest positive value in stretches, so that temporary arrays stay small."""
        total = float(self.weights.sum(dtype=np.float64))
        true, false, weight = 0, 0, 0.0
        for stop in range(len(self.values), 0, -_CHUNK):
            part = slice(max(stop - _CHUNK, 0), stop)
            count = self.positives[part][::-1].astype(np.int64)
            equal = self._equal[part][::-1]
            between = self._between[part.start + 1 : stop + 1][::-1]
            upto = false + np.cumsum(between + equal)
            height = weight + np.cumsum(self.weights[part][::-1], dtype=np.float64)
            before = np.r_[weight, height[:-1]]
            positives = true + np.cumsum(count)
            yield _Stretch(self.values[part][::-1], count, positives, upto - equal, upto, before / total, height / total)
            true, false, weight = int(positives[-1]), int(upto[-1]), float(height[-1])

    def area(self, limit: float = 1.0) -> float | None:
        """Return the area under the curve of weighted true-positive against false-positive rate up to `limit`, over `limit`.

        With unit weights and limit 1 this is the AUROC; with weights ``1 / region size`` it is the AUPRO (Bergmann et al.,
        CVPR 2019). None where there are no positives or no negatives.
        """
        negatives = self.negative_count
        if not len(self.values) or not negatives:
            return None
        end = limit * negatives
        total, reached = 0.0, 0
        for stretch in self._stretches():
            start = np.r_[reached, stretch.upto[:-1]]
            level = (np.minimum(stretch.above, end) - np.minimum(start, end)) * stretch.before
            ties = stretch.upto - stretch.above
            rise = np.clip(end - stretch.above, 0, ties)
            share = np.divide(rise, ties, out=np.zeros(len(ties)), where=ties > 0)
            slope = rise * (stretch.before + share * (stretch.height - stretch.before) / 2)
            total += float(level.sum() + slope.sum())
            reached = int(stretch.upto[-1])
        total += max(end - reached, 0.0)
        return total / end

    def heights(self, rates: Floats) -> Floats:
        """Return the weighted true-positive rate at each false-positive rate, for drawing the curve.

        Parameters
        ----------
        rates
            (K,) in [0, 1]; where the curve rises steeply the upper end counts, and ties are crossed in a straight line.
        """
        places = np.asarray(rates, dtype=np.float64) * self.negative_count
        heights = np.ones(len(places))
        reached = -1.0
        for stretch in self._stretches():
            corners = np.stack([stretch.above, stretch.upto], axis=1).ravel()
            levels = np.stack([stretch.before, stretch.height], axis=1).ravel()
            inside = (places >= reached) & (places <= corners[-1])
            heights[inside] = np.interp(places[inside], corners, levels)
            reached = float(corners[-1])
        return heights

    def average_precision(self) -> float | None:
        """Return the sum over thresholds of precision times the gain in recall; None without positives."""
        if not len(self.values):
            return None
        total = sum(float((part.count * (part.true / (part.true + part.upto))).sum()) for part in self._stretches())
        return total / self.positive_count

    def best_f1(self) -> OperatingPoint | None:
        """Return the threshold of the best F1, for ``score > threshold``; None without positives."""
        best: OperatingPoint | None = None
        positives = self.positive_count
        for part in self._stretches():
            f1 = 2 * part.true / (part.true + part.upto + positives)
            place = int(f1.argmax())
            if best is None or f1[place] > best.f1:
                value = part.values[place]
                best = OperatingPoint(float(f1[place]), float(np.nextafter(value, value.dtype.type(-np.inf))))
        return best


def _check_finite(values: NDArray[np.floating[Any]]) -> None:
    if not np.isfinite(values).all():
        raise MetricError("scores hold NaN or infinite values", "check the detector's maps")


def _count_runs(counts: Counts, places: NDArray[np.intp]) -> None:
    """Add one at each of `places`, which are sorted."""
    if places.size:
        starts = np.flatnonzero(np.r_[True, places[1:] != places[:-1]])
        counts[places[starts]] += np.diff(np.r_[starts, places.size])
