"""Where tiles lie, and cutting one out."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pyimgano.errors import ImageError, OptionsError

Size = tuple[int, int]
"""Height and width."""
Coords = tuple[tuple[int, int], ...]
"""Top left corners (y, x), row by row."""


def as_size(side: int | Size) -> Size:
    """Return one side, or height and width, as height and width."""
    return (side, side) if isinstance(side, int) else (side[0], side[1])


def iter_tile_coords(h: int, w: int, tile_size: int | Size, stride: int | Size | None = None) -> Iterator[tuple[int, int]]:
    """Yield the top left corners (y, x) of tiles that cover an image, row by row.

    Every row of tiles has the same columns. The last tile of a row and of a column ends at the edge, so it may overlap its
    neighbour by more than the others do. A side shorter than the tile has one tile, at 0.

    Parameters
    ----------
    h, w
        Height and width of the image.
    tile_size
        Side of the tiles, or (height, width).
    stride
        From one tile to the next, or (down, across); at most the tile's side. None puts them side by side.

    Raises
    ------
    OptionsError
        For a side or stride below 1, or a stride above the tile's side, which would leave gaps.
    """
    tile = as_size(tile_size)
    step = tile if stride is None else as_size(stride)
    if min(h, w, *tile) < 1:
        raise OptionsError(f"tiling: no tile of {tile[0]}x{tile[1]} pixels fits an image of {h}x{w}", "each side needs a pixel")
    if not (1 <= step[0] <= tile[0] and 1 <= step[1] <= tile[1]):
        raise OptionsError(
            f"tiling.stride: must lie between 1 and the tile's side (got {step} for tiles of {tile})",
            "leave it out to put tiles side by side",
        )
    columns = _positions(w, tile[1], step[1])
    return ((y, x) for y in _positions(h, tile[0], step[0]) for x in columns)


def _positions(side: int, tile: int, stride: int) -> list[int]:
    return [*range(0, side - tile, stride), side - tile] if side > tile else [0]


@lru_cache(maxsize=32)
def tile_coords(size: Size, tile: Size, stride: Size | None) -> Coords:
    """Return the corners that `iter_tile_coords` yields; those of the last few sizes are remembered."""
    return tuple(iter_tile_coords(*size, tile, stride))


def extract_tile(
    image: NDArray[Any], y0: int, x0: int, tile_size: int | Size, pad_mode: Literal["reflect", "edge"] = "reflect"
) -> NDArray[Any]:
    """Return the tile whose top left corner is (y0, x0), C-contiguous and of the image's dtype.

    Parameters
    ----------
    image
        (H, W) or (H, W, C).
    y0, x0
        A pixel of the image.
    tile_size
        Side of the tile, or (height, width).
    pad_mode
        What fills a tile where it leaves the image: ``reflect`` mirrors at the last pixel, again and again if need be;
        ``edge`` repeats the last pixel.

    Raises
    ------
    ImageError
        If (y0, x0) lies outside.
    """
    height, width = image.shape[:2]
    if not (0 <= y0 < height and 0 <= x0 < width):
        raise ImageError(f"a tile at ({y0}, {x0}) starts outside an image of shape {image.shape}", "use iter_tile_coords")
    bottom, right = y0 + as_size(tile_size)[0], x0 + as_size(tile_size)[1]
    if bottom <= height and right <= width:
        return np.ascontiguousarray(image[y0:bottom, x0:right])
    if pad_mode not in _FOLDS:
        raise OptionsError(f"pad_mode: {pad_mode!r} is unknown", f"use {' or '.join(_FOLDS)}")
    fold = _FOLDS[pad_mode]
    return np.ascontiguousarray(image[np.ix_(fold(y0, bottom, height), fold(x0, right, width))])


def _mirrored(start: int, stop: int, side: int) -> NDArray[np.intp]:
    """Return the places start..stop folded into a side, the last pixel not repeated."""
    period = max(2 * (side - 1), 1)
    places = np.arange(start, stop) % period
    return np.minimum(places, period - places) if side > 1 else places


def _held(start: int, stop: int, side: int) -> NDArray[np.intp]:
    return np.minimum(np.arange(start, stop), side - 1)


_FOLDS = {"reflect": _mirrored, "edge": _held}
