"""The page about hooks and the specs that they return."""

from __future__ import annotations

import dataclasses
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from pyimgano import contracts, hookspecs, specs
from pyimgano_reference.markdown import attributes, cell, code, docstring, page, prose, summary

SPECS = (
    specs.ComponentSpec,
    specs.DetectorSpec,
    specs.DatasetSpec,
    specs.CorruptionSpec,
    specs.PostprocessorSpec,
    specs.MetricSpec,
    specs.CommandSpec,
    specs.WeightsPlace,
)

CONTRACTS = (contracts.Detector, contracts.Dataset, contracts.Corruption, contracts.Postprocessor, contracts.Metric)


def hooks() -> list[Callable[..., Any]]:
    """Return the hooks, in the order of their module."""
    return [thing for thing in vars(hookspecs).values() if hasattr(thing, f"{hookspecs.PROJECT}_spec")]


def hooks_page() -> str:
    """Return the page."""
    opening = docstring(hookspecs.__doc__)
    return page(
        "Hooks and specs",
        opening,
        "## Hooks",
        *map(_hook, hooks()),
        "## Specs",
        "Frozen dataclasses of the module `pyimgano.specs`. All arguments but those of `WeightsPlace` are keywords.",
        *map(_spec, SPECS),
        "## Contracts",
        "What factories return: subclasses of these classes of `pyimgano.contracts`. Methods marked with a star have to be "
        "written; the docstrings say more. `pyimgano new-plugin NAME --kind KIND` begins a plugin of each kind, "
        "[`check-plugin`](../check-plugin.md) tells whether one keeps its contract.",
        *map(_contract, CONTRACTS),
    )


def _hook(hook: Callable[..., Any]) -> str:
    returns = inspect.signature(hook).return_annotation
    return f"### {hook.__name__}\n\n`{hook.__name__}() -> {returns}`\n\n{docstring(hook.__doc__)}"


def _spec(spec: type) -> str:
    described = {name: text for base in reversed(spec.__mro__) for name, text in attributes(base).items()}
    own = [field for field in dataclasses.fields(spec) if field.name in spec.__annotations__]
    fields = "\n\n".join(_field(field, described.get(field.name, "")) for field in own)
    bases = [base.__name__ for base in spec.__mro__[1:] if base in SPECS]
    inherits = f"All that [`{bases[0]}`](#{bases[0].lower()}) has, and:" if bases else ""
    return "\n\n".join(filter(None, [f"### {spec.__name__}", docstring(spec.__doc__), inherits, fields]))


def _contract(contract: type) -> str:
    methods = {
        name: method
        for name, method in vars(contract).items()
        if inspect.isfunction(method) and (not name.startswith("_") or _to_be_written(method))
    }
    return "\n\n".join([f"### {contract.__name__}", docstring(contract.__doc__), *map(_method, methods.values())])


def _method(method: Callable[..., Any]) -> str:
    arguments = [str(one) for one in inspect.signature(method).parameters.values() if one.name != "self"]
    star = " *" if _to_be_written(method) else ""
    signature = f"{method.__name__}({', '.join(arguments)}) -> {inspect.signature(method).return_annotation}"
    return f"{code(signature.replace(chr(39), ''))}{star}\n:   {cell(summary(method))}"


def _to_be_written(method: Callable[..., Any]) -> bool:
    return getattr(method, "__isabstractmethod__", False)


def _field(field: dataclasses.Field[Any], meaning: str) -> str:
    term = code(f"{field.name}: {field.type}{_default(field)}")
    return f"{term}\n:   {textwrap.indent(prose(meaning), '    ').strip() or '&nbsp;'}"


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return f" = {field.default_factory()!r}"
    return "" if field.default is dataclasses.MISSING else f" = {field.default!r}"
