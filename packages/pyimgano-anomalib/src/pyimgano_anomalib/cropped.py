"""The anomaly map of an image of which the model sees only a part, as after a centre crop."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pyimgano.maps import AnomalyMap, ScoredPart

Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class CroppedMap(AnomalyMap):
    """A map whose grid covers `box` of its image. Pixels outside are not scored: they get the map's smallest value.

    Attributes
    ----------
    box
        Left, top, right, bottom of the grid in pixels of the image; beyond it where the image was padded.
    """

    box: tuple[float, float, float, float] = field(kw_only=True)

    @property
    def scored(self) -> ScoredPart:
        """Return the pixels whose centres lie in the box."""
        left, top, right, bottom = self.box
        height, width = self.source
        rows = [max(0, min(height, math.ceil(edge - 0.5 - 1e-6))) for edge in (top, bottom)]
        columns = [max(0, min(width, math.ceil(edge - 0.5 - 1e-6))) for edge in (left, right)]
        return ScoredPart(rows[0], rows[1], columns[0], columns[1])

    def render(self, size: Size | None = None) -> NDArray[np.float32]:
        """Return the map as (H, W) float32 at `size`, by default that of its image."""
        return AnomalyMap(self._placed(), self.source, steps=self.steps).render(size)

    def _placed(self) -> NDArray[np.float32]:
        """Return the grid at its place in the image, bilinear, by the convention of `pyimgano.maps.resize_map`."""
        left, top, right, bottom = self.box
        part = self.scored
        whole = np.full(self.source, self.grid.min(), dtype=np.float32)
        down = _resampled(self.grid, np.arange(part.top, part.bottom), top, bottom)
        across = _resampled(down.T, np.arange(part.left, part.right), left, right)
        whole[part.top : part.bottom, part.left : part.right] = across.T
        return whole


def _resampled(grid: NDArray[np.float32], pixels: NDArray[np.int64], start: float, stop: float) -> NDArray[np.float32]:
    """Return the rows of a grid that spans `start` to `stop`, at the centres of some pixels, by linear interpolation."""
    count = len(grid)
    places = np.clip((pixels + 0.5 - start) / (stop - start) * count - 0.5, 0, count - 1)
    below = np.minimum(places.astype(np.int64), max(0, count - 2))
    weights = (places - below).astype(np.float32)[:, None]
    rows: NDArray[np.float32] = grid[below] * (1 - weights) + grid[np.minimum(below + 1, count - 1)] * weights
    return rows
