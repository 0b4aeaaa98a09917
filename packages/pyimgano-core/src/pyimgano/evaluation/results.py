"""The results block: image and pixel metrics at fixed thresholds, and beside them what only the test labels could tell."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyimgano.contracts import Evidence, Metric
from pyimgano.discovery.load import describe
from pyimgano.errors import MetricError, PyimganoError, UndefinedMetricError
from pyimgano.metrics import components
from pyimgano.metrics.curve import ThresholdCurve
from pyimgano.metrics.options import AUPROOptions
from pyimgano.metrics.pixel import PixelTruth

AUPRO_LIMIT = 0.3

RANKING = ("auroc", "average_precision")
AT_THRESHOLD = ("precision", "recall", "f1", "specificity", "accuracy", "false_alarm_rate")
PIXEL_RANKING = ("pixel_auroc", "pixel_average_precision")
AT_PIXEL_THRESHOLD = (
    "pixel_segf1",
    "bg_fpr",
    "good_image_bg_fpr",
    "good_image_alarm_rate",
    "region_recall",
    "false_regions_per_image",
)


def evaluate_detector(
    y_true: NDArray[Any] | Sequence[int],
    y_scores: NDArray[np.floating[Any]] | Sequence[float],
    *,
    threshold: float | None = None,
    pixel_labels: Sequence[NDArray[Any]] | NDArray[Any] | None = None,
    pixel_scores: Sequence[NDArray[np.floating[Any]]] | NDArray[np.floating[Any]] | None = None,
    pixel_threshold: float | None = None,
    aupro_limit: float = AUPRO_LIMIT,
) -> dict[str, Any]:
    """Return the metrics of scores against truth.

    Nothing is tuned on `y_true`: metrics at a threshold need one that was fixed before. What the labels would have chosen
    stands in the block ``oracle``.

    Parameters
    ----------
    y_true, y_scores
        (N,) labels, 0 good and 1 defective, and raw scores, higher is more anomalous.
    threshold
        Image threshold; abnormal is ``score > threshold``. None leaves ``metrics`` null.
    pixel_labels, pixel_scores
        One (H, W) mask and map per image; sizes may differ between images.
    pixel_threshold
        Pixel threshold; None leaves ``pixel_segf1`` and ``bg_fpr`` null.
    aupro_limit
        False-positive rate up to which AUPRO integrates.

    Returns
    -------
    dict
        ``auroc, average_precision, threshold, metrics, pixel_metrics, extra_metrics, oracle, warnings``; what cannot be
        computed is None with a sentence in ``warnings``.
    """
    labels, scores = np.asarray(y_true), np.asarray(y_scores, dtype=np.float64)
    if labels.shape != scores.shape or labels.ndim != 1:
        raise MetricError(f"labels {labels.shape} and scores {scores.shape} must both be (N,)", "pass one label per score")
    if (pixel_labels is None) != (pixel_scores is None):
        raise MetricError("pixel_labels and pixel_scores belong together", "pass both or neither")
    truths = None
    if pixel_labels is not None and pixel_scores is not None:
        if len(pixel_labels) != len(pixel_scores):
            raise MetricError(f"{len(pixel_labels)} masks and {len(pixel_scores)} maps were given", "pass one mask per map")
        masks = [np.asarray(mask) != 0 for mask in pixel_labels]
        truths = [PixelTruth(np.asarray(one), mask) for one, mask in zip(pixel_scores, masks, strict=True)]
    return results_block(Evidence(labels, scores, threshold, pixel_threshold, truths), aupro_limit=aupro_limit)


def results_block(
    evidence: Evidence, *, extra: Mapping[str, Metric] | None = None, aupro_limit: float = AUPRO_LIMIT
) -> dict[str, Any]:
    """Return the block of `evaluate_detector` for evidence; pixel metrics where it has truths, and `extra` metrics by name."""
    undefined: dict[str, list[str]] = {}

    def value(name: str, metric: Metric) -> float | None:
        try:
            return metric.compute(evidence)
        except UndefinedMetricError as error:
            undefined.setdefault(error.problem, []).append(name)
            return None

    def values(names: Sequence[str]) -> dict[str, float | None]:
        return {name: value(name, getattr(components, name)(None)) for name in names}

    results: dict[str, Any] = {
        **values(RANKING),
        "threshold": evidence.threshold,
        "metrics": _at_threshold(evidence, values),
        "pixel_metrics": None,
        "oracle": _best("f1", "threshold", evidence.image_curve),
    }
    if evidence.truths is not None:
        aupro = components.aupro(AUPROOptions(limit=aupro_limit))
        results["pixel_metrics"] = {
            **values(PIXEL_RANKING),
            "aupro": value("aupro", aupro),
            "aupro_limit": aupro_limit,
            "pixel_threshold": evidence.pixel_threshold,
            **values(AT_PIXEL_THRESHOLD),
        }
        results["oracle"] |= _best("pixel_segf1", "pixel_threshold", evidence.pixel_curves.pixels)
    results["extra_metrics"] = {name: value(name, _Guarded(metric)) for name, metric in (extra or {}).items()}
    return {**results, "warnings": [_sentence(names, reason) for reason, names in undefined.items()]}


class _Guarded(Metric):
    """A metric whose failure costs its own value only, and is said: the model has been fitted and scored by then."""

    def __init__(self, metric: Metric) -> None:
        super().__init__(metric.options)
        self._metric = metric

    def compute(self, evidence: Evidence) -> float:
        try:
            value = float(self._metric.compute(evidence))
        except UndefinedMetricError:
            raise
        except PyimganoError as error:
            raise UndefinedMetricError(f"it failed: {error.problem}") from error
        except Exception as error:  # a plugin's metric may raise anything
            raise UndefinedMetricError(f"it failed with {describe(error)}") from error
        if not math.isfinite(value):
            raise UndefinedMetricError(f"it gave {value}")
        return value


def _at_threshold(
    evidence: Evidence, values: Callable[[Sequence[str]], dict[str, float | None]]
) -> dict[str, float | int | None] | None:
    """Return all ratios and counts at the image threshold; None without one, which is said."""
    ratios = values(AT_THRESHOLD)
    if evidence.threshold is None:
        return None
    counts = evidence.confusion
    return {**ratios, "tp": counts.tp, "tn": counts.tn, "fp": counts.fp, "fn": counts.fn}


def _best(f1: str, threshold: str, curve: ThresholdCurve) -> dict[str, float | None]:
    """Return the best F1 and its threshold, which only the test labels know, under their names."""
    best = curve.best_f1()
    return {f1: best.f1 if best else None, threshold: best.threshold if best else None}


def _sentence(names: Sequence[str], reason: str) -> str:
    listing = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    return f"{listing} {'are' if len(names) > 1 else 'is'} undefined: {reason}"
