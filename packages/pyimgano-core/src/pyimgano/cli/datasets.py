"""``pyimgano datasets``: list the layouts, summarise a dataset, find what is wrong with one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pyimgano.cli.tables import print_json, table
from pyimgano.discovery import installed_plugins
from pyimgano.registry import build_component, find

if TYPE_CHECKING:
    from pyimgano.contracts import Dataset

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True, help="List, summarise and check datasets.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Category = Annotated[str | None, typer.Option(help="One category; by default all that are there.")]
DatasetOption = Annotated[
    list[str] | None, typer.Option("-d", "--dataset-option", metavar="KEY=VALUE", help="Set an option of the dataset.")
]


@app.command("list")
def list_datasets(as_json: AsJson = False) -> None:
    """List the dataset layouts of all installed plugins."""
    found = [(spec, record.distribution) for record, spec in installed_plugins().components("dataset")]
    if as_json:
        rows = [
            {"name": spec.name, "full_name": f"{plugin}:{spec.name}", "masks": spec.masks, "tags": sorted(spec.tags)}
            | {"summary": spec.summary}
            for spec, plugin in found
        ]
        print_json(rows)
        return
    cells = [[spec.name, plugin, "yes" if spec.masks else "no", spec.summary] for spec, plugin in found]
    typer.echo(table(["DATASET", "PLUGIN", "MASKS", "SUMMARY"], cells))


@app.command()
def info(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the layout; 'pyimgano datasets list' shows them.")],
    root: Annotated[Path | None, typer.Option(help="Folder or file of the dataset.")] = None,
    category: Category = None,
    dataset_option: DatasetOption = None,
    as_json: AsJson = False,
) -> None:
    """Count the images of a dataset by split, type of defect and size, and its masks."""
    from pyimgano.datasets.layout import per_category
    from pyimgano.datasets.summary import summarise

    dataset = _dataset(name, root, category, dataset_option)
    summaries = {chosen: summarise(one.load()) for chosen, one in per_category(dataset)}
    if as_json:
        print_json([{"category": chosen, **summary} for chosen, summary in summaries.items()])
        return
    typer.echo("\n\n".join(_summary(chosen or name, summary) for chosen, summary in summaries.items()))


@app.command()
def lint(
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="Folder or file of the dataset.")],
    dataset: Annotated[str | None, typer.Option(help="Name of the layout; by default what the folder looks like.")] = None,
    category: Category = None,
    dataset_option: DatasetOption = None,
    as_json: AsJson = False,
) -> None:
    """Find everything that is wrong with a dataset and say how to mend it; exit with 1 if there is anything."""
    from pyimgano.datasets.layout import per_category
    from pyimgano.datasets.lint import guess_layout
    from pyimgano.datasets.lint import lint as check

    name = dataset or guess_layout(root)
    findings, images = [], 0
    for _, one in per_category(_dataset(name, root, category, dataset_option)):
        found, read = check(one)
        findings += found
        images += read
    findings = list(dict.fromkeys(findings))  # a line of a manifest that cannot be read is met in every category
    if as_json:
        rows = [
            {"kind": finding.kind, "path": finding.path, "problem": finding.problem, "mend": finding.mend}
            for finding in findings
        ]
        print_json({"dataset": name, "root": root, "images": images, "findings": rows})
    else:
        for finding in findings:
            typer.echo(f"{finding.kind}: {finding.problem}\n  mend: {finding.mend}")
        count = f"{len(findings)} problem{'' if len(findings) == 1 else 's'}" if findings else "no problems"
        typer.echo(f"{count} in {images} images of {root}, read as {name}")
    if findings:
        raise typer.Exit(1)


def _dataset(name: str, root: Path | None, category: str | None, pairs: list[str] | None) -> Dataset:
    from pyimgano.options import from_pairs

    values = from_pairs(pairs or ())
    given = {"root": None if root is None else str(root), "category": category}
    values |= {key: value for key, value in given.items() if value is not None}
    dataset: Dataset = build_component(find("dataset", name), values)
    return dataset


def _summary(title: str, summary: Mapping[str, Any]) -> str:
    types = ", ".join(f"{count} {name}" for name, count in summary["types"].items())
    rows = [
        ("train", f"{summary['train']} images"),
        ("calibration", f"{summary['calibration']} images"),
        ("test", f"{summary['test']} images" + (f": {types}" if types else "")),
        ("masks", f"for {summary['masks']} of {summary['defective']} defective images"),
        ("sizes", ", ".join(f"{size} ({count})" for size, count in summary["sizes"].items())),
    ]
    return "\n".join([title, *(f"  {key:<12}{value}" for key, value in rows)])
