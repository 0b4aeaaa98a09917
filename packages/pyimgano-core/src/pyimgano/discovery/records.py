"""What discovery knows about plugins, as frozen records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from pyimgano.specs import Spec

Status = Literal["ok", "partial", "missing-deps", "incompatible", "broken", "disabled", "not-installed"]


class Problem(NamedTuple):
    """What is wrong with a plugin, and the command that mends it (empty where only its author can)."""

    message: str
    fix: str = ""


class Candidate(NamedTuple):
    """A plugin that was found and not yet loaded.

    `entry` is an `importlib.metadata.EntryPoint`, as ``name = value``; `file` is set for a plugin given as a Python file;
    `requires` is None where the metadata says nothing; `damage` says why the metadata cannot be read.
    """

    distribution: str
    entry: str
    version: str | None
    value: str = ""
    requires: tuple[str, ...] | None = None
    location: str | None = None
    file: Path | None = None
    damage: str = ""

    @property
    def label(self) -> str:
        """``distribution/entry``: unique, where entry-point names alone are not."""
        return f"{self.distribution}/{self.entry}"

    def record(
        self, status: Status, problems: Iterable[Problem] = (), components: Iterable[Spec] = (), trace: str = ""
    ) -> PluginRecord:
        """Return the record of this plugin after discovery."""
        return PluginRecord(self, status, tuple(problems), tuple(components), trace)


class PluginRecord(NamedTuple):
    """A plugin after discovery."""

    candidate: Candidate
    status: Status
    problems: tuple[Problem, ...] = ()
    components: tuple[Spec, ...] = ()
    trace: str = ""
    milliseconds: float = 0.0
    offers: Mapping[str, tuple[str, ...]] = MappingProxyType({})

    @property
    def distribution(self) -> str:
        return self.candidate.distribution

    @property
    def version(self) -> str | None:
        return self.candidate.version

    def timed(self, milliseconds: float) -> PluginRecord:
        """Return a copy that knows how long loading took."""
        return self._replace(milliseconds=milliseconds)

    def offering(self, offers: Mapping[str, tuple[str, ...]]) -> PluginRecord:
        """Return a copy that names the components it would provide if it were installed."""
        return self._replace(offers=offers)

    def names(self, kind: str) -> list[str]:
        """Return the names of the components of one kind, provided or (not installed) offered."""
        return sorted(self.offers.get(kind, ())) + sorted(spec.name for spec in self.components if spec.kind == kind)

    def counts(self) -> dict[str, int]:
        """Return how many components of each kind it provides or offers."""
        counts = Counter(spec.kind for spec in self.components)
        counts.update({kind: len(names) for kind, names in self.offers.items()})
        return dict(counts)

    def provided(self) -> str:
        """Return the same in words, such as ``4 detectors, 1 dataset``."""
        return ", ".join(f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in self.counts().items()) or "nothing"

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain data."""
        return {
            "distribution": self.distribution,
            "entry_point": self.candidate.entry,
            "version": self.version,
            "location": self.candidate.location,
            "status": self.status,
            "problems": [{"message": problem.message, "fix": problem.fix} for problem in self.problems],
            "provides": {kind: self.names(kind) for kind in sorted(self.counts())},
            "milliseconds": round(self.milliseconds, 3),
        }


class PluginIndex(NamedTuple):
    """All plugins of an environment. `notices` are sentences about the environment as a whole."""

    records: tuple[PluginRecord, ...]
    notices: tuple[str, ...] = ()

    def components(self, kind: str) -> Iterator[tuple[PluginRecord, Any]]:
        """Yield every component of one kind with the plugin that provides it, sorted by name, then distribution."""
        pairs = [(record, spec) for record in self.records for spec in record.components if spec.kind == kind]
        yield from sorted(pairs, key=lambda pair: (pair[1].name, pair[0].candidate.label))

    def unusable(self) -> Sequence[PluginRecord]:
        """Return the installed, enabled plugins that could not be loaded whole."""
        return [record for record in self.records if record.status in ("broken", "partial", "incompatible", "missing-deps")]
