"""A benchmark's folder read back: its reports, the score of each image, the pictures of the worst ones."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from pyimgano.errors import OutputError
from pyimgano.reporting.pages.records import SCHEMA_VERSION, ComparisonReport, Record, Report, ScoredImage

AGAIN = "run the benchmark again into an empty folder"


@dataclass(frozen=True)
class Scores:
    """Truth (N,) bool, True for defective, and raw scores (N,) of the test images."""

    truth: NDArray[np.bool_]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Category:
    """One category's folder; `scores` is None where there is no per_image.jsonl."""

    folder: Path
    report: Report
    scores: Scores | None


@dataclass(frozen=True)
class Run:
    """One model's folder."""

    folder: Path
    report: Report
    categories: tuple[Category, ...]


@dataclass(frozen=True)
class Picture:
    """A picture as a data URI, or the reason why it is not shown."""

    uri: str | None
    problem: str | None = None


R = TypeVar("R", bound=Record)


def is_comparison(folder: Path) -> bool:
    """Tell whether the folder compares several models; raise `OutputError` where it holds no report at all."""
    try:
        return "runs" in json.loads(_bytes(folder / "report.json"))
    except (ValueError, TypeError) as error:
        raise OutputError(f"{folder / 'report.json'}: {error}", AGAIN) from None


def read_comparison(folder: Path) -> ComparisonReport:
    """Read a comparison's own report; the folders of its models are `read_run`'s."""
    return _read(folder / "report.json", ComparisonReport)


def read_run(folder: Path) -> Run:
    """Read one model's folder; raise `OutputError` naming the file and field that is not as it should be."""
    report = _read(folder / "report.json", Report)
    found = {category.report.category: category for category in _categories(folder)}
    names = report.categories or (report.category,)
    missing = [name for name in names if name not in found]
    if missing:
        raise OutputError(f"{folder / 'categories'} lacks a report of {', '.join(missing)}", AGAIN)
    return Run(folder, report, tuple(found[name] for name in names))


def _categories(root: Path) -> Iterator[Category]:
    """Read the categories in the folder, whatever their names made of their folders' names."""
    for path in sorted(root.glob("categories/*/report.json")):
        if inside(root, path.relative_to(root).as_posix()) is not None:
            table = path.parent / "per_image.jsonl"
            yield Category(path.parent, _read(path, Report), _scores(table) if table.is_file() else None)


def _scores(path: Path) -> Scores:
    lines = [line for line in _bytes(path).splitlines() if line.strip()]
    images = [_parsed(ScoredImage, line, f"{path}:{number}") for number, line in enumerate(lines, 1)]
    return Scores(np.array([one.truth for one in images], bool), np.array([one.score for one in images], np.float64))


def _read(path: Path, model: type[R]) -> R:
    record = _parsed(model, _bytes(path), str(path))
    found = getattr(record, "schema_version", SCHEMA_VERSION)
    if found > SCHEMA_VERSION:
        raise OutputError(f"{path} has schema version {found}; this pyimgano reads up to {SCHEMA_VERSION}", "update pyimgano")
    return record


def _parsed(model: type[R], text: bytes, where: str) -> R:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise OutputError(f"{where}: {field + ': ' if field else ''}{first['msg']}", AGAIN) from None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise OutputError(f"{path} cannot be read: {error.strerror}", "name the folder of a benchmark's run") from None


def inside(folder: Path, relative: str) -> Path | None:
    """Return ``folder / relative``, links followed, or None if that lies elsewhere or is no path at all."""
    try:
        path = (folder / relative).resolve()
    except (OSError, ValueError):
        return None
    return path if path.is_relative_to(folder.resolve()) else None


def read_picture(folder: Path, relative: str | None) -> Picture | None:
    """Read a JPEG or PNG inside `folder`; None where there is none to show."""
    if relative is None:
        return None
    path = inside(folder, relative)
    if path is None:
        return Picture(None, f"not shown, because its path leads out of the run's folder: {relative}")
    try:
        data = path.read_bytes() if path.is_file() else None
    except OSError:
        data = None
    if data is None:
        return Picture(None, f"missing: {relative}")
    kind = {b"\xff\xd8\xff": "jpeg", b"\x89PN": "png"}.get(data[:3])
    if kind is None:
        return Picture(None, f"neither JPEG nor PNG: {relative}")
    return Picture(f"data:image/{kind};base64,{base64.b64encode(data).decode()}")
