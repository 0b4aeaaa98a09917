"""Mean and deviation of what comes piece by piece."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Moments:
    """Number, mean and sum of squared deviations of vectors, brought up to date as they come (Chan, Golub and LeVeque 1983).

    Attributes
    ----------
    count
        How many vectors came.
    mean, squares
        (D,) float64.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: NDArray[np.float64] = np.zeros(1)
        self.squares: NDArray[np.float64] = np.zeros(1)

    def add(self, vectors: NDArray[np.float32]) -> None:
        """Take in (N, D) vectors."""
        seen, self.count = self.count, self.count + len(vectors)
        own = vectors.mean(axis=0, dtype=np.float64)
        gap = own - self.mean
        self.squares = self.squares + np.square(vectors - own).sum(axis=0) + gap * gap * (seen * len(vectors) / self.count)
        self.mean = self.mean + gap * (len(vectors) / self.count)
