"""The anomaly map of a tiled image, which stays the small grids of its tiles until it is rendered."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pyimgano.maps import AnomalyMap, MapRecipe
from pyimgano.tiling.coords import Coords, Size
from pyimgano.tiling.stitch import MapReduce, stitch_maps


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
        maps = (tile.render(self.tile_size) for tile in self.tiles)
        stitched = stitch_maps(self.coords, maps, self.source, self.reduce)
        return AnomalyMap(stitched, self.source, steps=self.steps).render(size)
