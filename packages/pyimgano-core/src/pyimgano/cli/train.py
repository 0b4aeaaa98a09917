"""``pyimgano train``: learn from good images, calibrate thresholds, write a run, a loose config or a bundle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from pyimgano.augmentation.options import AugmentationOptions
from pyimgano.calibration import CalibrationSettings
from pyimgano.choice import Choice
from pyimgano.cli import flags, train_views
from pyimgano.cli.settings_flags import settings_flags
from pyimgano.discovery import Selection
from pyimgano.errors import OutputError
from pyimgano.evaluation.config import read_config
from pyimgano.inference.prediction import PredictionOptions
from pyimgano.options import from_pairs
from pyimgano.postprocess.options import AnomalyMapOptions
from pyimgano.preprocessing import IlluminationOptions
from pyimgano.tiling import TilingOptions
from pyimgano.workbench.config import DatasetConfig, DefectsSettings, ModelConfig, OutputConfig, TrainConfig
from pyimgano.workbench.layers import resolve
from pyimgano.workbench.seal import CONFIG
from pyimgano.workbench.signing import SigningKey
from pyimgano.workbench.training import TrainingRun, run_training
from pyimgano.workbench.training_folder import FIT

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(
    epilog="Example: pyimgano train --recipe industrial-adapt --root parts --output runs/1 --export-deploy-bundle parts.bundle"
)
@settings_flags(
    dataset=DatasetConfig,
    augmentation=AugmentationOptions,
    model=ModelConfig,
    calibration=CalibrationSettings,
    anomaly_map=AnomalyMapOptions,
    preprocessing=IlluminationOptions,
    tiling=TilingOptions,
    defects=DefectsSettings,
    prediction=PredictionOptions,
    output=OutputConfig,
)
def train(
    dataset: dict[str, Any],
    augmentation: dict[str, Any],
    model: dict[str, Any],
    calibration: dict[str, Any],
    anomaly_map: dict[str, Any],
    preprocessing: dict[str, Any],
    tiling: dict[str, Any],
    defects: dict[str, Any],
    prediction: dict[str, Any],
    output: dict[str, Any],
    config: flags.Config = None,
    recipe: Annotated[
        str | None, typer.Option(metavar="NAME", help="Settings to build on; the config and the flags win over them.")
    ] = None,
    option: flags.Option = None,
    dataset_option: flags.DatasetOption = None,
    resize: Annotated[
        tuple[int, int] | None, typer.Option(metavar="H W", help="Height and width the model sees; short for -o resize=[H,W].")
    ] = None,
    postprocess: flags.Postprocess = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the split, of the model and of augmentation.  [default: 0]")
    ] = None,
    sign_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Sign the bundle with this private Ed25519 key.")
    ] = None,
    overwrite: flags.Overwrite = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print components and settings, and stop.")] = False,
    preflight: Annotated[
        bool,
        typer.Option("--preflight", help="Look at images and weights, learn from a few, say what it would take, and stop."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON where something is printed to stop.")] = False,
    list_recipes: Annotated[bool, typer.Option("--list-recipes", help="List the recipes, and stop.")] = False,
    recipe_info: Annotated[
        str | None, typer.Option(metavar="NAME", help="Print a recipe, a config to copy and change, and stop.")
    ] = None,
) -> None:
    """Learn from images of good parts, calibrate both thresholds on held-out ones, and write what infer needs."""
    if list_recipes:
        train_views.show_recipes(as_json)
        return
    if recipe_info is not None:
        train_views.show_recipe(recipe_info, as_json)
        return
    line = {
        "seed": seed,
        "dataset": dataset | _given(options=from_pairs(dataset_option or ()), augmentation=augmentation),
        "model": model | _given(options=flags.model_options(option, resize)),
        "preprocessing": preprocessing,
        "adaptation": _given(tiling=tiling, postprocess=postprocess),
        "calibration": calibration,
        "defects": defects,
        "prediction": prediction,
        "output": output,
    }
    settings = resolve(read_config(config) if config is not None else {}, _given(**line), recipe)
    settings = _with_anomaly_map(settings, anomaly_map)
    if dry_run:
        train_views.show_plan(settings, as_json)
    elif preflight:
        train_views.show_preflight(settings, overwrite, as_json)
    else:
        _train(settings, overwrite, sign_key)


def _given(**values: Any) -> dict[str, Any]:
    """Return what the line says anything about."""
    return {name: value for name, value in values.items() if value is not None and value != {}}


def _with_anomaly_map(settings: TrainConfig, anomaly_map: dict[str, Any]) -> TrainConfig:
    """Return the settings with what flags set of the postprocessor ``anomaly_map``, added where it is not there."""
    steps: tuple[Choice, ...] = flags.postprocess_choices(settings.adaptation.postprocess, anomaly_map)
    return settings.model_copy(update={"adaptation": settings.adaptation.model_copy(update={"postprocess": steps})})


def _train(settings: TrainConfig, overwrite: bool, sign_key: Path | None) -> None:
    output = settings.output
    if output.run is None and output.infer_config is None and output.deploy_bundle is None:
        raise OutputError(
            "there is nothing to write to",
            "pass --output DIR for a run with reports, --export-deploy-bundle DIR, or --export-infer-config DIR",
        )
    if sign_key is not None and output.deploy_bundle is None:
        raise OutputError("--sign-key signs a bundle, and none is written", "pass --export-deploy-bundle DIR too")
    key = SigningKey(sign_key) if sign_key is not None else None
    try:
        run = run_training(settings, overwrite=overwrite, sign_key=key)
    except KeyboardInterrupt:
        typer.echo(_interrupted(output.run, overwrite), err=True)
        raise
    typer.echo("\n".join([*train_views.summary(run), _next(run)]))


def _interrupted(folder: Path | None, overwrite: bool) -> str:
    if folder is None:
        return "stopped; nothing is written (with --output DIR, what was learned is kept as soon as it is)"
    same = "the same command without --overwrite" if overwrite else "the same command"
    if (folder / FIT).exists() and not (folder / CONFIG).exists():
        return f"stopped; what was learned is in {folder}, and {same} goes on from there"
    return f"stopped while learning; {same} starts again"


def _next(run: TrainingRun) -> str:
    output = run.config.output
    loose = output.infer_config or output.run
    flag, place = ("--bundle", output.deploy_bundle) if output.deploy_bundle else ("--infer-config", loose)
    if flag == "--infer-config" and place is not None:
        place = place / "infer_config.json"
    plugins = "".join(f" --plugin {file}" for file in Selection.from_environ(os.environ).files)
    return f"next       pyimgano{plugins} infer {flag} {place} --input IMAGES"
