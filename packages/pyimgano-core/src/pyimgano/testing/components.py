"""Checks of what a component of any kind says about itself: its summary, its paths, its options."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import AllowInfNan, BaseModel, ValidationError
from pydantic.fields import FieldInfo

from pyimgano.options import Options
from pyimgano.testing.checks import Checks
from pyimgano.testing.results import CheckFailure
from pyimgano.testing.subject import ComponentSubject

checks = Checks(builds=False)

LONGEST_SUMMARY = 120
FAR = 10**12
"""A number that a bounded option refuses with one of the two signs."""


@checks.add()
def summary(subject: ComponentSubject) -> None:
    """Its summary is one line for a table."""
    text = subject.spec.summary
    if not text.strip() or "\n" in text or len(text) > LONGEST_SUMMARY:
        raise CheckFailure(
            f"the summary {text!r} is not one line of at most {LONGEST_SUMMARY} characters", "say what it does, in a few words"
        )


@checks.add()
def options_resolve(subject: ComponentSubject) -> None:
    """The path of its options leads to a subclass of pyimgano.options.Options."""
    model = subject.entry.options_model()
    if not (inspect.isclass(model) and issubclass(model, Options)):
        raise CheckFailure(f"{subject.spec.options} is no subclass of pyimgano.options.Options", "derive the model from it")
    if model.model_config.get("extra") != "forbid" or not model.model_config.get("frozen"):
        raise CheckFailure(f"{model.__name__} changes model_config", "leave extra='forbid' and frozen=True as they are")


@checks.add(builds=True)
def factory_resolves(subject: ComponentSubject) -> None:
    """The path of its factory leads to something that can be called."""
    factory = subject.entry.factory()
    if not callable(factory):
        raise CheckFailure(f"{subject.spec.factory} cannot be called", "name a class or a function")


@checks.add(needs=("options_resolve",))
def options_described(subject: ComponentSubject) -> None:
    """Every option has a description."""
    blank = [name for name, field in _fields(subject).items() if not (field.description or "").strip()]
    if blank:
        raise CheckFailure(f"no description: {', '.join(blank)}", "write Field(..., description=...)")


@checks.add(needs=("options_resolve",))
def options_bounded(subject: ComponentSubject) -> None:
    """Every number has a bound, or is annotated as pydantic.FiniteFloat where any is right."""
    model = subject.entry.options_model()
    values = _examples(model, subject.values)
    free = [
        name
        for name, field in _fields(subject).items()
        if (count := _numbers_in(field)) and all(_accepts(model, values, name, sign * FAR, count) for sign in (-1, 1))
    ]
    if free:
        raise CheckFailure(
            f"any number is accepted: {', '.join(free)}",
            "write Field(..., ge=..., le=...), or annotate it as FiniteFloat where every number has a meaning",
        )


@checks.add(needs=("options_resolve",))
def options_valid(subject: ComponentSubject) -> None:
    """Defaults and presets are valid, and unknown options are refused."""
    model = subject.entry.options_model()
    if not any(field.is_required() for field in model.model_fields.values()):
        subject.entry.parse_options({})
    for name, values in getattr(subject.spec, "presets", {}).items():
        try:
            subject.entry.parse_options({**subject.values, **values})
        except ValueError as error:
            raise CheckFailure(f"preset {name!r}: {error}", "mend the preset in its spec") from None
    try:
        model.model_validate({**_examples(model, subject.values), "no_such_option": 1})
    except ValidationError:
        return
    raise CheckFailure("an option that it does not have is accepted", "do not take **kwargs for options")


def _fields(subject: ComponentSubject) -> Mapping[str, FieldInfo]:
    return subject.entry.options_model().model_fields


def _examples(model: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values to validate with: the author's, and the defaults."""
    defaults = {name: field.get_default(call_default_factory=True) for name, field in model.model_fields.items()}
    return {**{name: value for name, value in defaults.items() if not model.model_fields[name].is_required()}, **values}


def _numbers_in(field: FieldInfo) -> int:
    """Return 1 for a number, n for a tuple of n numbers, 0 for anything else and for what may be any finite number."""
    if any(isinstance(part, AllowInfNan) for part in field.metadata):
        return 0
    return max(_counts(field.annotation), default=0)


def _counts(annotation: Any) -> Iterator[int]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in (int, float):
        yield 1
    elif origin is Annotated:
        if not any(isinstance(part, AllowInfNan) for part in arguments[1:]):
            yield from _counts(arguments[0])
    elif origin in (Union, UnionType):
        for part in arguments:
            yield from _counts(part)
    elif origin is tuple and arguments and all(any(_counts(part)) for part in arguments if part is not Ellipsis):
        yield 1 if Ellipsis in arguments else len(arguments)


def _accepts(model: type[BaseModel], values: Mapping[str, Any], name: str, number: int, count: int) -> bool:
    """Return whether an option takes a number where the others are as in `values`; a tuple is filled with it."""
    tuples = [number] if count == 1 else []
    for value in (*tuples, [number] * count):
        try:
            model.model_validate({**values, name: value})
        except ValidationError:
            continue
        return True
    return False
