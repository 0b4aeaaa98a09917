"""Coresets: a few vectors that cover all of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]

POOL = 1024
"""Vectors whose distances to each other are known at once."""

_ROWS = 2048
_CENTRES = 1024


def random_projection(features: Features, dimensions: int, seed: int) -> Features:
    """Project (N, D) onto `dimensions` gaussian directions; distances are kept on average (Johnson and Lindenstrauss 1984)."""
    if dimensions >= features.shape[1]:
        return features
    directions = np.random.default_rng(seed).standard_normal((features.shape[1], dimensions)) / np.sqrt(dimensions)
    return features @ directions.astype(np.float32)


def k_center_greedy(features: Features, n_select: int, seed: int = 0) -> NDArray[np.int64]:
    """Return the indices of a greedy k-centre cover (Gonzalez 1985), in the order they were chosen.

    Each next centre is the vector farthest from those chosen before. Distances only shrink as centres are added, so the
    vectors with the largest known distances are kept exact in a small pool, whose distances to each other are one matrix
    product; all others are brought up to date, in matrix products too, only when one of them could be the farthest.

    Parameters
    ----------
    features
        (N, D) float32, finite.
    n_select
        How many, 1 to N.
    seed
        Chooses the first centre.
    """
    count = len(features)
    if not 1 <= n_select <= count:
        raise ValueError(f"n_select must lie between 1 and {count}, got {n_select}")
    search = _Cover(np.ascontiguousarray(features, dtype=np.float32))
    search.centres.append(int(np.random.default_rng(seed).integers(count)))
    search.refresh()
    while len(search.centres) < n_select:
        place = int(search.pool_distance.argmax())
        if search.pool_distance[place] < search.outside:
            search.refresh()
            continue
        search.add(place)
    return np.array(search.centres, dtype=np.int64)


class _Cover:
    """Squared distance of every vector to its nearest centre: exact in the pool, an upper bound outside it."""

    def __init__(self, features: Features) -> None:
        self.features = features
        self.mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)  # expanded squares keep more digits around it
        self.distance = np.full(len(features), np.inf, dtype=np.float32)
        self.known = np.zeros(len(features), dtype=np.int64)
        self.centres: list[int] = []
        self.pool = np.empty(0, dtype=np.int64)
        self.pool_distance = self.distance[:0]
        self.pool_pairs = np.empty((0, 0), dtype=np.float32)
        self.outside = np.float32(np.inf)

    def add(self, place: int) -> None:
        """Add a centre from the pool and bring the pool up to date."""
        self.centres.append(int(self.pool[place]))
        np.minimum(self.pool_distance, self.pool_pairs[place], out=self.pool_distance)
        self.pool_distance[place] = -np.inf

    def refresh(self) -> None:
        """Choose a new pool: the vectors with the largest distances, brought up to date until none outside can exceed it."""
        self.distance[self.pool] = self.pool_distance
        self.known[self.pool] = len(self.centres)
        self.distance[self.centres] = -np.inf
        size = min(POOL, len(self.distance))
        first = len(self.distance) - size
        while True:
            cut = np.partition(self.distance, first)[first]
            stale = np.flatnonzero((self.distance >= cut) & (self.known < len(self.centres)) & (self.distance >= 0))
            if not stale.size:
                break
            self._update(stale)
        order = np.argpartition(self.distance, first)
        self.pool = np.sort(order[first:])
        self.pool_distance = self.distance[self.pool]
        self.pool_pairs = _squared(*self._centred(self.pool), *self._centred(self.pool))
        self.outside = self.distance[order[:first]].max() if first else np.float32(-np.inf)

    def _centred(self, indices: NDArray[np.int64]) -> tuple[Features, Features]:
        """Return some vectors around the mean of all, and their squared lengths."""
        vectors = self.features[indices]
        vectors -= self.mean
        return vectors, np.einsum("nd,nd->n", vectors, vectors)

    def _update(self, indices: NDArray[np.int64]) -> None:
        """Bring the distances of some vectors up to date with all centres added since they were last."""
        indices = indices[np.argsort(self.known[indices], kind="stable")]
        oldest = int(self.known[indices[0]])
        for first in range(oldest, len(self.centres), _CENTRES):
            last = min(first + _CENTRES, len(self.centres))
            chosen = self._centred(np.array(self.centres[first:last]))
            behind = indices[self.known[indices] < last]
            for start in range(0, len(behind), _ROWS):
                rows = behind[start : start + _ROWS]
                new = max(0, int(self.known[rows[0]]) - first)
                squared = _squared(chosen[0][new:], chosen[1][new:], *self._centred(rows))
                self.distance[rows] = np.minimum(self.distance[rows], squared.min(axis=0))
        self.known[indices] = len(self.centres)


def _squared(one: Features, one_norms: Features, other: Features, other_norms: Features) -> Features:
    """Return squared distances (N, M) of vectors whose squared lengths are known, at least 0."""
    squared = (np.float32(-2) * one) @ other.T
    squared += one_norms[:, None]
    squared += other_norms
    return np.maximum(squared, 0, out=squared)
