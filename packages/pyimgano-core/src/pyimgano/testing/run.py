"""From a plugin to the list of its trials, and from trials to results."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pyimgano.discovery import PluginIndex, PluginRecord, installed_plugins
from pyimgano.discovery.load import describe
from pyimgano.discovery.requirements import is_installed, missing_requirements, unmet_by
from pyimgano.discovery.scan import normalise
from pyimgano.errors import PyimganoError, UnknownComponentError, suggestion
from pyimgano.progress import track
from pyimgano.registry import Entry
from pyimgano.specs import ComponentSpec
from pyimgano.testing.checks import PLUGIN, Check, checks_of, known_check, subject_of
from pyimgano.testing.results import CheckSkipped, Outcome, Result
from pyimgano.testing.settings import Settings

ADVICE = "mend it, or raise an error of pyimgano.errors that says what to do; --debug shows the traceback"
logger = logging.getLogger(__name__)


class Target:
    """A plugin or one of its components, with the checks it gets; the outcome of each is found once.

    Parameters
    ----------
    name, kind
        What results call it.
    make
        Makes the subject of its checks.
    missing
        Why its implementation cannot run here; empty where it can.
    expected
        Reasons of expected failures, by check.
    """

    def __init__(self, name: str, kind: str, spec: Any, make: Any, missing: str, expected: Mapping[str, str]) -> None:
        self.name = name
        self.kind = kind
        self.checks = {check.name: check for check in checks_of(kind) if check.applies(spec)}
        self._make = make
        self._missing = missing
        self._expected = expected
        self._results: dict[str, Result] = {}

    @cached_property
    def subject(self) -> Any:
        return self._make()

    def release(self) -> None:
        """Let go of the subject, with all that it learned; results stay."""
        self.__dict__.pop("subject", None)
        gc.collect()  # networks refer to themselves

    def result(self, check: Check) -> Result:
        """Return what a check finds, after the checks that it needs."""
        if check.name not in self._results:
            started = time.perf_counter()
            outcome, reason, step, after = self._outcome(check)
            expected = self._expected.get(check.name)
            if expected is not None and outcome in ("failed", "error"):
                outcome, reason, step = "expected", f"{expected}: {reason}", ""
            elif expected is not None and outcome == "passed":
                outcome, reason, step = "unexpected pass", f"it was expected to fail: {expected}", "expect it no longer"
            seconds = time.perf_counter() - started
            self._results[check.name] = Result(self.name, self.kind, check.name, outcome, reason, step, after, seconds)
        return self._results[check.name]

    def _outcome(self, check: Check) -> tuple[Outcome, str, str, str]:
        if check.builds and self._missing:
            return "skipped", self._missing, "", ""
        for name in check.needs:
            needed = self.result(self.checks[name])
            if needed.outcome != "passed":
                why = f": {needed.reason}" if needed.outcome == "skipped" else ""
                return "skipped", f"{name} is {needed.outcome}{why}", "", name
        try:
            check.run(self.subject)
        except CheckSkipped as skipped:
            return "skipped", skipped.problem, skipped.next_step, ""
        except PyimganoError as failure:
            return "failed", failure.problem, failure.next_step or "mend it, as the check asks", ""
        except (Exception, SystemExit) as error:  # a plugin may raise anything
            logger.debug("%s: %s", self.name, check.name, exc_info=True)
            return "error", describe(error), ADVICE, ""
        return "passed", "", "", ""


@dataclass(frozen=True)
class Trial:
    """One check of one target."""

    target: Target
    check: Check

    @property
    def name(self) -> str:
        """``component-check``."""
        return f"{self.target.name}-{self.check.name}"

    def result(self) -> Result:
        """Return what it finds."""
        return self.target.result(self.check)


def trials(
    plugin: str, settings: Settings | None = None, only: Iterable[str] = (), index: PluginIndex | None = None
) -> list[Trial]:
    """Return the checks of a plugin, not yet run.

    Parameters
    ----------
    plugin
        Name of a distribution, or of a plugin file without its ending.
    settings
        Options and expected failures that go before those which the plugin's package brings.
    only
        Names of checks; empty for all. What they need runs too.
    index
        The plugins to look in, by default those that are installed.

    Raises
    ------
    UnknownComponentError
        If no such plugin is installed.
    OptionsError
        If settings or `only` name what is not there.
    """
    records = records_of(plugin, index or installed_plugins())
    settings = Settings.shipped(records[0]).joined(settings or Settings())
    entries = [Entry(spec, record) for record in records for spec in record.components]
    settings.check([records[0].distribution, *(entry.spec.name for entry in entries)])
    chosen = {known_check(name) for name in only}
    targets = [*(_whole(record, settings) for record in records), *(_component(entry, settings) for entry in entries)]
    return [
        Trial(target, check) for target in targets for check in target.checks.values() if not chosen or check.name in chosen
    ]


def check_plugin(plugin: str, settings: Settings | None = None, only: Iterable[str] = ()) -> list[Result]:
    """Run the checks of a plugin and return what they found; parameters and errors as for `trials`."""
    results = []
    found = trials(plugin, settings, only)
    pairs = zip(found, [*found[1:], None], strict=True)
    for trial, following in track(pairs, f"checking {plugin}", len(found)):
        results.append(trial.result())
        if following is None or following.target is not trial.target:
            trial.target.release()
    return results


def records_of(plugin: str, index: PluginIndex) -> list[PluginRecord]:
    """Return the entry points of a plugin, or raise `UnknownComponentError` if it is not there."""
    wanted = normalise(plugin)
    found = [record for record in index.records if record.distribution == wanted]
    if not found:
        if plugin.endswith(".py"):
            raise UnknownComponentError(f"{plugin} is a file", f"pyimgano check-plugin --plugin {plugin}")
        if is_installed(wanted):
            raise UnknownComponentError(
                f"{plugin} is installed, but has no entry point in the group pyimgano",
                "write [project.entry-points.pyimgano] in its pyproject.toml, and install it again",
            )
        names = [record.distribution for record in index.records if record.status != "not-installed"]
        raise UnknownComponentError(
            f"no plugin is called {plugin!r}", suggestion(wanted, names) or f"installed are {', '.join(names)}"
        )
    if found[0].status in ("not-installed", "disabled"):
        reason, fix = found[0].problems[0]
        raise UnknownComponentError(f"{plugin} is {found[0].status}: {reason}", fix)
    return found


def _whole(record: PluginRecord, settings: Settings) -> Target:
    name = record.distribution
    expected = settings.expected_failures.get(name, {})
    return Target(name, PLUGIN, record, lambda: subject_of(PLUGIN)(record), "", expected)


def _component(entry: Entry, settings: Settings) -> Target:
    name, kind = entry.spec.name, entry.spec.kind
    values = settings.options.get(name, {})
    expected = settings.expected_failures.get(name, {})
    return Target(name, kind, entry.spec, lambda: subject_of(kind)(entry, values), "; ".join(_missing(entry)), expected)


def _missing(entry: Entry) -> Iterator[str]:
    """Yield what the implementation of a component needs and this environment lacks."""
    if isinstance(entry.spec, ComponentSpec):
        yield from (problem.message for problem in unmet_by(entry.spec, entry.record.candidate))
        yield from (problem.message for problem in missing_requirements(entry.record.candidate))
