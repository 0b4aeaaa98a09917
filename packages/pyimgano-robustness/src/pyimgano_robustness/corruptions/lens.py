"""Lenses: out of focus, dark corners, dust; and parts that move while the shutter is open."""

from __future__ import annotations

import numpy as np

from pyimgano.augmentation import GradedBlur, Speck, defocus, draw_specks, dust, motion_blur, vignette
from pyimgano.augmentation.pixels import Pixels
from pyimgano.contracts import Corruption
from pyimgano_robustness.corruptions.base import Fixed, Graded


class Blur(GradedBlur, Corruption[None]):
    """Gaussian blur."""


class Defocus(Fixed):
    """The lens is out of focus; the strength is the radius of its disc in pixels at a short side of 256."""

    STRENGTHS = (0.8, 1.4, 2.2, 3.2, 4.5)

    def apply(self, image: Pixels, params: None, severity: int) -> Pixels:
        return defocus(image, self.strength(severity))


class MotionBlur(Graded[float]):
    """A belt moves along rows or columns in an open shutter; the strength is its way in pixels at a short side of 256."""

    STRENGTHS = (3, 5, 8, 12, 17)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> float:
        return 0.0 if rng.random() < 0.5 else 90.0

    def apply(self, image: Pixels, params: float, severity: int) -> Pixels:
        return motion_blur(image, self.strength(severity), params)


class Vignetting(Fixed):
    """Corners darken, as with a lens that does not fill the sensor; the strength is what they lose."""

    STRENGTHS = (0.15, 0.3, 0.45, 0.6, 0.75)

    def apply(self, image: Pixels, params: None, severity: int) -> Pixels:
        return vignette(image, self.strength(severity))


class Dust(Graded[tuple[Speck, ...]]):
    """Specks settle on the lens, more and darker with severity; the strength is the light that the densest takes away."""

    STRENGTHS = (0.3, 0.4, 0.5, 0.6, 0.75)
    COUNTS = (8, 14, 22, 32, 45)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Speck, ...]:
        return draw_specks(rng, self.COUNTS[-1])

    def apply(self, image: Pixels, params: tuple[Speck, ...], severity: int) -> Pixels:
        return dust(image, params[: self.COUNTS[severity - 1]], self.strength(severity))
