"""Anomaly maps, and the only path by which one is resized."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pyimgano.errors import DetectorError


@dataclass(frozen=True)
class MapRecipe:
    """How a grid becomes a map: bilinear to `size` (height, width), gaussian of `sigma` pixels there, bilinear to the target.

    With ``size=None`` the grid goes to the target directly. PatchCore (Roth et al. 2022, section 3.3) enlarges to the
    network's input size and smooths with sigma 4 there.
    """

    size: tuple[int, int] | None = None
    sigma: float = 0.0


@dataclass(frozen=True, eq=False)
class AnomalyMap:
    """Where an image is abnormal: the small grid that the model computed, rendered to any size on demand.

    Attributes
    ----------
    grid
        (h, w) float32, finite; higher is more anomalous. Covers the whole image uniformly.
    source
        (H, W) of the image it belongs to.
    recipe
        How it is enlarged.
    """

    grid: NDArray[np.float32]
    source: tuple[int, int]
    recipe: MapRecipe = MapRecipe()

    def __post_init__(self) -> None:
        if self.grid.ndim != 2 or not self.grid.size:
            raise DetectorError(f"an anomaly map must be (h, w) and not empty, got shape {self.grid.shape}")
        with np.errstate(over="ignore"):
            grid = np.ascontiguousarray(self.grid, dtype=np.float32)
        if not np.isfinite(grid).all():
            raise DetectorError("an anomaly map holds NaN or infinite values", "report this to the detector's author")
        object.__setattr__(self, "grid", grid)

    def render(self, size: tuple[int, int] | None = None) -> NDArray[np.float32]:
        """Return the map as (H, W) float32 at `size`, by default that of its image; never outside the grid's range."""
        rendered = self.grid
        if self.recipe.size is not None:
            rendered = resize_map(rendered, self.recipe.size)
            if self.recipe.sigma > 0:
                smooth = cv2.GaussianBlur(rendered, (0, 0), self.recipe.sigma, borderType=cv2.BORDER_REFLECT_101)
                rendered = np.asarray(smooth, dtype=np.float32)
        return resize_map(rendered, size or self.source)


def resize_map(grid: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return a map at (height, width) by bilinear interpolation, which cannot overshoot."""
    if grid.shape == size:
        return grid
    return np.asarray(cv2.resize(grid, (size[1], size[0]), interpolation=cv2.INTER_LINEAR), dtype=np.float32)
