"""Flags generated from settings models: one per field, nested blocks included."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pyimgano.errors import OptionsError

NONE = "none"
METAVARS = {int: "<int>", float: "<float>", str: "<text>"}


def settings_flags(**models: type[BaseModel]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one flag per field of each settings model.

    A flag is called ``--field``, or ``--{model.FLAG_PREFIX}field``, or what the field's schema says under ``flag``. Fields that
    hold mappings, lists or models have none unless their schema names one, which then takes JSON; fields of a nested model have
    one if their schema names it. The word ``none`` unsets a number or text that may be None.

    The command receives each model's given values as a nested mapping, under the keyword that names the model here; fields
    whose flag was not on the line are not in it, so that a config or the default counts.
    """
    fields = {group: list(_leaves(model)) for group, model in models.items()}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [parameter for name, parameter in signature.parameters.items() if name not in models]
        generated = [leaf.parameter(group) for group, leaves in fields.items() for leaf in leaves]

        @functools.wraps(command)
        def wrapper(**given: Any) -> None:
            groups: dict[str, dict[str, Any]] = {group: {} for group in models}
            for group, leaves in fields.items():
                for leaf in leaves:
                    value = given.pop(leaf.keyword(group))
                    if value is not None:
                        leaf.put(groups[group], value)
            command(**given, **groups)

        parameters = [*own, *generated]
        wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return wrapper

    return decorate


@dataclass(frozen=True)
class Leaf:
    """A field with a flag: the names that lead to it, and the flag."""

    path: tuple[str, ...]
    field: FieldInfo
    flag: str

    @property
    def kind(self) -> Any:
        """Return the type that pydantic expects."""
        return _typed(self.field.annotation)

    @property
    def may_be_none(self) -> bool:
        """Return whether it is a number or text that can be unset by the word none; pydantic reads the number."""
        return NoneType in get_args(self.field.annotation) and self.kind in METAVARS

    @property
    def as_json(self) -> bool:
        """Return whether its value is written as JSON."""
        return not _is_scalar(self.kind)

    def keyword(self, group: str) -> str:
        """Return the name of the parameter."""
        return "_".join((group, *self.path))

    def parameter(self, group: str) -> inspect.Parameter:
        """Return the parameter of the command."""
        kind: Any = str if self.may_be_none or self.as_json else self.kind
        info = typer.Option(
            f"{self.flag}/--no-{self.flag.removeprefix('--')}" if kind is bool else self.flag,
            metavar=self._metavar(),
            help=self._help(),
            show_default=False,
        )
        annotation = Annotated[kind | None, info]
        return inspect.Parameter(self.keyword(group), inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)

    def put(self, values: dict[str, Any], value: Any) -> None:
        """Put what the line gave where it belongs."""
        for name in self.path[:-1]:
            values = values.setdefault(name, {})
        if self.as_json:
            try:
                value = json.loads(value)
            except ValueError as error:
                raise OptionsError(f"{self.flag} is not JSON: {error}", "quote it, so that the shell leaves it alone") from None
        values[self.path[-1]] = None if value == NONE and self.may_be_none else value

    def _help(self) -> str:
        default = "" if self.field.is_required() else f"  [default: {_shown(self.field.get_default())}]"
        return f"{self.field.description}{default}"

    def _metavar(self) -> str | None:
        if get_origin(self.field.annotation) is Literal:
            return "|".join(get_args(self.field.annotation))
        if self.may_be_none:
            return f"{METAVARS[self.kind]}|{NONE}"
        return str(_extra(self.field).get("metavar", "JSON")) if self.as_json else _extra(self.field).get("metavar")


def _leaves(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[Leaf]:
    """Yield the fields that have a flag, in the order of the model."""
    for name, field in model.model_fields.items():
        kind = _typed(field.annotation)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _leaves(kind, (*path, name))
            continue
        prefix = getattr(model, "FLAG_PREFIX", "")
        flag = _extra(field).get("flag") or (None if path else f"--{prefix}{name.replace('_', '-')}")
        if flag is not None and (_is_scalar(kind) or "flag" in _extra(field)):
            yield Leaf((*path, name), field, flag)


def _extra(field: FieldInfo) -> dict[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def _is_scalar(kind: Any) -> bool:
    return all(part in (str, int, float, bool, Path) for part in get_args(kind) or (kind,))


def _typed(annotation: Any) -> Any:
    """Return the type that the command line reads; pydantic checks the rest."""
    origin = get_origin(annotation)
    if origin is Literal:
        return str
    if origin is Annotated:
        return _typed(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return _typed(next(part for part in get_args(annotation) if part is not NoneType))
    if origin is tuple and Ellipsis not in get_args(annotation):
        return tuple[tuple(_typed(part) for part in get_args(annotation))]  # type: ignore[misc]
    return annotation


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return "yes" if default else "no"
    if default is None or default == ():
        return NONE
    return " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
