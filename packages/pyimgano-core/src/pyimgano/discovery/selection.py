"""Which plugins a process may load: distribution names to allow or disable, and plugin files."""

from __future__ import annotations

from collections.abc import Mapping
from os import pathsep
from typing import NamedTuple

from pyimgano.discovery.records import Candidate
from pyimgano.discovery.scan import CORE, normalise

ALLOW = "PYIMGANO_PLUGINS"
DISABLE = "PYIMGANO_DISABLE"
FILES = "PYIMGANO_PLUGIN_FILES"


class Selection(NamedTuple):
    """`allow`: None for all, otherwise only these distributions; `disable`: not these; `files`: modules to load as plugins."""

    allow: tuple[str, ...] | None = None
    disable: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Selection:
        """Read ``PYIMGANO_PLUGINS`` (empty: core only), ``PYIMGANO_DISABLE`` and ``PYIMGANO_PLUGIN_FILES``."""
        return cls(
            allow=_names(environ[ALLOW]) if ALLOW in environ else None,
            disable=_names(environ.get(DISABLE, "")),
            files=tuple(file for file in environ.get(FILES, "").split(pathsep) if file),
        )

    def blocks(self, candidate: Candidate) -> str | None:
        """Return why `candidate` is not loaded, or None. Core and files given by name are always loaded."""
        if candidate.distribution == CORE or candidate.file is not None:
            return None
        if candidate.distribution in map(normalise, self.disable):
            return f"disabled by {DISABLE}"
        if self.allow is not None and candidate.distribution not in map(normalise, self.allow):
            return f"not in {ALLOW}" if self.allow else f"{ALLOW} is empty or --no-plugins was given: core only"
        return None


def _names(text: str) -> tuple[str, ...]:
    return tuple(sorted({part.strip() for part in text.split(",") if part.strip()}))
