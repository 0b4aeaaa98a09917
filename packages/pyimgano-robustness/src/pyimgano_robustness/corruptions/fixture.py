"""Fixtures: the part lies a little turned, shifted, nearer or further away."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pyimgano.augmentation import placement, warp_image, warp_mask
from pyimgano.augmentation.geometry import Matrix
from pyimgano.augmentation.pixels import Pixels
from pyimgano.contracts.corruption import Mask
from pyimgano_robustness.corruptions.base import Graded


@dataclass(frozen=True)
class Displacement:
    """How far a part is displaced at most: `angle` in degrees, shifts as shares of the short side, `growth` as a share."""

    angle: float
    down: float
    right: float
    growth: float


class GeoJitter(Graded[Displacement]):
    """The part is turned by up to 5 degrees, shifted by 5 % and scaled by 10 %; the strength is the share of that."""

    STRENGTHS = (0.2, 0.4, 0.6, 0.8, 1.0)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Displacement:
        towards, way = rng.uniform(0, 2 * math.pi), rng.uniform(0.025, 0.05)
        return Displacement(
            angle=_either_way(rng, 5.0),
            down=way * math.sin(towards),
            right=way * math.cos(towards),
            growth=_either_way(rng, 0.1),
        )

    def apply(self, image: Pixels, params: Displacement, severity: int) -> Pixels:
        return warp_image(image, self._matrix(image.shape, params, severity))

    def move(self, mask: Mask, params: Displacement, severity: int) -> Mask:
        return warp_mask(mask, self._matrix(mask.shape, params, severity))

    def _matrix(self, shape: tuple[int, ...], params: Displacement, severity: int) -> Matrix:
        share = self.strength(severity)
        shift = (share * params.down, share * params.right)
        return placement(shape, share * params.angle, shift, 1 + share * params.growth)


def _either_way(rng: np.random.Generator, most: float) -> float:
    """Return between half of `most` and all of it, of either sign."""
    return float((1 if rng.random() < 0.5 else -1) * rng.uniform(most / 2, most))
