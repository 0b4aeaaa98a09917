"""Anomaly maps, and the only path by which one is resized."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from pyimgano.errors import DetectorError, MapError, PyimganoError
from pyimgano.images import LARGE


class MapStep(Protocol):
    """A change of a map at image size: (H, W) float32 in and out, its argument left as it was."""

    def __call__(self, values: NDArray[np.float32], /) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class MapRecipe:
    """How a grid becomes a map: bilinear to `size` (height, width), gaussian of `sigma` pixels there, bilinear to the target.

    With ``size=None`` the grid goes to the target directly. PatchCore (Roth et al. 2022, section 3.3) enlarges to the
    network's input size and smooths with sigma 4 there.
    """

    size: tuple[int, int] | None = None
    sigma: float = 0.0


@dataclass(frozen=True)
class ScoredPart:
    """Pixels of an image that a detector has seen: rows `top` to `bottom` and columns `left` to `right`, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    def share(self, size: tuple[int, int]) -> float:
        """Return which share of an image of that (height, width) it is."""
        return (self.bottom - self.top) * (self.right - self.left) / (size[0] * size[1])

    def normalised(self, size: tuple[int, int]) -> list[float]:
        """Return x1, y1, x2, y2 as shares of width and height, as ``roi_xyxy_norm`` takes them."""
        return [self.left / size[1], self.top / size[0], self.right / size[1], self.bottom / size[0]]

    def mask(self, size: tuple[int, int]) -> NDArray[np.bool_]:
        """Return which pixels of an image of that (height, width) it holds, (height, width) bool."""
        inside = np.zeros(size, dtype=bool)
        inside[self.top : self.bottom, self.left : self.right] = True
        return inside


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
    steps
        What is done to it at image size, in order.
    """

    grid: NDArray[np.float32]
    source: tuple[int, int]
    recipe: MapRecipe = MapRecipe()
    steps: tuple[MapStep, ...] = ()

    def __post_init__(self) -> None:
        if self.grid.ndim != 2 or not self.grid.size:
            raise DetectorError(
                f"an anomaly map must be (h, w) and not empty, got shape {self.grid.shape}",
                "give AnomalyMap a grid of two axes",
            )
        with np.errstate(over="ignore"):
            grid = np.ascontiguousarray(self.grid, dtype=np.float32)
        if not np.isfinite(grid).all():
            raise DetectorError(
                "an anomaly map holds NaN or infinite values",
                "look for a division by zero in what the detector learns and in how it scores",
            )
        object.__setattr__(self, "grid", grid)

    @property
    def scored(self) -> ScoredPart | None:
        """Return the pixels that count, where the detector has seen a part of the image only; None where it has seen all."""
        return None

    @property
    def pixel_count(self) -> int:
        """Return the number of pixels at the size of the image."""
        return self.source[0] * self.source[1]

    def render(self, size: tuple[int, int] | None = None) -> NDArray[np.float32]:
        """Return the map as (H, W) float32 at `size`, by default that of its image; enlarging never leaves the grid's range.

        Raises
        ------
        MapError
            If one of the steps fails; it names the step.
        """
        rendered = self.grid
        if self.recipe.size is not None:
            rendered = resize_map(rendered, self.recipe.size)
            if self.recipe.sigma > 0:
                smooth = cv2.GaussianBlur(rendered, (0, 0), self.recipe.sigma, borderType=cv2.BORDER_REFLECT_101)
                rendered = np.asarray(smooth, dtype=np.float32)
        if not self.steps:
            return resize_map(rendered, size or self.source)
        rendered = resize_map(rendered, self.source)
        for step in self.steps:
            rendered = _applied(step, rendered)
        return resize_map(rendered, size or self.source)

    @property
    def large(self) -> bool:
        """Return whether it had better not be held whole at the size of its image."""
        return self.pixel_count > LARGE

    def overview(self, size: tuple[int, int]) -> NDArray[np.float32]:
        """Return the map at a size for people to look at, (height, width) float32."""
        return self.render(size)

    def bands(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield the map at the size of its image from top to bottom, as the first row and some rows, (n, W) float32.

        A map that knows how to is made band by band and is never in memory whole; others are one band.
        """
        yield 0, self.render()

    def then(self, step: MapStep) -> AnomalyMap:
        """Return the map with one more step."""
        return replace(self, steps=(*self.steps, step))


def _applied(step: MapStep, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what a step makes of a map, if that is a map of the same size; errors name the step."""
    name = getattr(step, "name", None) or getattr(step, "__qualname__", type(step).__name__)
    advice = "report this to the postprocessor's author"
    try:
        with np.errstate(over="ignore"):
            changed = np.asarray(step(values), dtype=np.float32)
    except PyimganoError as error:
        raise MapError(f"{name} failed: {error.problem}", error.next_step) from error
    except Exception as error:  # a plugin's step may raise anything
        raise MapError(f"{name} failed: {type(error).__name__}: {error}", advice) from error
    if changed.shape != values.shape:
        raise MapError(f"{name} made a map of shape {changed.shape} out of one of shape {values.shape}", advice)
    if not np.isfinite(changed).all():
        raise MapError(f"{name} made NaN or infinite values out of a finite map", advice)
    return changed


def resize_map(grid: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return a map at (height, width) by bilinear interpolation, which cannot overshoot."""
    if grid.shape == size:
        return grid
    return np.asarray(cv2.resize(grid, (size[1], size[0]), interpolation=cv2.INTER_LINEAR), dtype=np.float32)
