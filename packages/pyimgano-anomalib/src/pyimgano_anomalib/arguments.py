"""What the constructors of anomalib's classes take: checked before they are called, and written down as JSON."""

from __future__ import annotations

import enum
import inspect
import os
import pathlib
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

from pyimgano.errors import OptionsError, suggestion

COMPONENTS = ("pre_processor", "post_processor", "evaluator", "visualizer")
"""What anomalib puts around a model; the transform is kept apart, and the others are not used here."""
PRETRAINED = "pre_trained"
"""The argument that says whether a network starts with pretrained weights; understood here for classes without it too."""


def parameters(model: Any) -> dict[str, inspect.Parameter]:
    """Return the arguments of a class that describe the model itself, by name."""
    found = inspect.signature(model.__init__).parameters
    return {name: one for name, one in found.items() if name not in ("self", "args", "kwargs", *COMPONENTS)}


def checked(model: Any, values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return arguments as a class wants them: text as an enumeration's member, lists as tuples.

    Raises
    ------
    OptionsError
        For a name that it does not know, with the nearest one, and for a value of another type than it asks for.
    """
    known = parameters(model)
    for name in values:
        if name in COMPONENTS:
            raise OptionsError(f"{where}.{name}: is not set here", "image_size and center_crop set the transform")
        if name not in (*known, PRETRAINED):
            hint = suggestion(name, known) or f"{model.__name__} takes {', '.join(known) or 'none'}"
            raise OptionsError(f"{where}.{name}: unknown argument of anomalib's {model.__name__}; {hint}")
    kinds = {PRETRAINED: bool, **{name: _annotation(model, one) for name, one in known.items()}}
    return {name: _typed(kinds[name], value, f"{where}.{name}") for name, value in values.items()}


def taken(model: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that a class itself takes."""
    return {name: value for name, value in values.items() if name in parameters(model)}


def _typed(annotation: Any, value: Any, where: str) -> Any:
    if annotation is None:
        return value
    try:
        return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value)
    except PydanticSchemaGenerationError:
        return value
    except ValidationError as error:
        wanted = " or ".join(dict.fromkeys(fault["msg"][:1].lower() + fault["msg"][1:] for fault in error.errors()))
        raise OptionsError(f"{where}: {wanted} (got {value!r})") from None


def _annotation(model: Any, parameter: inspect.Parameter) -> Any:
    """Return the type that an argument is declared with, or None where that cannot be told."""
    if not isinstance(parameter.annotation, str):
        return None if parameter.annotation is inspect.Parameter.empty else parameter.annotation
    names = {**vars(typing), "Sequence": Sequence, "Path": pathlib.Path, **vars(inspect.getmodule(model))}
    try:
        return eval(parameter.annotation, names)  # noqa: S307  # an annotation in anomalib's own source
    except NameError:
        return None


def plain(value: Any) -> Any:
    """Return an argument as JSON knows it."""
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value).removeprefix("torch.")
