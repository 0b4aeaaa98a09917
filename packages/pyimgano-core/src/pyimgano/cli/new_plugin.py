"""``pyimgano new-plugin``: begin a plugin from a complete, working distribution."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pyimgano.scaffold.distribution import KINDS, NewPlugin

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command("new-plugin", epilog="Example: pyimgano new-plugin acme-edges --kind detector")
def new_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the distribution, such as acme-edges.")],
    kind: Annotated[str, typer.Option("--kind", help=f"What it provides: {', '.join(KINDS)}.")] = "detector",
    into: Annotated[Path, typer.Option("--into", metavar="DIR", help="Folder to write it into.")] = Path(),
) -> None:
    """Write a distribution with one small working component, its options, tests and README, to be changed into your own."""
    folder = NewPlugin(name, kind).write(into)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        typer.echo(path)
    typer.echo(f'next  {sys.executable} -m pip install -e "{folder}[test]"', err=True)
    typer.echo(f"then  pyimgano check-plugin {name}", err=True)
