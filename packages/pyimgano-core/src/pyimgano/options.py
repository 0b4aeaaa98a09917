"""Settings: the base of every options model, and the one way to validate values into it with errors that teach."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from pyimgano.errors import OptionsError, suggestion


class Options(BaseModel):
    """Base of options models: frozen, unknown keys refused, every field described."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True, protected_namespaces=())


Side = Annotated[int, Field(ge=16, le=8192)]
"""A side of a model's input, in pixels."""


class NoOptions(Options):
    """Options of a component that has nothing to set."""


Model = TypeVar("Model", bound=BaseModel)


def parse(model: type[Model], values: Mapping[str, Any], where: str, next_step: str = "") -> Model:
    """Return `values` as a `model`.

    Raises
    ------
    OptionsError
        With one line per fault, such as ``vision_patchcore.k: must be at least 1 (got 0)``.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        lines = [_sentence(fault, model, where) for fault in error.errors(include_url=False)]
        raise OptionsError("\n".join(lines), next_step) from None


def from_pairs(pairs: Iterable[str]) -> dict[str, Any]:
    """Return ``["k=9", "layers=[\\"a\\"]"]`` as a mapping; lists, objects and null are read as JSON, the rest stays text."""
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise OptionsError(f"option {pair!r} is not of the form key=value", "write it as -o key=value, for example -o k=9")
        values[key.strip()] = _value(text.strip())
    return values


def overridden(options: Model, values: Mapping[str, Any], where: str, next_step: str = "") -> Model:
    """Return options with other values for some fields, nested ones field by field; errors as in `parse`."""
    return parse(type(options), _merged(options.model_dump(), values), where, next_step) if values else options


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    both = {name: _merged(old[name], new[name]) for name in new if _are_mappings(old.get(name), new[name])}
    return {**old, **new, **both}


def _are_mappings(*values: Any) -> bool:
    return all(isinstance(value, Mapping) for value in values)


def recorded(options: BaseModel) -> dict[str, Any]:
    """Return options as plain data; of files only the name, because paths of the training machine mean nothing elsewhere."""
    from pyimgano.reporting.strict_json import plain

    values: dict[str, Any] = plain(_without_folders(options.model_dump()))
    return values


def _without_folders(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_folders(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_folders(item) for item in value]
    is_file = isinstance(value, Path) or (isinstance(value, str) and os.path.isabs(value) and os.path.exists(value))
    return Path(value).name if is_file else value


def _value(text: str) -> Any:
    if text.lower() in ("none", "null"):
        return None
    if text[:1] in "[{" and text:
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text
    return text


def _sentence(fault: ErrorDetails, model: type[BaseModel], where: str) -> str:
    place = ".".join([where, *map(str, fault["loc"])])
    got = "" if fault["type"] in ("missing", "extra_forbidden") else f" (got {fault['input']!r})"
    return f"{place}: {expectation(fault, model)}{got}"


def expectation(fault: ErrorDetails, model: type[BaseModel]) -> str:
    """Return what a model asks of the value that a fault of pydantic is about."""
    bounds = fault.get("ctx", {})
    match fault["type"]:
        case "extra_forbidden":
            known = _fields_at(model, fault["loc"][:-1])
            hint = suggestion(str(fault["loc"][-1]), known) or f"it knows {', '.join(sorted(known)) or 'no options'}"
            return f"unknown option; {hint}"
        case "greater_than_equal":
            return f"must be at least {bounds['ge']:.15g}"
        case "greater_than":
            return f"must be greater than {bounds['gt']:.15g}"
        case "less_than_equal":
            return f"must be at most {bounds['le']:.15g}"
        case "less_than":
            return f"must be less than {bounds['lt']:.15g}"
        case "finite_number":
            return "must be a finite number"
        case "missing":
            return "is required"
        case "literal_error":
            return f"must be {bounds['expected']}"
        case "value_error":
            return str(bounds["error"])
    message = fault["msg"]
    return f"{message[:1].lower()}{message[1:]}"


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Return the field names of the model that `path` leads to."""
    current: Any = model
    for step in path:
        field = getattr(current, "model_fields", {}).get(step)
        current = field.annotation if field is not None else None
    return sorted(getattr(current, "model_fields", {}))
