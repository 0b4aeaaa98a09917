"""Folders of finished benchmarks, written as the benchmark writes them, from scores and maps of a seeded generator."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pyimgano.evaluation import evaluate_detector
from pyimgano.reporting.strict_json import document, line

Report = dict[str, Any]
Draw = Callable[[Path, str, Report], None]
SEVERITIES = {"pitting": 3.0, "scratch": 1.2}
PIXEL_THRESHOLD = 0.55
PANELS = ("image", "map", "mask")


@dataclass
class Scored:
    """Test images: their kind, map, mask, score, and what held-out good images scored."""

    kinds: list[str]
    maps: list[np.ndarray]
    masks: list[np.ndarray]
    held_out: np.ndarray

    @classmethod
    def of(cls, seed: int, good: int, defects: dict[str, float]) -> Scored:
        rng = np.random.default_rng(seed)
        kinds = ["good"] * good + [kind for kind in defects for _ in range(15)]
        masks = [np.zeros((16, 16), bool) for _ in kinds]
        maps = [rng.gamma(4, 0.05, (16, 16)) for _ in kinds]
        for place, kind in enumerate(kinds):
            if kind != "good":
                top, left = rng.integers(0, 11, 2)
                masks[place][top : top + 5, left : left + 5] = True
                maps[place][masks[place]] += abs(rng.normal(defects[kind], 0.8)) / 4
        return cls(kinds, maps, masks, np.sort([rng.gamma(4, 0.05, (16, 16)).max() for _ in range(30)]))

    @property
    def scores(self) -> np.ndarray:
        return np.array([one.max() for one in self.maps])

    @property
    def truth(self) -> np.ndarray:
        return np.array([kind != "good" for kind in self.kinds], dtype=int)


def draw(path: Path, panel: str, record: Report) -> None:
    """Write a plain picture."""
    cv2.imwrite(str(path), np.full((24, 36, 3), {"image": 120, "map": 200, "mask": 255}[panel], np.uint8))


def write_category(
    run: Path,
    name: str = "gear",
    *,
    seed: int = 0,
    good: int = 50,
    defects: dict[str, float] = SEVERITIES,
    masks: bool = True,
    threshold: bool = True,
    picture: Draw = draw,
    named: Callable[[str, int], str] = lambda kind, place: f"test/{kind}/{place:03d}.jpg",
    **changes: Any,
) -> Report:
    """Write one category and return its report; `defects` are how far their pixels stand out, 15 images each."""
    folder = run / "categories" / re.sub(r"\W", "_", name)
    (folder / "worst").mkdir(parents=True)
    scored = Scored.of(seed, good, defects)
    image, pixel = _image_threshold(scored.held_out), _pixel_threshold()
    pixels = {
        "pixel_labels": scored.masks,
        "pixel_scores": scored.maps,
        "pixel_threshold": PIXEL_THRESHOLD if threshold else None,
    }
    at = image["value"] if threshold else None
    results = evaluate_detector(scored.truth, scored.scores, threshold=at, **pixels if masks else {})
    results["extra_metrics"] = {"spro,limit=0.05": 0.4321}
    records = _records(scored, at, named)
    (folder / "per_image.jsonl").write_text("".join(line(one) + "\n" for one in records), encoding="utf-8")
    fpr = np.linspace(0, 1, 50) ** 2
    report = _head(name) | {
        "images": {"train": 120, "calibration": 30, "test": len(records), "good": good, "defective": len(records) - good},
        "results": results,
        "thresholds": {"image": image if threshold else None, "pixel": pixel if threshold and masks else None},
        "defect_types": [_defect_type(scored, kind, at, masks) for kind in sorted(defects)],
        "curves": {"pro": {"fpr": fpr.tolist(), "pro": (fpr**0.15).tolist()} if masks else None},
        "worst": _worst(folder, records, masks, picture),
        "warnings": [*([] if masks else ["no pixel metrics, because 30 defective images have no mask"]), *results["warnings"]],
    }
    report |= changes
    rewrite(run, report)
    return report


def rewrite(run: Path, report: Report) -> None:
    """Write a category's report again."""
    folder = run / "categories" / re.sub(r"\W", "_", report["category"])
    (folder / "report.json").write_text(document(report), encoding="utf-8")


def write_run(run: Path, *reports: Report, **changes: Any) -> Path:
    """Write the report over categories: that of one is its own, of several the mean of rates and the sum of counts."""
    whole = {**reports[0], "categories": [one["category"] for one in reports]}
    if len(reports) > 1:
        for key in ("images", "weights", "defect_types", "curves", "worst"):
            del whole[key]
        whole |= {"category": "all", "results": _merged([one["results"] for one in reports]), "thresholds": {}}
        whole["warnings"] = [f"{one['category']}: {text}" for one in reports for text in one["warnings"]]
    (run / "report.json").write_text(document(whole | {"failed": {}} | changes), encoding="utf-8")
    return run


