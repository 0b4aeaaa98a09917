"""A plan as a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from pyimgano.cli.tables import table
from pyimgano.evaluation.plan import Plan


def show_parts(plan: Plan, more: Sequence[Mapping[str, Any]] = ()) -> None:
    """Print a row per component of a plan, with all its options, and below them rows for `more` records like theirs."""
    records = [*(part.record() for part in plan.parts), *more]
    rows = [[part["kind"], part["name"], part["version"] or "-", _options(part["options"])] for part in records]
    typer.echo(table(["KIND", "COMPONENT", "VERSION", "OPTIONS"], rows))


def _options(options: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={json.dumps(value)}" for key, value in options.items())
