"""What the page of several models shows: each metric side by side, the best of a row marked, and the same per category."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from pyimgano.errors import OutputError
from pyimgano.reporting.pages import vocabulary as words
from pyimgano.reporting.pages.metrics import BY_KEY, METRICS, Metric, reason_for
from pyimgano.reporting.pages.records import ComparedRun, ComparisonReport, Number
from pyimgano.reporting.pages.saved_run import Run, inside, read_comparison, read_run
from pyimgano.reporting.pages.tables import Cell, Line, all_warnings, listed


@dataclass(frozen=True)
class Model:
    """A column: its name, the address of its own report, its warnings as they are and as shown, and its run if readable."""

    label: str
    address: str | None
    warnings: tuple[str, ...]
    listed: tuple[str, ...]
    record: ComparedRun
    run: Run | None


@dataclass(frozen=True)
class Table:
    """A table or a part of one."""

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Page:
    """A comparison."""

    report: ComparisonReport
    verdict: str
    models: tuple[Model, ...]
    parts: tuple[Table, ...]
    per_category: tuple[Table, ...]


def build(folder: Path) -> Page:
    """Read a comparison's folder and return its page; a model whose own folder is damaged is shown without its categories."""
    report = read_comparison(folder)
    models = tuple(_model(folder, record) for record in report.runs)
    return Page(report, _verdict(models), models, _parts(models), _per_category(models))


def _model(root: Path, record: ComparedRun) -> Model:
    warnings = tuple(dict.fromkeys([*record.warnings, *record.results.warnings]))
    shown = listed(warnings, record.categories, record.failed)
    folder = inside(root, record.folder)
    if folder is None:
        return Model(record.label, None, warnings, (*shown, "its folder lies outside of this one"), record, None)
    try:
        run = read_run(folder)
    except OutputError:
        return Model(record.label, None, warnings, (*shown, "its folder is missing or damaged"), record, None)
    return Model(record.label, f"./{quote(record.folder)}/report.html", warnings, shown, record, run)


def _verdict(models: Sequence[Model]) -> str:
    """Say which model separates good from defective parts best, and which outlines defects best."""
    deeds = {"auroc": ("separate", "good from defective parts"), "pixel_segf1": ("outline", "defects")}
    parts: list[str] = []
    last: list[str] = []
    for key, (verb, what) in deeds.items():
        metric = BY_KEY[key]
        cells = _cells([metric.value(model.record.results) for model in models], metric.lower, [None] * len(models))
        best = [model.label for model, cell in zip(models, cells, strict=True) if cell.mark]
        value = next((cell.value for cell in cells if cell.mark), "")
        deed = f"{verb}s {what} best" if len(best) == 1 else f"{verb} {what} equally well"
        if best:
            subject = "" if best == last else " and ".join(best) + " "
            parts.append(f"{subject}{deed} ({metric.label} {value})")
            last = best
    return f"Of {words.plural(len(models), 'model')}, {' and '.join(parts)}." if parts else "The models share no number."


def _parts(models: Sequence[Model]) -> tuple[Table, ...]:
    blocks = {
        "Images, no threshold": [m for m in METRICS if m.at is None and not m.block],
        "Images, at each model's own threshold": [m for m in METRICS if m.at == "image"],
        "Pixels, no threshold": [m for m in METRICS if m.at is None and m.block],
        "Pixels, at each model's own threshold": [m for m in METRICS if m.at == "pixel"],
    }
    parts = []
    for title, metrics in blocks.items():
        lines = [_line(metric, models) for metric in metrics]
        if metrics[0].at:
            lines.insert(0, _thresholds(metrics[0].at, models))
        parts.append(Table(title, tuple(lines)))
    return (*parts, *_extra(models), Table("Oracle, tuned on test labels", _oracle(models)), Table("Time", _times(models)))


