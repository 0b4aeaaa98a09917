"""Metrics over image scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


def roc_auc(labels: NDArray[Any], scores: NDArray[np.floating[Any]]) -> float | None:
    """Return the area under the ROC curve, ties counted half (Mann and Whitney 1947); None with one class only.

    Parameters
    ----------
    labels
        (N,) 0 for good, 1 for defective.
    scores
        (N,) finite; higher is more anomalous.
    """
    positive = np.asarray(labels).astype(bool)
    positives = int(positive.sum())
    negatives = positive.size - positives
    if not positives or not negatives:
        return None
    _, inverse, counts = np.unique(np.asarray(scores, dtype=np.float64), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


@dataclass(frozen=True)
class Confusion:
    """Counts at one threshold, where abnormal means ``score > threshold``."""

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
        """Share of the images called defective that are; None if none was called so."""
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else None

    @property
    def recall(self) -> float | None:
        """Share of the defective images that were found; None if there are none."""
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else None

    @property
    def false_alarm_rate(self) -> float | None:
        """Share of the good images that were called defective; None if there are none."""
        return self.fp / (self.fp + self.tn) if self.fp + self.tn else None
