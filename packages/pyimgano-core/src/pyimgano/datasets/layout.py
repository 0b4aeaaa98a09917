"""What the layouts on disk have in common: listing that can collect faults, folders of good images, one folder per category."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

from pyimgano.contracts import Dataset, DatasetSplit, Sample
from pyimgano.datasets.files import existing_folder, image_files, sub_folders
from pyimgano.datasets.findings import Report, refuse
from pyimgano.datasets.pairing import GOOD, MASK, labelled_samples
from pyimgano.errors import DatasetError, suggestion


class LayoutDataset(Dataset):
    """A dataset whose faults can be collected. Subclasses write `scan`."""

    @abstractmethod
    def scan(self, report: Report) -> DatasetSplit:
        """List the images; hand every fault of a file to `report` and go on without it."""

    def load(self) -> DatasetSplit:
        """List the images; the first fault is an error."""
        return self.scan(refuse)


class CategoryDataset(LayoutDataset):
    """A dataset with one folder per category under ``root``. Subclasses write `scan_category`."""

    NORMAL: str = f"train/{GOOD}"
    """What makes a folder a category: its folder of good images."""

    @abstractmethod
    def scan_category(self, folder: Path, report: Report) -> DatasetSplit:
        """List the images of the category in `folder`."""

    def scan(self, report: Report) -> DatasetSplit:
        return self.scan_category(self.category_folder(), report)

    def base(self) -> Path:
        """Return the folder that holds the categories."""
        return existing_folder(self.options.root, "dataset root")

    def is_category(self, folder: Path) -> bool:
        """Return whether a folder looks like a category."""
        return (folder / self.NORMAL).is_dir()

    def categories(self) -> list[str]:
        return [folder.name for folder in sub_folders(self.base()) if self.is_category(folder)]

    def category_folder(self) -> Path:
        """Return the folder of the chosen category, or of the only one."""
        base, found = self.base(), self.categories()
        if not found:
            raise DatasetError(f"{base} holds no category with a folder {self.NORMAL}", self._where_they_are(base))
        return base / choose_category(self.options.category, found, str(base))

    def _where_they_are(self, base: Path) -> str:
        for candidate in [base.resolve(), *base.resolve().parents[:3]]:
            if self.is_category(candidate):
                return (
                    f"{candidate} is the category {candidate.name} itself: "
                    f"did you mean root={candidate.parent} and category={candidate.name}?"
                )
        for candidate in sub_folders(base):
            if any(self.is_category(folder) for folder in sub_folders(candidate)):
                return f"did you mean root={candidate}?"
        return f"name the folder that holds {', '.join(self.CATEGORIES[:2])}, ..."


def choose_category(name: str | None, found: Sequence[str], where: str) -> str:
    """Return the category that was asked for, or the only one."""
    listing = f"{where} has: {', '.join(found)}"
    if name is None and len(found) > 1:
        raise DatasetError(f"{where} holds {len(found)} categories, and none was chosen", f"set category; {listing}")
    if name is not None and name not in found:
        hint = suggestion(name, found)
        raise DatasetError(f"{where} has no category {name!r}", f"{hint} {listing}".strip())
    return name or found[0]


def per_category(dataset: Dataset) -> Iterator[tuple[str | None, Dataset]]:
    """Yield the dataset once for every category that its options leave open, or once as it is."""
    chosen = getattr(dataset.options, "category", None)
    names = dataset.categories() if chosen is None else []
    if not names:
        yield chosen, dataset
    for name in names:
        yield name, type(dataset)(dataset.options.model_copy(update={"category": name}))


def images_root(dataset: Dataset) -> Path | None:
    """Return the folder that the images of a dataset are named from; None for a dataset that keeps its own."""
    place: Path | None = getattr(dataset.options, "root", None)
    return place.parent if place is not None and place.is_file() else place


def good_samples(root: Path, name: str) -> tuple[Sample, ...]:
    """Return the images of the folder `name` of `root`, which must be there."""
    folder = root / name
    if not folder.is_dir():
        raise DatasetError(f"{root} has no folder {name}", _where_it_is(root, name))
    samples = tuple(Sample(path) for path in image_files(folder))
    if not samples:
        raise DatasetError(f"{folder} holds no image files", "put images of good parts there (PNG, JPEG, BMP, TIFF, WebP)")
    return samples


def folder_split(root: Path, report: Report, good: str = GOOD, mask_name: str = MASK) -> DatasetSplit:
    """Return the images of ``train/<good>`` and ``test/*``, with masks from ``ground_truth``."""
    train = good_samples(root, f"train/{good}")
    return DatasetSplit(train, test=labelled_samples(root / "test", root / "ground_truth", report, good, mask_name))


def _where_it_is(root: Path, name: str) -> str:
    """Return advice that names the nearest folder that looks right."""
    for candidate in [*root.resolve().parents[:2], *sub_folders(root)]:
        if (candidate / name).is_dir():
            return f"{candidate} has one: did you mean that?"
    if image_files(root):
        return f"the images lie in {root} itself: move those of good parts to {root / name}"
    return f"put images of good parts in {root / name}"
