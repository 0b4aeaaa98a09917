"""A component under test: how to make one, and a folder for what it writes."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from pyimgano.registry import Entry, build_component


class ComponentSubject:
    """One component of a plugin, with the options that its author gave for the checks.

    Parameters
    ----------
    entry
        The component and its plugin.
    values
        Its options; those left out have their defaults.
    """

    def __init__(self, entry: Entry, values: Mapping[str, Any]) -> None:
        self.entry = entry
        self.spec = entry.spec
        self.values = values

    def make(self, **values: Any) -> Any:
        """Return a new component."""
        return build_component(self.entry, {**self.values, **values})

    @cached_property
    def folder(self) -> Path:
        """Return a folder that is removed with the subject."""
        self._folder = tempfile.TemporaryDirectory(prefix="pyimgano-check-", ignore_cleanup_errors=True)
        return Path(self._folder.name)
