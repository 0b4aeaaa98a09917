"""Which image went where: the record by which a training can be traced to its images."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from pyimgano.contracts import DatasetSplit, Sample
from pyimgano.evaluation.breakdown import relative_name
from pyimgano.evaluation.category import Category

ROLES = ("train", "calibration", "test")


def split_rows(split: DatasetSplit, category: Category) -> list[dict[str, Any]]:
    """Return a row per image, in order: its role, its path relative to the root of the dataset, the sha256 of its bytes."""
    return [_row(role, sample, category) for role in ROLES for sample in getattr(split, role)]


def _row(role: str, sample: Sample, category: Category) -> dict[str, Any]:
    row = {"role": role, "input": relative_name(sample.path, category.root), "sha256": category.digests[sample.path]}
    known = {"label": sample.label, "defect_type": sample.defect_type, "group": sample.group}
    return row | (known if role == "test" else {"group": sample.group})


def split_digests(rows: list[dict[str, Any]]) -> Mapping[str, Any]:
    """Return for every role how many images it has, and a digest of their names and bytes, in order."""
    return {role: _digest([row for row in rows if row["role"] == role]) for role in ROLES}


def _digest(rows: list[dict[str, Any]]) -> dict[str, Any]:
    text = "".join(f"{row['input']}\t{row['sha256']}\n" for row in rows)
    return {"images": len(rows), "sha256": hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()}
