"""Tiles of images as a source to learn from."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from pyimgano.errors import ImageError
from pyimgano.images import Image, ImageLike, ImageSource, upright_size
from pyimgano.tiling.coords import Size, extract_tile, tile_coords

_AHEAD = 1


class TileSource(ImageSource):
    """The tiles of a source's images, in order, cut when asked for: sized, and can be iterated again.

    Memory holds the images that are being decoded, two or three, whatever the source's own setting: an image that is worth
    tiling is large. Its `items` are empty, because no tile is a file.

    Parameters
    ----------
    images
        Where the images come from; left as it is.
    tile, stride
        Height and width, down and across, as `iter_tile_coords` takes them.
    """

    def __init__(self, images: ImageSource, tile: Size, stride: Size | None = None) -> None:
        super().__init__((), images.workers, _AHEAD)
        self.tile = tile
        self.stride = stride
        self._images = copy.copy(images)
        self._images.ahead = _AHEAD

    @property
    def untouched(self) -> bool:
        return False

    def __len__(self) -> int:
        """Return the number of tiles; of files from their headers alone."""
        return self._count

    def outcomes(self) -> Iterator[tuple[ImageLike, Image | ImageError]]:
        """Yield every tile with the item that it comes from; an image that cannot be read gives its error, once."""
        for item, outcome in self._images.outcomes():
            if isinstance(outcome, ImageError):
                yield item, outcome
                continue
            for y, x in tile_coords((outcome.shape[0], outcome.shape[1]), self.tile, self.stride):
                yield item, extract_tile(outcome, y, x, self.tile)

    @cached_property
    def _count(self) -> int:
        plain = type(self._images) is ImageSource  # another kind may yield something else than its items
        items: Iterable[ImageLike] = self._images.items if plain else self._images
        return sum(len(tile_coords(_size(item), self.tile, self.stride)) for item in items)


def _size(item: ImageLike) -> Size:
    if isinstance(item, np.ndarray):
        return item.shape[0], item.shape[1]
    width, height = upright_size(Path(item))
    return height, width
