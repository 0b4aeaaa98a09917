"""A run over models and categories, kept condition by condition, so that an interrupted one goes on where it stopped."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pyimgano.contracts import DatasetSplit, NamedCorruption
from pyimgano.errors import OutputError, PyimganoError
from pyimgano.evaluation.benchmark import folder_name
from pyimgano.evaluation.category import Category, calibration_settings
from pyimgano.evaluation.plan import Part, Plan
from pyimgano.evaluation.reports import SCHEMA_VERSION, head, run_config
from pyimgano.evaluation.run_folder import CATEGORIES, REPORT, RunFolder, safe_name
from pyimgano.logs import collected_warnings
from pyimgano.pipeline import Pipeline
from pyimgano.preprocessing import IlluminationOptions
from pyimgano.reporting.environment import environment
from pyimgano.reporting.files import save_run_report, write_whole
from pyimgano.reporting.strict_json import plain
from pyimgano_robustness.benchmark import both_ways, build_corruptions, evaluate_conditions, with_comparison
from pyimgano_robustness.categories import DriftingCategory, list_drifting
from pyimgano_robustness.conditions import Condition, Conditions
from pyimgano_robustness.evaluate import Protocol, evaluate_condition
from pyimgano_robustness.options import RobustnessConfig
from pyimgano_robustness.remedy import describe
from pyimgano_robustness.rows import as_csv
from pyimgano_robustness.strips import write_strips
from pyimgano_robustness.summary import NAMES, TOLD, metric

logger = logging.getLogger(f"pyimgano.{__name__}")

Say = Callable[[str], None]
CONDITIONS, TABLE, PREPROCESSED = "conditions", "conditions.csv", "with_preprocessing"


@dataclass(frozen=True)
class Run:
    """What all models of a run share."""

    config: RobustnessConfig
    plan: Plan
    corruptions: Sequence[NamedCorruption]
    say: Say

    @classmethod
    def of(cls, config: RobustnessConfig, say: Say = logger.info) -> Run:
        """Return the run for a config; every reason why it cannot run is in the error, before anything heavy loads.

        Raises
        ------
        PlanError
            With every reason.
        """
        found: list[PyimganoError] = []
        corruptions: list[NamedCorruption] = []
        try:
            corruptions = build_corruptions(config.chosen_corruptions)
            Conditions.of(corruptions, config.severities, config.seed, None)
        except PyimganoError as error:
            found.append(error)
        return cls(config, Plan.of(config, found), corruptions, say)

    def settings(self, models: Sequence[Part]) -> dict[str, Any]:
        """Return what a resumed run must agree with."""
        described = run_config(self.plan, models)
        described["corruptions"] = self.corruption_records()
        for name in ("jobs", "corruptions"):
            described["settings"].pop(name)
        return plain(described)  # type: ignore[no-any-return]

    def corruption_records(self) -> list[dict[str, Any]]:
        """Return the corruptions as plain data, as `Part.record` does."""
        return [
            {"kind": "corruption", "name": one.name, "version": one.version, "options": one.options} for one in self.corruptions
        ]

    def with_preprocessing(self, preprocessing: IlluminationOptions) -> Run:
        """Return the same run with other preprocessing."""
        config = self.config.model_copy(update={"preprocessing": preprocessing})
        return replace(self, config=config, plan=replace(self.plan, config=config))


def run_robustness(
    config: RobustnessConfig, folder: Path | None = None, *, overwrite: bool = False, say: Say = logger.info
) -> dict[str, Any]:
    """Return the report of every model on every category.

    Parameters
    ----------
    config
        What is compared on what, and under which corruptions.
    folder
        Where to keep the run. A condition that it holds already, from the same config and images, is not evaluated again.
    overwrite
        Replace a run that is there.
    say
        Called with one line whenever a condition is done.

    Returns
    -------
    dict
        The report of the model, as `run_robustness_benchmark` gives it with what was run on what. With several models or
        categories ``runs`` with one report each; those that failed stand in ``failed`` with their reason.

    Raises
    ------
    PlanError
        Before anything heavy loads, if the components do not fit together.
    PyimganoError
        If everything failed: the first reason.
    """
    run = Run.of(config, say)
    categories = list_drifting(run.config, run.plan)
    store = RunFolder(folder) if folder is not None else None
    if store is not None:
        store.open(run.settings(run.plan.models), overwrite)
    reports: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    errors: list[PyimganoError] = []
    names: list[str] = []
    for model in run.plan.models:
        names.append(folder_name(model, names))
        for category in categories:
            place = _place(store, names[-1] if len(run.plan.models) > 1 else None, category)
            where = {"label": model.label, "folder": place.name if place is not None else None}
            try:
                reports.append({**where, **_report(run, model, category, place)})
            except OutputError:
                raise
            except PyimganoError as error:
                errors.append(error)
                failed[f"{model.label} on {category.name}"] = str(error)
                say(f"{category.name} {model.label}: FAILED: {error.problem}")
    if not reports:
        raise errors[0]
    report = plain(_whole(run, reports, failed))
    if store is not None:
        store.finish(report)
    return report  # type: ignore[no-any-return]


def _whole(run: Run, reports: Sequence[dict[str, Any]], failed: Mapping[str, str]) -> dict[str, Any]:
    if len(reports) == 1 and not failed:
        return {**reports[0], "failed": failed}
    dataset = run.plan.dataset.entry.full_name
    return {"schema_version": SCHEMA_VERSION, "dataset": dataset, "runs": reports, "failed": failed}


def _place(store: RunFolder | None, model: str | None, category: Category) -> Path | None:
    if store is None:
        return None
    return store.folder / CATEGORIES / safe_name(f"{model}-{category.name}" if model else category.name)


def _report(run: Run, model: Part, category: DriftingCategory, place: Path | None) -> dict[str, Any]:
    """Return the report of one model on one category; where preprocessing is compared, without it and with it."""
    if not run.config.compare_preprocessing:
        return _category(run, model, category, place)
    off, on = both_ways(run.config.preprocessing)
    without = _category(run.with_preprocessing(off), model, category, place)
    run.say(f"{category.name} {model.label}: now with {describe(on.model_dump(exclude_defaults=True))}")
    below = place / PREPROCESSED if place is not None else None
    return with_comparison(without, _category(run.with_preprocessing(on), model, category, below), on)


def _category(run: Run, model: Part, category: DriftingCategory, place: Path | None) -> dict[str, Any]:
    """Return the report of one model on one category, from its folder where it is done."""
    old = _read(place / REPORT) if place is not None else None
    if old is not None and old.get("data_sha256") == category.data_sha256:
        run.say(f"{category.name} {model.label}: done before")
        return old
    pipeline = run.plan.build_pipeline(model)
    with collected_warnings() as warnings:
        split, seconds = pipeline.learn(category.split, calibration_settings(run.config), run.config.seed)
    conditions = Conditions.of(run.corruptions, run.config.severities, run.config.seed, category.root, category.drift)
    evaluate = partial(_condition, run, model, category, place, pipeline, split)
    part = evaluate_conditions(pipeline, conditions, evaluate)
    limits = [
        f"limited to {len(getattr(category.split, role))} {role} images: not comparable with full runs" for role in category.cut
    ]
    report = {
        **head(run.plan, model),
        "category": category.name,
        "data_sha256": category.data_sha256,
        "images": {role: len(getattr(split, role)) for role in ("train", "calibration", "test")},
        "options": pipeline.options,
        "weights": pipeline.weights,
        **part,
        "timing": {f"{stage}_s": round(value, 4) for stage, value in seconds.items()},
        "environment": environment(),
        "warnings": list(dict.fromkeys([*warnings, *limits, *part["warnings"]])),
    }
    if place is not None:
        write_strips(place, split.test, conditions, pipeline)
        write_whole(place / TABLE, as_csv(report["robustness"]).encode())
        save_run_report(place / REPORT, report)
    return plain(report)  # type: ignore[no-any-return]


def _condition(
    run: Run,
    model: Part,
    category: Category,
    place: Path | None,
    pipeline: Pipeline,
    split: DatasetSplit,
    condition: Condition,
) -> Mapping[str, Any]:
    """Return the record of a condition, from its file where that holds the same thresholds on the same images."""
    thresholds = plain([pipeline.score_threshold, pipeline.pixel_threshold])
    identity = {"condition": condition.name, "data_sha256": category.data_sha256, "thresholds": thresholds}
    file = place / CONDITIONS / f"{safe_name(condition.name)}.json" if place is not None else None
    old = _read(file) if file is not None else None
    if old is not None and identity.items() <= old.items():
        record: Mapping[str, Any] = old["record"]
        run.say(f"{category.name} {model.label} {condition.name}: done before")
        return record
    config = run.config
    protocol = Protocol(config.pixel, config.aupro_limit, run.plan.build_metrics(), config.jobs)
    record = evaluate_condition(pipeline, split.test, condition, protocol)
    if file is not None:
        save_run_report(file, {**identity, "record": record})
    run.say(f"{category.name} {model.label} {condition.name}: {_brief(record)}")
    return record


def _brief(record: Mapping[str, Any]) -> str:
    found = {NAMES[name]: value for name in (*TOLD[::-1], "false_alarm_rate") if (value := metric(record, name)) is not None}
    return ", ".join(f"{name} {value:.3f}" for name, value in found.items())


def _read(file: Path) -> dict[str, Any] | None:
    """Return the object in a JSON file, or None if there is none."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
