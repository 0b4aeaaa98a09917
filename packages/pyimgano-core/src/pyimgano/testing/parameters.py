"""The checks of a plugin as parameters of a pytest test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pyimgano.errors import PyimganoError
from pyimgano.options import parse
from pyimgano.testing.results import BAD, Result
from pyimgano.testing.run import Trial, trials
from pyimgano.testing.settings import Settings

if TYPE_CHECKING:
    import pytest


class PluginCheck:
    """One check of one component: called in a test, it passes, fails, skips, or fails as expected."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial

    def __call__(self) -> None:
        import pytest

        found = self.trial.result()
        if found.outcome == "skipped":
            pytest.skip(found.reason)
        if found.outcome == "expected":
            pytest.xfail(found.reason)
        if found.outcome in BAD:
            pytest.fail(_text(found), pytrace=False)

    def __repr__(self) -> str:
        return self.trial.name


def plugin_checks(
    plugin: str,
    *,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    expected_failures: Mapping[str, Mapping[str, str]] | None = None,
    only: Iterable[str] = (),
) -> list[Any]:
    """Return the checks of an installed plugin for ``pytest.mark.parametrize``.

    A whole test module::

        import pytest
        from pyimgano.testing import plugin_checks

        @pytest.mark.parametrize("check", plugin_checks("acme-scratch-detector"))
        def test_the_plugin_conforms(check):
            check()

    Parameters
    ----------
    plugin
        Name of the distribution.
    options
        Options of components that cannot run with their defaults, or not quickly, by short name.
    expected_failures
        Reasons of failures that are known, by short name of the component (or name of the distribution) and check.
    only
        Names of checks; empty for all.

    Returns
    -------
    list of pytest.param
        Each with a `PluginCheck`; ids are ``component-check``.

    Raises
    ------
    UnknownComponentError, OptionsError
        If there is no such plugin, component or check.
    """
    import pytest

    given = {"options": options or {}, "expected_failures": expected_failures or {}}
    settings = parse(Settings, given, "plugin_checks")
    found: list[pytest.ParameterSet] = [
        pytest.param(PluginCheck(trial), id=trial.name) for trial in trials(plugin, settings, only)
    ]
    return found


def _text(found: Result) -> str:
    return str(PyimganoError(f"{found.component}: {found.check}: {found.reason}", found.next_step))
