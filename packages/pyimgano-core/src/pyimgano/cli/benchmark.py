"""``pyimgano benchmark``: compare models at thresholds that were fixed before the test images were seen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from pyimgano.calibration import CalibrationSettings
from pyimgano.choice import Choice
from pyimgano.cli import flags, tiling_flags
from pyimgano.cli.plans import show_parts
from pyimgano.cli.settings_flags import settings_flags
from pyimgano.cli.tables import show_table
from pyimgano.errors import OptionsError, OutputError
from pyimgano.evaluation import BenchmarkConfig, run_benchmark
from pyimgano.evaluation.config import read_config
from pyimgano.evaluation.plan import Plan
from pyimgano.options import from_pairs, parse
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
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[,KEY=VALUE...]", help="Detector, with options of its own; may be given again."),
    ] = None,
    option: flags.Option = None,
    model_kwargs: Annotated[
        str | None, typer.Option(metavar="JSON", help="Options of every model, as a JSON object; -o sets single ones.")
    ] = None,
    dataset_option: flags.DatasetOption = None,
    postprocess: flags.Postprocess = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[,KEY=VALUE...]", help="A metric beyond those that every report has; may be given again."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings as YAML, TOML or JSON; flags that are given win.")
    ] = None,
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
    lists = {"models": model, "postprocess": postprocess, "metrics": metric}
    tiling = settings.pop("tiling", {})
    values = (read_config(config) if config is not None else {}) | settings
    _override(values, "calibration", calibration)
    _override(values, "preprocessing", preprocessing)
    _tile(values, tiling)
    _override(values, "dataset_options", from_pairs(dataset_option or ()))
    values |= {name: [Choice.read(text) for text in texts] for name, texts in lists.items() if texts}
    settled = _parsed(values)
    # options on the line go from the general to the particular, and all of them over those of a config
    shared = _json_object(model_kwargs) | from_pairs(option or ())
    models = [Choice(name=one.name, options=shared | one.options if model else one.options | shared) for one in settled.models]
    steps = flags.postprocess_choices(settled.postprocess, anomaly_map)
    settled = settled.model_copy(update={"models": tuple(models), "postprocess": steps})
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


def _override(values: dict[str, Any], name: str, given: Mapping[str, Any]) -> None:
    """Put what the line sets over the mapping that a config has under a name; one that is no mapping is left to be refused."""
    old = values.get(name, {})
    values[name] = {**old, **given} if isinstance(old, Mapping) else old


def _tile(values: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Put what the line says about tiles over the config; models learn from tiles too unless told otherwise."""
    old = values.get("tiling", {})
    values["tiling"] = tiling_flags.on_tiles(tiling_flags.above(old, given)) if isinstance(old, Mapping) else old


def _parsed(values: Mapping[str, Any]) -> BenchmarkConfig:
    known = values.keys() <= BenchmarkConfig.model_fields.keys()
    if known and not values.get("models"):  # beside an unknown key, that is the better reason
        raise OptionsError("there is no model to benchmark", "pass --model NAME; 'pyimgano list-models' lists them")
    return parse(BenchmarkConfig, values, "benchmark", "pyimgano benchmark --help")


def _json_object(text: str | None) -> dict[str, Any]:
    try:
        values = json.loads(text) if text is not None else {}
    except ValueError as error:
        raise OptionsError(f"--model-kwargs is not JSON: {error}", """write it as --model-kwargs '{"k": 3}'""") from None
    if not isinstance(values, dict):
        raise OptionsError("--model-kwargs is not a JSON object", """write it as --model-kwargs '{"k": 3}'""")
    return values


def _print_plan(plan: Plan, as_json: bool) -> None:
    if as_json:
        typer.echo(document({"parts": [part.record() for part in plan.parts], "settings": plan.config}), nl=False)
        return
    show_parts(plan)


def _print_tables(report: Mapping[str, Any]) -> None:
    rows = [row for run in report.get("runs", [report]) for row in _rows(run)]
    show_table(["MODEL", "CATEGORY", *COLUMNS, "MS/IMAGE"], rows)
    typer.echo("* tuned on the test labels, for comparison only: no line can reach it honestly")


def _rows(run: Mapping[str, Any]) -> list[list[str]]:
    """Return a row per category, and below several of them their mean."""
    parts = {**run.get("per_category", {}), run["category"]: run}
    label = run.get("label", run["model"].rpartition(":")[2])
    return [
        [label, name, *(_cell(part["results"], path) for path in COLUMNS.values()), f"{part['timing']['ms_per_image']:.1f}"]
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
