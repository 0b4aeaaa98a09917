"""Windows reach every patch and every pixel, and harmonic means do what their definition says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyimgano.maps import AnomalyMap, MapRecipe
from pyimgano_clip.windows import harmonic_mean, spread, window_places

GRIDS = [(1, 1), (1, 7), (4, 4), (5, 2), (15, 15), (8, 32), (32, 8)]
SIZES = [(240, 240), (100, 400), (400, 100), (97, 131), (33, 8)]


def rectangles(grid: tuple[int, int], side: int) -> list[set[int]]:
    """Return the patches of every window, by trying all corners."""
    height, width = min(side, grid[0]), min(side, grid[1])
    return [
        {row * grid[1] + column for row in range(top, top + height) for column in range(left, left + width)}
        for top in range(grid[0] - height + 1)
        for left in range(grid[1] - width + 1)
    ]


@pytest.mark.parametrize("side", [1, 2, 3, 5])
@pytest.mark.parametrize("grid", GRIDS)
def test_windows_are_all_rectangles_that_fit(grid: tuple[int, int], side: int) -> None:
    assert [set(window.tolist()) for window in window_places(grid, side)] == rectangles(grid, side)


def test_a_grid_of_15_has_as_many_windows_as_published() -> None:
    assert window_places((15, 15), 2).shape == (196, 4)
    assert window_places((15, 15), 3).shape == (169, 9)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("side", [2, 3])
@pytest.mark.parametrize("grid", GRIDS)
def test_every_pixel_is_covered(grid: tuple[int, int], side: int, size: tuple[int, int]) -> None:
    covered = np.zeros(grid[0] * grid[1], dtype=np.float32)
    covered[window_places(grid, side).ravel()] = 1
    rendered = AnomalyMap(covered.reshape(grid), size, MapRecipe((64, 64))).render()
    assert rendered.shape == size
    assert rendered.min() == 1


@given(st.tuples(st.integers(1, 9), st.integers(1, 9)), st.integers(1, 5), st.integers(0, 2**16))
def test_a_patch_has_the_harmonic_mean_of_its_windows(grid: tuple[int, int], side: int, seed: int) -> None:
    windows = rectangles(grid, side)
    scores = np.random.default_rng(seed).uniform(0.01, 1, len(windows))
    expected = [
        1 / np.mean([1 / score for score, window in zip(scores, windows, strict=True) if patch in window])
        for patch in range(grid[0] * grid[1])
    ]
    np.testing.assert_allclose(spread(scores, grid, side, 1e-6).ravel(), expected, rtol=1e-9)


def test_one_window_of_zero_does_not_silence_its_patches() -> None:
    scores = np.full(9, 0.8)
    scores[4] = 0
    guarded = spread(scores, (4, 4), 2, 1e-2)
    assert guarded.min() == pytest.approx(4 / (3 / 0.8 + 1 / 1e-2))
    assert np.isfinite(spread(np.zeros(9), (4, 4), 2, 1e-6)).all()


def test_equal_windows_leave_every_patch_as_it_is() -> None:
    np.testing.assert_allclose(spread(np.full(9, 0.37), (4, 4), 2, 1e-6), 0.37)


@pytest.mark.parametrize("corner", [(0, 0), (0, -1), (-1, 0), (-1, -1)])
@pytest.mark.parametrize("grid", [(15, 15), (4, 16), (16, 4), (15, 7)])
@pytest.mark.parametrize("side", [2, 3])
def test_an_impulse_in_a_corner_window_stays_there(side: int, grid: tuple[int, int], corner: tuple[int, int]) -> None:
    target = (corner[0] % grid[0]) * grid[1] + corner[1] % grid[1]
    scores = np.array([0.9 if target in window else 0.1 for window in rectangles(grid, side)])
    lit = spread(scores, grid, side, 1e-6)
    assert np.unravel_index(int(lit.argmax()), grid) == (corner[0] % grid[0], corner[1] % grid[1])


def test_the_harmonic_mean_of_scales_is_that_of_its_definition() -> None:
    scales = np.array([[0.5, 0.0], [1.0, 0.4]])
    np.testing.assert_allclose(harmonic_mean(scales, 1e-3), [2 / (1 / 0.5 + 1), 2 / (1 / 1e-3 + 1 / 0.4)])
