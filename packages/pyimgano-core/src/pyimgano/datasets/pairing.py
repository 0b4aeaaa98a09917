"""Test images and their masks, paired by stem: ``007.png`` with ``007_mask.png``, ``007.bmp`` or a folder ``007``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyimgano.contracts import Sample
from pyimgano.datasets.files import image_files, sub_folders
from pyimgano.datasets.findings import Finding, Report
from pyimgano.datasets.masks import mask_files, size_error
from pyimgano.errors import DatasetError, ImageError
from pyimgano.images import upright_size

GOOD = "good"
MASK = "{}_mask.png"


def labelled_samples(
    test: Path, ground_truth: Path, report: Report, good: str = GOOD, mask_name: str = MASK
) -> tuple[Sample, ...]:
    """Return the images in the folders of `test`: those of `good`, every other folder a type of defect.

    Parameters
    ----------
    test
        Folder with one folder per type.
    ground_truth
        Folder with the same types; where there is none, there are no masks.
    report
        Takes every fault.
    good
        Name of the folder of good images.
    mask_name
        How the mask of the stem ``{}`` is usually called, for errors.
    """
    folders = [folder for folder in sub_folders(test) if folder != ground_truth] if test.is_dir() else []
    samples: list[Sample] = []
    for folder in folders:
        if folder.name == good:
            samples += [Sample(path) for path in image_files(folder)]
        else:
            masks = ground_truth / folder.name if ground_truth.is_dir() else None
            samples += defective_samples(folder, masks, folder.name, report, mask_name)
    if ground_truth.is_dir():
        known = {folder.name for folder in folders} | {good}
        for folder in sub_folders(ground_truth):
            if folder.name not in known:
                report(_orphan(folder, test / folder.name))
    return tuple(samples)


def defective_samples(
    folder: Path,
    masks: Path | None,
    defect_type: str,
    report: Report,
    mask_name: str = MASK,
    meta: Mapping[str, Any] | None = None,
) -> list[Sample]:
    """Return the images of one folder with their masks from the folder `masks`; None if the layout has no masks at all."""
    images = image_files(folder)
    if masks is None:
        return [Sample(path, 1, None, defect_type, meta=meta or {}) for path in images]
    known = masks_by_stem(masks, report)
    owners: dict[str, Path] = {}
    samples = []
    for path in images:
        mask = _mask_of(path, known, masks / mask_name.format(path.stem), report)
        if path.stem in owners and mask is not None:
            report(_shared(mask, owners[path.stem], path))
        owners.setdefault(path.stem, path)
        samples.append(Sample(path, 1, mask, defect_type, meta=meta or {}))
    inner = {place.name for place in sub_folders(folder)}
    for stem, mask in known.items():
        if stem not in owners and stem not in inner:
            report(_orphan(mask, folder))
    return samples


def masks_by_stem(folder: Path, report: Report) -> dict[str, Path]:
    """Return the masks in a folder, image files and folders of image files, by the stem of the image they belong to."""
    if not folder.is_dir():
        return {}
    masks: dict[str, Path] = {}
    for path in [*image_files(folder), *(place for place in sub_folders(folder) if image_files(place))]:
        stem = (path.name if path.is_dir() else path.stem).removesuffix("_mask")
        if stem in masks:
            problem = f"{path} and {masks[stem]} are masks of the same image"
            report(Finding("mask-ambiguous", path, problem, "remove one of them"))
        masks.setdefault(stem, path)
    return masks


def check_sizes(image: Path, mask: Path, report: Report) -> None:
    """Report a mask whose size is not that of its image, and any of them that cannot be read."""
    sizes = []
    try:
        files = mask_files(mask)
    except DatasetError as error:
        report(Finding.of(error, mask, "mask-missing"))
        return
    for path in [image, *files]:
        try:
            sizes.append((path, upright_size(path)))
        except ImageError as error:
            report(Finding.of(error, path, "unreadable"))
    for path, size in sizes:
        if sizes[0][0] == image and size != sizes[0][1]:
            report(Finding.of(size_error(path, size[::-1], sizes[0][1][::-1]), path, "mask-size"))


def _mask_of(image: Path, masks: Mapping[str, Path], expected: Path, report: Report) -> Path | None:
    mask = masks.get(image.stem)
    if mask is None:
        mend = "add the mask, or remove the folder ground_truth"
        report(Finding("mask-missing", image, f"{image} has no mask {expected}", mend))
    else:
        check_sizes(image, mask, report)
    return mask


def _orphan(mask: Path, folder: Path) -> Finding:
    problem = f"{mask} belongs to no image in {folder}"
    return Finding("mask-orphan", mask, problem, "rename it to the stem of its image, or remove it", fatal=False)


def _shared(mask: Path, first: Path, second: Path) -> Finding:
    return Finding(
        "stem-ambiguous",
        second,
        f"{first} and {second} differ in the suffix only, so that {mask} may belong to either",
        "rename one of them and its mask",
    )
