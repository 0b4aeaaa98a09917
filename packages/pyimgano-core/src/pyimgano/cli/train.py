"""``pyimgano train``: learn from good images, calibrate thresholds, write a bundle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from pyimgano.calibration import CalibrationSettings
from pyimgano.cli import flags
from pyimgano.cli.settings_flags import settings_flags
from pyimgano.contracts import Dataset, Runtime
from pyimgano.defects.config import DefectsConfig
from pyimgano.discovery import Selection
from pyimgano.errors import OptionsError, OutputError
from pyimgano.options import from_pairs, parse
from pyimgano.pipeline import Pipeline
from pyimgano.postprocess.options import AnomalyMapOptions
from pyimgano.preprocessing import IlluminationOptions
from pyimgano.registry import build_component, find
from pyimgano.tiling import TilingOptions
from pyimgano.workbench.bundle import check_writable, write_bundle, write_folder
from pyimgano.workbench.training import TrainingRun
from pyimgano.workbench.training import train as run_training

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(
    epilog="Example: pyimgano train --dataset folder --root parts --model vision_filterbank --export-deploy-bundle parts.bundle"
)
@settings_flags(
    calibration=CalibrationSettings,
    anomaly_map=AnomalyMapOptions,
    preprocessing=IlluminationOptions,
    tiling=TilingOptions,
    defects=DefectsConfig,
)
def train(
    calibration: dict[str, Any],
    anomaly_map: dict[str, Any],
    preprocessing: dict[str, Any],
    tiling: dict[str, Any],
    defects: dict[str, Any],
    model: Annotated[str, typer.Option(help="Detector to train; 'pyimgano list-models' lists them.")],
    dataset: Annotated[str, typer.Option(help="Layout of the images; 'pyimgano datasets list' lists them.")] = "folder",
    root: Annotated[Path | None, typer.Option(help="Folder of the dataset; for 'folder' it holds train/good.")] = None,
    option: flags.Option = None,
    dataset_option: flags.DatasetOption = None,
    resize: Annotated[
        tuple[int, int] | None, typer.Option(metavar="H W", help="Height and width the model sees; short for -o resize=[H,W].")
    ] = None,
    postprocess: flags.Postprocess = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split and of the model.")] = 0,
    device: flags.Device = "auto",
    batch_size: flags.BatchSize = 16,
    amp: flags.Amp = False,
    threads: flags.Threads = 0,
    export_deploy_bundle: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a sealed, relocatable bundle for 'pyimgano infer --bundle'.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the run unsealed: an infer_config.json to edit, and its state.")
    ] = None,
    overwrite: flags.Overwrite = False,
) -> None:
    """Learn from images of good parts, calibrate both thresholds on held-out ones, and write what infer needs."""
    targets = [folder for folder in (export_deploy_bundle, output) if folder is not None]
    if not targets:
        raise OutputError("there is nothing to write to", "pass --export-deploy-bundle DIR, or --output DIR for a loose config")
    if len({folder.resolve() for folder in targets}) < len(targets):
        raise OutputError(f"{targets[0]} is named twice", "give --export-deploy-bundle and --output two different folders")
    settings = parse(CalibrationSettings, calibration, "calibration", "pyimgano train --help")
    values = from_pairs(dataset_option or ())
    if root is not None:
        values["root"] = str(root)
    runtime = Runtime(device, batch_size, amp, threads, seed)
    layout = find("dataset", dataset)
    place = layout.options_model().model_fields.get("root")
    if place is not None and place.is_required() and "root" not in values:
        raise OptionsError(f"dataset {dataset} needs the folder of its images", "pass --root DIR")
    data = build_component(layout, values)
    steps = flags.postprocess_choices(postprocess, anomaly_map)
    pipeline = Pipeline.create(
        model,
        flags.model_options(option, resize),
        runtime,
        steps,
        preprocessing=parse(IlluminationOptions, preprocessing, "preprocessing", "pyimgano train --help"),
        tiling=parse(TilingOptions, _on_tiles(tiling), "tiling", "pyimgano train --help"),
        defects=parse(DefectsConfig, defects, "defects", "pyimgano train --help"),
    )
    for folder in targets:
        check_writable(folder, overwrite)
    run = run_training(data, pipeline, settings, seed, dataset, _category(data, root))
    files = run.files()
    if output is not None:
        write_folder(output, files, overwrite)
    if export_deploy_bundle is not None:
        write_bundle(export_deploy_bundle, files, overwrite)
    typer.echo(_summary(run, targets))


def _on_tiles(tiling: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of tiling, which by default learn from tiles too: a part looks different at another scale."""
    return {"fit_on": "tiles", **tiling} if "tile_size" in tiling else tiling


def _category(data: Dataset, root: Path | None) -> str | None:
    """Return the category that was chosen, or the name of the folder where the layout has none."""
    chosen: str | None = getattr(data.options, "category", None)
    return chosen or (root.resolve().name if root is not None else None)


def _summary(run: TrainingRun, targets: list[Path]) -> str:
    counts, pipeline = run.report["images"], run.pipeline
    lines = [
        f"trained    {pipeline.name} on {counts['train']} good images in {run.seconds['fit']:.1f} s",
        f"calibrated on {counts['calibration']} held-out good images in {run.seconds['calibrate']:.1f} s",
    ]
    for level, record in (("image", pipeline.score_threshold), ("pixel", pipeline.pixel_threshold)):
        if record is not None:
            interval = "" if record.interval is None else ", 95 % interval {:.6g} to {:.6g}".format(*record.interval)
            lines.append(f"threshold  {level} {record.value:.6g} ({record.method}{interval})")
    lines += [f"written    {folder}" for folder in targets]
    flag = "--bundle" if (targets[0] / "manifest.json").exists() else "--infer-config"
    place = targets[0] if flag == "--bundle" else targets[0] / "infer_config.json"
    plugins = "".join(f" --plugin {file}" for file in Selection.from_environ(os.environ).files)
    return "\n".join([*lines, f"next       pyimgano{plugins} infer {flag} {place} --input IMAGES"])
