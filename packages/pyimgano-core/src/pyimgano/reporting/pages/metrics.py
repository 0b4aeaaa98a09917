"""Every metric of a report: where it stands, what it is called, what it says, and why it may be missing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from pyimgano.reporting.pages.records import Number, Results

NO_PIXELS = "no pixel metrics"


@dataclass(frozen=True)
class Metric:
    """A number of the results.

    Attributes
    ----------
    key, block
        Where it stands: ``results[key]``, or ``results[block][key]``.
    label, meaning
        What it is called, and what it says.
    at
        Which threshold it depends on; None for none.
    lower
        Whether less is better.
    oracle
        Whether the block ``oracle`` holds its counterpart, under the same key.
    """

    block: Literal["", "metrics", "pixel_metrics"]
    at: Literal["image", "pixel"] | None
    key: str
    label: str
    meaning: str
    lower: bool = False
    oracle: bool = False

    def value(self, results: Results) -> Number | None:
        """Return the metric's value."""
        table: Any = getattr(results, self.block) or {} if self.block else dict(results)
        found: Number | None = table.get(self.key)
        return found

    def reason(self, results: Results, warnings: Iterable[str]) -> str | None:
        """Return why there is no value, in the words of `warnings`; None where there is one or nobody says."""
        if self.value(results) is not None:
            return None
        if self.block == "pixel_metrics" and results.pixel_metrics is None:
            return next((text[text.index(NO_PIXELS) :] for text in warnings if NO_PIXELS in text), None)
        return reason_for(self.key, warnings)


def reason_for(name: str, warnings: Iterable[str]) -> str | None:
    """Return why a metric is undefined, from the first of the warnings that names it."""
    for text in warnings:
        names, found, reason = text.partition(" undefined: ")
        listed = re.split(", | and ", names.rpartition(": ")[2].removesuffix(" is").removesuffix(" are"))
        if found and name in listed:
            return reason
    return None


def share_of(name: str, warnings: Iterable[str]) -> str | None:
    """Return the warning that a metric is a mean over some of the categories only."""
    start = f"{name} is the "
    return next((text.removeprefix(start) for text in warnings if text.startswith(start)), None)


METRICS = (
    Metric("", None, "auroc", "Image AUROC", "chance that a defective part scores above a good one"),
    Metric("", None, "average_precision", "Image AP", "precision, averaged over recall"),
    Metric("metrics", "image", "recall", "Recall", "share of the defective parts that were found"),
    Metric("metrics", "image", "false_alarm_rate", "False-alarm rate", "share of the good parts called defective", lower=True),
    Metric("metrics", "image", "precision", "Precision", "share of the parts called defective that are"),
    Metric("metrics", "image", "f1", "F1", "harmonic mean of precision and recall", oracle=True),
    Metric("metrics", "image", "specificity", "Specificity", "share of the good parts that passed"),
    Metric("metrics", "image", "accuracy", "Accuracy", "share of all parts called right"),
    Metric("pixel_metrics", None, "pixel_auroc", "Pixel AUROC", "chance that a defective pixel scores above a good one"),
    Metric("pixel_metrics", None, "pixel_average_precision", "Pixel AP", "precision of pixels, averaged over recall"),
    Metric("pixel_metrics", None, "aupro", "AUPRO", "overlap with the defects, each counted alike"),
    Metric("pixel_metrics", "pixel", "pixel_segf1", "SegF1", "F1 over all pixels of all images", oracle=True),
    Metric("pixel_metrics", "pixel", "region_recall", "Region recall", "share of the defects that were touched"),
    Metric(
        "pixel_metrics", "pixel", "false_regions_per_image", "False regions", "found regions without a defect, per image", True
    ),
    Metric("pixel_metrics", "pixel", "bg_fpr", "Background FPR", "share of the good pixels called abnormal", lower=True),
    Metric("pixel_metrics", "pixel", "good_image_bg_fpr", "Good-image FPR", "the same, over good images only", lower=True),
    Metric(
        "pixel_metrics",
        "pixel",
        "good_image_alarm_rate",
        "Good images with alarms",
        "share with any abnormal pixel",
        lower=True,
    ),
)
BY_KEY = {metric.key: metric for metric in METRICS}
