"""The tables of a page: headline cards, metrics with their thresholds and reasons, types of defect, categories side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pyimgano.reporting.pages import vocabulary as words
from pyimgano.reporting.pages.metrics import BY_KEY, METRICS, Metric, reason_for, share_of
from pyimgano.reporting.pages.records import Number, Report

Warnings = Sequence[str]

PARTS = {"recall": "Defective parts found", "false_alarm_rate": "Good parts called defective"}
HEADLINES = ("recall", "false_alarm_rate", "auroc", "pixel_segf1", "aupro")
OF_TYPES = ("auroc", "recall", "mean_score", "region_recall", "pixel_segf1")
OF_CATEGORIES = ("auroc", "recall", "false_alarm_rate", "f1", "aupro", "pixel_segf1")


@dataclass(frozen=True)
class Card:
    """A headline number with what it depends on, or the reason why it is missing."""

    label: str
    value: str
    detail: str


@dataclass(frozen=True)
class Row:
    """A number in its table; `note` says why it is missing or partial, `oracle` what tuning on the test labels would reach."""

    label: str
    meaning: str
    value: str
    threshold: str | None = None
    note: str | None = None
    oracle: str | None = None
    oracle_threshold: str | None = None


@dataclass(frozen=True)
class Group:
    """Rows under the threshold that they share."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Cell:
    """A value among others: why it is missing, and, where models compete, ``best`` or ``tied``."""

    value: str
    reason: str | None = None
    mark: str = ""


@dataclass(frozen=True)
class Line:
    """A row of cells."""

    label: str
    meaning: str
    cells: tuple[Cell, ...]


@dataclass
class Notes:
    """Reasons below a table, numbered as they are first referred to."""

    texts: list[str] = field(default_factory=list)

    def mark(self, reason: str | None) -> str:
        """Return the number of a reason's note, or nothing where there is no reason."""
        if not reason:
            return ""
        if reason not in self.texts:
            self.texts.append(reason)
        return str(self.texts.index(reason) + 1)


def all_warnings(report: Report) -> tuple[str, ...]:
    """Return every warning of a report once."""
    said = list(dict.fromkeys([*report.warnings, *report.results.warnings]))
    weak = [one.warning for one in (report.thresholds.image, report.thresholds.pixel) if one is not None and one.warning]
    return (*said, *(text for text in weak if not any(text in other for other in said)))


def listed(warnings: Warnings, categories: Sequence[str], failed: Mapping[str, str]) -> tuple[str, ...]:
    """Return the warnings to show: failures first, and what several categories share said once, with their names."""
    failures = [f"{name} failed and is in no number here: {reason}" for name, reason in failed.items()]
    owners: dict[str, list[str]] = {}
    for text in warnings:
        owner = next((name for name in categories if text.startswith(f"{name}: ")), None)
        names = owners.setdefault(text if owner is None else text.removeprefix(f"{owner}: "), [])
        names += [] if owner is None else [owner]
    shared = [f"{text} ({', '.join(names)})" if 0 < len(names) < len(categories) else text for text, names in owners.items()]
    return (*failures, *shared)


def cards(report: Report, warnings: Warnings) -> tuple[Card, ...]:
    """Return the headline numbers."""
    return tuple(_card(BY_KEY[key], report, warnings) for key in HEADLINES)


def _card(metric: Metric, report: Report, warnings: Warnings) -> Card:
    title, value = PARTS.get(metric.key, metric.label), metric.value(report.results)
    if value is None:
        return Card(title, words.DASH, metric.reason(report.results, warnings) or "not computed")
    rate, basis = words.rate(value), _basis(metric, report)
    if metric.key not in PARTS:
        return Card(title, rate, basis)
    tp, fn, fp, tn = words.counts(report.results)
    parts = f"{tp} of {tp + fn}" if metric.key == "recall" else f"{fp} of {fp + tn}"
    return Card(title, parts, f"{metric.label.lower()} {rate}, {basis}")


