"""Exact neighbour search by bounds in fewer dimensions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyimgano_patchknn.knn import Features, KNNIndex, Neighbours

KEPT = 0.97
"""Share of the variance of a bank that a projection of it keeps."""
WORTHWHILE = 1 / 3
"""A projection to more than this share of the dimensions saves too little."""
SMALLEST = 1024
"""A bank of fewer vectors is searched fast enough as it is."""

_SAMPLE = 4096
_STEP = 16
_CANDIDATES = 8
_ROUNDING = np.float32(1e-5)


@dataclass(frozen=True, eq=False)
class Projection:
    """Vectors by their leading principal components and the length of the rest.

    The distance between two projected vectors is never more than that of the vectors: components turn, and for the rest
    | |a| - |b| | <= |a - b|.

    Attributes
    ----------
    center
        (D,) float32 mean of the bank.
    basis
        (D, d) float32 orthonormal components.
    """

    center: Features
    basis: Features

    @classmethod
    def of(cls, bank: Features) -> Projection | None:
        """Return the projection that keeps most of the variance of a bank (N, D), or None where it would save too little."""
        count, dimensions = bank.shape
        if count < SMALLEST:
            return None
        sample = bank[:: -(-count // _SAMPLE)].astype(np.float64)
        center = sample.mean(axis=0)
        sample -= center
        values, vectors = np.linalg.eigh(sample.T @ sample)
        total = values.sum()
        if total <= 0:
            return None
        kept = int(np.searchsorted(np.cumsum(values[::-1]) / total, KEPT)) + 1
        kept = -(-kept // _STEP) * _STEP
        if kept > dimensions * WORTHWHILE:
            return None
        return cls(center.astype(np.float32), np.ascontiguousarray(vectors[:, : -kept - 1 : -1], dtype=np.float32))

    def __call__(self, vectors: Features) -> Features:
        """Return projected vectors (N, d + 1)."""
        centred = vectors - self.center
        leading = centred @ self.basis
        rest = np.einsum("nd,nd->n", centred, centred) - np.einsum("nd,nd->n", leading, leading)
        return np.concatenate([leading, np.sqrt(np.maximum(rest, 0))[:, None]], axis=1)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that it consists of."""
        return {"center": self.center, "basis": self.basis}

    @classmethod
    def from_state(cls, arrays: Mapping[str, NDArray[Any]]) -> Projection | None:
        """Return the projection that gave `arrays`, or None where there was none."""
        return cls(arrays["center"], arrays["basis"]) if "basis" in arrays else None


class ProjectedKNNIndex(KNNIndex):
    """The neighbours that a search in all dimensions finds, mostly without one.

    Projected distances are lower bounds of distances. A few candidates with the least bounds are measured exactly; if the k-th
    of them is nearer than the largest of those bounds, no other vector can be nearer. The queries that this leaves open, few
    where most of the variance is kept, are searched in all dimensions.

    Parameters
    ----------
    whole
        The search in all dimensions.
    projection
        How bank and queries are projected.
    make
        Makes the search among projected vectors.
    """

    def __init__(self, whole: KNNIndex, projection: Projection, make: Callable[[Features], KNNIndex]) -> None:
        super().__init__(whole.bank)
        short = projection(self.bank)
        self._whole = whole
        self._projection = projection
        self._bounds = make(short)
        self._longest = np.einsum("nd,nd->n", short, short).max()

    def _breadth(self, k: int) -> int:
        return min(len(self), max(_CANDIDATES, 2 * k))

    def _nearest(self, queries: Features, k: int) -> Neighbours:
        short = self._projection(queries)
        bounds, candidates = self._bounds.search(short, self._breadth(k))
        distances, indices = self.refined(queries, candidates, k)
        slack = _ROUNDING * (np.einsum("nd,nd->n", short, short) + self._longest)
        open_ = distances[:, -1] ** 2 > bounds[:, -1] ** 2 - slack
        if open_.any() and candidates.shape[1] < len(self):
            distances[open_], indices[open_] = self._whole.search(queries[open_], k)
        return distances, indices
