"""``pyimgano robust-benchmark``: what drift costs at thresholds that were fixed on clean good images."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from pyimgano.calibration import CalibrationSettings
from pyimgano.choice import Choice
from pyimgano.cli import app as pyimgano_app
from pyimgano.cli import flags, tiling_flags
from pyimgano.cli.settings_flags import settings_flags
from pyimgano.cli.tables import show_table
from pyimgano.errors import OptionsError, OutputError, PyimganoError
from pyimgano.options import from_pairs, parse
from pyimgano.postprocess.options import AnomalyMapOptions
from pyimgano.preprocessing import IlluminationOptions
from pyimgano.registry import find
from pyimgano.reporting.files import save_run_report
from pyimgano.reporting.strict_json import document
from pyimgano_robustness.html import write_html_where_possible
from pyimgano_robustness.options import DEFAULT_CORRUPTIONS, DEFAULT_SEVERITIES, RobustnessConfig
from pyimgano_robustness.rows import rows
from pyimgano_robustness.run import run_robustness

SEVERITIES = "--severities"
COLUMNS = {
    "AUROC": "auroc",
    "F1": "f1",
    "FALSE ALARMS": "false_alarm_rate",
    "PIXEL AUROC": "pixel_auroc",
    "AUPRO": "aupro",
    "SEGF1": "pixel_segf1",
    "BG FPR": "bg_fpr",
}


class SeveritiesInAnyForm(TyperCommand):
    """A command whose ``--severities 1 2 3`` is read as ``--severities 1,2,3``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        parsed: list[str] = super().parse_args(ctx, joined(args))
        return parsed


def joined(words: Sequence[str]) -> list[str]:
    """Return a command line in which the numbers after ``--severities`` are one word."""
    line: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        line.append(word)
        if word == SEVERITIES:
            taken: list[str] = []
            while rest and rest[0].replace(",", "").isdecimal():
                taken.append(rest.pop(0))
            line += [",".join(taken)] if taken else []
    return line


app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(
    cls=SeveritiesInAnyForm,
    epilog="Example: pyimgano robust-benchmark --dataset mvtec --root mvtec_ad --category bottle --model vision_filterbank "
    "--corruptions lighting,glare --severities 1 3 5 --save-run runs/drift",
)
@settings_flags(
    settings=RobustnessConfig,
    calibration=CalibrationSettings,
    anomaly_map=AnomalyMapOptions,
    preprocessing=IlluminationOptions,
)
def robust_benchmark(
    settings: dict[str, Any],
    calibration: dict[str, Any],
    anomaly_map: dict[str, Any],
    preprocessing: dict[str, Any],
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[,KEY=VALUE...]", help="Detector, with options of its own; may be given again."),
    ] = None,
    option: flags.Option = None,
    corruptions: Annotated[str, typer.Option(metavar="NAME,NAME...", help="What the test images go through.")] = ",".join(
        DEFAULT_CORRUPTIONS
    ),
    severities: Annotated[str, typer.Option(SEVERITIES, metavar="N N...", help="How strongly, from 1.")] = " ".join(
        map(str, DEFAULT_SEVERITIES)
    ),
    pretrained: Annotated[
        bool, typer.Option("--pretrained/--no-pretrained", help="Whether backbones have pretrained weights.")
    ] = True,
    pixel_calibration_fraction: Annotated[
        float | None, typer.Option(metavar="<float>", help="Another name of --calibration-fraction.")
    ] = None,
    dataset_option: flags.DatasetOption = None,
    postprocess: flags.Postprocess = None,
    save_run: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep reports, tables and pictures here; the same command resumes the run."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report as JSON here, and print a table.")
    ] = None,
    overwrite: flags.Overwrite = False,
) -> None:
    """Test clean images and corrupted ones at the same thresholds; prints the report as JSON, or a table beside --output."""
    if not model:
        raise OptionsError("there is no model to benchmark", "pass --model NAME; 'pyimgano list-models' lists them")
    if output is not None and output.is_dir():
        raise OutputError(f"--output {output} is a folder", "name a file")
    if pixel_calibration_fraction is not None:
        calibration = {"calibration_fraction": pixel_calibration_fraction, **calibration}
    shared = ({} if pretrained else {"pretrained": False}) | from_pairs(option or ())
    values = {
        **settings,
        "tiling": tiling_flags.on_tiles(settings.get("tiling", {})),
        "models": [_model(Choice.read(text), shared) for text in model],
        "corruptions": [Choice(name=name.strip()) for name in corruptions.split(",") if name.strip()],
        "severities": _numbers(severities),
        "dataset_options": from_pairs(dataset_option or ()),
        "postprocess": flags.postprocess_choices(postprocess, anomaly_map),
        "calibration": calibration,
        "preprocessing": preprocessing,
    }
    config = parse(RobustnessConfig, values, "robust-benchmark", "pyimgano robust-benchmark --help")
    try:
        report = run_robustness(config, save_run, overwrite=overwrite, say=lambda line: typer.echo(line, err=True))
    except KeyboardInterrupt:
        if save_run is not None:
            same = "the same command without --overwrite" if overwrite else "the same command"
            typer.echo(f"stopped; what is finished is in {save_run}, and {same} goes on from there", err=True)
        raise
    _show(report, as_table=output is not None or save_run is not None)
    if output is not None:
        save_run_report(output, report)
    page = write_html_where_possible(save_run) if save_run is not None else None
    if page is not None:
        typer.echo(f"report  {page}", err=True)
    if report["failed"]:
        typer.echo(f"{len(report['failed'])} failed: {', '.join(report['failed'])}", err=True)
        raise typer.Exit(1)


def _model(choice: Choice, shared: Mapping[str, Any]) -> Choice:
    """Return a model with the options of all models under its own; one that has no pretrained weights is told of none."""
    options = {**shared, **choice.options}
    if options.get("pretrained") is False and not _knows_pretrained(choice.name):
        options.pop("pretrained")
    return Choice(name=choice.name, options=options)


def _knows_pretrained(name: str) -> bool:
    try:
        return "pretrained" in find("detector", name).options_model().model_fields
    except PyimganoError:  # the plan will say why it cannot be used
        return True


def _numbers(text: str) -> list[int]:
    words = text.replace(",", " ").split()
    if not words or not all(word.isdecimal() for word in words):
        raise OptionsError(f"{SEVERITIES}: {text!r} are no severities", f"write {SEVERITIES} 1 2 3, from 1")
    return [int(word) for word in words]


def _show(report: Mapping[str, Any], *, as_table: bool) -> None:
    if not as_table:
        typer.echo(document(report), nl=False)
        return
    found = report.get("runs", [report])
    lines = [_line(run, row) for run in found for row in rows(run["robustness"])]
    show_table(["MODEL", "CATEGORY", "CONDITION", *COLUMNS, "MS/IMAGE"], lines)
    for run in found:
        typer.echo(f"{run['category']}: {run['robustness_summary']['sentence']}")


def _line(run: Mapping[str, Any], row: Mapping[str, Any]) -> list[str]:
    condition = f"{row['condition']} {row['severity']}" if row["severity"] else row["condition"]
    values = ["-" if row[name] is None else f"{row[name]:.3f}" for name in COLUMNS.values()]
    return [run["label"], run["category"], condition, *values, f"{row['latency_ms_per_image']:.1f}"]


def main() -> None:
    """Entry point of ``pyimgano-robust-benchmark``."""
    pyimgano_app.main(["robust-benchmark", *sys.argv[1:]])
