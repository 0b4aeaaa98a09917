"""Checks of an installation, each on its own, so that the one that fails hides no other; ``pyimgano doctor`` prints them.

This package imports nothing but the standard library and discovery, because what it looks for may be a numpy that cannot be
imported.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import sys
from collections.abc import Iterator, Mapping

from pyimgano.discovery.load import describe
from pyimgano.doctor.report import TRACEBACKS, Finding, Report, Row

__all__ = ["CHECKS", "Finding", "Report", "examine"]

logger = logging.getLogger(__name__)

CHECKS: Mapping[str, str] = {
    "environment": "pyimgano.doctor.environment:check_environment",
    "plugins": "pyimgano.doctor.plugins:check_plugins",
    "weights": "pyimgano.doctor.weights:check_weights",
    "opencv": "pyimgano.doctor.opencv:check_opencv",
    "threads": "pyimgano.doctor.threads:check_threads",
    "storage": "pyimgano.doctor.storage:check_storage",
    "self-test": "pyimgano.doctor.self_test:check_self_test",
}
"""Name of each check and the function that makes it: it takes nothing and yields findings."""


def examine(checks: Mapping[str, str] = CHECKS) -> Report:
    """Run the checks in their order. Whatever one raises becomes a finding of its own; its prints go to stderr."""
    return Report(tuple(row for name, path in checks.items() for row in _rows(name, path)))


def _rows(name: str, path: str) -> Iterator[Row]:
    module, _, function = path.partition(":")
    try:
        with contextlib.redirect_stdout(sys.stderr):
            findings = iter(getattr(importlib.import_module(module), function)())
        while True:
            with contextlib.redirect_stdout(sys.stderr):
                finding = next(findings, None)
            if finding is None:
                return
            yield Row(name, finding)
    except (Exception, SystemExit) as error:  # a broken library or plugin may raise anything here
        logger.debug("check %s", name, exc_info=True)
        yield Row(name, Finding(f"the check could not be finished: {describe(error)}", "broken", TRACEBACKS))
