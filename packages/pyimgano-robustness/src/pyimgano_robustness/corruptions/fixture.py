"""Fixtures: the part lies a little turned, shifted, nearer or further away."""

from __future__ import annotations

from pyimgano.augmentation import Displacement, GradedGeoJitter
from pyimgano.contracts import Corruption


class GeoJitter(GradedGeoJitter, Corruption[Displacement]):
    """The part is turned, shifted and scaled, and its mask moves along."""
