"""Masks as files: PNG, npy, or npz with the key ``mask``; values are 0 and 255."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pyimgano.defects.config import MaskFormat
from pyimgano.errors import ImageError, OutputError


def write_mask_file(mask: NDArray[np.uint8], folder: Path, name: str, mask_format: MaskFormat = "png") -> Path:
    """Write a mask as ``<folder>/<name>.<mask_format>`` and return the path; equal masks give equal bytes.

    Parameters
    ----------
    mask
        (H, W) uint8 of 0 and 255.
    folder
        An existing folder.
    name
        The stem of the file, such as ``000012_part``.

    Raises
    ------
    OutputError
        If the mask is no mask, or the file cannot be written.
    """
    path = folder / f"{name}.{mask_format}"
    fault = _fault(mask)
    if fault:
        raise OutputError(f"{path}: not written, because it is {fault}", "pass (H, W) uint8 of 0 and 255")
    try:
        path.write_bytes(_encoded(mask, mask_format))
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror or error})", "name an existing folder that you may write to"
        ) from None
    return path


def read_mask_file(path: Path) -> NDArray[np.uint8]:
    """Return a mask that `write_mask_file` wrote, (H, W) uint8 of 0 and 255. No pickled object is ever loaded.

    Raises
    ------
    ImageError
        If the file cannot be read, or holds something else.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path} cannot be read ({error.strerror or error})", "check the path") from None
    try:
        mask = _decoded(data, path.suffix.lower())
    except Exception as error:  # readers raise many kinds on damaged files, and all mean the same
        raise ImageError(f"{path} is no mask file: {error}", "write it again, or name another file") from error
    fault = _fault(mask)
    if fault:
        raise ImageError(f"{path} is no mask file: it is {fault}", "a mask is (H, W) uint8 of 0 and 255")
    return np.asarray(mask, dtype=np.uint8)


def _encoded(mask: NDArray[np.uint8], mask_format: MaskFormat) -> bytes:
    buffer = io.BytesIO()
    match mask_format:
        case "png":
            return cv2.imencode(".png", mask)[1].tobytes()
        case "npy":
            np.save(buffer, mask, allow_pickle=False)
        case "npz":
            np.savez_compressed(buffer, mask=mask)
    return buffer.getvalue()


def _decoded(data: bytes, suffix: str) -> NDArray[Any]:
    match suffix:
        case ".png":
            PillowImage.open(io.BytesIO(data), formats=["PNG"]).verify()  # checksums, which decoding alone may pass over
            return np.array(PillowImage.open(io.BytesIO(data), formats=["PNG"]))
        case ".npy":
            return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
        case ".npz":
            with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open("mask.npy") as file:
                return np.lib.format.read_array(file, allow_pickle=False)
    raise ValueError("it ends in none of .png, .npy and .npz")


def _fault(mask: Any) -> str:
    """Return what is wrong with a mask, as the end of a sentence, or nothing."""
    if not isinstance(mask, np.ndarray):
        return "not an array"
    if mask.ndim != 2 or not mask.size or mask.dtype != np.uint8:
        return f"of shape {mask.shape} and type {mask.dtype}"
    if any(((rows != 0) & (rows != 255)).any() for rows in mask):
        return "not made of 0 and 255 alone"
    return ""
