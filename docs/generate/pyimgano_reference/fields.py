"""The fields of settings models: key, type, default, bounds and meaning."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pyimgano_reference.markdown import attributes, cell, code, table

SHOWN = 5
"""The most parts of a default that is a list."""

SIGNS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


@dataclass(frozen=True)
class Key:
    """A field and the names that lead to it."""

    path: tuple[str, ...]
    field: FieldInfo
    meaning: str

    @property
    def name(self) -> str:
        """Return the path with dots."""
        return ".".join(self.path)


def keys(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[Key]:
    """Yield every field of a model, and after a field that holds a model those inside it."""
    described = attributes(model)
    for name, field in model.model_fields.items():
        yield Key((*path, name), field, field.description or described.get(name, ""))
        inner = model_of(field.annotation)
        if inner is not None:
            steps = (*path, name, "N") if _is_tuple(field.annotation) else (*path, name)
            yield from keys(inner, steps)


def model_of(annotation: Any) -> type[BaseModel] | None:
    """Return the model that a field holds, alone, as one of several or as nothing."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inside = (model_of(part) for part in get_args(annotation)) if get_origin(annotation) is not Literal else ()
    return next((model for model in inside if model is not None), None)


def _is_tuple(annotation: Any) -> bool:
    return get_origin(annotation) is tuple or any(map(_is_tuple, get_args(annotation)))


def options_table(model: type[BaseModel]) -> str:
    """Return the table of a component's options."""
    if not model.model_fields:
        return "It has no options."
    rows = [[code(key.name), type_cell(key.field), default_cell(key.field), cell(key.meaning)] for key in keys(model)]
    return table(["Option", "Type", "Default", "Meaning"], rows)


def type_cell(field: FieldInfo) -> str:
    """Return the type and the bounds."""
    bounds = [
        f"{word} {_number(getattr(bound, key))}"
        for bound in _metadata(field)
        for key, word in SIGNS.items()
        if hasattr(bound, key)
    ]
    return " <br>".join([code(type_text(field.annotation)), *([", ".join(bounds)] if bounds else [])])


def _number(bound: Any) -> str:
    return f"{bound:,}" if isinstance(bound, int) and abs(bound) >= 100_000 else str(bound)


def _metadata(field: FieldInfo) -> Iterator[Any]:
    """Yield what bounds a field, also where its type is one of several or is nested in a tuple."""
    yield from field.metadata
    yield from _inside(field.annotation)


def _inside(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Literal:
        return
    if get_origin(annotation) is Annotated:
        for extra in annotation.__metadata__:
            yield from extra.metadata if isinstance(extra, FieldInfo) else [extra]
    seen: list[Any] = []
    for part in get_args(annotation):
        if part not in seen:
            seen.append(part)
            yield from _inside(part)


def type_text(annotation: Any) -> str:
    """Return a type as a person would write it."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_text(arguments[0])
    if origin is Literal:
        return " | ".join(map(str, arguments))
    if origin in (Union, UnionType):
        return " | ".join(dict.fromkeys(map(type_text, arguments)))
    if origin is tuple and arguments[-1] is Ellipsis:
        return f"list of {type_text(arguments[0])}"
    if origin is tuple:
        return f"[{', '.join(map(type_text, arguments))}]"
    if origin is not None:
        return f"{type_text(origin)}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping"
    names = {NoneType: "none", str: "text", int: "integer", float: "number", bool: "yes or no", dict: "mapping", Any: "any"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)).lower())


def default_cell(field: FieldInfo) -> str:
    """Return the default; a field that holds a model has those of its keys."""
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if isinstance(default, BaseModel):
        return ""
    words = {None: "none", True: "yes", False: "no"}
    if isinstance(default, tuple):
        rest = f" and {len(default) - SHOWN} more" if len(default) > SHOWN else ""
        return f"{code(json.dumps(default[:SHOWN], default=str))}{rest}"
    return code(words[default] if default is None or isinstance(default, bool) else default)
