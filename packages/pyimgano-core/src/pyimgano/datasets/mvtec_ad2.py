"""``mvtec_ad2``: MVTec AD 2, eight scenarios under several lightings (Heckler-Kram et al. 2025; CC BY-NC-SA 4.0)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from pyimgano.contracts import DatasetSplit, Sample
from pyimgano.datasets.files import image_files
from pyimgano.datasets.findings import Report
from pyimgano.datasets.layout import CategoryDataset, good_samples
from pyimgano.datasets.pairing import GOOD, labelled_samples
from pyimgano.errors import DatasetError


class MVTecAD2Dataset(CategoryDataset):
    """``<category>/{train,validation}/good``, ``test_public/{good,bad,ground_truth/bad}``, ``test_private[_mixed]``.

    Images are called ``NNN_<lighting>.png``: `Sample.meta` has the lighting, and the images of one part, which differ in it
    alone, are a group. The validation images are the split's calibration images. The private test sets have no labels.
    ``load_dataset("mvtec_ad2", root, category=...)`` makes one.
    """

    CATEGORIES = ("can", "fabric", "fruit_jelly", "rice", "sheet_metal", "vial", "wallplugs", "walnuts")

    def scan_category(self, folder: Path, report: Report) -> DatasetSplit:
        train = good_samples(folder, f"train/{GOOD}")
        validation = folder / "validation" / GOOD
        held_out = [Sample(path) for path in image_files(validation)] if validation.is_dir() else []
        test = self._test_samples(folder / self.options.split, report)
        return DatasetSplit(_with_lighting(train, folder), _with_lighting(held_out, folder), _with_lighting(test, folder))

    def _test_samples(self, folder: Path, report: Report) -> Iterable[Sample]:
        if not folder.is_dir():
            found = [place.name for place in sorted(folder.parent.glob("test_*")) if place.is_dir()]
            raise DatasetError(
                f"{folder.parent} has no folder {folder.name}", f"set split to one of: {', '.join(found) or 'none is there'}"
            )
        if folder.name == "test_public":
            return labelled_samples(folder, folder / "ground_truth", report)
        return [Sample(path, None, defect_type="unlabelled") for path in image_files(folder)]


def _with_lighting(samples: Iterable[Sample], category: Path) -> tuple[Sample, ...]:
    """Return the samples with the lighting and the part that their names tell."""
    return tuple(_named(sample, category) for sample in samples)


def _named(sample: Sample, category: Path) -> Sample:
    part, _, lighting = sample.path.stem.partition("_")
    folder = sample.path.parent.relative_to(category).as_posix()
    return replace(sample, group=f"{folder}/{part}", meta={"lighting": lighting} if lighting else {})
