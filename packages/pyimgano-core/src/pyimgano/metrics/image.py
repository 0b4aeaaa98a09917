"""Metrics over image scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyimgano.metrics.curve import ThresholdCurve


def image_curve(labels: NDArray[Any], scores: NDArray[np.floating[Any]]) -> ThresholdCurve:
    """Return the curve of image scores.

    Parameters
    ----------
    labels
        (N,) 0 for good, 1 for defective.
    scores
        (N,) finite; higher is more anomalous. Raw scores: clamping or rounding them merges ranks.
    """
    defective = np.asarray(labels).astype(bool)
    values = np.asarray(scores, dtype=np.float64)
    curve = ThresholdCurve(values[defective])
    curve.add_negatives(values[~defective])
    return curve


def roc_auc(labels: NDArray[Any], scores: NDArray[np.floating[Any]]) -> float | None:
    """Return the area under the ROC curve, ties counted half; None with one class only. Arguments as in `image_curve`."""
    return image_curve(labels, scores).area()


@dataclass(frozen=True)
class Confusion:
    """Counts at one threshold, where abnormal means ``score > threshold``; a ratio over nothing is None."""

    tp: int
    fp: int
    tn: int
    fn: int

    @classmethod
    def at(cls, labels: NDArray[Any], scores: NDArray[np.floating[Any]], threshold: float) -> Confusion:
        """Count at a threshold; labels and scores are (N,)."""
        positive = np.asarray(labels).astype(bool)
        called = np.asarray(scores) > threshold
        return cls(
            tp=int((positive & called).sum()),
            fp=int((~positive & called).sum()),
            tn=int((~positive & ~called).sum()),
            fn=int((positive & ~called).sum()),
        )

    @property
    def precision(self) -> float | None:
        """Share of the images called defective that are."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float | None:
        """Share of the defective images that were found."""
        return ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall."""
        return ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def specificity(self) -> float | None:
        """Share of the good images that were called good."""
        return ratio(self.tn, self.fp + self.tn)

    @property
    def accuracy(self) -> float | None:
        """Share of all images that were called right."""
        return ratio(self.tp + self.tn, self.tp + self.fp + self.tn + self.fn)

    @property
    def false_alarm_rate(self) -> float | None:
        """Share of the good images that were called defective."""
        return ratio(self.fp, self.fp + self.tn)


def ratio(part: int, whole: int) -> float | None:
    """Return part / whole, or None where there is no whole."""
    return part / whole if whole else None
