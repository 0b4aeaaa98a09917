"""Plain tables for pipes, framed ones for terminals, and JSON."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return left-aligned columns, two spaces apart, one row per line."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in [header, *rows]
    )


def show_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table to stdout: framed and fitted to the width of a terminal, plain into a pipe."""
    if not sys.stdout.isatty():
        sys.stdout.write(table(header, rows) + "\n")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    framed = Table(*header)
    for row in rows:
        framed.add_row(*(Text(cell) for cell in row))
    Console().print(framed)


def print_json(value: Any) -> None:
    """Print a value to stdout as a strict JSON document."""
    from pyimgano.reporting.strict_json import document

    sys.stdout.write(document(value))
