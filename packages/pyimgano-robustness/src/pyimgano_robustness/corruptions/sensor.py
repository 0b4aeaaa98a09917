"""Sensors and files: noise, too few pixels, JPEG."""

from __future__ import annotations

import numpy as np

from pyimgano.augmentation import GradedJpeg, resolution_loss, sensor_noise
from pyimgano.augmentation.pixels import Pixels
from pyimgano.contracts import Corruption
from pyimgano_robustness.corruptions.base import Fixed, Graded


class SensorNoise(Graded[int]):
    """Shot and read noise, as of a shorter exposure at a higher gain; the strength is shot noise as a share of full white."""

    STRENGTHS = (0.02, 0.04, 0.065, 0.1, 0.15)
    READ = 0.3

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> int:
        return int(rng.integers(2**63))

    def apply(self, image: Pixels, params: int, severity: int) -> Pixels:
        shot = self.strength(severity)
        return sensor_noise(image, np.random.default_rng(params), shot, self.READ * shot)


class ResolutionLoss(Fixed):
    """A camera with fewer pixels; the strength is how many times fewer along each side, at a short side of 256."""

    STRENGTHS = (1.4, 2.0, 2.8, 4.0, 5.6)

    def apply(self, image: Pixels, params: None, severity: int) -> Pixels:
        return resolution_loss(image, self.strength(severity))


class Jpeg(GradedJpeg, Corruption[None]):
    """Blocks and ringing of JPEG."""
