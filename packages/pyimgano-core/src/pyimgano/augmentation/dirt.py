"""Dirt between lens and part: specks of dust."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pyimgano.augmentation.light import Field, dimmed
from pyimgano.augmentation.pixels import Pixels, check_uint8
from pyimgano.preprocessing.pixels import check_number


@dataclass(frozen=True)
class Speck:
    """One speck on the lens, out of focus: a dark disc with a soft rim.

    Attributes
    ----------
    row, column
        Its centre, as shares of the image's height and width.
    radius
        Where it is half as dark as in its middle, as a share of the short side.
    density
        How dark it is compared with the darkest, in [0, 1].
    """

    row: float
    column: float
    radius: float
    density: float = 1.0


def draw_specks(rng: np.random.Generator, count: int) -> tuple[Speck, ...]:
    """Return `count` specks anywhere in the image, most of them small."""
    return tuple(
        Speck(rng.random(), rng.random(), radius=0.008 + 0.037 * rng.random() ** 2, density=rng.uniform(0.5, 1))
        for _ in range(count)
    )


def dust(image: Pixels, specks: Sequence[Speck], opacity: float) -> Pixels:
    """Return the image seen through specks; where they overlap, the densest counts.

    More opacity and more specks only ever darken.

    Parameters
    ----------
    image
        Grey (H, W) or RGB (H, W, 3), uint8.
    specks
        Where they are; `draw_specks` draws some.
    opacity
        Share of the light that the densest takes away, in [0, 1]; 0 changes nothing.
    """
    check_uint8(image)
    check_number("dust", opacity, 0, 1)
    cover = np.zeros(image.shape[:2], dtype=np.float32)
    for speck in specks:
        _cover(cover, speck)
    return dimmed(image, 1 - np.float32(opacity) * cover)


def _cover(cover: Field, speck: Speck) -> None:
    """Raise `cover` in place to the density of a speck: even in the middle, falling over the outer half of its radius."""
    height, width = cover.shape
    radius = max(speck.radius * min(height, width), 0.5)
    row, column, reach = speck.row * (height - 1), speck.column * (width - 1), 1.5 * radius
    top, bottom = max(0, int(row - reach)), min(height, int(row + reach) + 2)
    left, right = max(0, int(column - reach)), min(width, int(column + reach) + 2)
    down = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(row)
    across = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(column)
    inside = np.clip(np.float32(1.5) - np.hypot(down, across) / np.float32(radius), 0, 1)
    part = cover[top:bottom, left:right]
    np.maximum(part, np.float32(speck.density) * inside * inside * (3 - 2 * inside), out=part)
