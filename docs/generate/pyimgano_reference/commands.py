"""Pages about the command line: every command with its arguments and flags."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from typing import Any

import typer

from pyimgano.cli.app import app as root_app
from pyimgano.discovery import PluginIndex, installed_plugins
from pyimgano_reference.components import entries
from pyimgano_reference.markdown import cell, code, commands, page, table

Command = Any
"""A command of click, which Typer brings a copy of."""


def command(name: str) -> Command:
    """Return a subcommand of ``pyimgano``."""
    entry = next(entry for entry in entries(installed_plugins(), "command") if entry.spec.name == name)
    module, _, attribute = entry.spec.app.partition(":")
    found: Command = typer.main.get_command(getattr(importlib.import_module(module), attribute))
    found.name = name
    return found


def command_pages(index: PluginIndex) -> dict[str, str]:
    """Return a page per subcommand, by its name."""
    return {entry.spec.name: command_page(entry.spec.name) for entry in entries(index, "command")}


def overview_page(index: PluginIndex) -> str:
    """Return the page that lists the commands and the flags that stand anywhere."""
    rows = [
        [f"[`{one.spec.name}`]({one.spec.name}.md)", cell(one.spec.summary), one.record.distribution]
        for one in entries(index, "command")
    ]
    root: Command = typer.main.get_command(root_app)
    return page(
        "Command line",
        "`pyimgano COMMAND --help` prints what these pages hold. Exit codes: 0 all went well; 1 something that was asked for "
        "failed or was found wanting, such as an image with `--continue-on-error`, a bundle that is not whole or a gate; 2 the "
        "command could not run, and the error says what to do next.",
        table(["Command", "What it does", "Distribution"], rows),
        "Some commands have a name of their own too: `pyimgano-train`, `pyimgano-infer`, `pyimgano-benchmark`, "
        "`pyimgano-validate-infer-config` and `pyimgano-robust-benchmark`. `python -m pyimgano` is the same as `pyimgano`.",
        "## Flags that may stand anywhere",
        _parameters(root, root.context_class(root, info_name="pyimgano")),
    )


def command_page(name: str) -> str:
    """Return the page of a subcommand, with those below it."""
    found = command(name)
    return page(f"pyimgano {name}", *_parts(found, f"pyimgano {name}", None))


def _parts(found: Command, path: str, parent: Any) -> Iterator[str]:
    context = found.context_class(found, info_name=path if parent is None else found.name, parent=parent)
    yield commands((found.help or "").strip())
    yield f"```text\n{path} {' '.join(found.collect_usage_pieces(context))}\n```"
    if found.epilog:
        example = found.epilog.removeprefix("Example: ").strip()
        yield f"Example:\n\n```bash\n{_folded(example)}\n```" if example != found.epilog else commands(found.epilog)
    yield _parameters(found, context)
    if hasattr(found, "list_commands"):
        for name in found.list_commands(context):
            yield f"## {path} {name}"
            yield from _parts(found.get_command(context, name), f"{path} {name}", context)


def _folded(line: str) -> str:
    """Return a command on lines of at most 88 characters, where its flags allow that."""
    first, *flags = re.split(r" (?=-)", line)
    lines = [first]
    for flag in flags:
        if len(lines[-1]) + len(flag) < 86:
            lines[-1] += f" {flag}"
        else:
            lines.append(f"  {flag}")
    return " \\\n".join(lines)


def _parameters(found: Command, context: Any) -> str:
    """Return the arguments and flags as a list of definitions."""
    records = [record for parameter in found.get_params(context) if (record := parameter.get_help_record(context))]
    return "\n\n".join(f"{code(flags)}\n:   {cell(' '.join(text.split()))}" for flags, text in records)
