"""What a check is, and which checks a component gets."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pyimgano.errors import OptionsError, suggestion

PLUGIN = "plugin"
"""The kind of checks that look at a distribution as a whole."""

_HOMES = {
    PLUGIN: ("packaging",),
    "detector": ("components", "detectors", "flags", "maps"),
    "dataset": ("components", "datasets"),
    "corruption": ("components", "corruptions"),
    "postprocessor": ("components", "postprocessors"),
    "metric": ("components", "metrics"),
    "command": ("commands",),
}


@dataclass(frozen=True)
class Check:
    """A promise that can be tested.

    Attributes
    ----------
    name
        Stable; expected failures are written with it.
    promise
        The promise in one sentence.
    run
        Called with what `subject_of` of its kind gives; raises `CheckFailure` or returns.
    applies
        Whether a component with this spec makes that promise.
    needs
        Checks that have to pass before this one says anything.
    builds
        Whether it runs the component's implementation, which needs what the component requires.
    """

    name: str
    promise: str
    run: Callable[[Any], None]
    applies: Callable[[Any], bool]
    needs: tuple[str, ...]
    builds: bool


class Checks(list[Check]):
    """The checks of one module, in the order in which they run; `needs` and `builds` hold for all that do not say otherwise."""

    def __init__(self, needs: tuple[str, ...] = (), builds: bool = True) -> None:
        super().__init__()
        self._needs = needs
        self._builds = builds

    def add(
        self,
        when: Callable[[Any], bool] = lambda _: True,
        needs: tuple[str, ...] | None = None,
        builds: bool | None = None,
    ) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
        """Make a function a check of that name, whose promise is the first line of its docstring."""

        def decorate(function: Callable[[Any], None]) -> Callable[[Any], None]:
            promise = (function.__doc__ or "").partition("\n")[0]
            chosen = self._needs if needs is None else needs
            self.append(Check(function.__name__, promise, function, when, chosen, self._builds if builds is None else builds))
            return function

        return decorate


def checks_of(kind: str) -> list[Check]:
    """Return all checks of a kind of component, in the order in which they run."""
    return [check for name in _HOMES[kind] for check in _home(name).checks]


def subject_of(kind: str) -> Callable[..., Any]:
    """Return what makes the thing that the checks of a kind are called with."""
    subject: Callable[..., Any] = _home("packaging" if kind == PLUGIN else f"{kind}s").Subject
    return subject


def all_checks() -> list[tuple[str, Check]]:
    """Return every check with its kind."""
    return [(kind, check) for kind in _HOMES for check in checks_of(kind)]


def known_check(name: str) -> str:
    """Return the name of a check, or raise `OptionsError` if there is none."""
    names = {check.name for _, check in all_checks()}
    if name not in names:
        raise OptionsError(
            f"no check is called {name!r}", suggestion(name, names) or "pyimgano check-plugin --list-checks shows them"
        )
    return name


def _home(name: str) -> Any:
    return importlib.import_module(f"pyimgano.testing.{name}")