def _line(metric: Metric, models: Sequence[Model]) -> Line:
    results = [model.record.results for model in models]
    reasons = [metric.reason(one, model.warnings) for one, model in zip(results, models, strict=True)]
    return Line(metric.label, metric.meaning, _cells([metric.value(one) for one in results], metric.lower, reasons))


def _cells(
    values: Sequence[Number | None],
    lower: bool,
    reasons: Sequence[str | None],
    write: Callable[[Number | None], str] = words.rate,
) -> tuple[Cell, ...]:
    """Mark the best of a row; values that read the same are tied, and a lone value is compared with nothing."""
    known = [value for value in values if value is not None]
    best = write((min if lower else max)(known)) if len(known) > 1 else None
    texts = [write(value) for value in values]
    mark = "best" if texts.count(best or "") == 1 else "tied"
    return tuple(Cell(text, why, mark if text == best else "") for text, why in zip(texts, reasons, strict=True))


def _thresholds(kind: Literal["image", "pixel"], models: Sequence[Model]) -> Line:
    cells = []
    for model in models:
        results = model.record.results
        value = results.threshold if kind == "image" else (results.pixel_metrics or {}).get("pixel_threshold")
        record = getattr(model.run.report.thresholds, kind) if model.run is not None else None
        used = any(metric.value(results) is not None for metric in METRICS if metric.at == kind)
        shared = words.DASH if not used or len(model.record.categories) < 2 else "per category"
        origin = words.origin(record) if record is not None else None
        cells.append(Cell(shared) if value is None else Cell(words.score(value), origin))
    return Line("Threshold", "", tuple(cells))


def _extra(models: Sequence[Model]) -> tuple[Table, ...]:
    """Return the metrics of plugins, of which nobody here knows whether more is better."""
    names = dict.fromkeys(name for model in models for name in model.record.results.extra_metrics)
    lines = []
    for name in names:
        values = [model.record.results.extra_metrics.get(name) for model in models]
        reasons = [reason_for(name, model.warnings) for model in models]
        cells = [
            Cell(words.any_metric(value), reason=why if value is None else None)
            for value, why in zip(values, reasons, strict=True)
        ]
        lines.append(Line(name, "", tuple(cells)))
    return (Table("Further metrics", tuple(lines)),) if lines else ()


def _oracle(models: Sequence[Model]) -> tuple[Line, ...]:
    keys = {"f1": "F1", "pixel_segf1": "SegF1"}
    oracles = [model.record.results.oracle for model in models]
    return tuple(
        Line(label, "at the best threshold", tuple(Cell(words.rate(one.get(key))) for one in oracles))
        for key, label in keys.items()
    )


def _times(models: Sequence[Model]) -> tuple[Line, ...]:
    timings, reasons = [model.record.timing for model in models], [None] * len(models)
    per_image = _cells([one.get("ms_per_image") for one in timings], True, reasons, words.milliseconds)
    totals = [
        Line(label, "", _cells([one.get(key) for one in timings], True, reasons, words.seconds))
        for key, label in words.STAGES.items()
    ]
    return (Line("One image", "", per_image), *totals)


def _per_category(models: Sequence[Model]) -> tuple[Table, ...]:
    """Return image AUROC and SegF1 by category, where there are several."""
    found = [{one.report.category: one.report for one in model.run.categories} if model.run else {} for model in models]
    names = tuple(dict.fromkeys(name for one in found for name in one))
    if len(names) < 2:
        return ()
    tables = []
    for metric in (BY_KEY["auroc"], BY_KEY["pixel_segf1"]):
        lines = []
        for name in names:
            reports = [one.get(name) for one in found]
            values = [metric.value(one.results) if one else None for one in reports]
            reasons = [metric.reason(one.results, all_warnings(one)) if one else "not in this model's run" for one in reports]
            lines.append(Line(name, "", _cells(values, metric.lower, reasons)))
        tables.append(Table(metric.label, tuple(lines)))
    return tuple(tables)
