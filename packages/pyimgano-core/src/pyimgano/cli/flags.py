"""Flags that several commands share, and flags generated from settings models."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal, get_origin

import typer
from pydantic import BaseModel

from pyimgano.options import from_pairs

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
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results of an earlier run.")]


def model_options(pairs: list[str] | None, resize: tuple[int, int] | None) -> dict[str, Any]:
    """Return the option values that ``-o`` and ``--resize`` ask for."""
    values = from_pairs(pairs or ())
    if resize is not None:
        values["resize"] = list(resize)
    return values


def settings_flags(**models: type[BaseModel]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one flag per field of each settings model.

    The command receives each model's given values as a mapping, under the keyword that names the model here; fields whose
    flag was not on the line are not in it, so that a config or the default counts.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [parameter for name, parameter in signature.parameters.items() if name not in models]
        generated = [_flag(name, model) for model in models.values() for name in model.model_fields]

        @functools.wraps(command)
        def wrapper(**given: Any) -> None:
            groups = {
                group: {name: value for name in model.model_fields if (value := given.pop(name)) is not None}
                for group, model in models.items()
            }
            command(**given, **groups)

        parameters = [*own, *generated]
        wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return wrapper

    return decorate


def _flag(name: str, model: type[BaseModel]) -> inspect.Parameter:
    field = model.model_fields[name]
    kind: Any = str if get_origin(field.annotation) is Literal else field.annotation
    default = field.get_default()
    info = typer.Option(f"--{name.replace('_', '-')}", help=f"{field.description}  [default: {default}]", show_default=False)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, info])
