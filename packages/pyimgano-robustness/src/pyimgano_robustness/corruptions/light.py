"""Lamps: exposure, colour, reflections, and how much of the range they leave to the part."""

from __future__ import annotations

import numpy as np

from pyimgano.augmentation import (
    GlareSpot,
    GradedGlare,
    GradedLighting,
    LightingDrift,
    color_temperature,
    contrast,
)
from pyimgano.augmentation.pixels import Pixels
from pyimgano.contracts import Corruption
from pyimgano_robustness.corruptions.base import Fixed, Graded


class Lighting(GradedLighting, Corruption[LightingDrift]):
    """Exposure, gamma, contrast and channel gains drift."""


class Glare(GradedGlare, Corruption[tuple[GlareSpot, ...]]):
    """Lamps are reflected as discs and streaks."""


class ColorTemperature(Graded[int]):
    """Lamps get warmer or colder; the strength is in mired."""

    STRENGTHS = (15, 30, 45, 65, 90)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> int:
        return 1 if rng.random() < 0.5 else -1

    def apply(self, image: Pixels, params: int, severity: int) -> Pixels:
        return color_temperature(image, params * self.strength(severity))


class LowContrast(Fixed):
    """Stray light greys everything; the strength is the share of the distance from mid grey that is lost."""

    STRENGTHS = (0.15, 0.3, 0.45, 0.58, 0.7)

    def apply(self, image: Pixels, params: None, severity: int) -> Pixels:
        return contrast(image, 1 - self.strength(severity))
