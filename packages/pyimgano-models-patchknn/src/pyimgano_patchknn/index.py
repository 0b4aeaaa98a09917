"""Nearest-neighbour search in a memory bank by faiss: exact, or approximate."""

from __future__ import annotations

import logging
from typing import Any, Literal

import faiss
import numpy as np
from numpy.typing import NDArray

from pyimgano_patchknn.knn import Features, KNNIndex, Neighbours
from pyimgano_patchknn.threads import limited_threads

logger = logging.getLogger(f"pyimgano.{__name__}")

Search = Literal["exact", "ivf", "hnsw", "pq"]

POINTS_PER_CENTROID = 39
"""As many as faiss wants for training."""

_CELLS = 4
_LINKS, _BUILD_EFFORT, _EFFORT = 32, 80, 64
_CODE_BITS = (8, 6, 4)
_CANDIDATES = 64


class FaissKNNIndex(KNNIndex):
    """The k nearest vectors of a memory bank, by Euclidean distance.

    Approximate searches (Johnson, Douze and Jégou 2019) may miss a neighbour; the distances to those found are exact. The same
    bank and seed give the same index, so that none needs to be stored. `recall` tells how many neighbours are found.

    Parameters
    ----------
    bank
        (N, D) float32, finite, N >= 1.
    search
        ``"ivf"`` looks into the nearest of about 4 sqrt(N) cells, ``"hnsw"`` walks a graph of 32 links per vector, ``"pq"``
        compares codes of at most a byte per two dimensions. A bank too small to train cells or codes is searched exactly, with
        a warning.
    seed
        Chooses the vectors from which cells and codes are trained.
    """

    def __init__(self, bank: Features, search: Search = "exact", seed: int = 0) -> None:
        super().__init__(bank)
        self._index: Any = None
        if search != "exact":
            with limited_threads(1):  # the order of additions in several would change the index
                self._index = _trained(self.bank, search, seed)

    def _breadth(self, k: int) -> int:
        """Return how many candidates there are for k neighbours: more where the order of codes is not that of vectors."""
        return min(len(self), max(_CANDIDATES, 8 * k)) if isinstance(self._index, faiss.IndexPQ) else k

    def _nearest(self, queries: Features, k: int) -> Neighbours:
        return self.refined(queries, self._candidates(queries, k), k)

    def _candidates(self, queries: Features, k: int) -> NDArray[np.int64]:
        if self._index is None:
            return np.asarray(faiss.knn(queries, self.bank, k)[1])
        if isinstance(self._index, faiss.IndexHNSWFlat):
            self._index.hnsw.efSearch = max(_EFFORT, 4 * k)
        found: NDArray[np.int64] = self._index.search(queries, self._breadth(k))[1]
        short = np.flatnonzero((found < 0).any(axis=1))  # the cells looked into held fewer
        if short.size:
            found[short] = faiss.knn(queries[short], self.bank, found.shape[1])[1]
        return found


def recall(index: KNNIndex, queries: Features, k: int = 1) -> float:
    """Return the share of the k nearest neighbours of queries (M, D) that an index finds, in [0, 1]; ties count by distance."""
    farthest = FaissKNNIndex(index.bank).search(queries, k)[0][:, -1:]
    return float((index.search(queries, k)[0] <= farthest * np.float32(1 + 1e-5)).mean())


def _trained(bank: Features, search: Search, seed: int) -> Any:
    """Return an index of the bank, or None where it is too small for one."""
    count, dimensions = bank.shape
    index: Any
    if search == "ivf":
        cells = min(int(4 * count**0.5), count // POINTS_PER_CENTROID)
        if cells < _CELLS:
            return _too_small(search, count, _CELLS * POINTS_PER_CENTROID)
        index = faiss.index_factory(dimensions, f"IVF{cells},Flat")
        index.nprobe, index.cp.seed = max(_CELLS, cells // 8), seed
    elif search == "pq":
        bits = next((bits for bits in _CODE_BITS if count >= 2**bits * POINTS_PER_CENTROID), None)
        if bits is None:
            return _too_small(search, count, 2 ** _CODE_BITS[-1] * POINTS_PER_CENTROID)
        parts = next(parts for parts in range(-(-dimensions // 2), 0, -1) if dimensions % parts == 0)
        index = faiss.IndexPQ(dimensions, parts, bits)
        index.pq.cp.seed = seed
    else:
        index = faiss.IndexHNSWFlat(dimensions, _LINKS)
        index.hnsw.efConstruction = _BUILD_EFFORT
    index.train(bank)
    index.add(bank)
    return index


def _too_small(search: Search, count: int, needed: int) -> None:
    logger.warning(
        "search=%s needs a memory bank of %d patches or more, this one has %d: searching exactly", search, needed, count
    )
