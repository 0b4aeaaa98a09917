"""The image threshold, from held-out normal scores: split-conformal, or a plain quantile."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyimgano.calibration.bootstrap import Floats, score_interval
from pyimgano.calibration.record import ImageThreshold, ScoreSummary
from pyimgano.calibration.settings import ThresholdRules
from pyimgano.errors import CalibrationError
from pyimgano.images import ImageLike

if TYPE_CHECKING:
    from pyimgano.contracts import Detector


def split_conformal(
    scores: NDArray[np.floating[Any]], false_alarm_rate: float = 0.05, chain: str | None = None, *, seed: int = 0
) -> ImageThreshold:
    """Return the image threshold at a guaranteed false-alarm rate.

    With n scores of normal images that the detector was not fitted on, the k-th smallest with
    ``k = ceil((n + 1) (1 - rate))`` is exceeded by a new normal image with probability at most `rate`, whatever the scores'
    distribution, as long as they are exchangeable (Papadopoulos et al. 2002; Vovk et al. 2005, Algorithmic Learning in a
    Random World). That needs ``n >= 1 / rate - 1``; with fewer, their maximum is taken and `warning` says so.

    Parameters
    ----------
    scores
        (N,) finite scores of held-out normal images.
    seed
        Of the resamples behind `interval`.
    """
    if not 0 < false_alarm_rate < 1:
        raise CalibrationError(f"false_alarm_rate must lie between 0 and 1, got {false_alarm_rate}")
    ordered = np.sort(_finite(scores))
    count = ordered.size
    rank = math.ceil((count + 1) * (1 - false_alarm_rate) - 1e-9)
    enough = rank <= count
    place = min(rank, count) - 1

    def rule(rows: Floats) -> Floats:
        return np.asarray(np.partition(rows, place, axis=-1)[..., place])

    needed = math.ceil(1 / false_alarm_rate - 1 - 1e-9)
    warning = (
        f"{count} held-out normal images are too few for a false-alarm rate of {false_alarm_rate:g}: {needed} are needed; "
        f"the image threshold is their maximum, which promises at most {1 / (count + 1):.3g}"
    )
    return ImageThreshold(
        value=float(rule(ordered)),
        method="split_conformal" if enough else "maximum",
        quantile=(place + 1) / count,
        false_alarm_rate=false_alarm_rate,
        split="calibration",
        calibration_count=count,
        score_summary=ScoreSummary.of(ordered),
        interval=score_interval(ordered, rule, seed),
        chain=chain,
        warning=None if enough else warning,
    )


def score_quantile(
    scores: NDArray[np.floating[Any]], quantile: float = 0.95, chain: str | None = None, *, seed: int = 0
) -> ImageThreshold:
    """Return a quantile of held-out normal scores, (N,), as the image threshold; it promises nothing beyond them.

    `seed` is that of the resamples behind `interval`.
    """
    if not 0 < quantile < 1:
        raise CalibrationError(f"a score quantile must lie between 0 and 1, got {quantile}")
    values = _finite(scores)
    needed = math.ceil(1 / (1 - quantile) - 1e-9)
    warning = f"{values.size} held-out normal images are too few for the {quantile:g} quantile: {needed} are needed"

    def rule(rows: Floats) -> Floats:
        return np.asarray(np.quantile(rows, quantile, axis=-1))

    return ImageThreshold(
        value=float(rule(values)),
        method="quantile",
        quantile=quantile,
        split="calibration",
        calibration_count=values.size,
        score_summary=ScoreSummary.of(values),
        interval=score_interval(values, rule, seed),
        chain=chain,
        warning=warning if values.size < needed else None,
    )


def calibrate_images(
    scores: NDArray[np.floating[Any]], settings: ThresholdRules, chain: str | None, *, seed: int = 0
) -> ImageThreshold:
    """Return the image threshold by the strategy that the settings name."""
    if settings.image_threshold_strategy == "quantile":
        return score_quantile(scores, settings.score_quantile, chain, seed=seed)
    return split_conformal(scores, settings.false_alarm_rate, chain, seed=seed)


def _finite(scores: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    values = np.asarray(scores, dtype=np.float64)
    if not values.size or not np.isfinite(values).all():
        raise CalibrationError(
            "there are no finite scores of held-out normal images to calibrate on", "provide more images of good parts"
        )
    return values


def calibrate_threshold(detector: Detector, images: Iterable[ImageLike], false_alarm_rate: float = 0.05) -> ImageThreshold:
    """Set ``detector.threshold`` from normal images that it was not fitted on, so that ``predict`` works; return the record."""
    record = split_conformal(detector.decision_function(images), false_alarm_rate)
    detector.threshold = record
    return record
