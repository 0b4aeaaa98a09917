"""Writing a file whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyimgano.errors import OutputError
from pyimgano.reporting.strict_json import document


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under another name first, so that no reader ever meets a part of it.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror})", "check the folder and the space on the disk"
        ) from None


def save_run_report(path: str | os.PathLike[str], report: Mapping[str, Any]) -> Path:
    """Write a report as strict JSON (NaN becomes null, numpy values plain numbers) and return its path."""
    place = Path(path)
    write_whole(place, document(report).encode())
    return place
