"""How sure a label is, and leaving those open that are not sure enough."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from pyimgano.calibration import ThresholdRecord
from pyimgano.calibration.record import QUANTILES
from pyimgano.errors import CalibrationError, OptionsError
from pyimgano.inference.result import InferenceResult

REJECT_LABEL = -2
"""Neither good (0) nor defective (1)."""


class LabelConfidence:
    """The probability that a threshold from other good parts, as many as were calibrated on, would give the same label.

    The threshold is the k-th smallest of n calibration scores, k being its quantile times n, rounded up. A score s is above
    that of another such sample if at least k of its n scores are below s. With p the probability that a good part scores below
    s, that is

    ``P(label 1) = sum_{i=k}^{n} C(n, i) p^i (1 - p)^(n - i)``, where ``p = (1 + n_s) / (2 + n)``

    and n_s is the number of calibration scores up to s (Perini, Vercruyssen, Davis: Quantifying the Confidence of Anomaly
    Detectors in Their Example-Wise Predictions, ECML PKDD 2020). The confidence is that, or one minus it for the label 0. It is
    near one half at the threshold. It says nothing about how far beyond all good parts a score is: with few calibration images
    it stays low for the plainest defect, because few images cannot promise more.

    The calibration scores themselves are not kept with a threshold: n_s is interpolated linearly between the smallest, the
    quantiles and the largest of its summary.

    Parameters
    ----------
    threshold
        A calibrated threshold.

    Raises
    ------
    CalibrationError
        If the threshold was not calibrated here: set by hand, edited, or none.
    """

    def __init__(self, threshold: ThresholdRecord | None) -> None:
        summary = threshold.score_summary if threshold is not None else None
        quantile = getattr(threshold, "quantile", None)
        if summary is None or quantile is None:
            raise CalibrationError(
                "the confidence of a label needs a calibrated image threshold with the summary of its scores",
                "train again without setting the threshold by hand, or leave out --include-confidence and "
                "--reject-confidence-below",
            )
        self._count = summary.count
        rank = min(max(math.ceil(quantile * summary.count - 1e-9), 1), summary.count)
        marks = {summary.min: 0.0}
        marks |= {summary.quantiles[name]: q for name, q in QUANTILES.items() if name in summary.quantiles}
        marks[summary.max] = 1.0  # of equal scores the highest place counts
        self._scores = np.array(sorted(marks))
        self._places = np.array([marks[score] for score in sorted(marks)]) * (summary.count - 1)
        self._wins = np.arange(rank, summary.count + 1)
        lgamma = np.array([math.lgamma(number + 1) for number in range(summary.count + 1)])
        self._ways = lgamma[-1] - lgamma[self._wins] - lgamma[summary.count - self._wins]

    @property
    def most(self) -> float:
        """Return the highest confidence that the label 1 can have."""
        return self(math.inf, 1)

    def __call__(self, score: float, label: int) -> float:
        """Return the confidence of 0 or 1 for a score, in [0, 1]."""
        below = 0.0 if score < self._scores[0] else 1 + float(np.interp(score, self._scores, self._places))
        p = (1 + below) / (2 + self._count)
        terms = self._ways + self._wins * math.log(p) + (self._count - self._wins) * math.log1p(-p)
        defective = min(1.0, float(np.exp(terms).sum()))
        return defective if label == 1 else 1 - defective


@dataclass(frozen=True)
class Rejection:
    """Which labels are left open: those of a confidence below `below`, which become `label`.

    Raises
    ------
    OptionsError
        If `below` is no probability.
    """

    below: float
    label: int = REJECT_LABEL

    def __post_init__(self) -> None:
        if not 0 <= self.below <= 1:
            raise OptionsError(
                f"a confidence lies between 0 and 1, not at {self.below}", "pass --reject-confidence-below 0.9, say"
            )


def with_confidence(
    results: Iterable[InferenceResult], confidence: LabelConfidence, rejection: Rejection | None = None
) -> Iterator[InferenceResult]:
    """Yield results with the confidence of their label, and with their label replaced where it is rejected."""

    def judged(result: InferenceResult) -> InferenceResult:
        if result.score is None or result.label is None:
            return result
        sure = confidence(result.score, result.label)
        if rejection is None:
            return replace(result, confidence=sure)
        rejected = sure < rejection.below
        label = rejection.label if rejected else result.label
        return replace(result, confidence=sure, rejected=rejected, label=label)

    return map(judged, results)
