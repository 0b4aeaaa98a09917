"""``pyimgano doctor``: whether this installation works, and what to do next."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Annotated

import typer

from pyimgano.doctor import Report, examine

app = typer.Typer(rich_markup_mode=None, add_completion=False)

WIDTH = 80


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check environment, plugins, weights, OpenCV, threads and storage, do a small job, and say what to do next.

    Exits with 1 if anything is broken; notes do not count.
    """
    report = examine()
    if as_json:
        import json

        typer.echo(json.dumps(report.to_json(), indent=2))
    else:
        typer.echo("\n".join([*_table(report), "", *_next(report)]))
    if not report.healthy:
        raise typer.Exit(1)


def _table(report: Report) -> Iterator[str]:
    """Yield the findings as lines of at most 80 characters, each check named once."""
    width = max(len("CHECK"), *(len(row.check) for row in report.rows))
    indent = width + 2 + len("STATUS") + 2
    yield f"{'CHECK':<{width}}  STATUS  FOUND"
    named = ""
    for check, finding in report.rows:
        head = f"{check if check != named else '':<{width}}  {finding.status:<6}  "
        yield from textwrap.wrap(
            finding.message, WIDTH, initial_indent=head, subsequent_indent=" " * indent, break_on_hyphens=False
        )
        named = check


def _next(report: Report) -> Iterator[str]:
    """Yield what to do next; commands stay on one line, so that they can be copied."""
    steps = report.steps()
    if not steps:
        yield "Next: nothing to do"
        return
    yield "Next"
    for number, step in enumerate(steps, 1):
        yield f"{number}. {step.check}{'' if step.needed else ' (optional)'}"
        yield f"   {step.command}"
