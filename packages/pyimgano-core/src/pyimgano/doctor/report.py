"""What a check found, and what follows from all findings together."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

Status = Literal["ok", "note", "broken"]

TRACEBACKS = "pyimgano -v -v doctor"
"""The command that shows why a check could not be finished."""


class Finding(NamedTuple):
    """One sentence of a check; `fix` is the command that mends it, or for a note the one that would help."""

    message: str
    status: Status = "ok"
    fix: str = ""


class Row(NamedTuple):
    """A finding and the check that made it."""

    check: str
    finding: Finding


class Step(NamedTuple):
    """What to do next: a command, the check that asks for it, and whether anything is broken without."""

    check: str
    command: str
    needed: bool


class Report(NamedTuple):
    """All findings, in the order of the checks."""

    rows: tuple[Row, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing is broken."""
        return all(row.finding.status != "broken" for row in self.rows)

    def steps(self) -> list[Step]:
        """Return what to do next, each command once, first what mends and then what helps."""
        steps: dict[str, Step] = {}
        for status in ("broken", "note"):
            for check, finding in self.rows:
                if finding.status == status and finding.fix:
                    steps.setdefault(finding.fix, Step(check, finding.fix, status == "broken"))
        return list(steps.values())

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "status": "ok" if self.healthy else "broken",
            "checks": [{"check": check, **finding._asdict()} for check, finding in self.rows],
            "next": [step._asdict() for step in self.steps()],
        }
