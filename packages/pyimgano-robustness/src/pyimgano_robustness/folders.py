"""``conditions``: a folder per condition, each of the layout ``folder``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from pyimgano.contracts import DatasetSplit, Sample
from pyimgano.datasets.files import existing_folder, image_files, sub_folders
from pyimgano.datasets.findings import Report
from pyimgano.datasets.layout import LayoutDataset
from pyimgano.datasets.pairing import GOOD, labelled_samples
from pyimgano.errors import DatasetError


class ConditionsDataset(LayoutDataset):
    """``<condition>/train/good``, ``<condition>/test/<type>``, ``<condition>/ground_truth/<type>``.

    `Sample.meta` has the folder as its ``condition``. Only a condition to learn from needs ``train``. Images of one name in
    several conditions show the same part, and are a group.
    """

    def scan(self, report: Report) -> DatasetSplit:
        root = existing_folder(self.options.root, "dataset root")
        train: list[Sample] = []
        test: list[Sample] = []
        for folder in sub_folders(root):
            good = folder / "train" / GOOD
            train += _taken(folder, (Sample(path) for path in image_files(good)) if good.is_dir() else ())
            test += _taken(folder, labelled_samples(folder / "test", folder / "ground_truth", report))
        if not train:
            raise DatasetError(
                f"no folder in {root} has train/{GOOD}", f"put good parts in {root / 'CONDITION' / 'train' / GOOD}"
            )
        return DatasetSplit(tuple(train), test=tuple(test))


def _taken(condition: Path, samples: Iterable[Sample]) -> Iterator[Sample]:
    for sample in samples:
        part = sample.path.relative_to(condition).with_suffix("").as_posix()
        yield replace(sample, group=part, meta={"condition": condition.name})
