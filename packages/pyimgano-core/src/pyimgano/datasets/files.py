"""Listing image files and folders in a stable order, with errors that name the nearest folder that looks right."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pyimgano.errors import DatasetError, suggestion
from pyimgano.images import SUFFIXES


def natural(path: Path) -> tuple[tuple[int, int | str], ...]:
    """Return a sort key in which ``2.png`` comes before ``10.png``."""
    parts = re.split(r"(\d+)", path.as_posix())
    return tuple((0, int(part)) if part.isdigit() else (1, part) for part in parts if part)


def image_files(folder: Path, recursive: bool = False) -> list[Path]:
    """Return the image files of a folder in natural order, by suffix in any case; hidden files are left out."""
    if not os.access(folder, os.R_OK | os.X_OK):
        raise DatasetError(f"folder {folder} may not be read by this user", f"check the permissions of {folder}")
    found = folder.rglob("*") if recursive else folder.iterdir()
    files = [path for path in found if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()]
    return sorted(files, key=natural)


def sub_folders(folder: Path) -> list[Path]:
    """Return the folders inside a folder in natural order, without hidden ones."""
    return sorted((path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")), key=natural)


def existing_folder(path: Path, what: str) -> Path:
    """Return `path` if it is a folder, else raise with the nearest name beside it."""
    if path.is_dir():
        return path
    if path.exists():
        raise DatasetError(f"{what} {path} is a file, not a folder", "name the folder that holds the images")
    parent = path.parent
    hint = suggestion(path.name, [child.name for child in sub_folders(parent)]) if parent.is_dir() else ""
    raise DatasetError(f"{what} {path} does not exist", hint or "check the path")
