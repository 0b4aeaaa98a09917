"""Settings: the base of every options model, and the one way to validate values into it with errors that teach."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from pyimgano.errors import OptionsError, suggestion


class Options(BaseModel):
    """Base of options models: frozen, unknown keys refused, every field described."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, protected_namespaces=())


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

    values = options.model_dump()
    return {name: value.name if isinstance(value, Path) else plain(value) for name, value in values.items()}


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
    bounds = fault.get("ctx", {})
    got = f" (got {fault['input']!r})"
    match fault["type"]:
        case "extra_forbidden":
            known = _fields_at(model, fault["loc"][:-1])
            hint = suggestion(str(fault["loc"][-1]), known) or f"it knows {', '.join(sorted(known)) or 'no options'}"
            return f"{place}: unknown option; {hint}"
        case "greater_than_equal":
            return f"{place}: must be at least {bounds['ge']:.15g}{got}"
        case "greater_than":
            return f"{place}: must be greater than {bounds['gt']:.15g}{got}"
        case "less_than_equal":
            return f"{place}: must be at most {bounds['le']:.15g}{got}"
        case "less_than":
            return f"{place}: must be less than {bounds['lt']:.15g}{got}"
        case "missing":
            return f"{place}: is required"
        case "literal_error":
            return f"{place}: must be {bounds['expected']}{got}"
        case "value_error":
            return f"{place}: {bounds['error']}{got}"
    message = fault["msg"]
    return f"{place}: {message[:1].lower()}{message[1:]}{got}"


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Return the field names of the model that `path` leads to."""
    current: Any = model
    for step in path:
        field = getattr(current, "model_fields", {}).get(step)
        current = field.annotation if field is not None else None
    return sorted(getattr(current, "model_fields", {}))
