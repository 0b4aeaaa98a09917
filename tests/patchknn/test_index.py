"""Neighbour search against brute force."""

from __future__ import annotations

import logging

import faiss
import numpy as np
import pytest
from embedders import colourful, patch_means
from safetensors.numpy import load, save

from pyimgano.errors import DetectorError
from pyimgano.registry import create_model
from pyimgano_patchknn import knn
from pyimgano_patchknn.index import FaissKNNIndex, recall


def test_distances_and_neighbours_equal_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knn, "CHUNK_BYTES", 4 * 12 * 5 * 17)
    rng = np.random.default_rng(0)
    bank, queries = rng.standard_normal((200, 12)).astype(np.float32), rng.standard_normal((100, 12)).astype(np.float32)
    gaps = np.linalg.norm(queries[:, None].astype(np.float64) - bank[None], axis=2)
    distances, indices = FaissKNNIndex(bank).search(queries, 5)
    np.testing.assert_array_equal(indices, np.argsort(gaps, axis=1)[:, :5])
    np.testing.assert_allclose(distances, np.sort(gaps, axis=1)[:, :5], rtol=1e-5)


def test_small_distances_far_from_the_origin_keep_their_digits() -> None:
    bank = np.full((1, 8), 100, np.float32)
    query = bank + np.float32(1e-3)
    distances, _ = FaissKNNIndex(bank).search(query, 1)
    assert distances[0, 0] == pytest.approx(float(np.linalg.norm(query - bank)), rel=1e-6)


def test_more_neighbours_than_vectors_are_refused() -> None:
    with pytest.raises(DetectorError, match=r"3 neighbours .* memory bank of 2"):
        FaissKNNIndex(np.zeros((2, 4), np.float32)).search(np.zeros((1, 4), np.float32), 3)


@pytest.mark.parametrize("bank", [np.zeros((0, 4)), np.zeros(4), np.full((2, 2), np.nan)])
def test_a_bank_that_is_none_is_refused(bank: np.ndarray) -> None:
    with pytest.raises(DetectorError, match="memory bank"):
        FaissKNNIndex(bank)


APPROXIMATE = pytest.mark.parametrize("search", ["ivf", "hnsw", "pq"])


def clustered(count: int, seed: int) -> np.ndarray:
    """Return vectors around 20 centres, (count, 24)."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((20, 24)) * 3
    return (centres[rng.integers(0, 20, count)] + rng.standard_normal((count, 24))).astype(np.float32)


@APPROXIMATE
def test_approximate_searches_find_nearly_all_neighbours(search: str) -> None:
    index = FaissKNNIndex(clustered(3000, 0), search=search)
    assert index._index is not None
    assert recall(index, clustered(500, 1), 3) > 0.9


def test_exact_search_has_a_recall_of_one() -> None:
    assert recall(FaissKNNIndex(clustered(300, 0)), clustered(100, 1), 5) == 1


def test_recall_counts_the_neighbours_that_are_missed() -> None:
    index = FaissKNNIndex(clustered(3000, 0), search="ivf")
    index._index.nprobe = 1
    bank, queries = index.bank, clustered(500, 1)
    found, true = index.search(queries, 3)[1], FaissKNNIndex(bank).search(queries, 3)[1]
    shared = np.mean([len(set(one) & set(other)) / 3 for one, other in zip(found, true, strict=True)])
    assert recall(index, queries, 3) == pytest.approx(shared) != 1


@APPROXIMATE
def test_distances_to_the_neighbours_found_are_exact(search: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knn, "CHUNK_BYTES", 4 * 12 * 5 * 17)
    bank, queries = clustered(3000, 0), clustered(100, 1)
    distances, indices = FaissKNNIndex(bank, search=search).search(queries, 4)
    exact = np.linalg.norm(bank[indices].astype(np.float64) - queries[:, None], axis=2)
    np.testing.assert_allclose(distances, exact, rtol=1e-5)
    assert (np.diff(distances, axis=1) >= 0).all()


@APPROXIMATE
def test_the_same_bank_and_seed_give_the_same_index(search: str) -> None:
    built = [FaissKNNIndex(clustered(3000, 0), search=search, seed=seed) for seed in (5, 5, 6)]
    stored = [faiss.serialize_index(one._index).tobytes() for one in built]
    assert stored[0] == stored[1]
    assert search == "hnsw" or stored[0] != stored[2]


def test_a_query_whose_cells_hold_too_few_is_searched_exactly() -> None:
    bank = clustered(3000, 0)
    sparse = FaissKNNIndex(bank, search="ivf")
    sparse._index.nprobe = 1
    assert recall(sparse, clustered(50, 1), 600) > recall(sparse, clustered(50, 1), 60)


@pytest.mark.parametrize(("search", "needed"), [("ivf", 156), ("pq", 624)])
def test_a_bank_too_small_to_train_is_searched_exactly_with_a_warning(
    search: str, needed: int, caplog: pytest.LogCaptureFixture
) -> None:
    bank, queries = clustered(needed - 1, 0), clustered(50, 1)
    with caplog.at_level(logging.WARNING, logger="pyimgano"):
        distances, _ = FaissKNNIndex(bank, search=search).search(queries, 3)
    assert f"search={search} needs a memory bank of {needed} patches or more, this one has {needed - 1}" in caplog.text
    np.testing.assert_array_equal(distances, FaissKNNIndex(bank).search(queries, 3)[0])


@APPROXIMATE
def test_scores_are_the_same_after_a_round_trip(search: str) -> None:
    options = {"coreset_sampling_ratio": 1.0, "search": search, "embedder": patch_means}
    images = [colourful(50), colourful(51)]
    model = create_model("vision_patchcore", seed=3, **options).fit([colourful(number) for number in range(8)])
    again = create_model("vision_patchcore", seed=4, **options)
    again.load_state(load(save(model.state())))
    np.testing.assert_array_equal(again.decision_function(images), model.decision_function(images))
