"""Writing a folder whole or not at all: beside its place first, then renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from pyimgano.errors import OutputError
from pyimgano.workbench.seal import CONFIG, ENVIRONMENT, HISTORY, MANIFEST, REPORT, SEAL, SIGNATURE, STATE

Content = bytes | Path
"""What a file is to hold: bytes, or a copy of another file."""
_OURS = frozenset({CONFIG, STATE, REPORT, ENVIRONMENT, HISTORY, MANIFEST, SEAL, SIGNATURE})


def check_writable(folder: Path, overwrite: bool = False) -> None:
    """Raise before any work is done if a folder could not be written at the end of it."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file, not a folder", "name a new folder")
    if folder.is_dir() and any(folder.iterdir()):
        if not overwrite:
            raise OutputError(f"folder {folder} exists already", "name a new folder, or pass --overwrite")
        foreign = sorted({path.name for path in folder.iterdir()} - _OURS)
        if foreign:
            raise OutputError(
                f"{folder / foreign[0]} was not written by pyimgano, so --overwrite leaves its folder alone",
                "move it away, or name a new folder",
            )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent):
            return
    except OSError as error:
        raise OutputError(f"{folder} cannot be written ({error.strerror})", "name a folder that you may write to") from None


def write_folder(
    folder: Path, files: Mapping[str, Content], overwrite: bool = False, check: Callable[[Path], object] | None = None
) -> None:
    """Write files into a new folder, beside it first, then rename; until then an older folder stays as it is.

    Parameters
    ----------
    check
        Called with the folder as written, before it takes its place; what it raises leaves the older one there.
    """
    check_writable(folder, overwrite)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        beside.chmod(0o755)
        for name, content in files.items():
            _write(beside / name, content)
        if check is not None:
            check(beside)
        _exchange(beside, folder)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written ({error.strerror})", "free some space, or name another folder"
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _write(path: Path, content: Content) -> None:
    """Write a file through to the disk, so that the rename after it cannot outlive it."""
    with path.open("wb") as file:
        if isinstance(content, bytes):
            file.write(content)
        else:
            with content.open("rb") as source:
                shutil.copyfileobj(source, file)
        file.flush()
        os.fsync(file.fileno())


def _exchange(new: Path, folder: Path) -> None:
    """Put a folder in the place of another, which is removed last and put back if anything fails."""
    if not folder.exists():
        new.rename(folder)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
    old = aside / folder.name
    try:
        folder.rename(old)
        new.rename(folder)
    except BaseException:
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise
    finally:
        if folder.exists():
            shutil.rmtree(aside, ignore_errors=True)
