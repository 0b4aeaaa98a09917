"""Images come in here and nowhere else: reading, decoding, converting and checking, once, to RGB uint8 (H, W, 3)."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageOps, UnidentifiedImageError

from pyimgano.errors import ImageError

Image = NDArray[np.uint8]
ImageLike = str | os.PathLike[str] | NDArray[Any]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
MIN_SIDE = 8
MAX_PIXELS = 500_000_000
LARGE = 1 << 26
"""How many pixels are too many to be copied around."""
AHEAD = 16
_ORIENTATION = 0x0112
_ACCEPTED = "use a PNG, JPEG, BMP, TIFF or WebP file of an inspected part"


def read(path: str | os.PathLike[str]) -> Image:
    """Return the image in a file as RGB uint8 (H, W, 3), upright (EXIF).

    Grey becomes RGB; palettes are looked up; alpha is dropped; CMYK is converted; 16 bits are scaled by 255/65535; floats must
    lie in [0, 1].

    Raises
    ------
    ImageError
        For a file that is missing, empty, truncated, not an image, too small, too large or not finite; it names the file.
    """
    image = _read_up_to(MAX_PIXELS, Path(path))
    assert image is not None
    return image


def _read_up_to(most: int, path: Path) -> Image | None:
    """Return the image in a file as `read` does; None, undecoded, where it has more than `most` pixels."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large images; our own limit below is an error
            with PillowImage.open(path) as image:
                _check_size(image.size[1], image.size[0], str(path))
                if image.size[0] * image.size[1] > most:
                    return None
                direct = _read_directly(path, image) if image.size[0] * image.size[1] > LARGE else None
                if direct is not None:
                    return direct
                image.load()
                return _from_pillow(ImageOps.exif_transpose(image), str(path))
    except ImageError:
        raise
    except (FileNotFoundError, IsADirectoryError):
        raise ImageError(f"{path}: no such image file", "check the path") from None
    except UnidentifiedImageError:
        what = "is empty" if path.stat().st_size == 0 else "is not an image, or of a format that is not read"
        raise ImageError(f"{path}: {what}", _ACCEPTED) from None
    except PermissionError:
        raise ImageError(f"{path}: may not be read by this user", f"check the permissions of {path}") from None
    except Exception as error:  # decoders raise many types for damaged files (OSError, SyntaxError, struct.error, ...)
        raise ImageError(
            f"{path}: damaged or truncated ({error})", "copy the file again from its source, or remove it"
        ) from error


PillowImage.MAX_IMAGE_PIXELS = None


def _read_directly(path: Path, image: PillowImage.Image) -> Image | None:
    """Return what a large file holds, decoded straight into the array; None where Pillow has to do it.

    Pillow holds four bytes per pixel of its own and copies them twice. What it does not just copy (palettes, alpha, turning) it
    does itself, and what OpenCV cannot read it explains; of JPEG files OpenCV fills what was cut off with grey.
    """
    plain = image.mode == "RGB" or (image.mode == "L" and image.format in ("JPEG", "PNG"))
    if not plain or image.info.get("transparency") is not None or image.getexif().get(_ORIENTATION, 1) != 1:
        return None
    if image.format == "JPEG" and not _ends_with(path, b"\xff\xd9"):
        return None
    pixels = np.empty((image.size[1], image.size[0], 3), dtype=np.uint8)
    try:
        name = os.fsencode(path).decode()  # OpenCV takes no other names
        known = cv2.haveImageReader(name)  # it leaves the array as it is where it knows no reader
        done = known and cv2.imread(name, pixels, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION) is pixels
    except (cv2.error, UnicodeError):
        return None
    return pixels if done else None


def _ends_with(path: Path, end: bytes) -> bool:
    with path.open("rb") as file:
        file.seek(-min(64, path.stat().st_size), os.SEEK_END)
        return file.read().rstrip(b"\0").endswith(end)


def upright_size(path: Path) -> tuple[int, int]:
    """Return (width, height) as seen upright, from the header alone."""
    try:
        with PillowImage.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
            return (height, width) if turned else (width, height)
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"{path}: not a readable image ({error})", "replace or remove the file") from None


def _from_pillow(image: PillowImage.Image, where: str) -> Image:
    if image.mode.startswith("I") or image.mode == "F":
        array = np.asarray(image)
        holds_16_bits = image.mode != "F" and array.min() >= 0 and array.max() <= 65535
        return from_array(array.astype(np.uint16) if holds_16_bits else array, where=where)
    return np.ascontiguousarray(np.asarray(image.convert("RGB")))


def from_array(
    array: NDArray[Any],
    *,
    layout: Literal["hwc", "chw"] = "hwc",
    channels: Literal["rgb", "bgr"] = "rgb",
    u16_max: int = 65535,
    where: str = "array",
) -> Image:
    """Return an array as RGB uint8 (H, W, 3), C-contiguous.

    Parameters
    ----------
    array
        (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) in ``hwc`` layout, channels first in ``chw``; bool, uint8, uint16 in
        [0, `u16_max`], or floating point in [0, 1].
    layout
        Which axis holds the channels.
    channels
        Order of the colour channels.
    u16_max
        White in uint16, which is what values are scaled by: 4095 for 12 bits.
    where
        What to call the array in errors.
    """
    if layout == "chw" and array.ndim == 3:
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise ImageError(
            f"{where}: shape {array.shape} is not an image", 'pass (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), or layout="chw"'
        )
    _check_size(array.shape[0], array.shape[1], where)
    pixels = _to_uint8(array, where, u16_max)
    if pixels.ndim == 2:
        return np.repeat(pixels[:, :, None], 3, axis=2)
    pixels = pixels[:, :, :3]
    in_order: Image = np.ascontiguousarray(pixels[:, :, ::-1] if channels == "bgr" else pixels)
    return in_order


