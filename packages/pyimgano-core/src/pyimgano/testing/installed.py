"""Which distribution brings a module, and what a distribution requires, from metadata alone."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlparse

from packaging.requirements import Requirement

from pyimgano.discovery.scan import CORE, normalise


@cache
def owners() -> Mapping[str, frozenset[str]]:
    """Return the distributions that bring each installed top-level module, under their normal names."""
    return {module: frozenset(map(normalise, names)) for module, names in metadata.packages_distributions().items()}


def brought_by(module: str) -> frozenset[str]:
    """Return the distributions that bring a top-level module; those installed editable too. Empty where none is installed."""
    if module == "pyimgano":
        return frozenset({CORE})
    return owners().get(module) or _editable(module)


def required(distribution: str) -> list[Requirement]:
    """Return all that a distribution requires, its extras included."""
    try:
        return [Requirement(text) for text in metadata.requires(distribution) or ()]
    except metadata.PackageNotFoundError:
        return []


def extras(distribution: str) -> list[str]:
    """Return the extras that a distribution has, under their normal names."""
    try:
        return [normalise(name) for name in metadata.metadata(distribution).get_all("Provides-Extra") or ()]
    except metadata.PackageNotFoundError:
        return []


def pinned_by(names: frozenset[str]) -> frozenset[str]:
    """Return the distributions that one of `names` requires at one exact version, so that they are parts of it."""
    return frozenset(
        normalise(requirement.name)
        for name in names
        for requirement in required(name)
        if len(requirement.specifier) == 1 and next(iter(requirement.specifier)).operator == "=="
    )


def _editable(module: str) -> frozenset[str]:
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.origin:
        return frozenset()
    origin = Path(spec.origin)
    return frozenset(name for name, folder in _editable_folders().items() if folder in origin.parents)


@cache
def _editable_folders() -> Mapping[str, Path]:
    found = {}
    for dist in metadata.distributions():
        origin = json.loads(dist.read_text("direct_url.json") or "{}")
        if origin.get("dir_info", {}).get("editable"):
            found[normalise(dist.metadata["Name"])] = Path(unquote(urlparse(origin["url"]).path))
    return found
