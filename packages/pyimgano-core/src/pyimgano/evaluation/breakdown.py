"""Results taken apart: per image, per type of defect, and the points of a curve to draw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyimgano.contracts import Evidence, Sample
from pyimgano.errors import UndefinedMetricError
from pyimgano.metrics.curve import ThresholdCurve
from pyimgano.metrics.image import Confusion, ratio, roc_auc
from pyimgano.metrics.pixel import PixelCounts

POINTS = 200


def image_records(evidence: Evidence, samples: Sequence[Sample], root: Path | None) -> list[dict[str, Any]]:
    """Return one record per test image: what it is, what was said, and what the pixel threshold did to it."""
    counts = pixel_counts(evidence)
    records = []
    for index, sample in enumerate(samples):
        score = float(evidence.scores[index])
        record: dict[str, Any] = {"index": index, "input": relative_name(sample.path, root), "score": score}
        if evidence.threshold is not None:
            record |= {"label": int(score > evidence.threshold), "threshold": evidence.threshold}
        record |= {"truth": int(evidence.labels[index]), "defect_type": sample.defect_type}
        if counts is not None:
            names = ("tp", "fp", "fn", "tn", "regions", "regions_found", "false_regions")
            record["pixel"] = {name: getattr(counts[index], name) for name in names}
        records.append(record)
    return records


def relative_name(path: Path, root: Path | None) -> str:
    """Return a path below the root of its dataset, or as it is where it lies elsewhere."""
    if root is not None and path.is_relative_to(root):
        return path.relative_to(root).as_posix()
    return path.as_posix()


def defect_types(evidence: Evidence, samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """Return one row per type of defect, each against all good images."""
    counts = pixel_counts(evidence)
    kinds = np.array([sample.defect_type for sample in samples], dtype=object)
    good, bad = evidence.labels == 0, evidence.labels == 1
    rows = []
    for kind in sorted(set(kinds[bad])):
        of_kind = bad & (kinds == kind)
        chosen = good | of_kind
        row: dict[str, Any] = {"type": kind, "images": int(of_kind.sum())}
        row["auroc"] = roc_auc(evidence.labels[chosen], evidence.scores[chosen])
        row["mean_score"] = float(evidence.scores[of_kind].mean())
        if evidence.threshold is not None:
            row["recall"] = Confusion.at(evidence.labels[of_kind], evidence.scores[of_kind], evidence.threshold).recall
        if counts is not None:
            total = sum((counts[place] for place in np.flatnonzero(chosen)), start=PixelCounts())
            row |= {"region_recall": ratio(total.regions_found, total.regions), "pixel_segf1": total.segf1}
        rows.append(row)
    return rows


def pixel_counts(evidence: Evidence) -> list[PixelCounts] | None:
    """Return the counts per image, or None where there are no pixels or no pixel threshold."""
    try:
        return evidence.pixel_counts
    except UndefinedMetricError:
        return None


def pro_points(evidence: Evidence) -> dict[str, list[float]] | None:
    """Return points of the per-region overlap curve, denser at low false-positive rates; None without regions."""
    if evidence.truths is None:
        return None
    curve: ThresholdCurve = evidence.pixel_curves.regions
    if curve.area() is None:
        return None
    rates = np.linspace(0, 1, POINTS) ** 2
    return {"fpr": rates.tolist(), "pro": curve.heights(rates).tolist()}
