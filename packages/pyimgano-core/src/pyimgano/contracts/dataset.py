"""Datasets: samples, splits, and what a layout on disk answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from pyimgano.errors import DatasetError


@dataclass(frozen=True)
class Sample:
    """One image of a dataset.

    Attributes
    ----------
    path
        The image.
    label
        0 for good, 1 for defective, None where the truth is withheld (private test sets).
    mask_path
        The mask of its defects, an image or a folder of images; `pyimgano.datasets.masks.read_mask` reads both.
    defect_type
        ``good``, or what is wrong with the part.
    group
        Keeps related images in one split.
    meta
        What else is known of the image.
    """

    path: Path
    label: int | None = 0
    mask_path: Path | None = None
    defect_type: str = "good"
    group: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class DatasetSplit:
    """Images to learn from, to calibrate on, and to test on. `train` and `calibration` hold normal images only."""

    train: tuple[Sample, ...]
    calibration: tuple[Sample, ...] = ()
    test: tuple[Sample, ...] = ()

    def __post_init__(self) -> None:
        for sample in (*self.train, *self.calibration):
            if sample.label:
                raise DatasetError(f"{sample.path} is defective but in the training set", "learn from good parts only")

    def with_calibration(self, fraction: float, seed: int) -> DatasetSplit:
        """Return the split with a fraction of train held out for calibration, unless the dataset brings its own.

        Images of one group stay together.
        """
        from pyimgano.datasets.splits import split_groups

        if self.calibration:
            return self
        train, calibration = split_groups(self.train, [sample.group for sample in self.train], fraction, seed)
        return DatasetSplit(tuple(train), tuple(calibration), self.test)


class LabelledPaths(NamedTuple):
    """Test images as parallel lists; the label is None where it is withheld, the mask where there is none."""

    paths: list[Path]
    labels: list[int | None]
    mask_paths: list[Path | None]


class Dataset(ABC):
    """A dataset on disk. Its constructor takes the validated options and reads nothing."""

    CATEGORIES: ClassVar[tuple[str, ...]] = ()
    """Official names of its categories; empty for a layout without."""

    def __init__(self, options: Any) -> None:
        self.options = options

    @abstractmethod
    def load(self) -> DatasetSplit:
        """List the images. The same options give the same split, in the same order."""

    def categories(self) -> list[str]:
        """Return the names of the categories that are there; empty for a layout without."""
        return []

    def get_train_paths(self) -> list[Path]:
        """Return the images to learn from, in the order of `load`."""
        return [sample.path for sample in self.load().train]

    def get_test_paths(self) -> LabelledPaths:
        """Return paths, labels and mask paths of the test images, in the order of `load`."""
        test = self.load().test
        return LabelledPaths(
            [sample.path for sample in test], [sample.label for sample in test], [sample.mask_path for sample in test]
        )
