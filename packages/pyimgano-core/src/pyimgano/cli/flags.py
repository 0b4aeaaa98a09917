"""Flags that several commands share, and flags generated from settings models."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pyimgano.choice import Choice
from pyimgano.options import from_pairs

NONE = "none"
METAVARS = {int: "<int>", float: "<float>", str: "<text>"}

Option = Annotated[
    list[str] | None,
    typer.Option(
        "-o", "--option", metavar="KEY=VALUE", help="Set an option of the model; 'pyimgano show detector NAME' lists them."
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
BatchSize = Annotated[int, typer.Option(min=0, help="Images per forward pass; 0 lets the model choose.")]
Amp = Annotated[bool, typer.Option("--amp", help="Use reduced precision where the processor has it.")]
Threads = Annotated[int, typer.Option(min=0, help="Threads for the heavy arithmetic; 0 leaves the library's own choice.")]
DatasetOption = Annotated[
    list[str] | None, typer.Option("-d", "--dataset-option", metavar="KEY=VALUE", help="Set an option of the dataset.")
]
Postprocess = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME[,KEY=VALUE...]",
        help="A step between the model and the thresholds; may be given again. 'pyimgano show postprocessor NAME'.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results of an earlier run.")]


def model_options(pairs: list[str] | None, resize: tuple[int, int] | None) -> dict[str, Any]:
    """Return the option values that ``-o`` and ``--resize`` ask for."""
    values = from_pairs(pairs or ())
    if resize is not None:
        values["resize"] = list(resize)
    return values


def postprocess_choices(steps: Sequence[str | Choice] | None, anomaly_map: dict[str, Any]) -> tuple[Choice, ...]:
    """Return the postprocessors that ``--postprocess`` names; the flags of ``anomaly_map`` set its options, or add it."""
    named = [Choice.read(step) if isinstance(step, str) else step for step in steps or ()]
    places = [place for place, choice in enumerate(named) if choice.name.rpartition(":")[2] == "anomaly_map"]
    if anomaly_map and places:
        old = named[places[-1]]
        named[places[-1]] = Choice(name=old.name, options={**old.options, **anomaly_map})
    elif anomaly_map:
        named.append(Choice(name="anomaly_map", options=anomaly_map))
    return tuple(named)


def settings_flags(**models: type[BaseModel]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one flag per field of each settings model, named ``--field``, or ``--{model.FLAG_PREFIX}field``.

    Fields that hold mappings, lists or models have no flag. The word ``none`` unsets a number or text that may be None.

    The command receives each model's given values as a mapping, under the keyword that names the model here; fields whose
    flag was not on the line are not in it, so that a config or the default counts.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [parameter for name, parameter in signature.parameters.items() if name not in models]
        fields = {group: [name for name in model.model_fields if _fits_a_flag(model, name)] for group, model in models.items()}
        generated = [_flag(group, name, models[group]) for group, names in fields.items() for name in names]

        @functools.wraps(command)
        def wrapper(**given: Any) -> None:
            groups = {
                group: {
                    name: None if value == NONE and _may_be_none(models[group], name) else value
                    for name in names
                    if (value := given.pop(f"{group}_{name}")) is not None
                }
                for group, names in fields.items()
            }
            command(**given, **groups)

        parameters = [*own, *generated]
        wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return wrapper

    return decorate


def _flag(group: str, name: str, model: type[BaseModel]) -> inspect.Parameter:
    field = model.model_fields[name]
    kind: Any = str if _may_be_none(model, name) else _typed(field.annotation)
    default = field.get_default()
    words = f"{getattr(model, 'FLAG_PREFIX', '')}{name.replace('_', '-')}"
    info = typer.Option(
        f"--{words}/--no-{words}" if kind is bool else f"--{words}",
        metavar=_metavar(field),
        help=f"{field.description}  [default: {_shown(default)}]",
        show_default=False,
    )
    annotation = Annotated[kind | None, info]
    return inspect.Parameter(f"{group}_{name}", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _fits_a_flag(model: type[BaseModel], name: str) -> bool:
    kind = _typed(model.model_fields[name].annotation)
    return all(part in (str, int, float, bool, Path) for part in get_args(kind) or (kind,))


def _may_be_none(model: type[BaseModel], name: str) -> bool:
    """Return whether the field is a number or text that can be unset by the word none; pydantic reads the number."""
    annotation = model.model_fields[name].annotation
    return NoneType in get_args(annotation) and _typed(annotation) in METAVARS


def _typed(annotation: Any) -> Any:
    """Return the type that the command line reads; pydantic checks the rest."""
    origin = get_origin(annotation)
    if origin is Literal:
        return str
    if origin is Annotated:
        return _typed(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return _typed(next(part for part in get_args(annotation) if part is not NoneType))
    if origin is tuple:
        return tuple[tuple(_typed(part) for part in get_args(annotation))]  # type: ignore[misc]
    return annotation


def _metavar(field: FieldInfo) -> str | None:
    if get_origin(field.annotation) is Literal:
        return "|".join(get_args(field.annotation))
    if NoneType in get_args(field.annotation) and _typed(field.annotation) in METAVARS:
        return f"{METAVARS[_typed(field.annotation)]}|{NONE}"
    extra = field.json_schema_extra
    return str(extra["metavar"]) if isinstance(extra, dict) else None


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return "yes" if default else "no"
    if default is None:
        return NONE
    return " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
