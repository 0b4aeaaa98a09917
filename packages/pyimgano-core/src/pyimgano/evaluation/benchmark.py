"""A benchmark: every model of a plan on every category, kept as it goes, so that an interrupted run can go on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pyimgano.contracts import Dataset
from pyimgano.datasets.layout import images_root, per_category
from pyimgano.errors import DatasetError, OutputError, PyimganoError
from pyimgano.evaluation.category import Category, run_category
from pyimgano.evaluation.config import ALL, BenchmarkConfig
from pyimgano.evaluation.plan import Part, Plan
from pyimgano.evaluation.reports import comparison_report, head, run_config, run_report
from pyimgano.evaluation.run_folder import RunFolder, safe_name
from pyimgano.evaluation.split import refuse_unlabelled
from pyimgano.reporting.environment import environment
from pyimgano.reporting.strict_json import plain

logger = logging.getLogger(__name__)

Say = Callable[[str], None]


def run_benchmark(
    config: BenchmarkConfig, folder: Path | None = None, *, overwrite: bool = False, say: Say = logger.info
) -> dict[str, Any]:
    """Return the report of a benchmark.

    Parameters
    ----------
    config
        What is compared on what.
    folder
        Where to keep the run. A category that it holds already, from the same config and images, is not done again.
    overwrite
        Replace a run that is there.
    say
        Called with one line whenever a category is done.

    Returns
    -------
    dict
        The report of the model, or with several models ``runs`` with one report each. Categories that failed, and models of
        which all did, stand in ``failed`` with their reason; the others are done all the same.

    Raises
    ------
    PlanError
        Before anything heavy loads, if the components do not fit together.
    PyimganoError
        If everything failed: the first reason.
    """
    plan = Plan.of(config)
    categories = list_categories(plan)
    store = RunFolder(folder) if folder is not None else None
    if len(plan.models) == 1:
        return _run_model(plan, plan.models[0], categories, store, overwrite, say)
    if store is not None:
        store.open(run_config(plan, plan.models), overwrite)
    runs: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    names: list[str] = []
    first: PyimganoError | None = None
    for model in plan.models:
        names.append(folder_name(model, names))
        try:
            report = _run_model(plan, model, categories, store.below(names[-1]) if store else None, overwrite, say)
        except OutputError:
            raise
        except PyimganoError as error:
            first = first or error
            failed[model.label] = str(error)
            continue
        runs.append({"folder": names[-1], "label": model.label, **report})
    if not runs and first is not None:
        raise first
    report = comparison_report(plan, runs, failed)
    if store is not None:
        store.finish(report)
    return plain(report)  # type: ignore[no-any-return]


def list_categories(plan: Plan) -> list[Category]:
    """List the images of every category, so that a fault of the dataset shows before hours of work."""
    config = plan.config
    dataset = plan.build_dataset()
    chosen = config.category or getattr(dataset.options, "category", None)
    names = dataset.categories() if chosen is None else []
    if len(names) > 1:
        raise DatasetError(
            f"{config.root} holds {len(names)} categories, and none was chosen",
            f"pass --category all, or one of: {', '.join(names)}",
        )
    every = per_category(dataset) if config.category == ALL else [(_name(dataset), dataset)]
    found = []
    for name, one in every:
        split = one.load()
        refuse_unlabelled(split.test)
        found.append(Category.of(name or _name(dataset), split, images_root(dataset), config))
    if len({safe_name(category.name) for category in found}) < len(found):
        raise DatasetError("two categories have names that make the same folder", "rename one of them")
    return found


def _name(dataset: Dataset) -> str:
    """Return the category that was chosen, or the only one, or the name of the folder where the layout has none."""
    chosen: str | None = getattr(dataset.options, "category", None)
    root: Path | None = getattr(dataset.options, "root", None)
    if chosen is None and len(names := dataset.categories()) == 1:
        chosen = names[0]
    return chosen or (root.resolve().name if root is not None else "") or "all"


def _run_model(
    plan: Plan, model: Part, categories: list[Category], store: RunFolder | None, overwrite: bool, say: Say
) -> dict[str, Any]:
    if store is not None:
        store.open(run_config(plan, [model]), overwrite)
    done: dict[str, Mapping[str, Any]] = {}
    failed: dict[str, str] = {}
    first: PyimganoError | None = None
    for place, category in enumerate(categories, start=1):
        where = f"[{place}/{len(categories)}] {category.name} {model.label}"
        try:
            old = store.finished(category.name, category.data_sha256) if store is not None else None
            if old is not None:
                done[category.name] = old
                say(f"{where}: done before")
                continue
            run = run_category(category, plan.build_pipeline(model), plan.config, plan.build_metrics())
        except PyimganoError as error:
            first = first or error
            failed[category.name] = str(error)
            say(f"{where}: FAILED: {error.problem}")
            continue
        report = {**head(plan, model), **run.report, "environment": environment()}
        done[category.name] = report
        if store is not None:
            store.write_category(category.name, replace(run, report=plain(report)))
        say(f"{where}: {_brief(report)}")
    if not done and first is not None:
        raise first
    report = run_report(plan, model, done) | {"failed": failed}
    if store is not None:
        store.finish(report)
    return plain(report)  # type: ignore[no-any-return]


def folder_name(model: Part, taken: list[str]) -> str:
    name = safe_name(model.entry.spec.name)
    return name if name not in taken else f"{name}-{sum(other.startswith(name) for other in taken) + 1}"


def _brief(report: Mapping[str, Any]) -> str:
    results = report["results"]
    shown = {"AUROC": results["auroc"], "F1": (results["metrics"] or {}).get("f1")}
    shown |= {"SegF1": (results["pixel_metrics"] or {}).get("pixel_segf1")}
    numbers = " ".join(f"{name} {value:.3f}" for name, value in shown.items() if value is not None)
    return f"{numbers} in {sum(report['timing'][key] for key in ('fit_s', 'calibrate_s', 'score_s')):.1f} s"
