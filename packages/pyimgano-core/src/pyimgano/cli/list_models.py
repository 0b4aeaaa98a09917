"""``pyimgano list-models``: the detectors of all installed plugins."""

from __future__ import annotations

from typing import Annotated

import typer

from pyimgano.cli.tables import table
from pyimgano.discovery import installed_plugins
from pyimgano.registry import detectors

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command("list-models")
def list_models_command(
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="TAG", help="Only detectors with this tag; may be given again.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the detectors of all installed plugins."""
    entries = detectors(tag or ())
    if as_json:
        import json

        rows = [
            {"name": name, "full_name": entry.full_name, "summary": entry.spec.summary, "tags": sorted(entry.spec.tags)}
            for name, entry in entries
        ]
        typer.echo(json.dumps(rows, indent=2))
        return
    if not entries:
        known = sorted({word for _, spec in installed_plugins().components("detector") for word in spec.tags})
        typer.echo(f"no detector has these tags; known tags: {', '.join(known)}")
        return
    cells = [
        [name, entry.record.distribution, ", ".join(sorted(entry.spec.tags)), entry.spec.summary] for name, entry in entries
    ]
    typer.echo(table(["MODEL", "PLUGIN", "TAGS", "SUMMARY"], cells))
