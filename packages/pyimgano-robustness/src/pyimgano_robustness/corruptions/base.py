"""What all corruptions here share: one strength per severity."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from pyimgano.contracts import Corruption

P = TypeVar("P")


class Graded(Corruption[P]):
    """A corruption with one `STRENGTHS` per severity, which rise strictly; its unit is that of the operator behind it."""

    STRENGTHS: ClassVar[tuple[float, ...]]

    def strength(self, severity: int) -> float:
        """Return the strength of a severity from 1."""
        return self.STRENGTHS[severity - 1]


class Fixed(Graded[None]):
    """A corruption with nothing random about it."""

    def draw(self, rng: object, shape: tuple[int, ...]) -> None:
        return None
