"""How the neighbours in a memory bank are found, as the options and the machine allow."""

from __future__ import annotations

from dataclasses import dataclass

from pyimgano_patchknn.index import FaissKNNIndex, Search
from pyimgano_patchknn.knn import Features, KNNIndex
from pyimgano_patchknn.projected import ProjectedKNNIndex, Projection


@dataclass(frozen=True)
class Searcher:
    """Makes the index of a memory bank.

    Attributes
    ----------
    search, seed
        As `FaissKNNIndex`; an approximate search runs on the processor, in full precision.
    device
        Device of torch on which an exact search runs.
    reduced
        Whether an exact search looks for candidates in bfloat16.
    """

    search: Search = "exact"
    seed: int = 0
    device: str = "cpu"
    reduced: bool = False

    def projection(self, bank: Features) -> Projection | None:
        """Return the projection that makes an exact search of a bank faster, if one does."""
        return Projection.of(bank) if self.search == "exact" else None

    def index(self, bank: Features, projection: Projection | None = None) -> KNNIndex:
        """Return the index of a bank (N, D); a GPU has no use for the projection."""
        whole = self._plain(bank)
        if projection is None or self.search != "exact" or self.device != "cpu":
            return whole
        return ProjectedKNNIndex(whole, projection, self._plain)

    def _plain(self, bank: Features) -> KNNIndex:
        if self.search != "exact" or (self.device == "cpu" and not self.reduced):
            return FaissKNNIndex(bank, self.search, self.seed)
        import torch

        from pyimgano_patchknn.blocked import BlockedKNNIndex

        return BlockedKNNIndex(bank, torch.device(self.device), self.reduced)