def write_comparison(root: Path, *runs: Report) -> Path:
    """Write the report over several models, whose own reports have got a folder and a label."""
    keys = ("folder", "label", "model", "category", "categories", "results", "timing", "warnings", "failed")
    rows = [{key: run[key] for key in keys} for run in runs]
    report = {"schema_version": 1, "dataset": "pyimgano-core:folder", "runs": rows, "environment": {"python": "3.11.2"}}
    (root / "report.json").write_text(document(report), encoding="utf-8")
    return root


def _head(category: str) -> Report:
    return {
        "schema_version": 1,
        "dataset": "pyimgano-core:folder",
        "category": category,
        "model": "acme-models:vision_example",
        "version": "0.7.0",
        "preset": "industrial-fast",
        "options": {"backbone": "resnet18", "layers": ["layer2", "layer3"], "k": 9},
        "weights": {"source": "file", "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
        "device": "cpu",
        "seed": 0,
        "resize": [256, 256],
        "postprocess": [{"name": "pyimgano-core:gaussian", "options": {"sigma": 2.0}}],
        "timing": {"fit_s": 12.3, "calibrate_s": 3.21, "score_s": 8.8, "ms_per_image": 110.1},
        "environment": {
            "python": "3.11.2",
            "libraries": {"numpy": "2.1.0"},
            "plugins": {"acme": {"version": "1", "status": "ok"}},
        },
    }


def _image_threshold(held_out: np.ndarray) -> Report:
    return {
        "value": float(held_out[28]),
        "method": "split_conformal",
        "source": "calibration",
        "split": "calibration",
        "quantile": 29 / 30,
        "false_alarm_rate": 0.05,
        "calibration_count": 30,
        "interval": [float(held_out[24]), float(held_out[29])],
        "chain": "5f0c1d2e3a4b5c6d",
        "warning": None,
    }


def _pixel_threshold() -> Report:
    return {
        "value": PIXEL_THRESHOLD,
        "method": "normal_pixel_quantile",
        "source": "calibration",
        "split": "calibration",
        "q": 0.999,
        "factor": None,
        "calibration_map_count": 30,
        "calibration_pixel_count": 1966080,
        "interval": [0.53, 0.58],
        "chain": "5f0c1d2e3a4b5c6d",
        "warning": None,
    }


def _records(scored: Scored, threshold: float | None, named: Callable[[str, int], str]) -> list[Report]:
    records = []
    for place, (kind, score, truth) in enumerate(zip(scored.kinds, scored.scores, scored.truth, strict=True)):
        record = {"index": place, "input": named(kind, place), "score": score, "truth": truth, "defect_type": kind}
        records.append(record | ({} if threshold is None else {"label": int(score > threshold), "threshold": threshold}))
    return records


def _defect_type(scored: Scored, kind: str, threshold: float | None, masks: bool) -> Report:
    scores = scored.scores[[one == kind for one in scored.kinds]]
    row: Report = {"type": kind, "images": len(scores), "auroc": 0.9, "mean_score": scores.mean()}
    if threshold is not None:
        row["recall"] = (scores > threshold).mean()
        row |= {"region_recall": 0.8, "pixel_segf1": 0.5} if masks else {}
    return row


def _worst(folder: Path, records: Sequence[Report], masks: bool, picture: Draw) -> dict[str, list[Report]]:
    order = sorted(records, key=lambda record: float(record["score"]))
    chosen = {
        "misses": [record for record in order if record["truth"]][:5],
        "false_alarms": [record for record in order[::-1] if not record["truth"]][:5],
    }
    return {
        kind: [_strip(folder, f"{kind}_{rank}", record, masks, picture) for rank, record in enumerate(rows)]
        for kind, rows in chosen.items()
    }


def _strip(folder: Path, name: str, record: Report, masks: bool, picture: Draw) -> Report:
    shown = PANELS if masks and record["truth"] else PANELS[:2]
    panels = {panel: f"worst/{name}_{panel}.jpg" if panel in shown else None for panel in PANELS}
    for panel in shown:
        picture(folder / str(panels[panel]), panel, record)
    kept = {key: record[key] for key in ("input", "score", "truth", "defect_type")}
    return {**kept, "called": record.get("label"), "panels": panels}


def _merged(values: Sequence[Any], name: str = "") -> Any:
    there = [value for value in values if value is not None]
    if name == "warnings":
        return []
    if there and isinstance(there[0], dict):
        return {key: _merged([one.get(key) for one in there], key) for key in there[0]}
    if not there or "threshold" in name:
        return None
    return sum(there) if name in {"tp", "tn", "fp", "fn"} else sum(there) / len(there)
