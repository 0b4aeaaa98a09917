"""``pyimgano robust-benchmark``: what drift costs at thresholds that were fixed on clean good images."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from pyimgano.calibration import CalibrationSettings
from pyimgano.cli import app as pyimgano_app
from pyimgano.cli import comparisons, flags
from pyimgano.cli.plans import show_parts
from pyimgano.cli.settings_flags import settings_flags
from pyimgano.cli.tables import show_table
from pyimgano.errors import OptionsError, OutputError, PyimganoError
from pyimgano.options import from_pairs
from pyimgano.postprocess.options import AnomalyMapOptions
from pyimgano.preprocessing import IlluminationOptions
from pyimgano.registry import find
from pyimgano.reporting.files import save_run_report
from pyimgano.reporting.strict_json import document
from pyimgano_robustness.html import write_html_where_possible
from pyimgano_robustness.options import DEFAULT_CORRUPTIONS, DEFAULT_SEVERITIES, RobustnessConfig
from pyimgano_robustness.rows import rows
from pyimgano_robustness.run import Run, run_robustness

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
    model: flags.Models = None,
    option: flags.Option = None,
    model_kwargs: flags.ModelKwargs = None,
    corruptions: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME...",
            help=f"What the test images go through.  [default: {','.join(DEFAULT_CORRUPTIONS)}; with --condition-key none]",
        ),
    ] = None,
    severities: Annotated[
        str | None,
        typer.Option(
            SEVERITIES, metavar="N N...", help=f"How strongly, from 1.  [default: {' '.join(map(str, DEFAULT_SEVERITIES))}]"
        ),
    ] = None,
    pretrained: Annotated[
        bool, typer.Option("--pretrained/--no-pretrained", help="Whether backbones have pretrained weights.")
    ] = True,
    pixel_calibration_fraction: Annotated[
        float | None, typer.Option(metavar="<float>", help="Another name of --calibration-fraction.")
    ] = None,
    dataset_option: flags.DatasetOption = None,
    postprocess: flags.Postprocess = None,
    config: flags.Config = None,
    save_run: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep reports, tables and pictures here; the same command resumes the run."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report as JSON here, and print a table.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, also beside --save-run and --output.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Print what would run, and stop.")] = False,
    overwrite: flags.Overwrite = False,
) -> None:
    """Test clean images and drifted ones at the same thresholds; prints the report as JSON, or a table beside --output."""
    if output is not None and output.is_dir():
        raise OutputError(f"--output {output} is a folder", "name a file")
    if pixel_calibration_fraction is not None:
        calibration = {"calibration_fraction": pixel_calibration_fraction, **calibration}
    blocks = {"calibration": calibration, "preprocessing": preprocessing, "dataset_options": from_pairs(dataset_option or ())}
    lists: dict[str, Sequence[Any] | None] = {"models": model, "postprocess": postprocess}
    lists["severities"] = _numbers(severities) if severities is not None else None
    if corruptions is not None:
        settings["corruptions"] = [name.strip() for name in corruptions.split(",") if name.strip()]
    settled = comparisons.settle(RobustnessConfig, "robust-benchmark", config, settings, blocks, lists)
    shared = comparisons.shared_options(model_kwargs, option)
    settled = comparisons.with_shared_options(
        settled, lambda name: _weightless(name, pretrained) | shared, anomaly_map, from_line=bool(model)
    )
    if plan:
        _show_plan(Run.of(settled), as_json)
        return
    try:
        report = run_robustness(settled, save_run, overwrite=overwrite, say=lambda line: typer.echo(line, err=True))
    except KeyboardInterrupt:
        if save_run is not None:
            same = "the same command without --overwrite" if overwrite else "the same command"
            typer.echo(f"stopped; what is finished is in {save_run}, and {same} goes on from there", err=True)
        raise
    _show(report, as_table=not as_json and (output is not None or save_run is not None))
    if output is not None:
        save_run_report(output, report)
    page = write_html_where_possible(save_run) if save_run is not None else None
    if page is not None:
        typer.echo(f"report  {page}", err=True)
    if report["failed"]:
        typer.echo(f"{len(report['failed'])} failed: {', '.join(report['failed'])}", err=True)
        raise typer.Exit(1)


def _weightless(name: str, pretrained: bool) -> dict[str, Any]:
    """Return what ``--no-pretrained`` sets of a model; one that has no pretrained weights is told of none."""
    if pretrained:
        return {}
    try:
        knows = "pretrained" in find("detector", name).options_model().model_fields
    except PyimganoError:  # the plan will say why it cannot be used
        knows = False
    return {"pretrained": False} if knows else {}


def _numbers(text: str) -> list[int]:
    words = text.replace(",", " ").split()
    if not words or not all(word.isdecimal() for word in words):
        raise OptionsError(f"{SEVERITIES}: {text!r} are no severities", f"write {SEVERITIES} 1 2 3, from 1")
    return [int(word) for word in words]


def _show_plan(run: Run, as_json: bool) -> None:
    """Print the components of a run and what they are put through; no image is looked at."""
    corruptions = run.corruption_records()
    if as_json:
        parts = [*(part.record() for part in run.plan.parts), *corruptions]
        typer.echo(document({"parts": parts, "settings": run.config}), nl=False)
        return
    show_parts(run.plan, corruptions)
    config = run.config
    strengths = f"every corruption at severity {' '.join(map(str, config.severities))}" if corruptions else ""
    real = f"every {config.condition_key} of the test images" if config.condition_key is not None else ""
    twice = ", all of it without preprocessing and with it" if config.compare_preprocessing else ""
    typer.echo(f"tested: {', '.join(filter(None, ('clean', strengths, real)))}{twice}")


def _show(report: Mapping[str, Any], *, as_table: bool) -> None:
    if not as_table:
        typer.echo(document(report), nl=False)
        return
    found = report.get("runs", [report])
    lines = [
        _line(label, run["category"], row) for run in found for label, part in _parts(run) for row in rows(part["robustness"])
    ]
    show_table(["MODEL", "CATEGORY", "CONDITION", *COLUMNS, "MS/IMAGE"], lines)
    for run in found:
        typer.echo(f"{run['category']}: {run['robustness_summary']['sentence']}")
        if "preprocessing_comparison" in run:
            typer.echo(f"{run['category']}: {run['preprocessing_comparison']['sentence']}")


def _parts(run: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield a run with its label, and where preprocessing is compared the run with it too."""
    yield run["label"], run
    if "with_preprocessing" in run:
        yield f"{run['label']} with preprocessing", run["with_preprocessing"]


def _line(label: str, category: str, row: Mapping[str, Any]) -> list[str]:
    condition = f"{row['condition']} {row['severity']}" if row["severity"] else row["condition"]
    values = ["-" if row[name] is None else f"{row[name]:.3f}" for name in COLUMNS.values()]
    return [label, category, condition, *values, f"{row['latency_ms_per_image']:.1f}"]


def main() -> None:
    """Entry point of ``pyimgano-robust-benchmark``."""
    pyimgano_app.main(["robust-benchmark", *sys.argv[1:]])
