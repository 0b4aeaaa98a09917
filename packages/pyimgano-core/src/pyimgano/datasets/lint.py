"""What is wrong with a dataset: every fault at once, each with the way to mend it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from pyimgano.contracts import Dataset, DatasetSplit, Sample
from pyimgano.datasets.files import existing_folder, sub_folders
from pyimgano.datasets.findings import Finding, Report
from pyimgano.datasets.layout import LayoutDataset
from pyimgano.datasets.masks import read_mask
from pyimgano.errors import DatasetError, ImageError, PyimganoError
from pyimgano.images import ImageSource


def lint(dataset: Dataset) -> tuple[list[Finding], int]:
    """Return all that is wrong with a dataset, and how many of its images were read.

    Unreadable files, images without mask and masks without image, masks of another size, masks of defective images without
    a marked pixel and of good ones with some, and images that are in two splits.
    """
    findings: list[Finding] = []
    try:
        split = dataset.scan(findings.append) if isinstance(dataset, LayoutDataset) else dataset.load()
    except PyimganoError as error:
        place = Path(getattr(dataset.options, "root", None) or ".")
        return [*findings, Finding.of(error, place, "layout")], 0
    samples = (*split.train, *split.calibration, *split.test)
    _check_pixels(
        samples, findings.append, {finding.path for finding in findings if finding.kind in ("unreadable", "mask-size")}
    )
    findings += _duplicates(split)
    return list(dict.fromkeys(findings)), len(samples)


def guess_layout(root: Path) -> str:
    """Return the name of the layout that a folder or file seems to have.

    Raises
    ------
    DatasetError
        If it looks like none.
    """
    if root.is_file() or any((root / name).is_file() for name in ("manifest.jsonl", "manifest.csv")):
        return "manifest"
    places = [root, *sub_folders(existing_folder(root, "dataset root"))]
    for layout, mark in MARKS:
        if any((place / mark).exists() for place in places[0 if layout == "visa" else 1 :]):
            return layout
    if (root / "train" / "good").is_dir():
        return "folder"
    raise DatasetError(f"{root} has no layout that is known", "name it with --dataset; 'pyimgano datasets list' shows them")


MARKS = (
    ("visa", "split_csv"),
    ("visa", "1cls"),
    ("visa", "Data/Images"),
    ("mvtec_ad2", "test_public"),
    ("mvtec_loco", "test/logical_anomalies"),
    ("mvtec_loco", "test/structural_anomalies"),
    ("btad", "train/ok"),
    ("mvtec", "train/good"),
)


def _check_pixels(samples: Sequence[Sample], report: Report, known: set[Path]) -> None:
    """Decode every image and mask whose fault is not known yet."""
    outcomes = ImageSource([sample.path for sample in samples]).outcomes()
    for sample, (_, outcome) in zip(samples, outcomes, strict=True):
        if isinstance(outcome, ImageError):
            if sample.path not in known:
                report(Finding.of(outcome, sample.path, "unreadable"))
        elif sample.mask_path is not None and not _known(sample.mask_path, known):
            height, width = outcome.shape[:2]
            _check_mask(sample, sample.mask_path, (height, width), report)


def _known(mask: Path, known: set[Path]) -> bool:
    return mask in known or any(mask in path.parents for path in known)


def _check_mask(sample: Sample, path: Path, size: tuple[int, int], report: Report) -> None:
    try:
        marked = bool(read_mask(path, size).any())
    except PyimganoError as error:
        report(Finding.of(error, path, "mask-size"))
        return
    if sample.label and not marked:
        problem = f"{path} marks no pixel, but {sample.path} is defective"
        report(Finding("mask-empty", path, problem, "draw the defect, or move the image to the good ones"))
    if sample.label == 0 and marked:
        problem = f"{path} marks a defect, but {sample.path} is good"
        report(Finding("mask-of-good", path, problem, "empty the mask, or move the image to the defective ones"))


def _duplicates(split: DatasetSplit) -> Iterator[Finding]:
    """Yield images that are byte for byte in two of train, calibration and test."""
    places = {"train": split.train, "calibration": split.calibration, "test": split.test}
    by_size: dict[int, list[tuple[str, Path]]] = {}
    for name, samples in places.items():
        for sample in samples:
            if sample.path.is_file():
                by_size.setdefault(sample.path.stat().st_size, []).append((name, sample.path))
    first: dict[bytes, tuple[str, Path]] = {}
    for files in by_size.values():
        if len({name for name, _ in files}) == 1:
            continue
        for name, path in files:
            other, original = first.setdefault(_digest(path), (name, path))
            if other != name:
                problem = f"{path} ({name}) is byte for byte {original} ({other})"
                yield Finding("duplicate", path, problem, "remove one of them: what is learnt from cannot be tested on")


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
