"""The anomaly map of a tiled image, which stays the small grids of its tiles until it is rendered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pyimgano.maps import AnomalyMap, MapRecipe
from pyimgano.tiling.coords import Coords, Size
from pyimgano.tiling.stitch import MapReduce, stitch_maps, stitched_bands


@dataclass(frozen=True, eq=False)
class TiledMap(AnomalyMap):
    """An anomaly map made of the maps of tiles, stitched when it is rendered.

    Its own `grid` is an overview, the largest value of each tile; its `recipe` does nothing.

    Attributes
    ----------
    tiles
        The maps of the tiles.
    coords
        Their top left corners (y, x), row by row.
    tile_size
        Their height and width in pixels of the image.
    reduce
        What happens where they overlap (`stitch_maps`).
    """

    grid: NDArray[np.float32] = field(init=False)
    recipe: MapRecipe = field(init=False, default=MapRecipe())
    tiles: tuple[AnomalyMap, ...] = field(kw_only=True)
    coords: Coords = field(kw_only=True)
    tile_size: Size = field(kw_only=True)
    reduce: MapReduce = field(kw_only=True)

    def __post_init__(self) -> None:
        rows = len({y for y, _ in self.coords})
        overview = np.array([tile.grid.max() for tile in self.tiles], dtype=np.float32).reshape(rows, -1)
        object.__setattr__(self, "grid", overview)
        super().__post_init__()

    def render(self, size: Size | None = None) -> NDArray[np.float32]:
        """Return the map as (H, W) float32 at `size`, by default that of its image; tiles are rendered one at a time."""
        stitched = stitch_maps(self.coords, self._rendered(), self.source, self.reduce)
        return AnomalyMap(stitched, self.source, steps=self.steps).render(size)

    def overview(self, size: Size) -> NDArray[np.float32]:
        """Return the largest value of each cell of the image, so that no small defect is lost; two rows of tiles are held.

        With steps, or where it is enlarged, it is `render`.
        """
        (height, width), (rows, columns) = self.source, size
        if self.steps or rows > height or columns > width:
            return self.render(size)
        peaks = np.full(size, -np.inf, dtype=np.float32)
        starts = -(np.arange(columns) * -width // columns)
        for top, band in self.bands():
            cells = np.arange(top, top + len(band)) * rows // height
            first = np.flatnonzero(np.diff(cells, prepend=-1))
            across = np.maximum.reduceat(band, starts, axis=1)
            target = slice(cells[0], cells[-1] + 1)
            peaks[target] = np.maximum(peaks[target], np.maximum.reduceat(across, first, axis=0))
        return peaks

    def bands(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield one row of tiles after the other; steps need the map whole, which is then one band."""
        if self.steps:
            yield 0, self.render()
        else:
            yield from stitched_bands(self.coords, self._rendered(), self.source, self.reduce)

    def _rendered(self) -> Iterator[NDArray[np.float32]]:
        return (tile.render(self.tile_size) for tile in self.tiles)
