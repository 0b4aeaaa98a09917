"""Lamps: exposure, colour, reflections, and how much of the range they leave to the part."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from pyimgano.augmentation import (
    GlareSpot,
    brightness,
    channel_gain,
    color_temperature,
    contrast,
    draw_channel_gains,
    draw_glare_spots,
    gamma,
    glare,
)
from pyimgano.augmentation.pixels import Pixels, channel_count
from pyimgano_robustness.corruptions.base import Fixed, Graded

Generator = np.random.Generator


@dataclass(frozen=True)
class LightingDrift:
    """How the light of one image drifts at most: as the operators of `pyimgano.augmentation` take it."""

    shift: float
    exponent: float
    contrast: float
    gains: tuple[float, ...]


class Lighting(Graded[LightingDrift]):
    """Exposure, gamma, contrast and channel gains drift; the strength is a share of the furthest drift.

    Every value moves along a straight line towards where the furthest drift puts it, so no two of the four cancel out at one
    severity and not at another. Exposure and gamma both brighten, or both darken.
    """

    STRENGTHS = (0.2, 0.4, 0.6, 0.8, 1.0)

    def draw(self, rng: Generator, shape: tuple[int, ...]) -> LightingDrift:
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


class ColorTemperature(Graded[int]):
    """Lamps get warmer or colder; the strength is in mired."""

    STRENGTHS = (15, 30, 45, 65, 90)

    def draw(self, rng: Generator, shape: tuple[int, ...]) -> int:
        return 1 if rng.random() < 0.5 else -1

    def apply(self, image: Pixels, params: int, severity: int) -> Pixels:
        return color_temperature(image, params * self.strength(severity))


class Glare(Graded[tuple[GlareSpot, ...]]):
    """Lamps are reflected: discs and streaks, more and larger with severity; the strength is how white they are."""

    STRENGTHS = (0.45, 0.58, 0.7, 0.82, 0.95)
    RADII = (0.9, 1.1, 1.3, 1.5, 1.8)
    MARGIN = 0.12
    """Centres keep this share of each side from the border, so that even one small disc is in the image."""

    def draw(self, rng: Generator, shape: tuple[int, ...]) -> tuple[GlareSpot, ...]:
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


class LowContrast(Fixed):
    """Stray light greys everything; the strength is the share of the distance from mid grey that is lost."""

    STRENGTHS = (0.15, 0.3, 0.45, 0.58, 0.7)

    def apply(self, image: Pixels, params: None, severity: int) -> Pixels:
        return contrast(image, 1 - self.strength(severity))
