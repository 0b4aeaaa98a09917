"""``manifest``: a table of images, JSON Lines or CSV, for data that lies in folders of no known layout."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator

from pyimgano.contracts import DatasetSplit, Sample
from pyimgano.datasets.findings import Finding, Report
from pyimgano.datasets.layout import LayoutDataset, choose_category
from pyimgano.datasets.options import ManifestOptions
from pyimgano.datasets.pairing import check_sizes
from pyimgano.datasets.splits import split_groups
from pyimgano.datasets.tabular import read_rows
from pyimgano.errors import DatasetError, OptionsError
from pyimgano.options import Options, parse

NAMES = ("manifest.jsonl", "manifest.csv")


class Row(Options):
    """One line of a manifest."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    image_path: Path = Field(description="The image, relative to the manifest.")
    category: str | None = Field(None, description="What is shown.")
    split: Literal["train", "calibration", "test"] | None = Field(None, description="Where it belongs; chosen if missing.")
    label: int | None = Field(None, ge=0, le=1, description="0 good, 1 defective.")
    mask_path: Path | None = Field(None, description="Its mask, relative to the manifest.")
    group_id: str | None = Field(None, description="Images of one group stay in one split.")
    condition: str | None = Field(None, description="Under what it was taken: a lamp, an exposure, a camera, a shift.")
    meta: dict[str, Any] = Field({}, description="Anything else; JSON in a cell of a CSV.")

    @field_validator("split", mode="before")
    @classmethod
    def _common_names(cls, value: Any) -> Any:
        return "calibration" if value in ("val", "validation") else value

    @field_validator("meta", mode="before")
    @classmethod
    def _from_cell(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError(f"is not JSON ({error.msg})") from None


@dataclass(frozen=True)
class _Line:
    """A row, where it stands, and its files."""

    where: str
    row: Row
    image: Path
    mask: Path | None


class ManifestDataset(LayoutDataset):
    """Rows with ``image_path``, and any of ``category, split, label, mask_path, group_id, condition, meta``.

    A row without a split is tested on if it is defective, follows its group where that has a split, and is otherwise
    learnt from or held out for testing, by a seeded choice of whole groups. ``val`` and ``validation`` mean
    ``calibration``. A row with a split may leave its label away: it is good, except in ``test``, where its truth is withheld.
    `Sample.meta` is ``meta``, with what a row says of its ``condition`` under that name.
    """

    def categories(self) -> list[str]:
        rows = [row for _, row in read_rows(self.file(), _ignore)]
        return sorted({str(row["category"]) for row in rows if row.get("category") is not None})

    def file(self) -> Path:
        """Return the manifest itself."""
        root: Path = self.options.root
        if root.is_file():
            return root
        found = [root / name for name in NAMES if (root / name).is_file()]
        if len(found) != 1:
            problem = f"{root} holds {' and '.join(NAMES)}" if found else f"{root} is no manifest and holds none"
            raise DatasetError(problem, f"set root to the file, or to a folder with one {' or '.join(NAMES)}")
        return found[0]

    def scan(self, report: Report) -> DatasetSplit:
        manifest, names = self.file(), self.categories()
        category = choose_category(self.options.category, names, str(manifest)) if names or self.options.category else None
        lines = list(_lines(manifest, category, report))
        samples: dict[str, list[Sample]] = {"train": [], "calibration": [], "test": []}
        for line, place in zip(lines, _places(lines, self.options, report), strict=True):
            if line.row.label and place != "test":
                problem = f"{line.where}: {line.image} is defective but in {place}"
                report(Finding("label", line.image, problem, "learn from good parts only: set its split to test"))
                continue
            samples[place].append(_sample(line, place))
        _check_masks(lines, report)
        if not samples["train"]:
            raise DatasetError(f"{manifest} lists no images to learn from", "give rows of good parts the split train")
        return DatasetSplit(tuple(samples["train"]), tuple(samples["calibration"]), tuple(samples["test"]))


def _lines(manifest: Path, category: str | None, report: Report) -> Iterator[_Line]:
    """Yield the rows of a category whose images are there and that no other row has named."""
    seen: dict[Path, str] = {}
    for number, values in read_rows(manifest, report):
        where = f"{manifest}:{number}"
        try:
            row = parse(Row, values, where)
        except OptionsError as error:
            report(Finding("row", manifest, error.problem, "mend the line"))
            continue
        image = manifest.parent / row.image_path
        if category is not None and row.category not in (category, None):
            continue
        if fault := _fault(row, category):
            report(Finding("row", image, f"{where}: {fault}", "fill in the field"))
        elif image in seen:
            report(Finding("row", image, f"{where}: {image} is listed in {seen[image]} too", "remove one of the lines"))
        elif not image.is_file():
            report(Finding("image-missing", image, f"{where}: image {image} does not exist", "mend image_path"))
        else:
            seen[image] = where
            yield _Line(where, row, image, _existing_mask(manifest, row, where, report))


def _ignore(finding: Finding) -> None:
    """Leave a fault to those who read the rows for more than their categories."""


def _fault(row: Row, category: str | None) -> str:
    if row.category != category:
        return "has no category, though other lines have"
    if row.label is None and row.mask_path is not None:
        return "has a mask_path but no label"
    if row.condition is not None and "condition" in row.meta:
        return "has a condition, and another one in its meta"
    return "has neither label nor split: 0 is good, 1 defective" if row.label is None and row.split is None else ""


def _existing_mask(manifest: Path, row: Row, where: str, report: Report) -> Path | None:
    if row.mask_path is None:
        return None
    mask = manifest.parent / row.mask_path
    if mask.exists():
        return mask
    report(Finding("mask-missing", mask, f"{where}: mask {mask} does not exist", "mend mask_path, or remove it"))
    return None


def _places(lines: Sequence[_Line], options: ManifestOptions, report: Report) -> list[str]:
    """Return the split of every line, such that no group is in two."""
    of_group = _group_splits(lines, report)
    places = [line.row.split or of_group.get(line.row.group_id) for line in lines]
    defective = {line.row.group_id for line in lines if line.row.label} - {None}
    for place, line in enumerate(lines):
        if places[place] is None and (line.row.label or line.row.group_id in defective):
            places[place] = "test"
    free = [place for place, split in enumerate(places) if split is None]
    groups = [lines[place].row.group_id for place in free]
    held_out: list[int] = []
    if len({place if group is None else group for place, group in zip(free, groups, strict=True)}) > 1:
        _, held_out = split_groups(free, groups, options.test_fraction, options.seed)
    chosen = set(held_out)
    return [split or ("test" if place in chosen else "train") for place, split in enumerate(places)]


def _group_splits(lines: Sequence[_Line], report: Report) -> dict[str | None, str]:
    first: dict[str, _Line] = {}
    for line in lines:
        group, split = line.row.group_id, line.row.split
        if group is None or split is None:
            continue
        other = first.setdefault(group, line)
        if other.row.split != split:
            problem = f"{line.where}: group {group} is in {split}, but in {other.row.split} in {other.where}"
            report(Finding("group", line.image, problem, "put all images of a group in one split"))
    return {group: line.row.split for group, line in first.items() if line.row.split}


def _sample(line: _Line, place: str) -> Sample:
    label = line.row.label if line.row.label is not None or place == "test" else 0
    kind = {0: "good", 1: "defective", None: "unlabelled"}[label]
    condition = {} if line.row.condition is None else {"condition": line.row.condition}
    return Sample(line.image, label, line.mask, kind, line.row.group_id, line.row.meta | condition)


def _check_masks(lines: Sequence[_Line], report: Report) -> None:
    masked = [line for line in lines if line.row.label and line.row.mask_path]
    for line in lines:
        if line.mask is not None:
            check_sizes(line.image, line.mask, report)
        if masked and line.row.label and line.row.mask_path is None:
            problem = f"{line.where}: {line.image} is defective but has no mask_path"
            mend = "give every defective image a mask_path, or none of them"
            report(Finding("mask-missing", line.image, problem, mend))
