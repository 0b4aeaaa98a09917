"""The conformance kit: small named checks that a plugin keeps what its specs promise.

``pyimgano check-plugin`` runs them on the command line, `plugin_checks` as parameters of a pytest test. Importing this package
loads nothing of core.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "Check": "pyimgano.testing.checks",
    "CheckFailure": "pyimgano.testing.results",
    "Result": "pyimgano.testing.results",
    "Settings": "pyimgano.testing.settings",
    "check_plugin": "pyimgano.testing.run",
    "plugin_checks": "pyimgano.testing.parameters",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pyimgano.testing' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
