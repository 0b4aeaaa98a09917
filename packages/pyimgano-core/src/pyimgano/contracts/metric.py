"""Metrics: what they are given, and what a subclass writes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyimgano.contracts.dataset import Sample
from pyimgano.errors import UndefinedMetricError
from pyimgano.metrics.curve import ThresholdCurve
from pyimgano.metrics.image import Confusion, image_curve
from pyimgano.metrics.pixel import PixelCounts, PixelCurves, PixelTruth, count_each, pixel_curves


@dataclass(frozen=True)
class Evidence:
    """Scored test images with their truth and the thresholds that were fixed before; what is derived is computed once.

    Attributes
    ----------
    labels, scores
        (N,) 0 good and 1 defective; raw scores, higher is more anomalous.
    threshold, pixel_threshold
        Abnormal is ``value > threshold``; None where none was calibrated.
    truths
        (N,) map and mask of every image, loaded when needed; None where there are no masks or no maps.
    samples
        (N,) where the images come from, if they come from a dataset.
    """

    labels: NDArray[np.int64]
    scores: NDArray[np.float64]
    threshold: float | None = None
    pixel_threshold: float | None = None
    truths: Sequence[PixelTruth] | None = None
    samples: Sequence[Sample] | None = None

    @cached_property
    def image_curve(self) -> ThresholdCurve:
        """Return the curve of the image scores."""
        return image_curve(self.labels, self.scores)

    @cached_property
    def confusion(self) -> Confusion:
        """Return the counts of images at the threshold."""
        if self.threshold is None:
            raise UndefinedMetricError("there is no image threshold")
        return Confusion.at(self.labels, self.scores, self.threshold)

    @cached_property
    def pixel_curves(self) -> PixelCurves:
        """Return the curves of the pixels and of the regions."""
        return pixel_curves(self._known_truths())

    @cached_property
    def pixel_counts(self) -> list[PixelCounts]:
        """Return the counts of pixels and regions at the pixel threshold, one per image."""
        truths = self._known_truths()
        if self.pixel_threshold is None:
            raise UndefinedMetricError("there is no pixel threshold")
        return list(count_each(truths, self.pixel_threshold))

    @cached_property
    def pixel_total(self) -> PixelCounts:
        """Return their sum."""
        return sum(self.pixel_counts, start=PixelCounts())

    def _known_truths(self) -> Sequence[PixelTruth]:
        if self.truths is None:
            raise UndefinedMetricError("there are no masks or no anomaly maps")
        return self.truths


class Metric(ABC):
    """A number that says how good the results are. Its constructor takes the validated options and does no work."""

    def __init__(self, options: Any) -> None:
        self.options = options

    @abstractmethod
    def compute(self, evidence: Evidence) -> float:
        """Return the value.

        Raises
        ------
        UndefinedMetricError
            Where there is none, with the reason as half a sentence; reports then hold null and the reason.
        """
