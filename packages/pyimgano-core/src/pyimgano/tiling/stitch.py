"""From the maps of tiles to the map of their image, one tile at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pyimgano.errors import DetectorError, OptionsError
from pyimgano.tiling.coords import Size

Values = NDArray[np.float32]
MapReduce = Literal["max", "mean", "hann", "gaussian"]

_GAUSSIAN_SIGMA = 1 / 8


def stitch_maps(
    tiles_coords: Iterable[tuple[int, int]], maps: Iterable[NDArray[Any]], out_shape: Size, reduce: MapReduce = "max"
) -> Values:
    """Return the maps of tiles as one map, (H, W) float32.

    Maps are taken one at a time; memory holds the result and one row of tiles. Averages are running ones, so where all tiles
    have one value, the result has exactly that value.

    Parameters
    ----------
    tiles_coords
        Top left corners (y, x), as `iter_tile_coords` yields them.
    maps
        One map for each corner, all of the tile's size, finite. What leaves `out_shape` is padding and is dropped.
    out_shape
        Height and width of the image.
    reduce
        What happens where tiles overlap. ``max`` keeps the largest value. The others average: ``mean`` with equal weights,
        ``hann`` and ``gaussian`` with weights that fall towards the edge of a tile, so that seams do not show. No weight is
        zero. ``gaussian`` has a sigma of an eighth of the side, as in nnU-Net (Isensee et al., Nature Methods 18, 2021).

    Raises
    ------
    DetectorError
        If the corners are no full grid, row by row, or leave gaps; if a map is missing or one too many, has another shape,
        or holds a value that is not finite.
    """
    stitched = np.empty(out_shape, dtype=np.float32)
    for top, rows in stitched_bands(tiles_coords, maps, out_shape, reduce):
        stitched[top : top + len(rows)] = rows
    return stitched


def stitched_bands(
    tiles_coords: Iterable[tuple[int, int]], maps: Iterable[NDArray[Any]], out_shape: Size, reduce: MapReduce = "max"
) -> Iterator[tuple[int, Values]]:
    """Yield what `stitch_maps` returns from top to bottom: the first row, and the rows down to where the next tiles begin.

    Memory holds two rows of tiles, however high the map is. Arguments and errors are those of `stitch_maps`.
    """
    coords = list(tiles_coords)
    tops, columns = _axes(coords)
    arriving = _checked(maps, coords)
    first = next(arriving)
    arriving = chain([first], arriving)
    (height, width), (tall, wide) = out_shape, first.shape
    down, across = _shares(tops, tall, height, reduce), _shares(columns, wide, width, reduce)
    start = -np.inf if reduce == "max" else 0.0
    band, open_rows = np.empty((tall, width), dtype=np.float32), np.full((tall, width), start, dtype=np.float32)
    for y, end, vertical in zip(tops, [*tops[1:], height], down, strict=True):
        band.fill(start)
        for x, horizontal in zip(columns, across, strict=True):
            _blend(band[:, x : x + wide], next(arriving)[:, : width - x], horizontal, reduce)
        _blend(open_rows[: height - y], band[: height - y], vertical[:, None], reduce)
        yield y, open_rows[: end - y].copy()
        left = tall - (end - y)
        open_rows[:left] = open_rows[end - y :].copy()
        open_rows[left:] = start
    for _ in arriving:  # lets it notice a map too many
        pass


def _axes(coords: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Return the rows and the columns of a grid of corners."""
    rows, columns = list(dict.fromkeys(y for y, _ in coords)), list(dict.fromkeys(x for _, x in coords))
    if not coords or rows != sorted(rows) or coords != [(y, x) for y in rows for x in columns]:
        raise DetectorError("the corners of the tiles are not a full grid, row by row from the top", "use iter_tile_coords")
    return rows, columns


def _checked(maps: Iterable[NDArray[Any]], coords: Sequence[tuple[int, int]]) -> Iterator[Values]:
    """Yield the maps as float32 while they are what they should be."""
    shape: tuple[int, ...] | None = None
    count = 0
    for tile in maps:
        if count == len(coords):
            raise DetectorError(f"{count} tiles have more maps than that", "pass one map for each tile")
        shape = shape or tile.shape
        if tile.ndim != 2 or tile.shape != shape or not np.isfinite(tile).all():
            raise DetectorError(
                f"the map of the tile at {coords[count]} has shape {tile.shape}, or holds NaN or infinite values",
                f"all maps must be finite and of one shape, here {shape}",
            )
        count += 1
        yield np.asarray(tile, dtype=np.float32)
    if count < len(coords):
        raise DetectorError(f"{len(coords)} tiles have {count} maps", "pass one map for each tile")


def _shares(positions: Sequence[int], tile: int, side: int, reduce: MapReduce) -> list[Values]:
    """Return, for each tile along an axis, how far its values pull the average of the tiles before it: 1 where it is the first.

    All weights are products of one along each axis, so an average over tiles is one along the rows of one along the columns.
    """
    if not 0 <= min(positions) <= max(positions) < side:
        raise DetectorError(f"tiles start outside a side of {side} pixels", "use iter_tile_coords with the size of the image")
    weights = _weights(tile, reduce)
    total = np.zeros(side)
    shares = []
    for place in positions:
        here = weights[: side - place]
        total[place : place + tile] += here
        shares.append((here / total[place : place + tile]).astype(np.float32))
    if not total.all():
        raise DetectorError(f"tiles leave gaps, the first at pixel {int(total.argmin())}", "use iter_tile_coords")
    return shares


def _weights(tile: int, reduce: MapReduce) -> NDArray[np.float64]:
    """Return the weights along one side of a tile, all above zero."""
    centres = (np.arange(tile) + 0.5) / tile
    match reduce:
        case "hann":
            return np.asarray(np.sin(np.pi * centres) ** 2, dtype=np.float64)
        case "gaussian":
            return np.asarray(np.exp(-0.5 * ((centres - 0.5) / _GAUSSIAN_SIGMA) ** 2), dtype=np.float64)
        case "max" | "mean":
            return np.ones(tile)
    raise OptionsError(f"map_reduce: {reduce!r} is unknown", "use max, mean, hann or gaussian")


def _blend(target: Values, values: Values, shares: Values, reduce: MapReduce) -> None:
    """Take values into a part of a map, in place."""
    if reduce == "max":
        np.maximum(target, values, out=target)
    else:
        target += (values - target) * shares
