"""The results block: image and pixel metrics at fixed thresholds, and beside them what only the test labels could tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyimgano.errors import MetricError
from pyimgano.metrics.image import Confusion, image_curve
from pyimgano.metrics.pixel import PixelTruth, count_pixels, pixel_curves

AUPRO_LIMIT = 0.3


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
        ``auroc, average_precision, threshold, metrics, pixel_metrics, oracle, warnings``; what cannot be computed is None with
        a sentence in ``warnings``.
    """
    labels, scores = np.asarray(y_true), np.asarray(y_scores, dtype=np.float64)
    if labels.shape != scores.shape or labels.ndim != 1:
        raise MetricError(f"labels {labels.shape} and scores {scores.shape} must both be (N,)", "pass one label per score")
    warnings: list[str] = []
    results = image_results(labels, scores, threshold, warnings)
    if (pixel_labels is None) != (pixel_scores is None):
        raise MetricError("pixel_labels and pixel_scores belong together", "pass both or neither")
    if pixel_labels is not None and pixel_scores is not None:
        if len(pixel_labels) != len(pixel_scores):
            raise MetricError(f"{len(pixel_labels)} masks and {len(pixel_scores)} maps were given", "pass one mask per map")
        masks = [np.asarray(mask) != 0 for mask in pixel_labels]
        truths = [PixelTruth(np.asarray(one), mask) for one, mask in zip(pixel_scores, masks, strict=True)]
        pixels, oracle = pixel_results(truths, pixel_threshold, warnings, aupro_limit)
        results["pixel_metrics"] = pixels
        results["oracle"].update(oracle)
    return {**results, "warnings": warnings}


def image_results(
    labels: NDArray[Any], scores: NDArray[np.float64], threshold: float | None, warnings: list[str]
) -> dict[str, Any]:
    """Return the image-level part; arguments and keys as in `evaluate_detector`."""
    curve = image_curve(labels, scores)
    auroc, precision, best = curve.area(), curve.average_precision(), curve.best_f1()
    if auroc is None:
        warnings.append("image AUROC is undefined: the test images are all good or all defective")
    if threshold is None:
        warnings.append("precision, recall and F1 are undefined: there is no image threshold")
    return {
        "auroc": auroc,
        "average_precision": precision if auroc is not None else None,
        "threshold": threshold,
        "metrics": None if threshold is None else confusion_results(Confusion.at(labels, scores, threshold)),
        "pixel_metrics": None,
        "oracle": {"f1": best.f1 if best else None, "threshold": best.threshold if best else None},
    }


def confusion_results(counts: Confusion) -> dict[str, Any]:
    """Return all ratios and counts at a threshold."""
    ratios = ("precision", "recall", "f1", "specificity", "accuracy", "false_alarm_rate")
    return {name: getattr(counts, name) for name in (*ratios, "tp", "tn", "fp", "fn")}


def pixel_results(
    truths: Sequence[PixelTruth], threshold: float | None, warnings: list[str], aupro_limit: float = AUPRO_LIMIT
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the pixel-level part and its oracle values; truths are streamed."""
    curves = pixel_curves(truths)
    best = curves.pixels.best_f1()
    auroc = curves.pixels.area()
    if auroc is None:
        warnings.append("pixel AUROC, AP and AUPRO are undefined: the masks are all empty or all full")
    results: dict[str, Any] = {
        "pixel_auroc": auroc,
        "pixel_average_precision": curves.pixels.average_precision() if auroc is not None else None,
        "aupro": curves.regions.area(aupro_limit),
        "aupro_limit": aupro_limit,
        "pixel_threshold": threshold,
        "pixel_segf1": None,
        "bg_fpr": None,
    }
    if threshold is None:
        warnings.append("SegF1 and background false-positive rate are undefined: there is no pixel threshold")
    else:
        counts = count_pixels(truths, threshold)
        if counts.segf1 is None:
            warnings.append("SegF1 is undefined: nothing is defective and nothing was called so")
        names = ("bg_fpr", "good_image_bg_fpr", "good_image_alarm_rate", "region_recall", "false_regions_per_image")
        results |= {"pixel_segf1": counts.segf1, **{name: getattr(counts, name) for name in names}}
    return results, {"pixel_segf1": best.f1 if best else None, "pixel_threshold": best.threshold if best else None}
