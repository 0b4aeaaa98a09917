"""Coresets: a few vectors that cover all of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]

POOL = 4096
_ROWS = 8192


def random_projection(features: Features, dimensions: int, seed: int) -> Features:
    """Project (N, D) onto `dimensions` gaussian directions; distances are kept on average (Johnson and Lindenstrauss 1984)."""
    if dimensions >= features.shape[1]:
        return features
    directions = np.random.default_rng(seed).standard_normal((features.shape[1], dimensions)) / np.sqrt(dimensions)
    return features @ directions.astype(np.float32)


def k_center_greedy(features: Features, n_select: int, seed: int = 0) -> NDArray[np.int64]:
    """Return the indices of a greedy k-centre cover (Gonzalez 1985), in the order they were chosen.

    Each next centre is the vector farthest from those chosen before. Distances only shrink as centres are added, so the
    vectors with the largest known distances are kept exact in a small pool, and all others are brought up to date in matrix
    products only when one of them could be the farthest.

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
    search.add(int(np.random.default_rng(seed).integers(count)))
    search.refresh()
    while len(search.centres) < n_select:
        place = int(search.pool_distance.argmax())
        if search.pool_distance[place] < search.outside:
            search.refresh()
            continue
        search.add(int(search.pool[place]))
    return np.array(search.centres, dtype=np.int64)


class _Cover:
    """Squared distance of every vector to its nearest centre: exact in the pool, an upper bound outside it."""

    def __init__(self, features: Features) -> None:
        self.features = features
        self.norms = np.einsum("nd,nd->n", features, features)
        self.distance = np.full(len(features), np.inf, dtype=np.float32)
        self.known = np.zeros(len(features), dtype=np.int64)
        self.centres: list[int] = []
        self.pool = np.empty(0, dtype=np.int64)
        self.pool_features = features[:0]
        self.pool_norms = self.norms[:0]
        self.pool_distance = self.distance[:0]
        self.outside = np.float32(np.inf)

    def add(self, index: int) -> None:
        """Add a centre and bring the pool up to date."""
        self.centres.append(index)
        squared = self.pool_features @ self.features[index]
        squared *= -2
        squared += self.pool_norms
        squared += self.norms[index]
        np.minimum(self.pool_distance, squared, out=self.pool_distance)
        self.pool_distance[self.pool == index] = -1

    def refresh(self) -> None:
        """Choose a new pool: the vectors with the largest distances, brought up to date until none outside can exceed it."""
        self.distance[self.pool] = self.pool_distance
        self.known[self.pool] = len(self.centres)
        self.distance[self.centres] = -1
        size = min(POOL, len(self.distance))
        while True:
            cut = np.partition(self.distance, len(self.distance) - size)[len(self.distance) - size]
            stale = np.flatnonzero((self.distance >= cut) & (self.known < len(self.centres)) & (self.distance >= 0))
            if not stale.size:
                break
            self._update(stale)
        order = np.argpartition(self.distance, len(self.distance) - size)
        self.pool = np.sort(order[len(order) - size :])
        self.pool_features = self.features[self.pool]
        self.pool_norms = self.norms[self.pool]
        self.pool_distance = self.distance[self.pool]
        rest = order[: len(order) - size]
        self.outside = self.distance[rest].max() if rest.size else np.float32(-np.inf)

    def _update(self, indices: NDArray[np.int64]) -> None:
        """Bring the distances of some vectors up to date with all centres added since they were last."""
        indices = indices[np.argsort(self.known[indices], kind="stable")]
        for start in range(0, len(indices), _ROWS):
            rows = indices[start : start + _ROWS]
            new = self.centres[int(self.known[rows].min()) :]
            block = self.features[rows]
            for first in range(0, len(new), _ROWS):
                chosen = new[first : first + _ROWS]
                squared = block @ self.features[chosen].T
                squared *= -2
                squared += self.norms[chosen]
                nearest = squared.min(axis=1) + self.norms[rows]
                self.distance[rows] = np.minimum(self.distance[rows], nearest)
            self.known[rows] = len(self.centres)
