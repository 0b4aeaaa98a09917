"""Memory banks: the normal patches that are kept of one layer, and the distances of other patches to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyimgano_patchknn.moments import Moments
from pyimgano_patchknn.projected import Projection
from pyimgano_patchknn.searcher import Searcher

Features = NDArray[np.float32]

_TINY = np.float32(1e-12)


@dataclass(frozen=True, eq=False)
class Scaling:
    """What is done to a patch before distances are taken.

    Attributes
    ----------
    mean, deviation
        (D,) statistics of the training patches: channels are centred and divided; None leaves them as they are. A channel
        that never varied keeps its scale.
    unit
        Whether patches are then scaled to unit length, so that distances are cosine distances.
    """

    mean: Features | None = None
    deviation: Features | None = None
    unit: bool = False

    @classmethod
    def of(cls, moments: Moments, standardize: bool, unit: bool) -> Scaling:
        """Learn from the moments of the training patches."""
        if not standardize:
            return cls(unit=unit)
        deviation = np.sqrt(moments.squares / moments.count).astype(np.float32)
        return cls(moments.mean.astype(np.float32), np.where(deviation > _TINY, deviation, np.float32(1)), unit)

    def __call__(self, patches: Features) -> Features:
        """Return scaled patches (N, D)."""
        if self.mean is not None and self.deviation is not None:
            patches = (patches - self.mean) / self.deviation
        if self.unit:
            patches = patches / np.maximum(np.linalg.norm(patches, axis=1, keepdims=True), _TINY)
        return patches


class MemoryBank:
    """Kept patches of one layer.

    Parameters
    ----------
    vectors
        (N, D) float32, already scaled.
    scaling
        How they were scaled, and how queries will be.
    searcher
        How neighbours are found.
    projection
        What the search may use, found when the bank was made.
    """

    def __init__(self, vectors: Features, scaling: Scaling, searcher: Searcher, projection: Projection | None = None) -> None:
        self.scaling = scaling
        self.index = searcher.index(vectors, projection)
        self._projection = projection
        self._seed = None if searcher.search == "exact" else np.array([searcher.seed], dtype=np.int64)

    @classmethod
    def of(cls, vectors: Features, scaling: Scaling, searcher: Searcher) -> MemoryBank:
        """Make the bank of scaled vectors (N, D)."""
        return cls(vectors, scaling, searcher, searcher.projection(vectors))

    def __len__(self) -> int:
        return len(self.index)

    @property
    def vectors(self) -> Features:
        """The kept patches (N, D), scaled."""
        return self.index.bank

    def search(self, scaled: Features, k: int) -> tuple[Features, NDArray[np.int64]]:
        """Return distances and indices of the k nearest kept patches of scaled ones, (M, k) each, nearest first.

        Euclidean distances, or for patches of unit length cosine distances 1 - cos, in [0, 2].
        """
        distances, indices = self.index.search(scaled, k)
        return (distances * distances / np.float32(2) if self.scaling.unit else distances), indices

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that was learned; an index is built again from the vectors, their projection and a seed."""
        arrays = {
            "vectors": self.vectors,
            "mean": self.scaling.mean,
            "deviation": self.scaling.deviation,
            "seed": self._seed,
            **({} if self._projection is None else self._projection.state()),
        }
        return {name: array for name, array in arrays.items() if array is not None}

    @classmethod
    def from_state(cls, arrays: Mapping[str, NDArray[Any]], unit: bool, searcher: Searcher) -> MemoryBank:
        """Return the bank that gave `arrays`; the seed is the one with which it was made."""
        scaling = Scaling(arrays.get("mean"), arrays.get("deviation"), unit)
        if "seed" in arrays:
            searcher = replace(searcher, seed=int(arrays["seed"][0]))
        return cls(arrays["vectors"], scaling, searcher, Projection.from_state(arrays))
