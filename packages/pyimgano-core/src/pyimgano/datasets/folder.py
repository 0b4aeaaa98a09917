"""``folder``: train/good, test/<type>, ground_truth/<type>, as in MVTec AD (Bergmann et al. 2019)."""

from __future__ import annotations

from pathlib import Path

from PIL import Image as PillowImage

from pyimgano.contracts import Dataset, DatasetSplit, Sample
from pyimgano.datasets.files import existing_folder, image_files, sub_folders
from pyimgano.errors import DatasetError, ImageError

GOOD = "good"


class FolderDataset(Dataset):
    """Good images in ``train/good``; every folder of ``test`` but ``good`` is a type of defect.

    Masks are paired by stem (``007.png`` with ``007_mask.png`` or ``007.png``) and must have the size of their image. If
    there is a ``ground_truth`` folder, a defective image without a mask is an error; without one there are no masks.
    """

    def load(self) -> DatasetSplit:
        root = existing_folder(self.options.root, "dataset root")
        good = root / "train" / GOOD
        if not good.is_dir():
            raise DatasetError(f"{root} has no folder train/{GOOD}", _where_it_is(root))
        train = tuple(Sample(path) for path in image_files(good))
        if not train:
            raise DatasetError(f"{good} holds no image files", "put images of good parts there (PNG, JPEG, BMP, TIFF, WebP)")
        tests = sub_folders(root / "test") if (root / "test").is_dir() else []
        return DatasetSplit(train, test=tuple(sample for folder in tests for sample in _test_samples(folder, root)))


def _where_it_is(root: Path) -> str:
    """Return advice that names the nearest folder that looks right."""
    for candidate in [*root.resolve().parents[:2], *sub_folders(root)]:
        if (candidate / "train" / GOOD).is_dir():
            return f"{candidate} has one: did you mean that?"
    if image_files(root):
        return f"the images lie in {root} itself: move those of good parts to {root / 'train' / GOOD}"
    return f"put images of good parts in {root / 'train' / GOOD}"


def _test_samples(folder: Path, root: Path) -> list[Sample]:
    if folder.name == GOOD:
        return [Sample(path) for path in image_files(folder)]
    ground_truth = root / "ground_truth"
    masks = _masks(ground_truth / folder.name) if ground_truth.is_dir() else None
    return [
        Sample(path, 1, _mask_of(path, masks, ground_truth / folder.name) if masks is not None else None, folder.name)
        for path in image_files(folder)
    ]


def _masks(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    masks: dict[str, Path] = {}
    for path in image_files(folder):
        stem = path.stem.removesuffix("_mask")
        if stem in masks:
            raise DatasetError(f"{path} and {masks[stem]} are masks of the same image", "remove one of them")
        masks[stem] = path
    return masks


def _mask_of(image: Path, masks: dict[str, Path], folder: Path) -> Path:
    mask = masks.get(image.stem)
    if mask is None:
        raise DatasetError(
            f"{image} has no mask {folder / (image.stem + '_mask.png')}", "add the mask, or remove the folder ground_truth"
        )
    sizes = [_size(path) for path in (image, mask)]
    if sizes[0] != sizes[1]:
        raise DatasetError(
            f"{mask} is {sizes[1][0]}x{sizes[1][1]} pixels but its image is {sizes[0][0]}x{sizes[0][1]}",
            "export the mask at the size of the image",
        )
    return mask


def _size(path: Path) -> tuple[int, int]:
    """Return (width, height) as seen upright, from the header alone."""
    try:
        with PillowImage.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            return (height, width) if turned else (width, height)
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"{path}: not a readable image ({error})", "replace or remove the file") from None
