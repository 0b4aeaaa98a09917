"""Whether temporary files can be written, and how much room there is."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pyimgano.doctor.report import Finding

LITTLE = 1 << 30
NONE = 50 << 20


def check_storage() -> Iterator[Finding]:
    """Yield the folder for temporary files, and the free space there and in the current folder."""
    try:
        with tempfile.NamedTemporaryFile(prefix="pyimgano-doctor-") as file:
            file.write(b"x" * 4096)
            file.flush()
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        yield Finding(
            f"temporary files cannot be written ({where}{error.strerror})", "broken", "export TMPDIR=/A/FOLDER/OF/YOURS"
        )
        return
    folder = Path(tempfile.gettempdir())
    yield from _ignored_setting(folder)
    for path in dict.fromkeys([folder, Path.cwd()]):
        yield room(path, shutil.disk_usage(path).free)


def _ignored_setting(folder: Path) -> Iterator[Finding]:
    wanted = os.environ.get("TMPDIR")
    if wanted and Path(wanted).absolute() != folder.absolute():
        yield Finding(f"TMPDIR={wanted} cannot be written, so {folder} is used", "note", "unset TMPDIR")


def room(folder: Path, free: int) -> Finding:
    """Return how much is free in a folder, in bytes: less than 1 GiB is a note, less than 50 MiB is broken."""
    message = f"{free / 2**30:.1f} GiB free in {folder}"
    if free >= LITTLE:
        return Finding(message)
    look = f"du -xh --max-depth=1 {folder}"
    return Finding(f"only {free / 2**20:.0f} MiB free in {folder}", "broken" if free < NONE else "note", look)
