"""Greedy k-centre against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from pyimgano_patchknn import coreset
from pyimgano_patchknn.coreset import k_center_greedy, random_projection


def brute_force(features: np.ndarray, n_select: int, seed: int) -> list[int]:
    chosen = [int(np.random.default_rng(seed).integers(len(features)))]
    while len(chosen) < n_select:
        gaps = np.linalg.norm(features[:, None].astype(np.float64) - features[None, chosen], axis=2).min(axis=1)
        chosen.append(int(gaps.argmax()))
    return chosen


def radius(features: np.ndarray, chosen: np.ndarray) -> float:
    return float(np.linalg.norm(features[:, None] - features[None, chosen], axis=2).min(axis=1).max())


@pytest.mark.parametrize("pool", [1, 7, 64, 4096])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_pick_is_the_farthest_vector(monkeypatch: pytest.MonkeyPatch, pool: int, seed: int) -> None:
    monkeypatch.setattr(coreset, "POOL", pool)
    features = np.random.default_rng(5).standard_normal((300, 6)).astype(np.float32)
    assert k_center_greedy(features, 60, seed).tolist() == brute_force(features, 60, seed)


def test_all_vectors_can_be_chosen_and_each_only_once() -> None:
    features = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    assert sorted(k_center_greedy(features, 50, 0).tolist()) == list(range(50))


def test_identical_vectors_are_no_trouble() -> None:
    assert len(set(k_center_greedy(np.ones((40, 4), np.float32), 10, 0).tolist())) == 10


def test_the_cover_is_tighter_than_a_random_choice() -> None:
    rng = np.random.default_rng(2)
    features = np.concatenate([rng.standard_normal((500, 4)), rng.standard_normal((5, 4)) + 30]).astype(np.float32)
    random = rng.permutation(len(features))[:20]
    assert radius(features, k_center_greedy(features, 20, 0)) < radius(features, random) / 3


@pytest.mark.parametrize("n_select", [0, -1, 11])
def test_a_count_out_of_range_is_refused(n_select: int) -> None:
    with pytest.raises(ValueError, match="between 1 and 10"):
        k_center_greedy(np.zeros((10, 2), np.float32), n_select)


def test_projection_keeps_distances_on_average() -> None:
    features = np.random.default_rng(1).standard_normal((200, 500)).astype(np.float32)
    projected = random_projection(features, 128, seed=0)
    ratio = np.linalg.norm(projected[:100] - projected[100:], axis=1) / np.linalg.norm(features[:100] - features[100:], axis=1)
    assert projected.shape == (200, 128)
    assert abs(float(ratio.mean()) - 1) < 0.03


def test_projection_to_more_dimensions_changes_nothing() -> None:
    features = np.ones((3, 4), np.float32)
    assert random_projection(features, 8, seed=0) is features
