"""The interpreter, the platform, the versions of core and its libraries, and the older distribution of the same name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import metadata

from pyimgano import __version__
from pyimgano.discovery import CORE, old_distribution_notice
from pyimgano.discovery.requirements import install_command, missing_requirements, uninstall_command
from pyimgano.discovery.scan import core_candidate
from pyimgano.doctor.report import Finding
from pyimgano.reporting.environment import environment

_OPENCV = "opencv"


def check_environment() -> Iterator[Finding]:
    """Yield versions, what core needs and does not have, and a second owner of the import name."""
    found = environment()
    yield Finding(f"Python {found['python']} on {found['platform']}: {sys.executable}")
    yield Finding(f"{CORE} {__version__} in {core_candidate().location}")
    yield Finding(", ".join(f"{name} {version}" for name, version in found["libraries"].items()))
    yield from _metadata()
    old = _version("pyimgano")
    if old is not None:
        remove = uninstall_command("pyimgano", CORE)
        yield Finding(old_distribution_notice(old), "broken", f"{remove} && {install_command(CORE)}")


def _metadata() -> Iterator[Finding]:
    """Yield what core's own metadata says against what is there; a bare checkout has none."""
    installed = _version(CORE)
    if installed is None:
        return
    if installed != __version__:
        fix = install_command("--force-reinstall", CORE)
        yield Finding(f"{CORE} {installed} is installed, but version {__version__} runs: another copy comes first", "note", fix)
    requires = tuple(text for text in metadata.requires(CORE) or () if not text.startswith(_OPENCV))  # `opencv` looks at those
    for problem in missing_requirements(core_candidate()._replace(requires=requires)):
        yield Finding(f"{CORE} {problem.message}", "broken", problem.fix)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
