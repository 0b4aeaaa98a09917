"""One row per condition, for spreadsheets and terminals."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from pyimgano_robustness.summary import METRICS, metric, places

COLUMNS = (*METRICS, "precision", "recall", "false_alarm_rate", "good_image_bg_fpr", "region_recall")
TIMES = ("latency_ms_per_image", "corruption_ms_per_image")


def rows(robustness: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return every condition, clean first: its name and severity, its metrics at the frozen thresholds, and its times."""
    conditions = [("clean", 0, robustness["clean"]), *places(robustness["corruptions"])]
    return [
        {
            "condition": name,
            "severity": severity,
            **{column: metric(record, column) for column in COLUMNS},
            **{column: record[column] for column in TIMES},
        }
        for name, severity, record in conditions
    ]


def as_csv(robustness: Mapping[str, Any]) -> str:
    """Return the rows as CSV with a header; a metric that is undefined is an empty field."""
    text = io.StringIO()
    table = csv.DictWriter(text, ["condition", "severity", *COLUMNS, *TIMES], lineterminator="\n")
    table.writeheader()
    table.writerows(rows(robustness))
    return text.getvalue()