def _basis(metric: Metric, report: Report) -> str:
    if metric.at is not None:
        return words.at_threshold(report, metric.at)
    return f"needs no threshold{_limit(metric, report)}"


def _limit(metric: Metric, report: Report) -> str:
    limit = (report.results.pixel_metrics or {}).get("aupro_limit") if metric.key == "aupro" else None
    return "" if limit is None else f", up to a false-positive rate of {limit:g}"


def groups(report: Report, warnings: Warnings) -> tuple[Group, ...]:
    """Return all metrics, under the thresholds that they depend on."""
    free = [metric for metric in METRICS if metric.at is None]
    parts = [
        ("Images, needing no threshold", [metric for metric in free if not metric.block]),
        (f"Images, {words.at_threshold(report, 'image')}", [metric for metric in METRICS if metric.at == "image"]),
        ("Pixels, needing no threshold", [metric for metric in free if metric.block]),
        (f"Pixels, {words.at_threshold(report, 'pixel')}", [metric for metric in METRICS if metric.at == "pixel"]),
    ]
    if report.results.pixel_metrics is None:
        parts[2:] = [("Pixels", parts[2][1] + parts[3][1])]
    found = [_group(title, metrics, report, warnings) for title, metrics in parts]
    extra = report.results.extra_metrics.items()
    rows = tuple(Row(name, "", words.any_metric(value), note=_note(name, value, warnings)) for name, value in extra)
    return (*found, Group("Further metrics", rows)) if rows else tuple(found)


def _group(title: str, metrics: Sequence[Metric], report: Report, warnings: Warnings) -> Group:
    """Return a group; a reason why all its values are missing is said once, in its title."""
    rows = tuple(_row(metric, report, warnings) for metric in metrics)
    notes = {row.note for row in rows}
    if len(notes) > 1 or any(row.value != words.DASH for row in rows):
        return Group(title, rows)
    return Group(": ".join(filter(None, [title, *notes])), tuple(replace(row, note=None) for row in rows))


def _row(metric: Metric, report: Report, warnings: Warnings) -> Row:
    results, value = report.results, metric.value(report.results)
    oracle = results.oracle.get(metric.key) if metric.oracle else None
    fixed = words.threshold_value(report, metric.at) if metric.at and value is not None else None
    tuned = results.oracle.get("threshold" if metric.at == "image" else "pixel_threshold")
    return Row(
        metric.label,
        metric.meaning + _limit(metric, report),
        words.rate(value),
        None if fixed is None else words.score(fixed),
        metric.reason(results, warnings) if value is None else share_of(metric.key, warnings),
        None if oracle is None else words.rate(oracle),
        None if oracle is None or tuned is None else words.score(tuned),
    )


def _note(name: str, value: Number | None, warnings: Warnings) -> str | None:
    return reason_for(name, warnings) if value is None else share_of(name, warnings)


def defect_types(report: Report, warnings: Warnings) -> tuple[Line, ...]:
    """Return a row per type of defect, with the columns `OF_TYPES`."""
    lines = []
    for row in report.defect_types:
        cells = [Cell(str(row.images))]
        for key in OF_TYPES:
            value: Any = getattr(row, key)
            metric = BY_KEY.get(key)
            reason = metric.reason(report.results, warnings) if metric is not None and value is None else None
            cells.append(Cell(words.score(value) if key == "mean_score" else words.rate(value), reason))
        lines.append(Line(row.type, "", tuple(cells)))
    return tuple(lines)


def categories(reports: Sequence[Report]) -> tuple[Line, ...]:
    """Return a row per category, with the columns `OF_CATEGORIES` and the number of its warnings."""
    lines = []
    for report in reports:
        warnings = all_warnings(report)
        metrics = [BY_KEY[key] for key in OF_CATEGORIES]
        cells = [Cell(words.rate(one.value(report.results)), one.reason(report.results, warnings)) for one in metrics]
        lines.append(Line(report.category, "", (*cells, Cell(str(len(warnings))))))
    return tuple(lines)
