"""Large images in tiles: where tiles lie, how they are scored, and how their maps become one."""

from pyimgano.tiling.coords import extract_tile, iter_tile_coords
from pyimgano.tiling.detector import TiledDetector
from pyimgano.tiling.options import TileScoring, TilingOptions
from pyimgano.tiling.source import TileSource
from pyimgano.tiling.stitch import stitch_maps
from pyimgano.tiling.tiled_map import TiledMap

__all__ = [
    "TileScoring",
    "TileSource",
    "TiledDetector",
    "TiledMap",
    "TilingOptions",
    "extract_tile",
    "iter_tile_coords",
    "stitch_maps",
]
