"""What report.html shows: heat tables, curves and strips, built from the folder of a run alone."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyimgano.errors import OutputError
from pyimgano.evaluation.run_folder import CATEGORIES, REPORT
from pyimgano.reporting.figures import severity_figure
from pyimgano_robustness.remedy import CLEAN, describe
from pyimgano_robustness.run import PREPROCESSED
from pyimgano_robustness.strips import FOLDER, REAL
from pyimgano_robustness.summary import LOWER_IS_BETTER, NAMES, corrupted, loss, metric

HEAT = ("auroc", "f1", "false_alarm_rate", "pixel_auroc", "aupro", "pixel_segf1", "bg_fpr")
GAINS = ("auroc", "f1", "false_alarm_rate", "pixel_segf1", "bg_fpr")
CURVES = ("auroc", "f1", "pixel_segf1", "bg_fpr")
HOTTEST = 0.5


@dataclass(frozen=True)
class Cell:
    """A number as text, and how strongly it is coloured: the share of the way to losing half of the metric's range."""

    text: str
    heat: float = 0.0


@dataclass(frozen=True)
class Heat:
    """A table: what its caption says, the heads of its columns, and a row of cells by name."""

    name: str
    note: str
    columns: list[str]
    rows: Mapping[str, list[Cell]]


@dataclass(frozen=True)
class Section:
    """One model on one category, without or with preprocessing."""

    title: str
    report: Mapping[str, Any]
    severities: list[int]
    heats: list[Heat]
    taken: Heat | None
    latencies: Heat
    comparison: Heat | None
    curves: list[str]
    strips: Mapping[str, str]
    real_strip: str | None


def build(folder: Path) -> list[Section]:
    """Return the sections of a run's page.

    Raises
    ------
    OutputError
        If its report is missing or not as a robustness run writes it.
    """
    try:
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        parts = [part for run in report.get("runs", [report]) for part in _both(run, folder)]
        return [_section(number, *part) for number, part in enumerate(parts)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise OutputError(f"{folder / REPORT} is not a robustness report", "run pyimgano robust-benchmark again") from None


def _both(run: Mapping[str, Any], folder: Path) -> Iterator[tuple[Mapping[str, Any], str, Path]]:
    """Yield a run with its title and folder, and where preprocessing is compared the run with it too."""
    title, place = f"{run['label']} on {run['category']}", folder / CATEGORIES / run["folder"]
    yield run, title, place
    if "with_preprocessing" in run:
        chosen = describe(run["preprocessing_comparison"]["preprocessing"])
        yield run["with_preprocessing"], f"{title}, with {chosen}", place / PREPROCESSED


def _section(number: int, run: Mapping[str, Any], title: str, place: Path) -> Section:
    robustness = run["robustness"]
    found = {(one.name, one.severity): one.record for one in corrupted(robustness)}
    severities = sorted({severity for _, severity in found if severity is not None})
    columns = [f"severity {severity}" for severity in severities]
    latencies = {
        name: [Cell(f"{found[name, severity]['latency_ms_per_image']:.1f}") for severity in severities]
        for name in robustness["corruptions"]
    }
    known = [name for name in HEAT if metric(robustness["clean"], name) is not None]
    strips = _strips(place, [*robustness["corruptions"], REAL])
    return Section(
        title=title,
        report=run,
        severities=severities,
        heats=[_heat(name, robustness, severities) for name in known if severities],
        taken=_taken(robustness, known) if robustness.get("conditions") else None,
        latencies=Heat("ms per image", f"clean {robustness['clean']['latency_ms_per_image']:.1f}", columns, latencies),
        comparison=_comparison(run["preprocessing_comparison"]) if "preprocessing_comparison" in run else None,
        curves=[_curve(name, robustness, f"s{number}-{name}") for name in CURVES if name in known and severities],
        real_strip=strips.pop(REAL, None),
        strips=strips,
    )


def _heat(name: str, robustness: Mapping[str, Any], severities: list[int]) -> Heat:
    clean = metric(robustness["clean"], name)
    assert clean is not None
    rows = {
        corruption: [_cell(name, clean, metric(records[f"severity_{severity}"], name)) for severity in severities]
        for corruption, records in robustness["corruptions"].items()
    }
    note = f"{'lower' if name in LOWER_IS_BETTER else 'higher'} is better; clean {clean:.3f}"
    return Heat(NAMES[name], note, [f"severity {severity}" for severity in severities], rows)


def _taken(robustness: Mapping[str, Any], known: list[str]) -> Heat:
    """Return a row per condition that images were taken under, the reference first."""
    clean = {name: metric(robustness["clean"], name) or 0.0 for name in known}
    reference = f"{robustness['reference_condition']} (reference)"
    records = {reference: robustness["clean"], **robustness["conditions"]}
    rows = {
        value: [
            Cell(str(record["images"])),
            *(_cell(name, clean[name], metric(record, name)) for name in known),
            Cell(f"{record['latency_ms_per_image']:.1f}"),
        ]
        for value, record in records.items()
    }
    note = "the detector learned and was calibrated on the reference only"
    return Heat(robustness["condition_key"], note, ["images", *(NAMES[name] for name in known), "ms per image"], rows)


def _comparison(comparison: Mapping[str, Any]) -> Heat:
    """Return what preprocessing gained, a row per condition; what it lost is coloured."""
    conditions = comparison["conditions"]
    known = [name for name in GAINS if any(values[name]["gain"] is not None for values in conditions.values())]
    names = sorted(conditions, key=lambda name: name != CLEAN)
    rows = {name: [_gain(conditions[name][key]) for key in known] for name in names}
    note = "without it -> with it; means over severities"
    return Heat(describe(comparison["preprocessing"]), note, [NAMES[name] for name in known], rows)


def _gain(pair: Mapping[str, float | None]) -> Cell:
    off, on, gain = pair["off"], pair["on"], pair["gain"]
    if off is None or on is None or gain is None:
        return Cell("-")
    return Cell(f"{off:.3f} -> {on:.3f}", min(1.0, max(0.0, -gain) / HOTTEST))


def _cell(name: str, clean: float, value: float | None) -> Cell:
    if value is None:
        return Cell("-")
    return Cell(f"{value:.3f}", min(1.0, max(0.0, loss(name, clean, value)) / HOTTEST))


def _curve(name: str, robustness: Mapping[str, Any], prefix: str) -> str:
    lines: dict[str, dict[int, float]] = {}
    for place in corrupted(robustness):
        value = metric(place.record, name)
        if value is not None and place.severity is not None:
            lines.setdefault(place.name, {})[place.severity] = value
    ordered = {corruption: dict(sorted(values.items())) for corruption, values in lines.items()}
    return severity_figure(ordered, metric(robustness["clean"], name) or 0.0, NAMES[name], prefix)


def _strips(place: Path, corruptions: list[str]) -> dict[str, str]:
    """Return the strips as data addresses, so that the page is one file."""
    files = {name: place / FOLDER / f"{name}.jpg" for name in corruptions}
    return {
        name: f"data:image/jpeg;base64,{base64.b64encode(file.read_bytes()).decode()}"
        for name, file in files.items()
        if file.exists()
    }
