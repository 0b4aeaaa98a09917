"""Find plugins in five isolated steps: scan, block, check, load, collect. One broken plugin never takes the others down."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from functools import lru_cache

import pluggy

from pyimgano import hookspecs
from pyimgano.discovery.catalogue import FIRST_PARTY
from pyimgano.discovery.collect import collect
from pyimgano.discovery.load import load
from pyimgano.discovery.records import Candidate, PluginIndex, PluginRecord, Problem, Status
from pyimgano.discovery.requirements import incompatibility, install_command, missing_requirements
from pyimgano.discovery.scan import CORE, core_candidate, file_candidates, normalise, scan
from pyimgano.discovery.selection import Selection

__all__ = ["CORE", "PluginIndex", "PluginRecord", "Problem", "Selection", "discover", "installed_plugins"]


def installed_plugins() -> PluginIndex:
    """Return the plugins of this environment, discovered once per process and selection (`Selection.from_environ`)."""
    return _cached(Selection.from_environ(os.environ))


@lru_cache(maxsize=8)
def _cached(selection: Selection) -> PluginIndex:
    return discover(selection)


def discover(selection: Selection | None = None) -> PluginIndex:
    """Run the five steps and return what was found, sorted by distribution, core first."""
    selection = selection or Selection()
    found = scan()
    candidates = [core_candidate(), *file_candidates(selection.files), *found.candidates]
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    records = [_examine(candidate, selection, manager) for candidate in candidates]
    present = {record.distribution for record in records}
    absent = [_not_installed(name, entry) for name, entry in sorted(FIRST_PARTY.items()) if name not in present]
    return PluginIndex(tuple(records + absent), _notices(selection, present, found.old_version))


def _examine(candidate: Candidate, selection: Selection, manager: pluggy.PluginManager) -> PluginRecord:
    started = time.perf_counter()
    reason = selection.blocks(candidate)
    if reason:
        return candidate.record("disabled", [Problem(reason)])
    if candidate.damage:
        reinstall = install_command("--force-reinstall", candidate.distribution)
        return candidate.record("broken", [Problem(candidate.damage, reinstall)])
    problem = incompatibility(candidate)
    if problem:
        return candidate.record("incompatible", [problem])
    module, failure = load(candidate, manager)
    if failure is not None:
        missing = missing_requirements(candidate)
        record = candidate.record("missing-deps" if missing else "broken", [*missing, failure.problem], trace=failure.trace)
    else:
        components, problems, trace = collect(candidate, module, manager)
        status: Status = "ok" if not problems else "partial" if components else "broken"
        record = candidate.record(status, problems, components, trace)
    return record.timed((time.perf_counter() - started) * 1e3)


def _not_installed(name: str, components: Mapping[str, tuple[str, ...]]) -> PluginRecord:
    fix = install_command(name)
    candidate = Candidate(distribution=name, entry="", version=None)
    return candidate.record("not-installed", [Problem(f"{name} is not installed", fix)]).offering(components)


def _notices(selection: Selection, present: set[str], old_version: str | None) -> tuple[str, ...]:
    """Sentences about the environment as a whole."""
    notices = [
        f"no plugin distribution is called {name!r} (named in {variable})"
        for variable, names in (("PYIMGANO_PLUGINS", selection.allow or ()), ("PYIMGANO_DISABLE", selection.disable))
        for name in sorted(names)
        if normalise(name) not in present
    ]
    if CORE in {normalise(name) for name in selection.disable}:
        notices.append("pyimgano-core cannot be disabled; PYIMGANO_DISABLE is ignored for it")
    if old_version is not None:
        notices.append(old_distribution_notice(old_version))
    return tuple(notices)


def old_distribution_notice(version: str) -> str:
    """Return what is wrong where PyPI's older single distribution is installed too."""
    return (
        f"the older distribution 'pyimgano' {version} is installed beside pyimgano-core and owns the same import name; "
        "remove both, then install pyimgano-core again"
    )
