"""Scores of patches: the score of their image, and their grid."""

from __future__ import annotations

import numpy as np
import pytest

from pyimgano.errors import OptionsError
from pyimgano_patchknn import aggregate_patch_scores, reshape_patch_scores


@pytest.mark.parametrize(
    ("method", "topk", "expected"),
    [
        ("max", 0.1, 99.0),
        ("mean", 0.1, 49.5),
        ("topk_mean", 0.1, 94.5),
        ("topk_mean", 0.29, 85.0),
        ("topk_mean", 10, 94.5),
        ("topk_mean", 1.0, 49.5),
        ("topk_mean", 0.001, 99.0),
        ("topk_mean", 1000, 49.5),
    ],
)
def test_the_aggregate_is_that_of_the_sorted_scores(method: str, topk: float, expected: float) -> None:
    scores = np.random.default_rng(0).permutation(100).astype(np.float32).reshape(4, 25)
    assert aggregate_patch_scores(scores, method=method, topk=topk) == pytest.approx(expected)


@pytest.mark.parametrize("topk", [0, -1, 1.5, float("nan")])
def test_a_topk_that_is_no_share_and_no_count_is_refused(topk: float) -> None:
    with pytest.raises(OptionsError, match="topk must be a share"):
        aggregate_patch_scores(np.arange(9.0), "topk_mean", topk)


def test_no_scores_and_unknown_methods_are_refused() -> None:
    with pytest.raises(OptionsError, match="no patch scores"):
        aggregate_patch_scores(np.empty(0))
    with pytest.raises(OptionsError, match="no aggregation is called 'median'"):
        aggregate_patch_scores(np.ones(3), method="median")


def test_scores_are_laid_out_row_by_row() -> None:
    grid = reshape_patch_scores(np.arange(6), grid_h=2, grid_w=3)
    assert (grid.tolist(), grid.dtype) == ([[0, 1, 2], [3, 4, 5]], np.float32)


@pytest.mark.parametrize("shape", [(3,), (2, 2), (5,)])
def test_a_wrong_number_of_scores_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="Expected 2 x 2 = 4"):
        reshape_patch_scores(np.ones(shape), grid_h=2, grid_w=2)
