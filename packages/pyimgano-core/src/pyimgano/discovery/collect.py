"""Step 5, collect: call a plugin's hooks one by one and keep the specs that are sound."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Collection, Iterable
from types import ModuleType

import pluggy

from pyimgano.discovery.load import describe, format_trace
from pyimgano.discovery.records import Candidate, Problem
from pyimgano.errors import suggestion
from pyimgano.specs import (
    CommandSpec,
    ComponentSpec,
    CorruptionSpec,
    DatasetSpec,
    DetectorSpec,
    MetricSpec,
    PostprocessorSpec,
    Spec,
)

HOOKS: dict[str, type[ComponentSpec] | type[CommandSpec]] = {
    "register_detectors": DetectorSpec,
    "register_datasets": DatasetSpec,
    "register_corruptions": CorruptionSpec,
    "register_postprocessors": PostprocessorSpec,
    "register_metrics": MetricSpec,
    "register_commands": CommandSpec,
}

_WORDS: dict[str, tuple[type[Collection[str]], ...]] = {
    "tags": (frozenset, set),
    "requires": (tuple, list),
    "devices": (tuple, list),
}


def collect(
    candidate: Candidate, module: ModuleType | None, manager: pluggy.PluginManager
) -> tuple[list[Spec], list[Problem], str]:
    """Return the sound components of one registered plugin, its problems, and the traceback of the last hook that raised."""
    problems = _unknown_hooks(module, manager) + _unmarked_hooks(module)
    components: dict[tuple[str, str], Spec] = {}
    trace = ""
    called = 0
    for hook, expected in HOOKS.items():
        for implementation in getattr(manager.hook, hook).get_hookimpls():
            if implementation.plugin_name != candidate.label:
                continue
            called += 1
            if implementation.wrapper or implementation.hookwrapper:
                problems.append(Problem(f"{hook} must return specs; it is marked as a wrapper"))
                continue
            try:
                with contextlib.redirect_stdout(sys.stderr):
                    returned = _as_list(implementation.function(), expected)
            except (Exception, SystemExit) as error:  # one hook that raises costs that hook alone
                problems.append(
                    Problem(f"{hook}: {describe(error)}", f"pyimgano list-plugins --trace {candidate.distribution}")
                )
                trace = format_trace(error)
                continue
            for spec in returned:
                problem = _unsound(hook, spec, expected) or _duplicate(components, spec)
                if problem:
                    problems.append(Problem(problem))
                else:
                    components[spec.kind, spec.name] = spec
    if not called and not problems:
        problems.append(_without_hooks(candidate, module))
    return list(components.values()), problems, trace


def _without_hooks(candidate: Candidate, module: object) -> Problem:
    place = module.__name__ if inspect.ismodule(module) else f"{candidate.value}, which is a {type(module).__name__},"
    return Problem(f"{place} implements no hook of pyimgano (see the module pyimgano.hookspecs)")


def _as_list(returned: object, expected: type) -> list[Spec]:
    if isinstance(returned, (str, bytes, ComponentSpec, CommandSpec)) or not isinstance(returned, Iterable):
        raise TypeError(f"it returned {type(returned).__name__}, not a list of {expected.__name__}")
    return list(returned)


def _unsound(hook: str, spec: object, expected: type) -> str | None:
    """Return what is wrong with one spec, or None."""
    if not isinstance(spec, expected):
        return f"{hook} returned {type(spec).__name__}, expected {expected.__name__}"
    assert isinstance(spec, (ComponentSpec, CommandSpec))
    if not _is_name(spec.name, "-" if isinstance(spec, CommandSpec) else "_"):
        pattern = "[a-z][a-z0-9-]*" if isinstance(spec, CommandSpec) else "[a-z][a-z0-9_]*"
        return f"{hook}: {spec.name!r} is not a valid name (it must match {pattern})"
    needed = spec.app if isinstance(spec, CommandSpec) else spec.factory
    optional = [path for field in ("options", "weights_at") if (path := getattr(spec, field, None))]
    for path in [needed, *optional]:
        if not _is_path(path):
            return f"{hook}: {spec.name} names {path!r}, which is not of the form package.module:name"
    if not isinstance(spec.summary, str):
        return f"{hook}: {spec.name} has summary={spec.summary!r}, expected str"
    for field, types in _WORDS.items():
        value = getattr(spec, field, types[0]())
        if not isinstance(value, types) or not all(isinstance(word, str) for word in value):
            return f"{hook}: {spec.name} has {field}={value!r}, expected a {types[0].__name__} of str"
    return None


def _is_name(name: object, separator: str) -> bool:
    if not isinstance(name, str) or not name[:1].isalpha():
        return False
    return name.isascii() and name == name.lower() and name.replace(separator, "").isalnum()


def _is_path(path: object) -> bool:
    module, colon, name = path.partition(":") if isinstance(path, str) else ("", "", "")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), name))


def _duplicate(components: dict[tuple[str, str], Spec], spec: Spec) -> str | None:
    if (spec.kind, spec.name) in components:
        return f"{spec.kind} {spec.name!r} is registered twice; the first one counts"
    return None


def _unknown_hooks(module: object, manager: pluggy.PluginManager) -> list[Problem]:
    problems = []
    for caller in manager.get_hookcallers(module) or ():
        if not caller.has_spec():
            hint = suggestion(caller.name, HOOKS)
            problems.append(Problem(f"unknown hook {caller.name}{': ' + hint if hint else ''}"))
    return problems


def _unmarked_hooks(module: object) -> list[Problem]:
    functions = {hook: inspect.getattr_static(module, hook, None) for hook in HOOKS}  # runs no __getattr__ of the plugin's
    return [
        Problem(f"{hook} is defined but not marked with @hookimpl")
        for hook, function in functions.items()
        if callable(function) and not hasattr(function, "pyimgano_impl")
    ]
