"""Searches that are exact by other means than trying all: bounds of projections, and matrix products of torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save

from pyimgano_patchknn import blocked
from pyimgano_patchknn.bank import MemoryBank, Scaling
from pyimgano_patchknn.blocked import BlockedKNNIndex
from pyimgano_patchknn.index import FaissKNNIndex, recall
from pyimgano_patchknn.knn import Features
from pyimgano_patchknn.projected import ProjectedKNNIndex, Projection
from pyimgano_patchknn.searcher import Searcher

CPU = torch.device("cpu")


def low_rank(count: int, seed: int, noise: float = 0.05) -> Features:
    """Return vectors (count, 96) that vary along eight directions, far from the origin, and a little along all."""
    directions = np.random.default_rng(99).standard_normal((8, 96))
    rng = np.random.default_rng(seed)
    vectors = 7 + rng.standard_normal((count, 8)) @ directions + noise * rng.standard_normal((count, 96))
    return vectors.astype(np.float32)


def brute(bank: Features, queries: Features, k: int) -> tuple[np.ndarray, np.ndarray]:
    gaps = np.linalg.norm(queries[:, None].astype(np.float64) - bank[None], axis=2)
    order = np.argsort(gaps, axis=1)[:, :k]
    return np.take_along_axis(gaps, order, axis=1), order


def projected(bank: Features) -> ProjectedKNNIndex:
    projection = Projection.of(bank)
    assert projection is not None
    return ProjectedKNNIndex(FaissKNNIndex(bank), projection, FaissKNNIndex)


@pytest.mark.parametrize("k", [1, 5, 40])
@pytest.mark.parametrize("noise", [0.05, 0.6])
def test_search_by_bounds_equals_brute_force(noise: float, k: int) -> None:
    bank, queries = low_rank(1500, 0, noise), low_rank(80, 1, noise)
    queries[::4] += np.float32(3)  # as a defect, far from all
    distances, indices = projected(bank).search(queries, k)
    true, order = brute(bank, queries, k)
    np.testing.assert_allclose(distances, true, rtol=1e-5)
    np.testing.assert_array_equal(indices, order)


def test_bounds_are_never_more_than_distances() -> None:
    bank, queries = low_rank(1200, 0, 0.6), low_rank(50, 1, 0.6)
    projection = Projection.of(bank)
    bounds = np.linalg.norm(projection(queries)[:, None] - projection(bank)[None], axis=2)
    true = np.linalg.norm(queries[:, None] - bank[None], axis=2)
    assert (bounds <= true * (1 + 1e-4)).all()


class Counted(FaissKNNIndex):
    """A search that counts the queries it gets."""

    queries = 0

    def search(self, queries: Features, k: int = 1) -> tuple[Features, np.ndarray]:
        self.queries += len(queries)
        return super().search(queries, k)


def test_few_queries_are_searched_in_all_dimensions() -> None:
    bank, queries = low_rank(3000, 0, 0.6), low_rank(400, 1, 0.6)
    whole = Counted(bank)
    ProjectedKNNIndex(whole, Projection.of(bank), FaissKNNIndex).search(queries, 1)
    assert 0 < whole.queries < len(queries) / 2


def test_vectors_that_vary_in_all_directions_and_small_banks_are_not_projected() -> None:
    assert Projection.of(np.random.default_rng(0).standard_normal((2000, 96), dtype=np.float32)) is None
    assert Projection.of(low_rank(500, 0)) is None
    assert Projection.of(np.ones((2000, 96), np.float32)) is None


@pytest.mark.parametrize("reduced", [False, True])
@pytest.mark.parametrize("k", [1, 6])
def test_search_by_products_equals_brute_force(k: int, reduced: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocked, "BLOCK", 64)
    monkeypatch.setattr(blocked, "QUERIES", 17)
    bank, queries = low_rank(300, 0, 0.6), low_rank(60, 1, 0.6)
    distances, indices = BlockedKNNIndex(bank, CPU, reduced).search(queries, k)
    true, order = brute(bank, queries, k)
    np.testing.assert_allclose(distances, true, rtol=1e-5)
    np.testing.assert_array_equal(indices, order)


def clusters(count: int, seed: int) -> Features:
    """Return vectors (count, 512) close to one of 20 others, so that products are large and their differences small."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((20, 512))
    return (centres[rng.integers(0, 20, count)] + 0.1 * rng.standard_normal((count, 512))).astype(np.float32)


def test_bfloat16_hardly_misses_a_neighbour() -> None:
    assert recall(BlockedKNNIndex(clusters(4000, 0) + 50, CPU, reduced=True), clusters(300, 1) + 50) > 0.99


def test_a_bank_of_fewer_vectors_than_candidates_is_searched_whole() -> None:
    bank = low_rank(3, 0)
    np.testing.assert_array_equal(BlockedKNNIndex(bank, CPU, True).search(bank, 2)[1][:, 0], [0, 1, 2])


def test_a_bank_chooses_the_search_for_its_device_and_precision() -> None:
    bank = low_rank(1500, 0)
    projection = Searcher().projection(bank)
    assert isinstance(Searcher().index(bank, projection), ProjectedKNNIndex)
    assert isinstance(Searcher().index(bank), FaissKNNIndex)
    assert isinstance(Searcher(device="meta").index(bank, projection), BlockedKNNIndex)
    assert isinstance(Searcher(reduced=True).index(bank), BlockedKNNIndex)
    assert Searcher("ivf").projection(bank) is None


@pytest.mark.parametrize("searcher", [Searcher(), Searcher("hnsw", seed=4), Searcher(reduced=True)])
def test_a_bank_that_is_loaded_finds_the_same(searcher: Searcher) -> None:
    bank = MemoryBank.of(low_rank(1500, 0), Scaling(), searcher)
    again = MemoryBank.from_state(load(save(bank.state())), False, searcher)
    queries = low_rank(50, 1)
    for one, other in zip(bank.search(queries, 2), again.search(queries, 2), strict=True):
        np.testing.assert_array_equal(one, other)
    assert save(again.state()) == save(bank.state())
