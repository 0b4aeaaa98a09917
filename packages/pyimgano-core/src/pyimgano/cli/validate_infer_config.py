"""``pyimgano validate-infer-config``: every problem of an infer_config.json or a bundle, at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyimgano.cli.tables import print_json

if TYPE_CHECKING:
    from pyimgano.workbench.faults import Fault

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(epilog="Example: pyimgano validate-infer-config parts.bundle")
def validate(
    target: Annotated[Path, typer.Argument(metavar="FILE|BUNDLE", help="An infer_config.json, or a bundle.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check digests, schema, versions, plugins, options and state; exit with 1 if there is any error."""
    from pyimgano.workbench.validate import validate_infer_config

    found = validate_infer_config(target)
    if as_json:
        print_json(found.to_json())
    else:
        typer.echo("\n".join(map(_text, found.faults)), nl=bool(found.faults))
        warnings = len(found.faults) - found.errors
        typer.echo(f"{_count(found.errors, 'error')}, {_count(warnings, 'warning')} in {target}")
    if found.errors:
        raise typer.Exit(1)


def _text(fault: Fault) -> str:
    lines = [f"{fault.severity}: {fault.file}{' ' if fault.pointer else ''}{fault.pointer}"]
    facts = {"expected": fault.expected, "found": fault.found, "mend": fault.mend}
    lines += [f"  {name + ':':<10}{value}" for name, value in facts.items() if value]
    return "\n".join(lines)


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"
