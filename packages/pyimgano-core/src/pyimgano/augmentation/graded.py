"""Drift in severities: each kind draws once per image what is random about it, and a severity only scales that.

The robustness benchmark tests with these, and `get_industrial_drift_augmentation` trains with them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from pyimgano.augmentation.base import Augmentation
from pyimgano.augmentation.geometry import Matrix, placement, warp_image, warp_mask
from pyimgano.augmentation.light import (
    GlareSpot,
    brightness,
    channel_gain,
    contrast,
    draw_channel_gains,
    draw_glare_spots,
    glare,
)
from pyimgano.augmentation.pixels import Pixels, channel_count
from pyimgano.augmentation.sensor import jpeg_compress
from pyimgano.augmentation.sharpness import gaussian_blur
from pyimgano.errors import OptionsError
from pyimgano.preprocessing.tone import gamma

P = TypeVar("P")
Generator = np.random.Generator
Shape = tuple[int, ...]


class Graded(ABC, Generic[P]):
    """A change of an image with one strength per severity; parameters and errors are those of the operators behind it."""

    STRENGTHS: ClassVar[tuple[float, ...]]
    """Of severity 1, 2, ..., rising strictly, in the unit of the operator."""

    def strength(self, severity: int) -> float:
        """Return the strength of a severity from 1."""
        return self.STRENGTHS[severity - 1]

    @abstractmethod
    def draw(self, rng: Generator, shape: Shape) -> P:
        """Return all that is random about an image of `shape`, (H, W) or (H, W, 3), for all severities."""

    @abstractmethod
    def apply(self, image: Pixels, params: P, severity: int) -> Pixels:
        """Return the changed image, of the same shape; `image`, grey or RGB uint8, stays as it was."""


class Fixed(Graded[None]):
    """A change with nothing random about it."""

    def draw(self, rng: Generator, shape: Shape) -> None:
        return None


@dataclass(frozen=True)
class LightingDrift:
    """How the light of one image drifts at most, in the units of `brightness`, `gamma`, `contrast` and `channel_gain`."""

    shift: float
    exponent: float
    contrast: float
    gains: tuple[float, ...]


class GradedLighting(Graded[LightingDrift]):
    """Exposure, gamma, contrast and channel gains drift; the strength is a share of the furthest drift.

    Every value moves along a straight line towards where the furthest drift puts it, so no two of the four cancel out at one
    severity and not at another. Exposure and gamma both brighten, or both darken.
    """

    STRENGTHS = (0.2, 0.4, 0.6, 0.8, 1.0)

    def draw(self, rng: Generator, shape: Shape) -> LightingDrift:
        brighter = 1 if rng.random() < 0.5 else -1
        return LightingDrift(
            shift=brighter * rng.uniform(0.06, 0.13),
            exponent=math.exp(-brighter * rng.uniform(0.2, 0.4)),
            contrast=math.exp(rng.uniform(-0.25, 0.25)),
            gains=draw_channel_gains(rng, channel_count(shape), 0.12),
        )

    def apply(self, image: Pixels, params: LightingDrift, severity: int) -> Pixels:
        levels = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], len(params.gains), axis=2)
        ramp = levels if image.ndim == 3 else levels[:, :, 0]
        drifted = contrast(brightness(gamma(ramp, params.exponent), params.shift), params.contrast)
        furthest = channel_gain(drifted, params.gains)
        table = np.rint(ramp + self.strength(severity) * (furthest.astype(np.float64) - ramp))
        return np.asarray(cv2.LUT(image, table.astype(np.uint8)), dtype=np.uint8)


class GradedGlare(Graded[tuple[GlareSpot, ...]]):
    """Lamps are reflected: discs and streaks, more and larger with severity; the strength is how white they are."""

    STRENGTHS = (0.45, 0.58, 0.7, 0.82, 0.95)
    RADII = (0.9, 1.1, 1.3, 1.5, 1.8)
    MARGIN = 0.12
    """Centres keep this share of each side from the border, so that even one small disc is in the image."""

    def draw(self, rng: Generator, shape: Shape) -> tuple[GlareSpot, ...]:
        spots = draw_glare_spots(rng, _spots(len(self.STRENGTHS)))
        return tuple(replace(spot, row=self._inside(spot.row), column=self._inside(spot.column)) for spot in spots)

    def _inside(self, place: float) -> float:
        return self.MARGIN + (1 - 2 * self.MARGIN) * place

    def apply(self, image: Pixels, params: tuple[GlareSpot, ...], severity: int) -> Pixels:
        factor = self.RADII[severity - 1]
        spots = [replace(spot, radius=spot.radius * factor) for spot in params[: _spots(severity)]]
        return glare(image, spots, self.strength(severity))


def _spots(severity: int) -> int:
    return 1 + severity // 2


class GradedBlur(Fixed):
    """Gaussian blur; the strength is its sigma in pixels at a short side of 256."""

    STRENGTHS = (0.5, 1.0, 1.5, 2.0, 3.0)

    def apply(self, image: Pixels, params: None, severity: int) -> Pixels:
        return gaussian_blur(image, self.strength(severity))


class GradedJpeg(Fixed):
    """Blocks and ringing of JPEG; the strength is 100 less libjpeg's quality."""

    STRENGTHS = (10, 30, 50, 70, 85)

    def apply(self, image: Pixels, params: None, severity: int) -> Pixels:
        return jpeg_compress(image, 100 - int(self.strength(severity)))


