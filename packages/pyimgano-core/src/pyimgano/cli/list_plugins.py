"""``pyimgano list-plugins``: every plugin, whether it works, and the exact command that mends it."""

from __future__ import annotations

from typing import Annotated

import typer

from pyimgano.cli.tables import table
from pyimgano.discovery import PluginRecord, installed_plugins
from pyimgano.discovery.requirements import with_requirements
from pyimgano.errors import UnknownComponentError, suggestion

app = typer.Typer(rich_markup_mode=None, add_completion=False)

HEALTHY = ("ok", "disabled", "not-installed")


@app.command()
def list_plugins(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 unless all installed, enabled plugins are ok.")] = False,
    timings: Annotated[bool, typer.Option("--timings", help="Show how long each plugin took to load.")] = False,
    trace: Annotated[str | None, typer.Option(metavar="PLUGIN", help="Print the traceback of a plugin that failed.")] = None,
) -> None:
    """Show every plugin, whether it works, and how to mend it."""
    index = installed_plugins()
    records = [with_requirements(record) for record in index.records]
    if trace is not None:
        typer.echo(_trace(records, trace))
    elif as_json:
        import json

        plugins = [record.to_json() for record in records]
        typer.echo(json.dumps({"plugins": plugins, "notices": list(index.notices)}, indent=2))
    else:
        typer.echo(_listing(records, timings))
        for notice in index.notices:
            typer.echo(f"note: {notice}")
    if strict and any(record.status not in HEALTHY for record in records):
        raise typer.Exit(1)


def _listing(records: list[PluginRecord], timings: bool) -> str:
    header = ["PLUGIN", "VERSION", "STATUS", "PROVIDES"] + (["LOADED IN"] if timings else [])
    names = [record.distribution for record in records]
    rows = [
        [
            record.distribution if names.count(record.distribution) == 1 else record.candidate.label,
            record.version or "-",
            record.status,
            record.provided(),
            *([f"{record.milliseconds:.1f} ms"] if timings else []),
        ]
        for record in records
    ]
    lines = table(header, rows).splitlines()
    shown = [lines[0]]
    for line, record in zip(lines[1:], records, strict=True):
        shown += [line, *_problems(record)]
    return "\n".join(shown)


def _problems(record: PluginRecord) -> list[str]:
    if record.status == "not-installed":
        return [f"    fix   {record.problems[0].fix}"]
    lines = [f"    {problem.message}" for problem in record.problems]
    lines += [
        f"    {'trace' if '--trace' in fix else 'fix  '} {fix}" for fix in dict.fromkeys(p.fix for p in record.problems) if fix
    ]
    if record.status in ("broken", "incompatible"):
        lines.append(f"    skip  PYIMGANO_DISABLE={record.distribution}")
    return lines


def _trace(records: list[PluginRecord], name: str) -> str:
    found = [record for record in records if name in (record.distribution, record.candidate.label)]
    if found:
        traces = [record.trace for record in found if record.trace]
        return "\n".join(traces) or f"{name} is {found[0].status}; nothing was raised while it was loaded"
    hint = suggestion(name, [record.distribution for record in records])
    raise UnknownComponentError(f"no plugin is called {name!r}", hint or "pyimgano list-plugins")
