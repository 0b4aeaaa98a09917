"""``pyimgano show KIND NAME``: what a component is, and a table of its options."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pyimgano.cli.tables import table
from pyimgano.discovery.requirements import unmet_by
from pyimgano.errors import UnknownComponentError, suggestion
from pyimgano.registry import KINDS, Entry, find

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def show(
    kind: Annotated[str, typer.Argument(help=f"One of: {', '.join(KINDS)}.")],
    name: Annotated[str, typer.Argument(help="Name of the component, short or distribution:name.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the JSON schema of its options.")] = False,
) -> None:
    """Show a component and its options."""
    if kind not in KINDS:
        raise UnknownComponentError(
            f"no kind of component is called {kind!r}", suggestion(kind, KINDS) or f"one of: {', '.join(KINDS)}"
        )
    entry = find(kind, name)
    if as_json:
        import json

        typer.echo(json.dumps(entry.options_model().model_json_schema(), indent=2))
        return
    typer.echo(f"{entry.spec.name}: {entry.spec.summary}\n")
    typer.echo("\n".join(f"  {key:<12}{value}" for key, value in _facts(entry)))
    if kind != "command":
        typer.echo(f"\n{_options_table(entry.options_model())}")


def _facts(entry: Entry) -> list[tuple[str, str]]:
    facts = [("full name", entry.full_name), ("version", entry.record.version or "-")]
    for field in dataclasses.fields(entry.spec):
        value = getattr(entry.spec, field.name)
        if field.name not in ("name", "summary", "options") and value not in (None, (), frozenset(), {}):
            facts.append((field.name, _plain(value)))
    if entry.spec.kind != "command":
        facts += [("", f"{p.message}; {p.fix}") for p in unmet_by(entry.spec, entry.record.candidate)]
    return facts


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{name} ({_plain_options(values)})" for name, values in value.items())
    if isinstance(value, (tuple, frozenset)):
        return ", ".join(sorted(map(str, value)) if isinstance(value, frozenset) else map(str, value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _plain_options(values: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items()) or "defaults"


def _options_table(model: type[BaseModel]) -> str:
    if not model.model_fields:
        return "It has no options."
    rows = [
        [
            name,
            _type(field),
            "required" if field.is_required() else str(field.get_default()),
            _bounds(field),
            field.description or "",
        ]
        for name, field in model.model_fields.items()
    ]
    return table(["OPTION", "TYPE", "DEFAULT", "BOUNDS", "MEANING"], rows)


def _type(field: FieldInfo) -> str:
    annotation: Any = field.annotation
    text = annotation.__name__ if isinstance(annotation, type) and "[" not in str(annotation) else str(annotation)
    return text.replace("typing.", "").replace("pathlib._local.", "").replace("pathlib.", "").replace("Literal", "one of")


def _bounds(field: FieldInfo) -> str:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    return ", ".join(
        f"{sign} {getattr(bound, key)}" for bound in field.metadata for key, sign in signs.items() if hasattr(bound, key)
    )
