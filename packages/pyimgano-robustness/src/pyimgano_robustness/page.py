"""What report.html shows: heat tables, curves and strips, built from the folder of a run alone."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyimgano.errors import OutputError
from pyimgano.evaluation.run_folder import CATEGORIES, REPORT
from pyimgano.reporting.figures import severity_figure
from pyimgano_robustness.strips import FOLDER
from pyimgano_robustness.summary import LOWER_IS_BETTER, NAMES, loss, metric, places

HEAT = ("auroc", "f1", "false_alarm_rate", "pixel_auroc", "aupro", "pixel_segf1", "bg_fpr")
CURVES = ("auroc", "f1", "pixel_segf1", "bg_fpr")
HOTTEST = 0.5


@dataclass(frozen=True)
class Cell:
    """A number as text, and how strongly it is coloured: the share of the way to losing half of the metric's range."""

    text: str
    heat: float = 0.0


@dataclass(frozen=True)
class Heat:
    """One metric: the clean value, and a row of cells per corruption."""

    name: str
    better: str
    clean: str
    rows: Mapping[str, list[Cell]]


@dataclass(frozen=True)
class Section:
    """One model on one category."""

    title: str
    report: Mapping[str, Any]
    severities: list[int]
    heats: list[Heat]
    latencies: Heat
    curves: list[str]
    strips: Mapping[str, str]


def build(folder: Path) -> list[Section]:
    """Return the sections of a run's page.

    Raises
    ------
    OutputError
        If its report is missing or not as a robustness run writes it.
    """
    try:
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        return [_section(number, run, folder) for number, run in enumerate(report.get("runs", [report]))]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise OutputError(f"{folder / REPORT} is not a robustness report", "run pyimgano robust-benchmark again") from None


def _section(number: int, run: Mapping[str, Any], folder: Path) -> Section:
    robustness = run["robustness"]
    found = {(place.corruption, place.severity): place.record for place in places(robustness["corruptions"])}
    severities = sorted({severity for _, severity in found})
    latencies = {
        name: [Cell(f"{found[name, severity]['latency_ms_per_image']:.1f}") for severity in severities]
        for name in robustness["corruptions"]
    }
    known = [name for name in HEAT if metric(robustness["clean"], name) is not None]
    return Section(
        title=f"{run['label']} on {run['category']}",
        report=run,
        severities=severities,
        heats=[_heat(name, robustness, severities) for name in known],
        latencies=Heat("ms per image", "lower", f"{robustness['clean']['latency_ms_per_image']:.1f}", latencies),
        curves=[_curve(name, robustness, f"s{number}-{name}") for name in CURVES if name in known],
        strips=_strips(folder / CATEGORIES / run["folder"], list(robustness["corruptions"])),
    )


def _heat(name: str, robustness: Mapping[str, Any], severities: list[int]) -> Heat:
    clean = metric(robustness["clean"], name)
    assert clean is not None
    rows = {
        corruption: [_cell(name, clean, metric(records[f"severity_{severity}"], name)) for severity in severities]
        for corruption, records in robustness["corruptions"].items()
    }
    return Heat(NAMES[name], "lower" if name in LOWER_IS_BETTER else "higher", f"{clean:.3f}", rows)


def _cell(name: str, clean: float, value: float | None) -> Cell:
    if value is None:
        return Cell("-")
    return Cell(f"{value:.3f}", min(1.0, max(0.0, loss(name, clean, value)) / HOTTEST))


def _curve(name: str, robustness: Mapping[str, Any], prefix: str) -> str:
    lines: dict[str, dict[int, float]] = {}
    for place in places(robustness["corruptions"]):
        value = metric(place.record, name)
        if value is not None:
            lines.setdefault(place.corruption, {})[place.severity] = value
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
