"""From what was given on a command line to a list of image files."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from pyimgano.datasets.files import image_files, natural
from pyimgano.errors import DatasetError, suggestion
from pyimgano.images import SUFFIXES


def expand(inputs: Iterable[str]) -> list[str]:
    """Return the image files that folders (searched below), glob patterns and file names mean, in natural order within each.

    Raises
    ------
    DatasetError
        For an input that does not exist or holds no images.
    """
    files: list[str] = []
    for given in inputs:
        if not given.strip():
            raise DatasetError("an input is empty", "check the shell variable that it came from")
        path = Path(given)
        if path.is_dir():
            found = [str(file) for file in image_files(path, recursive=True)]
            if not found:
                raise DatasetError(f"folder {path} holds no image files", f"images end in {', '.join(sorted(SUFFIXES))}")
        elif path.exists() or not glob.has_magic(given):
            if not path.exists():
                siblings = [child.name for child in path.parent.iterdir()] if path.parent.is_dir() else []
                raise DatasetError(f"input {path} does not exist", suggestion(path.name, siblings) or "check the path")
            found = [given]
        else:
            matches = [match for match in glob.glob(given, recursive=True) if not Path(match).is_dir()]
            found = sorted(matches, key=lambda match: natural(Path(match)))
            if not found:
                raise DatasetError(
                    f"no file matches {given!r}", "check the pattern, and quote it so that the shell leaves it alone"
                )
        files += found
    if not files:
        raise DatasetError("there is nothing to inspect", "pass --input with a folder, a file or a pattern")
    return files
