"""Neighbour search against brute force."""

from __future__ import annotations

import numpy as np
import pytest

from pyimgano.errors import DetectorError
from pyimgano_patchknn import index
from pyimgano_patchknn.index import FaissKNNIndex


def test_distances_and_neighbours_equal_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "CHUNK", 17)
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
