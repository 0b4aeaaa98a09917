"""Tables of images, CSV or JSON Lines, row by row with line numbers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyimgano.datasets.findings import Finding, Report
from pyimgano.errors import DatasetError

JSON_LINES = frozenset({".jsonl", ".ndjson"})


def read_rows(path: Path, report: Report) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, row). Rows are JSON objects where the suffix is ``.jsonl``, else CSV with a header.

    Lines that are neither go to `report`.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DatasetError(f"{path} is not UTF-8 text", "save it as UTF-8") from None
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror})", "check the path") from None
    yield from (_json_rows if path.suffix.lower() in JSON_LINES else _csv_rows)(path, text, report)


def _json_rows(path: Path, text: str, report: Report) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        row, what = None, "not a JSON object"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            what = f"not JSON ({error.msg})"
        if isinstance(row, dict):
            yield number, row
        else:
            report(Finding("row", path, f"{path}:{number}: {what}", "write one JSON object per line"))


def _csv_rows(path: Path, text: str, report: Report) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield rows without their empty cells: a cell that says nothing is a field that is not there."""
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if None in row:
                problem = f"{path}:{reader.line_num}: has more cells than the header"
                report(Finding("row", path, problem, "quote cells that contain commas"))
                continue
            yield reader.line_num, {key.strip(): cell.strip() for key, cell in row.items() if cell and cell.strip()}
    except csv.Error as error:
        raise DatasetError(f"{path}:{reader.line_num}: not CSV ({error})", 'separate by commas, quote with ""') from None
