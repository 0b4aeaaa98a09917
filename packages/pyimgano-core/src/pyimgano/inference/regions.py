"""Regions as lines of their own: one JSON object per defect, made from the records that list them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pyimgano.errors import OutputError
from pyimgano.inference.lines import Lines
from pyimgano.reporting.strict_json import line


def region_lines(record: dict[str, Any]) -> list[str]:
    """Return one line per region of a record, with the ``index`` and the ``input`` of its image; none for an error record."""
    image = {"index": record["index"], "input": record["input"]}
    return [line({**image, **region}) for region in record.get("defects", {}).get("regions", ())]


def rewrite_regions(path: Path, records: Iterable[dict[str, Any]], source: Path) -> None:
    """Make the file again from the records of an earlier run, so that it holds what they hold and no more.

    Raises
    ------
    OutputError
        If these records list no defects.
    """
    lines = Lines(path, flush_every=1000)
    try:
        for record in records:
            if "score" in record and "defects" not in record:
                raise OutputError(
                    f"{source} was written without --defects (record {record['index']}), so it has no regions to go on from",
                    "resume without --save-regions, or start again with --overwrite",
                )
            lines.write(*region_lines(record))
    finally:
        lines.close()
