"""What an augmentation is: its randomness apart from its arithmetic; and augmentations made of others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from pyimgano.augmentation.pixels import Pixels
from pyimgano.errors import OptionsError
from pyimgano.preprocessing.pixels import check_number

P = TypeVar("P")
Span = tuple[float, float]
"""Least and greatest value that is drawn."""


@dataclass(frozen=True)
class Augmentation(ABC, Generic[P]):
    """A random change of an image, in two halves: `draw` is all of its randomness, `apply` is pure.

    So the same parameters change several images alike, or can be kept and scaled.
    """

    @abstractmethod
    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> P:
        """Return parameters for an image of `shape`, (H, W) or (H, W, 3)."""

    @abstractmethod
    def apply(self, image: Pixels, params: P) -> Pixels:
        """Return the changed image, of the same shape; `image`, grey or RGB uint8, stays as it was."""

    def __call__(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """Return the image changed with newly drawn parameters."""
        return self.apply(image, self.draw(rng, image.shape))


@dataclass(frozen=True)
class Compose(Augmentation[tuple[Any, ...]]):
    """Augmentations one after the other."""

    steps: tuple[Augmentation[Any], ...]

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Any, ...]:
        return tuple(step.draw(rng, shape) for step in self.steps)

    def apply(self, image: Pixels, params: tuple[Any, ...]) -> Pixels:
        for step, drawn in zip(self.steps, params, strict=True):
            image = step.apply(image, drawn)
        return image


@dataclass(frozen=True)
class RandomApply(Augmentation[Any]):
    """An augmentation that is left out of some images; its parameters are then None."""

    step: Augmentation[Any]
    probability: float = 0.5

    def __post_init__(self) -> None:
        check_number("probability", self.probability, 0, 1)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
        chosen, params = rng.random() < self.probability, self.step.draw(rng, shape)
        return params if chosen else None

    def apply(self, image: Pixels, params: Any) -> Pixels:
        return image.copy() if params is None else self.step.apply(image, params)


def uniform(rng: np.random.Generator, span: Span) -> float:
    """Return a value drawn evenly from a span."""
    low, high = span
    if not low <= high:
        raise OptionsError(f"a span must rise (got {low} to {high})")
    return float(rng.uniform(low, high))
