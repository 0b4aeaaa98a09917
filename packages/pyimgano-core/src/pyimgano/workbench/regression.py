"""What changed between two runs, and whether a metric has become worse than it may."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pyimgano.errors import OptionsError, UnknownComponentError, suggestion
from pyimgano.registry import find
from pyimgano.workbench.history import Change, changes_between
from pyimgano.workbench.runs import SavedRun

_ROUNDING = 1e-12


@dataclass(frozen=True)
class Row:
    """A metric of two runs; None where it is undefined or was not computed. `allowed`: the drop that the gate allows."""

    name: str
    old: float | None
    new: float | None
    higher_is_better: bool
    allowed: float | None = None

    @property
    def change(self) -> float | None:
        """Return by how much the value grew."""
        return None if self.old is None or self.new is None else self.new - self.old

    @property
    def failed(self) -> bool:
        """Return whether the gate refuses it: worse by more than allowed, or nowhere to be compared."""
        if self.allowed is None:
            return False
        if self.change is None:
            return True
        drop = -self.change if self.higher_is_better else self.change
        return drop > self.allowed + _ROUNDING


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side.

    Attributes
    ----------
    rows
        Every metric that one of them has.
    thresholds
        Image and pixel threshold of both, by level: value and method.
    images
        Whether both used the same ones, by what they were used for; None where one of them does not say.
    settings, environment
        What differs.
    """

    rows: tuple[Row, ...]
    thresholds: Mapping[str, tuple[Any, Any]]
    images: Mapping[str, bool | None]
    settings: tuple[Change, ...]
    environment: tuple[Change, ...]

    @property
    def failed(self) -> tuple[Row, ...]:
        """Return the metrics that the gate refuses."""
        return tuple(row for row in self.rows if row.failed)

    def record(self) -> dict[str, Any]:
        """Return it as plain data."""
        metrics = {
            row.name: {"old": row.old, "new": row.new, "change": row.change, "allowed_drop": row.allowed, "failed": row.failed}
            for row in self.rows
        }
        return {
            "metrics": metrics,
            "thresholds": {level: {"old": old, "new": new} for level, (old, new) in self.thresholds.items()},
            "same_images": self.images,
            "settings": [change.model_dump() for change in self.settings],
            "environment": [change.model_dump() for change in self.environment],
            "failed": [row.name for row in self.failed],
        }


def compare(old: SavedRun, new: SavedRun, max_drop: Mapping[str, float] | None = None) -> Comparison:
    """Return what changed from one run to another.

    Parameters
    ----------
    max_drop
        By how much a metric may become worse: fall, or rise where lower is better.

    Raises
    ------
    OptionsError
        If neither run has a metric of that name.
    """
    limits = max_drop or {}
    names = list(dict.fromkeys([*old.metrics, *new.metrics]))
    for name in limits:
        if name not in names:
            raise OptionsError(
                f"neither run has a metric {name!r}",
                f"{suggestion(name, names)} they have {', '.join(names) or 'none'}".strip(),
            )
    rows = (Row(name, old.metrics.get(name), new.metrics.get(name), _higher(name), limits.get(name)) for name in names)
    return Comparison(
        tuple(rows),
        {level: (_threshold(old, level), _threshold(new, level)) for level in ("image", "pixel")},
        dict(_same_images(old, new)),
        changes_between(_comparable(old), _comparable(new)),
        changes_between(old.report.get("environment") or {}, new.report.get("environment") or {}),
    )


def _higher(name: str) -> bool:
    """Return whether a higher value is better; taken for granted of a metric whose plugin is not installed."""
    try:
        return bool(find("metric", name.partition(",")[0]).spec.higher_is_better)
    except UnknownComponentError:
        return True


def _threshold(run: SavedRun, level: str) -> dict[str, Any] | None:
    record = (run.report.get("thresholds") or {}).get(level)
    return {key: record.get(key) for key in ("value", "method", "source")} if isinstance(record, Mapping) else None


def _same_images(old: SavedRun, new: SavedRun) -> Iterator[tuple[str, bool | None]]:
    """Yield for every use that one of the runs knows the digest of whether it is the same."""
    for name in dict.fromkeys([*old.images, *new.images]):
        digests = old.images.get(name), new.images.get(name)
        yield name, None if None in digests else digests[0] == digests[1]


def _comparable(run: SavedRun) -> Mapping[str, Any]:
    """Return the settings without where results went."""
    return {name: value for name, value in run.settings.items() if name not in ("output", "schema_version")}