def _to_uint8(array: NDArray[Any], where: str, u16_max: int) -> Image:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16:
        if u16_max < 65535 and array.max() > u16_max:
            raise ImageError(f"{where}: holds {array.max()}, more than u16_max={u16_max}", "pass the value of white as u16_max")
        scaled: Image = ((array.astype(np.uint32) * 255 + u16_max // 2) // u16_max).astype(np.uint8)
        return scaled
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all():
            raise ImageError(f"{where}: holds NaN or infinite values", "replace them before scoring")
        if array.min() < 0 or array.max() > 1:
            raise ImageError(
                f"{where}: float values lie in [{array.min():g}, {array.max():g}]", "scale them to [0, 1], or pass uint8"
            )
        return np.asarray(np.rint(array * 255), dtype=np.uint8)
    raise ImageError(f"{where}: dtype {array.dtype} is not an image's", "pass uint8, uint16 or float in [0, 1]")


def _check_size(height: int, width: int, where: str) -> None:
    if min(height, width) < MIN_SIDE:
        raise ImageError(f"{where}: {width}x{height} pixels is too small", f"each side needs at least {MIN_SIDE} pixels")
    if height * width > MAX_PIXELS:
        raise ImageError(
            f"{where}: {width}x{height} is more than {MAX_PIXELS // 10**6} megapixels", "crop it or scale it down first"
        )


def load(image: ImageLike) -> Image:
    """Return a path or an RGB array as RGB uint8 (H, W, 3)."""
    return from_array(image) if isinstance(image, np.ndarray) else read(image)


def resize(image: Image, size: tuple[int, int]) -> Image:
    """Return the image at (height, width): area averaging when it shrinks, bilinear when it grows."""
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    shrinks = height * width < image.shape[0] * image.shape[1]
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.uint8)


class ImageSource:
    """A sized source of images that can be iterated again and decodes ahead in threads.

    Parameters
    ----------
    items
        Paths or RGB arrays.
    workers
        Decoding threads; 0 decodes in the caller's.
    ahead
        How many decoded images may wait; this bounds the memory, whatever the number of items.
    transform
        What is done to every image, in the decoding threads.
    """

    def __init__(
        self,
        items: Sequence[ImageLike],
        workers: int = 2,
        ahead: int = AHEAD,
        transform: Callable[[Image], Image] | None = None,
    ) -> None:
        self.items = items
        self.workers = workers
        self.ahead = ahead
        self.transform = transform

    @property
    def untouched(self) -> bool:
        """Return whether its images are what its items hold, with nothing done to them."""
        return self.transform is None

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Image]:
        for _, outcome in self.outcomes():
            if isinstance(outcome, ImageError):
                raise outcome
            yield outcome

    def batches(self, size: int) -> Iterator[list[Image]]:
        """Yield lists of at most `size` images."""
        yield from batched(self, size)

    def outcomes(self) -> Iterator[tuple[ImageLike, Image | ImageError]]:
        """Yield every item with its image, or with the error that reading it gave.

        Images of more than `LARGE` pixels are not decoded ahead, and none is held here while the next one is made.
        """
        if not self.workers or all(isinstance(item, np.ndarray) for item in self.items):
            for item in self.items:
                yield item, self._outcome(item)
            return
        waiting: deque[tuple[ImageLike, Future[Image | ImageError | None]]] = deque()
        with ThreadPoolExecutor(self.workers, thread_name_prefix="decode") as pool:
            try:
                for item in self.items:
                    waiting.append((item, pool.submit(self._outcome_ahead, item)))
                    if len(waiting) > self.ahead:
                        yield self._first(waiting)
                while waiting:
                    yield self._first(waiting)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _first(
        self, waiting: deque[tuple[ImageLike, Future[Image | ImageError | None]]]
    ) -> tuple[ImageLike, Image | ImageError]:
        item, future = waiting.popleft()
        outcome = future.result()
        return item, self._outcome(item) if outcome is None else outcome

    def _outcome(self, item: ImageLike) -> Image | ImageError:
        outcome = self._outcome_ahead(item, MAX_PIXELS)
        assert outcome is not None
        return outcome

    def _outcome_ahead(self, item: ImageLike, most: int = LARGE) -> Image | ImageError | None:
        """Return the image or the error that reading gave; None for a file of more than `most` pixels, undecoded."""
        try:
            image = from_array(item) if isinstance(item, np.ndarray) else _read_up_to(most, Path(item))
            return image if image is None or self.transform is None else self.transform(image)
        except ImageError as error:
            return error


T = TypeVar("T")


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of at most `size` items, in order."""
    batch: list[T] = []
    for item in items:
        batch.append(item)
        del item  # it may be large, and the next one is made before the name is given anew
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
