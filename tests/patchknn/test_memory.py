"""Memory stays bounded where the naive formula would not: search, coreset, outlier factors."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from pyimgano_patchknn.coreset import k_center_greedy
from pyimgano_patchknn.outliers import factors_anywhere, factors_by_position

SEARCH = r"""
import re
import numpy as np
from pyimgano_patchknn.index import FaissKNNIndex
rng = np.random.default_rng(0)
index = FaissKNNIndex(rng.standard_normal((10_000, 128), dtype=np.float32))
queries = rng.standard_normal((40_000, 128), dtype=np.float32)
index.search(queries[:100], 9)
peak = lambda: int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1])
before = peak()
index.search(queries, 9)
print(peak() - before)
"""


def test_search_holds_neither_all_distances_nor_all_neighbours_at_once(shell: Callable) -> None:
    done = shell("-c", SEARCH)
    assert done.code == 0, done.err
    # KiB; all distances to the bank are 1.6 million, all neighbours and their differences 360,000
    assert int(done.out) < 270_000


def peak(function: Callable, *arguments: object) -> int:
    tracemalloc.start()
    try:
        function(*arguments)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_choosing_a_coreset_makes_no_copy_of_the_features() -> None:
    features = np.random.default_rng(0).standard_normal((60_000, 64), dtype=np.float32)
    assert peak(k_center_greedy, features, 300, 0) < 0.8 * features.nbytes


@pytest.mark.parametrize("function", [factors_by_position, factors_anywhere])
def test_outlier_factors_need_no_matrix_of_all_pairs(function: Callable) -> None:
    patches = np.random.default_rng(0).standard_normal((20_000, 16), dtype=np.float32)
    images = 10 if function is factors_by_position else np.repeat(np.arange(10), 2000)
    assert peak(function, patches, images, 3) < len(patches) ** 2 * 4 / 10
