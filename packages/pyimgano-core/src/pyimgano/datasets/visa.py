"""``visa``: Visual Anomaly (VisA), 12 categories (Zou et al., ECCV 2022; CC BY 4.0), raw or prepared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyimgano.contracts import DatasetSplit, Sample
from pyimgano.datasets.findings import Finding, Report
from pyimgano.datasets.layout import CategoryDataset, folder_split
from pyimgano.datasets.pairing import check_sizes
from pyimgano.datasets.tabular import read_rows
from pyimgano.errors import DatasetError

SPLIT = Path("split_csv") / "1cls.csv"
DEFECTIVE = "bad"


class VisADataset(CategoryDataset):
    """Raw, ``<category>/Data/{Images,Masks}`` with ``split_csv/1cls.csv``, or prepared, ``1cls/<category>/train/good``.

    Both forms give the same split. Raw masks hold ids of defect types, so small that they look black.
    """

    CATEGORIES = (
        "candle",
        "capsules",
        "cashew",
        "chewinggum",
        "fryum",
        "macaroni1",
        "macaroni2",
        "pcb1",
        "pcb2",
        "pcb3",
        "pcb4",
        "pipe_fryum",
    )
    RAW = "Data/Images"

    def base(self) -> Path:
        base = super().base()
        return base / "1cls" if (base / "1cls").is_dir() else base

    def is_category(self, folder: Path) -> bool:
        return super().is_category(folder) or (folder / self.RAW).is_dir()

    def scan_category(self, folder: Path, report: Report) -> DatasetSplit:
        if not (folder / self.RAW).is_dir():
            return folder_split(folder, report, mask_name="{}.png")
        return _raw_split(folder.parent, folder.name, report)


def _raw_split(base: Path, category: str, report: Report) -> DatasetSplit:
    table = base / SPLIT
    if not table.is_file():
        raise DatasetError(f"{base} has no {SPLIT.as_posix()}", "copy the folder split_csv from the dataset's archive")
    splits: dict[str, list[Sample]] = {"train": [], "test": []}
    for number, row in read_rows(table, report):
        where = f"{table}:{number}"
        if missing := {"object", "split", "label", "image"} - row.keys():
            raise DatasetError(f"{where}: has no {', '.join(sorted(missing))}", "copy the file again from the archive")
        if row["object"] != category:
            continue
        if row["split"] not in splits or row["label"] not in ("normal", "anomaly"):
            raise DatasetError(f"{where}: unknown split or label {row['split']}, {row['label']}", "copy the file again")
        sample = _sample(base, row, where, report)
        if sample is not None:
            splits[row["split"]].append(sample)
    if not splits["train"]:
        raise DatasetError(f"{table} lists no training images of {category}", "copy the file again from the archive")
    return DatasetSplit(tuple(splits["train"]), test=tuple(splits["test"]))


def _sample(base: Path, row: dict[str, Any], where: str, report: Report) -> Sample | None:
    path = base / row["image"]
    if not path.is_file():
        report(Finding("image-missing", path, f"{where}: {path} does not exist", "copy it again from the archive"))
        return None
    if row["label"] == "normal":
        return Sample(path)
    if row["split"] == "train":
        report(Finding("label", path, f"{where}: {path} is defective but in the training set", f"use {SPLIT.as_posix()}"))
    mask = base / row["mask"] if "mask" in row else None
    if mask is None or not mask.is_file():
        what = f"{path} has no mask {mask}" if mask else f"{path} is defective but the cell mask is empty"
        report(Finding("mask-missing", path, f"{where}: {what}", "copy it again from the archive"))
        return Sample(path, 1, None, DEFECTIVE)
    check_sizes(path, mask, report)
    return Sample(path, 1, mask, DEFECTIVE)
