"""Neighbour search by matrix products of torch, on a GPU or in bfloat16."""

from __future__ import annotations

import torch

from pyimgano_patchknn.knn import Features, KNNIndex, Neighbours

BLOCK = 16384
"""Vectors of the bank that queries are compared with in one product."""
QUERIES = 1024

_CANDIDATES = 16
_PARTS = 3


class BlockedKNNIndex(KNNIndex):
    """The k nearest vectors of a memory bank that stays on its device, by one matrix product per block.

    Vectors are extended by terms of their squared length, so that a product is minus half a squared distance, and rounding it
    costs little where the distance is small. The distances of the nearest are computed again from the vectors themselves.

    Parameters
    ----------
    bank
        (N, D) float32, finite, N >= 1.
    device
        Where the bank stays and is searched.
    reduced
        Whether products are of bfloat16. A neighbour may then be missed for one that is hardly farther.
    """

    def __init__(self, bank: Features, device: torch.device, reduced: bool) -> None:
        super().__init__(bank)
        self._device = device
        self._type = torch.bfloat16 if reduced else torch.float32
        self._vectors = torch.from_numpy(self.bank).to(device)
        self._center = self._vectors.mean(dim=0)
        self._extended = torch.cat([self._extend(block, of_bank=True) for block in self._vectors.split(BLOCK)])

    def _breadth(self, k: int) -> int:
        return min(len(self), max(_CANDIDATES, 2 * k))

    @torch.inference_mode()
    def _nearest(self, queries: Features, k: int) -> Neighbours:
        asked = torch.from_numpy(queries).to(self._device)
        found = torch.cat([self._closest(part, self._breadth(k)) for part in asked.split(QUERIES)])
        distances = (self._vectors[found] - asked[:, None]).square().sum(dim=2).sqrt()
        distances, order = distances.sort(dim=1, stable=True)
        return distances[:, :k].cpu().numpy(), found.gather(1, order[:, :k]).cpu().numpy()

    def _closest(self, queries: torch.Tensor, count: int) -> torch.Tensor:
        """Return the indices of the vectors nearest to queries (M, D) by products, (M, count)."""
        extended = self._extend(queries, of_bank=False)
        nearness = torch.empty((len(queries), 0), dtype=self._type, device=self._device)
        places = torch.empty((len(queries), 0), dtype=torch.int64, device=self._device)
        for start in range(0, len(self), BLOCK):
            block = self._extended[start : start + BLOCK]
            values, columns = (extended @ block.T).topk(min(count, len(block)), dim=1)
            nearness, places = torch.cat([nearness, values], dim=1), torch.cat([places, columns + start], dim=1)
            nearness, kept = nearness.topk(min(count, nearness.shape[1]), dim=1)
            places = places.gather(1, kept)
        return places

    def _extend(self, vectors: torch.Tensor, of_bank: bool) -> torch.Tensor:
        """Return vectors (N, D) with terms such that one of the bank times a query is minus half their squared distance."""
        centred = vectors - self._center
        terms = self._terms(centred.square().sum(dim=1, keepdim=True) / -2)
        ones = torch.ones_like(terms)
        return torch.cat([centred.to(self._type), *((terms, ones) if of_bank else (ones, terms))], dim=1)

    def _terms(self, values: torch.Tensor) -> torch.Tensor:
        """Return terms (N, 3) of the searched type that add up to values (N, 1)."""
        terms = []
        for _ in range(_PARTS):
            terms.append(values.to(self._type))
            values = values - terms[-1].to(torch.float32)
        return torch.cat(terms, dim=1)
