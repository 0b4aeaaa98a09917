"""One row per condition, for spreadsheets and terminals."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from pyimgano_robustness.summary import METRICS, Place, corrupted, metric, taken

COLUMNS = (*METRICS, "precision", "recall", "false_alarm_rate", "good_image_bg_fpr", "region_recall")
TIMES = ("latency_ms_per_image", "corruption_ms_per_image")


def rows(robustness: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return every condition, clean first: name, severity, number of images, metrics at the frozen thresholds, and times.

    A condition that images were taken under is called ``KEY=VALUE`` and has no severity.
    """
    return [
        {
            "condition": place.name,
            "severity": place.severity,
            "images": place.record["images"],
            **{column: metric(place.record, column) for column in COLUMNS},
            **{column: place.record[column] for column in TIMES},
        }
        for place in (Place("clean", 0, robustness["clean"]), *corrupted(robustness), *taken(robustness))
    ]


def as_csv(robustness: Mapping[str, Any]) -> str:
    """Return the rows as CSV with a header; a metric that is undefined is an empty field."""
    text = io.StringIO()
    table = csv.DictWriter(text, ["condition", "severity", "images", *COLUMNS, *TIMES], lineterminator="\n")
    table.writeheader()
    table.writerows(rows(robustness))
    return text.getvalue()
