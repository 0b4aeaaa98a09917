"""The page of public Python names."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from pyimgano_reference.markdown import cell, code, page, summary, table

PACKAGES = {
    "pyimgano": "Every name can be imported from `pyimgano` itself, and is loaded when it is first used.",
    "pyimgano_robustness": "Of the distribution `pyimgano-robustness`.",
}


def python_page() -> str:
    """Return the page."""
    sections = []
    for package, opening in PACKAGES.items():
        module = importlib.import_module(package)
        rows = [
            [code(name), f"{cell(summary(getattr(module, name)))}{_arguments(getattr(module, name))}"]
            for name in _names(module)
        ]
        sections.append(f"## {package}\n\n{opening}\n\n{table(['Name', 'What it is'], rows)}")
    return page(
        "Python names", "The docstrings, `help(pyimgano.infer_iter)`, say more: shapes, units, ranges and errors.", *sections
    )


def _names(module: Any) -> list[str]:
    return [name for name in module.__all__ if not name.startswith("__")]


def _arguments(thing: Any) -> str:
    if not inspect.isfunction(thing):
        return ""
    parameters = inspect.signature(thing).parameters.values()
    words = [
        f"*{one.name}" if one.kind is one.VAR_POSITIONAL else f"**{one.name}" if one.kind is one.VAR_KEYWORD else one.name
        for one in parameters
    ]
    return f"<br>Arguments: {', '.join(map(code, words))}" if words else ""
