"""Corruptions out of graded changes: `pyimgano.augmentation.graded` has those that training knows too."""

from __future__ import annotations

from typing import TypeVar

from pyimgano.augmentation import graded
from pyimgano.contracts import Corruption

P = TypeVar("P")


class Graded(graded.Graded[P], Corruption[P]):
    """A corruption with one strength per severity."""


class Fixed(graded.Fixed, Corruption[None]):
    """A corruption with one strength per severity and nothing random about it."""
