"""What ``pyimgano train`` prints: recipes, the plan, what a training would take, and what it has made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import typer
import yaml

from pyimgano.cli.plans import show_parts
from pyimgano.cli.tables import print_json, show_table
from pyimgano.errors import PyimganoError
from pyimgano.registry import find
from pyimgano.reporting.strict_json import plain
from pyimgano.workbench.config import TrainConfig
from pyimgano.workbench.layers import recorded
from pyimgano.workbench.preparation import plan_training
from pyimgano.workbench.recipes import read_recipe, recipe_names, recipe_summary, recipe_text
from pyimgano.workbench.training import TrainingRun


def show_recipes(as_json: bool) -> None:
    """Print a row per recipe: its detector, whether that is installed, and what it is for."""
    rows = [
        {"name": name, "model": read_recipe(name)["model"]["name"], "summary": recipe_summary(name)} for name in recipe_names()
    ]
    rows = [row | {"ready": _ready(row["model"])} for row in rows]
    if as_json:
        print_json(rows)
        return
    show_table(
        ["RECIPE", "MODEL", "READY", "SUMMARY"], [[row[key] for key in ("name", "model", "ready", "summary")] for row in rows]
    )


def _ready(model: str) -> str:
    try:
        find("detector", model).check_installed()
    except PyimganoError as error:
        return f"no: {error.next_step}"
    return "yes"


def show_recipe(name: str, as_json: bool) -> None:
    """Print a recipe as the config that it is."""
    if as_json:
        print_json({"name": name, "summary": recipe_summary(name), "config": read_recipe(name)})
        return
    typer.echo(recipe_text(name), nl=False)


def show_plan(settings: TrainConfig, as_json: bool) -> None:
    """Print the components of a training and its settings as a config."""
    plan = plan_training(settings)
    if as_json:
        print_json({"parts": [part.record() for part in plan.parts], "settings": recorded(settings)})
        return
    show_parts(plan)
    typer.echo("\n" + yaml.safe_dump(plain(recorded(settings)), sort_keys=False, allow_unicode=True), nl=False)


def show_preflight(settings: TrainConfig, overwrite: bool, as_json: bool) -> None:
    """Print what a training would read and take; exit with 1 if it would fail."""
    from pyimgano.workbench.preflight import inspect

    found = inspect(settings, overwrite)
    if as_json:
        print_json(found.record())
    else:
        show_parts(found.prepared.plan)
        typer.echo("\n" + "\n".join(f"{name:<12}{text}" for name, text in found.lines()))
    if found.problems:
        raise typer.Exit(1)


def summary(run: TrainingRun) -> Iterator[str]:
    """Yield what a training has made, line by line."""
    counts, pipeline, seconds = run.report["images"], run.pipeline, run.seconds
    before = ", before it was interrupted" if run.resumed else ""
    copies = run.config.dataset.augmentation
    changed = f" and {counts['train'] * copies.copies} changed copies" if copies.preset != "none" else ""
    yield f"trained    {pipeline.name} on {counts['train']} good images{changed} in {seconds['fit']:.1f} s{before}"
    yield f"calibrated on {counts['calibration']} held-out good images in {seconds['calibrate']:.1f} s"
    for level, record in (("image", pipeline.score_threshold), ("pixel", pipeline.pixel_threshold)):
        if record is not None:
            interval = "" if record.interval is None else ", 95 % interval {:.6g} to {:.6g}".format(*record.interval)
            yield f"threshold  {level} {record.value:.6g} ({record.method}{interval})"
    if run.evaluation is not None:
        yield f"tested     {_tested(run.evaluation)}"
    output = run.config.output
    for folder in (output.deploy_bundle, output.infer_config, output.run):
        if folder is not None:
            yield f"written    {folder}"
    if output.run is not None and (output.run / "report.html").exists():
        yield f"report     {output.run / 'report.html'}"


def _tested(report: Mapping[str, Any]) -> str:
    """Return the numbers of the test images that matter first."""
    results, images = report["results"], report["images"]
    metrics, pixels = results["metrics"] or {}, results["pixel_metrics"] or {}
    shown = {
        "AUROC": results["auroc"],
        "recall": metrics.get("recall"),
        "false alarms": metrics.get("false_alarm_rate"),
        "pixel AUROC": pixels.get("pixel_auroc"),
    }
    numbers = ", ".join(f"{name} {value:.3f}" for name, value in shown.items() if value is not None)
    return f"on {images['good']} good and {images['defective']} defective images: {numbers}"
