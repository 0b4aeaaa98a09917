"""Checks of commands that a plugin adds to ``pyimgano``."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import typer

from pyimgano.registry import Entry
from pyimgano.testing.checks import Checks
from pyimgano.testing.results import CheckFailure

checks = Checks(builds=False)


class Subject:
    """A command under test."""

    def __init__(self, entry: Entry, values: Mapping[str, Any]) -> None:
        self.entry = entry
        self.spec = entry.spec


@checks.add()
def summary(subject: Subject) -> None:
    """Its summary is one line."""
    if not subject.spec.summary.strip() or "\n" in subject.spec.summary:
        raise CheckFailure(f"the summary is {subject.spec.summary!r}", "say in one line what it does")


@checks.add()
def app_resolves(subject: Subject) -> None:
    """The path of its app leads to a Typer app whose every parameter is explained."""
    module, _, name = subject.spec.app.partition(":")
    app = getattr(importlib.import_module(module), name)
    if not isinstance(app, typer.Typer):
        raise CheckFailure(f"{subject.spec.app} is {type(app).__name__}, not a Typer app", "name a typer.Typer()")
    parameters = typer.main.get_command(app).params
    blank = [parameter.name for parameter in parameters if parameter.name != "help" and not getattr(parameter, "help", "")]
    if blank:
        raise CheckFailure(f"no help: {', '.join(map(str, blank))}", "write typer.Option(help=...)")
