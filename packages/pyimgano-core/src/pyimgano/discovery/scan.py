"""Step 1, scan: every distribution that declares an entry point in the group ``pyimgano``, read from metadata alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from pyimgano import __version__
from pyimgano.discovery.records import Candidate

CORE = "pyimgano-core"
GROUP = "pyimgano"


def normalise(name: str) -> str:
    """Return the normal form of a distribution name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def core_candidate() -> Candidate:
    """Return core's own components as a plugin like any other; it needs no metadata, so a bare checkout works."""
    return Candidate(CORE, "core", __version__, value="pyimgano.plugin", location=str(Path(__file__).parents[1]))


def file_candidates(files: Iterable[str]) -> list[Candidate]:
    """Return one candidate per Python file given by name."""
    paths = dict.fromkeys(Path(file).resolve() for file in files)
    return [Candidate(normalise(path.stem), "file", None, location=str(path), file=path) for path in paths]


class Scan(NamedTuple):
    """What is on the path.

    `candidates` are sorted by distribution, then entry name; `old_version` is that of PyPI's older single distribution
    ``pyimgano``, which owns the same import name.
    """

    candidates: tuple[Candidate, ...]
    old_version: str | None


def scan() -> Scan:
    """Read the metadata of all distributions. Of two copies of one, the first on the path counts, as it does for import."""
    candidates: dict[str, list[Candidate]] = {}
    old_version = None
    for dist in metadata.distributions():
        try:
            if not _names_group(dist):
                continue
            entries = dist.entry_points.select(group=GROUP)
            fields = dist.metadata
            name = normalise(fields["Name"])
        except Exception as error:  # a damaged dist-info folder must not hide the other plugins
            damaged = _damaged(dist, error)
            candidates.setdefault(damaged.distribution, [damaged])
            continue
        if name == GROUP:
            old_version = fields["Version"]
        if entries and name not in candidates:
            found = [_candidate(dist, name, fields, entry) for entry in entries]
            candidates[name] = sorted(found, key=lambda candidate: candidate.entry)
    in_order = tuple(candidate for name in sorted(candidates) for candidate in candidates[name])
    return Scan(in_order, old_version)


def _names_group(dist: metadata.Distribution) -> bool:
    try:
        return GROUP in (dist.read_text("entry_points.txt") or "")
    except UnicodeDecodeError as error:
        return GROUP.encode() in error.object


def _candidate(
    dist: metadata.Distribution, name: str, fields: metadata.PackageMetadata, entry: metadata.EntryPoint
) -> Candidate:
    requires = fields.get_all("Requires-Dist")
    return Candidate(
        distribution=name,
        entry=entry.name,
        version=fields["Version"],
        value=entry.value,
        requires=None if requires is None else tuple(requires),
        location=str(dist.locate_file("")),
    )


def _damaged(dist: metadata.Distribution, error: Exception) -> Candidate:
    folder = Path(str(getattr(dist, "_path", dist.locate_file(""))))
    name = normalise(folder.name.split("-")[0])
    return Candidate(name, "", None, location=str(folder), damage=f"its metadata cannot be read: {error} ({folder})")
