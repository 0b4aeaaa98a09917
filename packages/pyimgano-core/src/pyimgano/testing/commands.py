"""Checks of commands that a plugin adds to ``pyimgano``."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import typer

from pyimgano.registry import Entry
from pyimgano.testing import components
from pyimgano.testing.checks import Checks
from pyimgano.testing.results import CheckFailure

checks = Checks(builds=False)
checks.add()(components.summary)


class Subject:
    """A command under test."""

    def __init__(self, entry: Entry, values: Mapping[str, Any]) -> None:
        self.entry = entry
        self.spec = entry.spec

    @cached_property
    def parsers(self) -> dict[str, Any]:
        """Its parser and those of its subcommands, by what is typed."""
        module, _, name = self.spec.app.partition(":")
        app = getattr(importlib.import_module(module), name)
        return dict(_parsers(self.spec.name, typer.main.get_command(app)))


@checks.add()
def app_resolves(subject: Subject) -> None:
    """The path of its app leads to a Typer app that has something to run."""
    module, _, name = subject.spec.app.partition(":")
    app = getattr(importlib.import_module(module), name, None)
    if not isinstance(app, typer.Typer):
        raise CheckFailure(f"{subject.spec.app} is {type(app).__name__}, not a Typer app", "name a typer.Typer()")
    if not app.registered_commands and not app.registered_groups and app.registered_callback is None:
        raise CheckFailure(f"{subject.spec.app} has no command", "decorate a function with @app.command()")


@checks.add(needs=("app_resolves",))
def help_describes(subject: Subject) -> None:
    """``--help`` says what it and its subcommands do."""
    silent = [typed for typed, parser in subject.parsers.items() if not (parser.help or "").strip()]
    if silent:
        raise CheckFailure(
            f"no description: {', '.join(silent)}", "write a docstring for the function, or typer.Typer(help=...)"
        )


@checks.add(needs=("app_resolves",))
def help_explains(subject: Subject) -> None:
    """``--help`` explains every parameter of it and its subcommands."""
    blank = [
        f"{typed} {parameter.name}"
        for typed, parser in subject.parsers.items()
        for parameter in parser.params
        if parameter.name != "help" and not (getattr(parameter, "help", "") or "").strip()
    ]
    if blank:
        raise CheckFailure(f"no help: {', '.join(blank)}", "write typer.Option(help=...) or typer.Argument(help=...)")


def _parsers(typed: str, parser: Any) -> Iterator[tuple[str, Any]]:
    yield typed, parser
    for name, inner in getattr(parser, "commands", {}).items():
        yield from _parsers(f"{typed} {name}", inner)
