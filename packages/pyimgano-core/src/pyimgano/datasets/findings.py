"""What can be wrong with a file of a dataset: loading stops at the first finding, lint collects them all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pyimgano.errors import DatasetError, ImageError, PyimganoError


@dataclass(frozen=True)
class Finding:
    """One fault.

    Attributes
    ----------
    kind
        A word to filter by, such as ``unreadable`` or ``mask-size``.
    path
        The file or folder to mend.
    problem
        What is wrong.
    mend
        What to do about it.
    fatal
        Whether loading refuses the dataset for it.
    """

    kind: str
    path: Path
    problem: str
    mend: str
    fatal: bool = True

    @classmethod
    def of(cls, error: PyimganoError, path: Path, kind: str) -> Finding:
        """Return an error as a finding; errors about unreadable images have their own kind."""
        return cls("unreadable" if isinstance(error, ImageError) else kind, path, error.problem, error.next_step)


Report = Callable[[Finding], None]


def refuse(finding: Finding) -> None:
    """Raise a finding that makes the dataset unusable."""
    if finding.fatal:
        kind = ImageError if finding.kind == "unreadable" else DatasetError
        raise kind(finding.problem, finding.mend)
