"""How a check ends, and the row that says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pyimgano.errors import PyimganoError

Outcome = Literal["passed", "failed", "error", "expected", "unexpected pass", "skipped"]

BAD = frozenset({"failed", "error", "unexpected pass"})
"""Outcomes that make a plugin fail."""


class CheckFailure(PyimganoError):  # noqa: N818 - a finding, not a fault of the program
    """A component does not keep a promise: what it did, and what its author should do."""


class CheckSkipped(PyimganoError):  # noqa: N818 - likewise
    """A check says nothing about a component here: the reason."""


@dataclass(frozen=True)
class Result:
    """What one check found about one component.

    Attributes
    ----------
    component
        Its short name; the distribution's for checks of the whole plugin.
    kind
        ``plugin``, ``detector``, ``dataset``...
    check
        Name of the check.
    outcome
        ``failed`` where a promise is broken, ``error`` where something was raised that nobody expected; ``expected`` where
        either was announced, ``unexpected pass`` where it was announced and did not happen.
    reason, next_step
        What was found, and what the author should do; empty where it passed.
    after
        The check that has to pass before this one, where it did not.
    seconds
        How long it took.
    """

    component: str
    kind: str
    check: str
    outcome: Outcome
    reason: str = ""
    next_step: str = ""
    after: str = ""
    seconds: float = 0.0

    @property
    def bad(self) -> bool:
        """Return whether it makes the plugin fail."""
        return self.outcome in BAD

    def to_json(self) -> Mapping[str, Any]:
        """Return the row as plain data."""
        return {**asdict(self), "seconds": round(self.seconds, 3)}
