"""Seeded pictures for checks: a quiet texture, and defects nobody can miss. All are RGB uint8 (height, width, 3)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PillowImage

from pyimgano.images import Image

Colour = tuple[int, int, int]
LIGHT: Colour = (245, 235, 60)
DARK: Colour = (15, 10, 30)
SIZE = (64, 96)
"""Height and width of a picture unless another is asked for; not square, so that swapped axes are seen."""


def texture(seed: int, size: tuple[int, int] = SIZE) -> Image:
    """Return a grey-brown surface with coarse and fine noise."""
    rng = np.random.default_rng(seed)
    height, width = size
    coarse = rng.normal(0, 6, (max(2, height // 8), max(2, width // 8))).astype(np.float32)
    smooth = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)
    grey = 120 + smooth + rng.normal(0, 3, size)
    return np.asarray(np.clip(grey[:, :, None] * np.array([1.0, 0.95, 0.9]), 0, 255), dtype=np.uint8)


def textures(count: int, size: tuple[int, int] = SIZE, first: int = 0) -> list[Image]:
    """Return `count` surfaces, no two alike."""
    return [texture(first + number, size) for number in range(count)]


def with_block(image: Image, centre: tuple[float, float], side: int, colour: Colour = LIGHT) -> Image:
    """Return a copy with a square of one colour whose `centre` is given as shares of height and width."""
    top, left = (round(share * extent - side / 2) for share, extent in zip(centre, image.shape[:2], strict=True))
    changed = image.copy()
    changed[max(0, top) : top + side, max(0, left) : left + side] = colour
    return changed


def defective(image: Image, number: int = 0, colour: Colour = LIGHT) -> Image:
    """Return a copy with a large block away from the border."""
    centre = 0.35 + 0.1 * (number % 4)
    return with_block(image, (centre, 1 - centre), min(image.shape[:2]) // 3, colour)


def plain(value: int, size: tuple[int, int] = SIZE) -> Image:
    """Return a picture of one grey value."""
    return np.full((*size, 3), value, np.uint8)


def saved(images: Sequence[Image], folder: Path) -> list[Path]:
    """Write pictures as PNG files and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number}.png" for number in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        PillowImage.fromarray(image).save(path)
    return paths
