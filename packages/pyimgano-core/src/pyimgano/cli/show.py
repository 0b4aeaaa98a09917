"""``pyimgano show KIND NAME``: what a component is, and a table of its options."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Set
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

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
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"One of: {', '.join(KINDS)}.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the component, short or distribution:name.")],
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
    facts = _facts(entry)
    width = max(len(key) for key, _ in facts) + 2
    typer.echo("\n".join(f"  {key:<{width}}{value}" for key, value in facts))
    if kind != "command":
        typer.echo(f"\n{_options_table(entry.options_model())}")


def _facts(entry: Entry) -> list[tuple[str, str]]:
    facts = [("full name", entry.full_name), ("version", entry.record.version or "-")]
    for field in dataclasses.fields(entry.spec):
        value = getattr(entry.spec, field.name)
        if field.name not in ("name", "summary", "options") and (value or isinstance(value, int)):
            facts.append((field.name, _plain(value)))
    if entry.spec.kind != "command":
        facts += [("", f"{p.message}; {p.fix}") for p in unmet_by(entry.spec, entry.record.candidate)]
    return facts


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{name} ({_plain_options(values)})" for name, values in value.items())
    if isinstance(value, (tuple, list, Set)):
        return ", ".join(sorted(map(str, value)) if isinstance(value, Set) else map(str, value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _plain_options(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items()) or "defaults"


def _options_table(model: type[BaseModel]) -> str:
    if not model.model_fields:
        return "It has no options."
    rows = [
        [
            name,
            _type(field.annotation),
            _default(field),
            _bounds(field),
            field.description or "",
        ]
        for name, field in model.model_fields.items()
    ]
    return table(["OPTION", "TYPE", "DEFAULT", "BOUNDS", "MEANING"], rows)


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "computed"
    return "required" if field.is_required() else str(field.default)


def _type(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0])
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin in (Union, UnionType):
        return " | ".join(map(_type, arguments))
    if origin is not None:
        return f"{_type(origin)}[{', '.join(map(_type, arguments))}]"
    plain = {type(None): "none", Ellipsis: "..."}
    return plain[annotation] if annotation in plain else getattr(annotation, "__name__", str(annotation))


def _bounds(field: FieldInfo) -> str:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    return ", ".join(
        f"{sign} {getattr(bound, key)}" for bound in field.metadata for key, sign in signs.items() if hasattr(bound, key)
    )
