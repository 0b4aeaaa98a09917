"""Step 3, check: what a distribution requires against what is installed, from metadata alone, and the command that mends it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING

from pyimgano import __version__
from pyimgano.discovery.records import Candidate, PluginRecord, Problem
from pyimgano.discovery.scan import CORE, normalise
from pyimgano.specs import ComponentSpec

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_MAJOR, _MINOR = __version__.split(".")[:2]
_LOCKSTEP = frozenset({f">={_MAJOR}.{_MINOR}", f"<{_MAJOR}.{int(_MINOR) + 1}"})


def install_command(*requirements: str) -> str:
    """Return the command that installs `requirements` into this interpreter's environment."""
    return _pip("install", *requirements)


def uninstall_command(*distributions: str) -> str:
    """Return the command that removes distributions from this interpreter's environment."""
    return _pip("uninstall", *distributions)


def _pip(action: str, *words: str) -> str:
    python, *rest = (f'"{text}"' if set(text) & set("<>=![]; ") else text for text in (sys.executable, *words))
    if importlib.util.find_spec("pip") is None:
        return " ".join(["uv pip", action, "--python", python, *rest])
    return " ".join([python, "-m pip", action, *rest])


def incompatibility(candidate: Candidate) -> Problem | None:
    """Return a problem if the distribution asks for another pyimgano-core than the one that runs.

    The usual window of this version is recognised as text, because importing a parser would cost every ``--help`` more than
    all the rest of discovery.
    """
    for text in candidate.requires or ():
        asked = _asked_of_core(text)
        if asked is None or frozenset(asked.split(",")) == _LOCKSTEP:
            continue
        try:
            wanted = _parsed([text])
        except ValueError as error:
            return Problem(_unparsable("its metadata", error))
        if any(not requirement.specifier.contains(__version__, prereleases=True) for requirement in wanted):
            fix = install_command("--upgrade", CORE, candidate.distribution)
            return Problem(f"needs {text}, but pyimgano-core {__version__} is installed", fix)
    return None


def _asked_of_core(requirement: str) -> str | None:
    """Return the version specifier of a requirement on pyimgano-core, or None for one on anything else."""
    text = requirement.partition(";")[0].replace(" ", "").replace("(", "").replace(")", "")
    name, rest = text[: len(CORE)], text[len(CORE) :]
    return rest if normalise(name) == CORE and not rest[:1].strip("<>=!~[@") else None


def missing_requirements(candidate: Candidate) -> list[Problem]:
    """Return a problem for each requirement of the distribution that this environment does not meet."""
    try:
        return _unmet(_parsed(candidate.requires or ()))
    except ValueError as error:
        return [Problem(_unparsable("its metadata", error))]


def unmet_by(spec: ComponentSpec, candidate: Candidate) -> list[Problem]:
    """Return a problem for each requirement of one component; the fix installs the extra that brings it."""
    fix = install_command(f"{candidate.distribution}[{spec.extra}]") if spec.extra else ""
    try:
        return [Problem(problem.message, fix or problem.fix) for problem in _unmet(_parsed(spec.requires))]
    except ValueError as error:
        return [Problem(_unparsable(spec.name, error))]


def with_requirements(record: PluginRecord) -> PluginRecord:
    """Return the record with unmet requirements of the distribution and its components added to the problems."""
    if record.status not in ("ok", "partial"):
        return record
    components = [spec for spec in record.components if isinstance(spec, ComponentSpec)]
    problems = missing_requirements(record.candidate)
    problems += [problem for spec in components for problem in unmet_by(spec, record.candidate)]
    if not problems:
        return record
    found = record.candidate.record(
        "missing-deps", dict.fromkeys([*record.problems, *problems]), record.components, record.trace
    )
    return found.timed(record.milliseconds)


def _parsed(requirements: Iterable[str]) -> list[Requirement]:
    from packaging.requirements import Requirement

    parsed = [Requirement(text) for text in requirements]
    valid_here = [one for one in parsed if one.marker is None or one.marker.evaluate({"extra": ""})]
    for requirement in valid_here:
        requirement.marker = None
    return valid_here


def _unmet(requirements: Iterable[Requirement]) -> list[Problem]:
    problems = []
    for requirement in requirements:
        wanted = str(requirement)
        installed = _version(requirement.name)
        if installed is None:
            problems.append(Problem(f"needs {wanted}, which is not installed", install_command(wanted)))
        elif not requirement.specifier.contains(installed, prereleases=True):
            problems.append(Problem(f"needs {wanted}, but {installed} is installed", install_command(wanted)))
    return problems


def _unparsable(whose: str, error: ValueError) -> str:
    return f"{whose} holds a requirement that cannot be parsed: {' '.join(str(error).split())}"


@cache
def _version(name: str) -> str | None:
    if normalise(name) == CORE:
        return __version__
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def is_installed(distribution: str) -> bool:
    """Return whether there is such a distribution, a plugin or not."""
    return _version(distribution) is not None
