"""``pyimgano runs``: list the folders of runs, and compare two of them, with a gate for CI."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pyimgano.cli.tables import print_json, show_table

if TYPE_CHECKING:
    from pyimgano.workbench.regression import Comparison
    from pyimgano.workbench.runs import SavedRun

app = typer.Typer(
    rich_markup_mode=None, add_completion=False, no_args_is_help=True, help="List runs of train and benchmark, and compare two."
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SHOWN = ("auroc", "f1", "pixel_auroc", "aupro", "pixel_segf1")


@app.command("list")
def list_runs(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that is searched, with all below it.")],
    as_json: AsJson = False,
) -> None:
    """List every run in a folder, with its model and its metrics."""
    from pyimgano.workbench.runs import find_runs

    found = list(find_runs(folder))
    if as_json:
        print_json([_facts(run) for run in found])
        return
    if not found:
        typer.echo(f"there are no runs in {folder}")
        return
    rows = [_row(run, folder) for run in found]
    show_table(["RUN", "KIND", "MADE", "MODEL", "CATEGORY", *(name.upper().replace("_", " ") for name in SHOWN)], rows)


@app.command(epilog="Example: pyimgano runs compare runs/released runs/candidate --max-drop auroc=0.005")
def compare(
    old: Annotated[Path, typer.Argument(metavar="A", help="Folder of the run to compare with.")],
    new: Annotated[Path, typer.Argument(metavar="B", help="Folder of the run that is judged.")],
    max_drop: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC=VALUE", help="Exit with 1 if a metric of B is worse by more than that; may be given again."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare metrics, thresholds, images, settings and environment of two runs."""
    from pyimgano.workbench import regression
    from pyimgano.workbench.runs import SavedRun

    found = regression.compare(SavedRun.read(old), SavedRun.read(new), _limits(max_drop or []))
    if as_json:
        print_json(found.record())
    else:
        _show(found, old, new)
    for name, same in found.images.items():
        if same is False and (name == "test" or name.startswith("data ")):
            typer.echo(f"WARNING: the images differ ({name}), so metrics are not those of one test", err=True)
            break
    if found.failed:
        typer.echo(f"FAILED: {', '.join(row.name for row in found.failed)} of {new} worse than allowed", err=True)
        raise typer.Exit(1)


def _limits(pairs: list[str]) -> dict[str, float]:
    from pyimgano.errors import OptionsError

    limits: dict[str, float] = {}
    for pair in pairs:
        name, _, text = pair.rpartition("=")
        try:
            limits[name.strip()] = float(text)
        except ValueError:
            name = ""
        if not name.strip() or not limits[name.strip()] >= 0:
            raise OptionsError(f"--max-drop {pair} is not METRIC=VALUE", "write it as --max-drop auroc=0.005")
    return limits


def _facts(run: SavedRun | Path) -> dict[str, Any]:
    if isinstance(run, Path):
        return {"run": run, "finished": False}
    report = run.report
    facts = {name: report.get(name) for name in ("dataset", "category", "model", "version", "recipe", "seed", "images")}
    return {"run": run.folder, "finished": True, "kind": run.kind, "created_utc": run.created, **facts, "metrics": run.metrics}


def _row(run: SavedRun | Path, root: Path) -> list[str]:
    folder = run if isinstance(run, Path) else run.folder
    name = folder.relative_to(root).as_posix() if folder != root else folder.name
    if isinstance(run, Path):
        return [name, "unfinished", *("-" for _ in range(3 + len(SHOWN)))]
    model = str(run.report.get("model")).rpartition(":")[2]
    category = str(run.report.get("category") or "-")
    return [
        name,
        run.kind,
        run.created[:16].replace("T", " "),
        model,
        category,
        *(_number(run.metrics.get(key)) for key in SHOWN),
    ]


def _show(found: Comparison, old: Path, new: Path) -> None:
    columns = ["METRIC", "A", "B", "CHANGE", "ALLOWED"]
    rows = [
        [row.name, _number(row.old), _number(row.new), _signed(row.change), _allowed(row.allowed, row.failed)]
        for row in found.rows
    ]
    typer.echo(f"A  {old}\nB  {new}\n")
    if rows:
        show_table(columns, rows)
    else:
        typer.echo("neither run has metrics: there were no test images with labels")
    typer.echo("\n" + "\n".join(_differences(found)))


def _differences(found: Comparison) -> Iterator[str]:
    for level, (old, new) in found.thresholds.items():
        yield f"{level + ' threshold':<18}{_threshold(old)} -> {_threshold(new)}"
    words = {True: "the same", False: "DIFFERENT", None: "not known of both"}
    for name, same in found.images.items():
        yield f"{'images':<18}{name}: {words[same]}"
    for what, changes in (("setting", found.settings), ("environment", found.environment)):
        for change in changes:
            yield f"{what:<18}{change.key}: {change.old} -> {change.new}"
        if not changes:
            yield f"{what:<18}no difference"


def _threshold(record: dict[str, Any] | None) -> str:
    return "none" if record is None else f"{record['value']:.6g} ({record['method']})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4f}"


def _allowed(drop: float | None, failed: bool) -> str:
    return "" if drop is None else f"{drop:g}{' FAILED' if failed else ''}"
