"""``pyimgano benchmark``: compare models at thresholds that were fixed before the test images were seen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from pyimgano.calibration import CalibrationSettings
from pyimgano.cli import comparisons, flags
from pyimgano.cli.plans import show_parts
from pyimgano.cli.settings_flags import settings_flags
from pyimgano.cli.tables import show_table
from pyimgano.errors import OutputError
from pyimgano.evaluation import BenchmarkConfig, run_benchmark
from pyimgano.evaluation.plan import Plan
from pyimgano.options import from_pairs
from pyimgano.postprocess.options import AnomalyMapOptions
from pyimgano.preprocessing import IlluminationOptions
from pyimgano.reporting.files import save_run_report
from pyimgano.reporting.strict_json import document

app = typer.Typer(rich_markup_mode=None, add_completion=False)

COLUMNS = {
    "AUROC": ("auroc",),
    "F1": ("metrics", "f1"),
    "RECALL": ("metrics", "recall"),
    "FALSE ALARMS": ("metrics", "false_alarm_rate"),
    "BEST F1*": ("oracle", "f1"),
    "PIXEL AUROC": ("pixel_metrics", "pixel_auroc"),
    "AUPRO": ("pixel_metrics", "aupro"),
    "SEGF1": ("pixel_metrics", "pixel_segf1"),
    "BEST SEGF1*": ("oracle", "pixel_segf1"),
}


@app.command(
    epilog="Example: pyimgano benchmark --dataset mvtec --root mvtec_ad --category all --model vision_filterbank "
    "--model vision_patchcore,backbone=efficientnet_lite0 --save-run runs/first"
)
@settings_flags(
    settings=BenchmarkConfig,
    calibration=CalibrationSettings,
    anomaly_map=AnomalyMapOptions,
    preprocessing=IlluminationOptions,
)
def benchmark(
    settings: dict[str, Any],
    calibration: dict[str, Any],
    anomaly_map: dict[str, Any],
    preprocessing: dict[str, Any],
    model: flags.Models = None,
    option: flags.Option = None,
    model_kwargs: flags.ModelKwargs = None,
    dataset_option: flags.DatasetOption = None,
    postprocess: flags.Postprocess = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[,KEY=VALUE...]", help="A metric beyond those that every report has; may be given again."),
    ] = None,
    config: flags.Config = None,
    save_run: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep reports, records and report.html here; the same command resumes the run."),
    ] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as one JSON file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON instead of a table.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Print what would run, and stop.")] = False,
    overwrite: flags.Overwrite = False,
) -> None:
    """Fit, calibrate on held-out good images, then test once: what would have happened on the line."""
    blocks = {"calibration": calibration, "preprocessing": preprocessing, "dataset_options": from_pairs(dataset_option or ())}
    texts = {"models": model, "postprocess": postprocess, "metrics": metric}
    settled = comparisons.settle(BenchmarkConfig, "benchmark", config, settings, blocks, texts)
    shared = comparisons.shared_options(model_kwargs, option)
    settled = comparisons.with_shared_options(settled, lambda _: shared, anomaly_map, from_line=bool(model))
    if output is not None and output.is_dir():
        raise OutputError(f"--output {output} is a folder", "name a file")
    if plan:
        _print_plan(Plan.of(settled), as_json)
        return
    try:
        report = run_benchmark(settled, save_run, overwrite=overwrite, say=lambda line: typer.echo(line, err=True))
    except KeyboardInterrupt:
        if save_run is not None:
            same = "the same command without --overwrite" if overwrite else "the same command"
            typer.echo(f"stopped; what is finished is in {save_run}, and {same} goes on from there", err=True)
        raise
    if as_json:
        typer.echo(document(report), nl=False)
    else:
        _print_tables(report)
    if output is not None:
        save_run_report(output, report)
    if save_run is not None:
        _write_html(save_run)
    failed = list(report["failed"]) + [f"{run['label']} on {name}" for run in report.get("runs", ()) for name in run["failed"]]
    if failed:
        typer.echo(f"{len(failed)} failed: {', '.join(failed)}; run it again to try again what failed", err=True)
        raise typer.Exit(1)


def _print_plan(plan: Plan, as_json: bool) -> None:
    if as_json:
        typer.echo(document({"parts": [part.record() for part in plan.parts], "settings": plan.config}), nl=False)
        return
    show_parts(plan)


def _print_tables(report: Mapping[str, Any]) -> None:
    runs = report.get("runs", [report])
    asked = {name: ("extra_metrics", name) for run in runs for name in run["results"]["extra_metrics"]}
    columns = {**COLUMNS, **asked}
    rows = [row for run in runs for row in _rows(run, columns)]
    show_table(["MODEL", "CATEGORY", *columns, "MS/IMAGE"], rows)
    typer.echo("* tuned on the test labels, for comparison only: no line can reach it honestly")


def _rows(run: Mapping[str, Any], columns: Mapping[str, tuple[str, ...]]) -> list[list[str]]:
    """Return a row per category, and below several of them their mean."""
    parts = {**run.get("per_category", {}), run["category"]: run}
    label = run.get("label", run["model"].rpartition(":")[2])
    return [
        [label, name, *(_cell(part["results"], path) for path in columns.values()), f"{part['timing']['ms_per_image']:.1f}"]
        for name, part in parts.items()
    ]


def _cell(results: Mapping[str, Any], path: tuple[str, ...]) -> str:
    value: Any = results
    for key in path:
        value = (value or {}).get(key)
    return "-" if value is None else f"{value:.3f}"


def _write_html(folder: Path) -> None:
    from pyimgano.reporting.html import write_html_where_possible

    page = write_html_where_possible(folder)
    if page is not None:
        typer.echo(f"report  {page}", err=True)
