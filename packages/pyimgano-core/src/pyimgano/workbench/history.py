"""What was changed in a bundle since it was trained: when, by which command, and which bundle it was before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from pyimgano import __version__
from pyimgano.clock import utc_now
from pyimgano.errors import BundleError
from pyimgano.workbench.seal import AGAIN, HISTORY, SCHEMA_VERSION, check_schema_version

MISSING = "(nothing)"


class Change(BaseModel):
    """A value of infer_config.json before and after; `key` is its JSON pointer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    old: Any
    new: Any


class Step(BaseModel):
    """One edit of a bundle. The identity it has led to is that before the next step, or the bundle's own.

    `before`: the identity of the bundle that was edited; `images`: how many were calibrated on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    time_utc: str
    command: Literal["set", "recalibrate"]
    pyimgano_version: str
    before: str
    changes: tuple[Change, ...]
    images: int | None = None

    @classmethod
    def now(cls, command: Literal["set", "recalibrate"], before: str, changes: tuple[Change, ...], images: int | None) -> Step:
        """Return the step that is being made."""
        return cls(
            time_utc=utc_now(), command=command, pyimgano_version=__version__, before=before, changes=changes, images=images
        )


class History(BaseModel):
    """All steps, the oldest first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    steps: tuple[Step, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> History:
        """Return the history of a verified bundle; one that was never edited has none.

        Raises
        ------
        BundleError
            If its file is not a history, or one of a newer schema.
        """
        path = folder / HISTORY
        if not path.exists():
            return cls()
        try:
            values = json.loads(path.read_bytes())
            check_schema_version(values["schema_version"], path)
            return cls.model_validate(values)
        except (OSError, ValueError, KeyError, TypeError, RecursionError, ValidationError) as error:
            raise BundleError(f"{path} is not a bundle's history ({type(error).__name__})", AGAIN) from None

    def identities(self, digest: str) -> list[tuple[Step, str]]:
        """Return every step with the identity that it has led to, in a bundle whose identity is `digest`."""
        after = [*(step.before for step in self.steps), digest][1:]
        return list(zip(self.steps, after, strict=True))


def changes_between(old: Mapping[str, Any], new: Mapping[str, Any], below: str = "") -> tuple[Change, ...]:
    """Return what differs between two objects, value by value; lists count as one value. Keys may be pointers themselves."""
    changes: list[Change] = []
    for key in sorted({*old, *new}):
        before, after = old.get(key, MISSING), new.get(key, MISSING)
        where = f"{below}/{key}"
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            changes += changes_between(before, after, where)
        elif before != after:
            changes.append(Change(key=where, old=before, new=after))
    return tuple(changes)