@dataclass(frozen=True)
class Displacement:
    """How far a part is displaced at most: `angle` in degrees, shifts as shares of the short side, `growth` as a share."""

    angle: float
    down: float
    right: float
    growth: float


class GradedGeoJitter(Graded[Displacement]):
    """The part is turned by up to 5 degrees, shifted by 5 % and scaled by 10 %; the strength is the share of that."""

    STRENGTHS = (0.2, 0.4, 0.6, 0.8, 1.0)

    def draw(self, rng: Generator, shape: Shape) -> Displacement:
        towards, way = rng.uniform(0, 2 * math.pi), rng.uniform(0.025, 0.05)
        return Displacement(
            angle=_either_way(rng, 5.0),
            down=way * math.sin(towards),
            right=way * math.cos(towards),
            growth=_either_way(rng, 0.1),
        )

    def apply(self, image: Pixels, params: Displacement, severity: int) -> Pixels:
        return warp_image(image, self._matrix(image.shape, params, severity))

    def move(self, mask: NDArray[np.bool_], params: Displacement, severity: int) -> NDArray[np.bool_]:
        """Return a mask, (H, W) bool, moved as `apply` moves the image."""
        return warp_mask(mask, self._matrix(mask.shape, params, severity))

    def _matrix(self, shape: Shape, params: Displacement, severity: int) -> Matrix:
        share = self.strength(severity)
        shift = (share * params.down, share * params.right)
        return placement(shape, share * params.angle, shift, 1 + share * params.growth)


def _either_way(rng: Generator, most: float) -> float:
    """Return between half of `most` and all of it, of either sign."""
    return float((1 if rng.random() < 0.5 else -1) * rng.uniform(most / 2, most))


GRADED: dict[str, Graded[Any]] = {
    "geo_jitter": GradedGeoJitter(),
    "lighting": GradedLighting(),
    "glare": GradedGlare(),
    "blur": GradedBlur(),
    "jpeg": GradedJpeg(),
}
"""By the name of the corruption, in the order in which a part becomes a file."""


@dataclass(frozen=True)
class Drift(Augmentation[tuple[Any, int]]):
    """A graded change at a severity from `severities`, the least and the greatest; the other parameter is what it drew."""

    change: Graded[Any]
    severities: tuple[int, int] = (1, 3)

    def __post_init__(self) -> None:
        low, high = self.severities
        if not 1 <= low <= high <= len(self.change.STRENGTHS):
            raise OptionsError(f"severities must rise within 1 to {len(self.change.STRENGTHS)} (got {low} to {high})")

    def draw(self, rng: Generator, shape: Shape) -> tuple[Any, int]:
        low, high = self.severities
        return self.change.draw(rng, shape), int(rng.integers(low, high, endpoint=True))

    def apply(self, image: Pixels, params: tuple[Any, int]) -> Pixels:
        drawn, severity = params
        return self.change.apply(image, drawn, severity)
