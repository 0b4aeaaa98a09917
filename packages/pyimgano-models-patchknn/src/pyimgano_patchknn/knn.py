"""What every search for nearest neighbours does: chunks of queries in, exact distances out."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from pyimgano.errors import DetectorError

Features = NDArray[np.float32]
Neighbours = tuple[Features, NDArray[np.int64]]

CHUNK_BYTES = 64 * 2**20
"""Most bytes of candidates that are compared with their queries at once."""


class KNNIndex(ABC):
    """The k nearest vectors of a memory bank, by Euclidean distance; a subclass says how they are found.

    Parameters
    ----------
    bank
        (N, D) float32, finite, N >= 1.
    """

    def __init__(self, bank: Features) -> None:
        self.bank = np.ascontiguousarray(bank, dtype=np.float32)
        if self.bank.ndim != 2 or not self.bank.size or not np.isfinite(self.bank).all():
            raise DetectorError(f"a memory bank must be (N, D), finite and not empty, got shape {self.bank.shape}")

    def __len__(self) -> int:
        return len(self.bank)

    @abstractmethod
    def _nearest(self, queries: Features, k: int) -> Neighbours:
        """Return exact distances and indices of the k nearest, (M, k) each, nearest first."""

    def _breadth(self, k: int) -> int:
        """Return how many candidates are measured for k neighbours."""
        return k

    def search(self, queries: Features, k: int = 1) -> Neighbours:
        """Return distances and indices of the k nearest, (M, k) each, nearest first.

        Candidates are found through expanded squares, which lose digits where the distance is small; the distances returned are
        computed again from the vectors themselves. Queries go in chunks, so that memory stays bounded.
        """
        if k > len(self):
            raise DetectorError(
                f"{k} neighbours were asked for in a memory bank of {len(self)}", "lower k, or keep more patches"
            )
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        distances = np.empty((len(queries), k), dtype=np.float32)
        indices = np.empty((len(queries), k), dtype=np.int64)
        rows = max(1, CHUNK_BYTES // (4 * self.bank.shape[1] * self._breadth(k)))
        for start in range(0, len(queries), rows):
            part = slice(start, start + rows)
            distances[part], indices[part] = self._nearest(queries[part], k)
        return distances, indices

    def refined(self, queries: Features, candidates: NDArray[np.int64], k: int) -> Neighbours:
        """Return the k nearest of the candidates (M, c) of each query, by exact distances."""
        difference = self.bank[candidates]
        difference -= queries[:, None, :]
        exact = np.sqrt(np.einsum("nkd,nkd->nk", difference, difference))
        order = np.argsort(exact, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(exact, order, axis=1), np.take_along_axis(candidates, order, axis=1)
