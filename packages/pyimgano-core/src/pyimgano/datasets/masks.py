"""Masks come in here and nowhere else: any file format, one rule for what is a defect, never resized."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageOps
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pyimgano.datasets.files import image_files
from pyimgano.errors import DatasetError, ImageError

Mask = NDArray[np.bool_]

LOSSY = frozenset({"JPEG", "MPO"})
LOSSY_LEVEL = 127


def read_mask(path: Path, size: tuple[int, int]) -> Mask:
    """Return where a mask marks a defect, (H, W) bool.

    Every value but zero is a defect: 255, the id of a defect type, a palette index, a colour that is not transparent. In a
    JPEG, whose compression leaves faint values around every edge, it is every grey value above 127. A folder is the union of
    its images.

    Parameters
    ----------
    path
        An image, or a folder of images.
    size
        (height, width) of the image that the mask belongs to.

    Raises
    ------
    DatasetError
        If the mask has another size than the image.
    ImageError
        If it cannot be read.
    """
    union = np.zeros(size, dtype=np.bool_)
    for file in mask_files(path):
        mask = _values(file) != 0
        if mask.ndim == 3:
            mask = mask.any(axis=2)
        if mask.shape != size:
            raise size_error(file, mask.shape, size)
        union |= mask
    return union


def mask_files(path: Path) -> list[Path]:
    """Return the images that a mask consists of: itself, or what its folder holds."""
    if not path.is_dir():
        return [path]
    files = image_files(path)
    if not files:
        raise DatasetError(f"mask folder {path} holds no image files", "add the masks, or remove the folder")
    return files


def size_error(mask: Path, size: tuple[int, ...], wanted: tuple[int, ...]) -> DatasetError:
    """Return the error for a mask of (height, width) `size` whose image has the size `wanted`."""
    return DatasetError(
        f"{mask} is {size[1]}x{size[0]} pixels but its image is {wanted[1]}x{wanted[0]}",
        "export the mask at the size of the image",
    )


def read_loco_channels(path: Path) -> list[tuple[int, Mask]]:
    """Return every annotated defect of one MVTec LOCO image: its pixel value in ``defects_config.json``, and its mask.

    Parameters
    ----------
    path
        The image's folder of masks, one file per defect. Several may have the same value, and they may overlap.
    """
    channels = []
    for file in mask_files(path):
        pixels = _values(file)
        if pixels.ndim != 2:
            raise DatasetError(f"{file} is a colour image, not a mask with one value", "copy the official file again")
        present = np.unique(pixels[pixels != 0])
        if len(present) != 1:
            raise DatasetError(
                f"{file} holds {len(present)} values besides 0, but marks one defect", "copy the official file again"
            )
        channels.append((int(present[0]), pixels != 0))
    return channels


class DefectConfig(BaseModel):
    """How MVTec LOCO rates one type of defect; the threshold is a share of its area if `relative_saturation`, else pixels."""

    model_config = ConfigDict(frozen=True)

    defect_name: str
    pixel_value: int = Field(ge=1, le=255)
    saturation_threshold: float = Field(gt=0)
    relative_saturation: bool


def read_defects_config(path: Path) -> dict[int, DefectConfig]:
    """Return the types of defect in a ``defects_config.json``, by pixel value."""
    try:
        configs = TypeAdapter(list[DefectConfig]).validate_json(path.read_bytes())
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror})", "copy it from the dataset's archive") from None
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(map(str, fault["loc"])) or "file"
        raise DatasetError(f"{path}: {place}: {fault['msg']}", "copy it again from the dataset's archive") from None
    return {config.pixel_value: config for config in configs}


def _values(path: Path) -> NDArray[Any]:
    """Return the stored values, upright, in which zero is no defect: (H, W), or (H, W, C) for colours."""
    try:
        with PillowImage.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            if image.format in LOSSY:
                return np.asarray(upright.convert("L")) > LOSSY_LEVEL
            values = np.asarray(upright)
            return _without_transparent(values) if upright.mode in ("LA", "PA", "RGBA") else values
    except FileNotFoundError:
        raise ImageError(f"{path}: no such mask", "check the path") from None
    except Exception as error:  # decoders raise many types for damaged files (OSError, SyntaxError, struct.error, ...)
        raise ImageError(f"{path}: not a readable mask ({error})", "export the mask again") from error


def _without_transparent(values: NDArray[Any]) -> NDArray[Any]:
    """Return the colours where they show, without the opacity, which is not zero in the empty part of most masks."""
    colours: NDArray[Any] = values[:, :, :-1] * (values[:, :, -1:] > 0)
    return colours
