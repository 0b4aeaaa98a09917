"""Exact nearest-neighbour search by faiss."""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

from pyimgano.errors import DetectorError

Features = NDArray[np.float32]

CHUNK = 16384


class FaissKNNIndex:
    """The k nearest vectors of a memory bank, by Euclidean distance.

    Parameters
    ----------
    bank
        (N, D) float32, finite, N >= 1.
    threads
        Threads for the search; 0 leaves faiss's own choice.
    """

    def __init__(self, bank: Features, threads: int = 0) -> None:
        self.bank = np.ascontiguousarray(bank, dtype=np.float32)
        if self.bank.ndim != 2 or not self.bank.size or not np.isfinite(self.bank).all():
            raise DetectorError(f"a memory bank must be (N, D), finite and not empty, got shape {self.bank.shape}")
        if threads:
            faiss.omp_set_num_threads(threads)
        self._index = faiss.IndexFlatL2(self.bank.shape[1])
        self._index.add(self.bank)

    def __len__(self) -> int:
        return len(self.bank)

    def search(self, queries: Features, k: int = 1) -> tuple[Features, NDArray[np.int64]]:
        """Return distances and indices of the k nearest, (N, k) each, nearest first.

        faiss finds the neighbours through an expanded square, which loses digits where the distance is small; the distances
        returned are computed again from the vectors themselves. Queries go in chunks, so that memory stays bounded.
        """
        if k > len(self):
            raise DetectorError(
                f"{k} neighbours were asked for in a memory bank of {len(self)}", "lower k, or keep more patches"
            )
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        distances = np.empty((len(queries), k), dtype=np.float32)
        indices = np.empty((len(queries), k), dtype=np.int64)
        for start in range(0, len(queries), CHUNK):
            chunk = queries[start : start + CHUNK]
            _, found = self._index.search(chunk, k)
            difference = self.bank[found] - chunk[:, None, :]
            exact = np.sqrt(np.einsum("nkd,nkd->nk", difference, difference))
            order = np.argsort(exact, axis=1, kind="stable")
            distances[start : start + CHUNK] = np.take_along_axis(exact, order, axis=1)
            indices[start : start + CHUNK] = np.take_along_axis(found, order, axis=1)
        return distances, indices
