"""What a run writes about itself: its config, the report of a model over its categories, the comparison of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyimgano.evaluation.config import ALL, BenchmarkConfig
from pyimgano.evaluation.merge import merge_results
from pyimgano.evaluation.plan import Part, Plan
from pyimgano.reporting.environment import environment
from pyimgano.reporting.strict_json import plain

SCHEMA_VERSION = 1


def run_config(plan: Plan, models: Sequence[Part]) -> dict[str, Any]:
    """Return what a resumed run must agree with: every component with its version and options, and all settings."""
    config: BenchmarkConfig = plan.config
    settings = config.model_dump(exclude={"dataset", "dataset_options", "models", "postprocess", "metrics"})
    return {
        "schema_version": SCHEMA_VERSION,
        "dataset": plan.dataset.record(),
        "models": [part.record() for part in models],
        "postprocess": [part.record() for part in plan.postprocess],
        "metrics": [part.record() for part in plan.metrics],
        "settings": settings,
    }


def head(plan: Plan, model: Part) -> dict[str, Any]:
    """Return what every report begins with."""
    config = plan.config
    options = plain(model.options)
    return {
        "schema_version": SCHEMA_VERSION,
        "dataset": plan.dataset.entry.full_name,
        "model": model.entry.full_name,
        "version": model.entry.record.version,
        "preset": config.preset,
        "options": options,
        "device": config.device,
        "seed": config.seed,
        "resize": options.get("resize"),
        "preprocessing": plain(config.preprocessing),
        "tiling": plain(config.tiling),
        "postprocess": [{"name": part.entry.full_name, "options": plain(part.options)} for part in plan.postprocess],
    }


def run_report(plan: Plan, model: Part, done: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the report over all categories; that of a single one is its own."""
    if len(done) == 1:
        (report,) = done.values()
        return {**report, "categories": list(done)}
    timings = [report["timing"] for report in done.values()]
    images = sum(report["images"]["test"] for report in done.values())
    timing = {key: round(sum(one[key] for one in timings), 4) for key in ("fit_s", "calibrate_s", "score_s")}
    timing["ms_per_image"] = round(1000 * timing["score_s"] / images, 3)
    warnings = [f"{name}: {sentence}" for name, report in done.items() for sentence in report["warnings"]]
    results, partial = merge_results([report["results"] for report in done.values()])
    kept = ("images", "results", "thresholds", "timing")
    first = next(iter(done.values()))
    return {
        **head(plan, model),
        "options": first["options"],
        "weights": first["weights"],
        "category": ALL,
        "categories": list(done),
        "results": results,
        "per_category": {name: {key: report[key] for key in kept} for name, report in done.items()},
        "thresholds": {"image": None, "pixel": None},
        "timing": timing,
        "environment": environment(),
        "warnings": [*partial, *warnings],
    }


def comparison_report(plan: Plan, runs: Sequence[Mapping[str, Any]], failed: Mapping[str, str]) -> dict[str, Any]:
    """Return the report over several models, from the report of each with its ``folder`` and ``label``."""
    kept = ("folder", "label", "model", "category", "categories", "per_category", "results", "timing", "warnings", "failed")
    return {
        "schema_version": SCHEMA_VERSION,
        "dataset": plan.dataset.entry.full_name,
        "category": plan.config.category,
        "runs": [{key: run[key] for key in kept if key in run} for run in runs],
        "failed": failed,
        "environment": environment(),
    }
