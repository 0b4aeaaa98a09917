"""Local outlier factors against their definition, and against scikit-learn where it is installed."""

from __future__ import annotations

import numpy as np
import pytest

from pyimgano_patchknn import outliers
from pyimgano_patchknn.outliers import factors_anywhere, factors_by_position


def definition(gaps: np.ndarray, k: int) -> np.ndarray:
    """Return the factors of Breunig et al. 2000, definitions 3 to 7, from pairwise distances; infinite: no neighbour."""
    count = len(gaps)
    nearest = [np.argsort(gaps[i], kind="stable")[:k] for i in range(count)]
    k_distance = [gaps[i, nearest[i][-1]] for i in range(count)]
    density = [1 / np.mean([max(k_distance[j], gaps[i, j]) for j in nearest[i]]) for i in range(count)]
    return np.array([np.mean([density[j] for j in nearest[i]]) / density[i] for i in range(count)])


def pairwise(points: np.ndarray) -> np.ndarray:
    points = points.astype(np.float64)
    gaps = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(gaps, np.inf)
    return gaps


def clustered(images: int, places: int, seed: int = 0) -> np.ndarray:
    """Return (images * places, 5) points, each place around a centre of its own."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((images, places, 5)) + 20 * rng.standard_normal(5)).reshape(-1, 5).astype(np.float32)


@pytest.mark.parametrize("k", [1, 3, 11])
def test_factors_by_position_equal_the_definition(k: int) -> None:
    patches = clustered(12, 4)
    factors = factors_by_position(patches, 12, k).reshape(12, 4)
    for place in range(4):
        np.testing.assert_allclose(factors[:, place], definition(pairwise(patches.reshape(12, 4, 5)[:, place]), k), rtol=1e-4)


@pytest.mark.extras
@pytest.mark.parametrize("k", [1, 3, 11])
def test_factors_by_position_equal_those_of_scikit_learn(k: int) -> None:
    neighbors = pytest.importorskip("sklearn.neighbors")
    patches = clustered(30, 2)
    factors = factors_by_position(patches, 30, k).reshape(30, 2)
    for place in range(2):
        peer = neighbors.LocalOutlierFactor(n_neighbors=k).fit(patches.reshape(30, 2, 5)[:, place])
        np.testing.assert_allclose(factors[:, place], -peer.negative_outlier_factor_, rtol=1e-4)


@pytest.mark.parametrize("k", [1, 3])
def test_factors_anywhere_compare_the_nearest_patch_of_each_other_image(monkeypatch: pytest.MonkeyPatch, k: int) -> None:
    monkeypatch.setattr(outliers, "_ROWS", 7)
    patches, image = clustered(6, 5), np.repeat(np.arange(6), 5)
    gaps = pairwise(patches)
    for i in range(30):
        for other in range(6):
            members = np.flatnonzero(image == other)
            keep = members[gaps[i, members].argmin()]
            gaps[i, [m for m in members if m != keep or other == image[i]]] = np.inf
    np.testing.assert_allclose(factors_anywhere(patches, image, k), definition(gaps, k), rtol=1e-3)


def test_a_defect_of_many_alike_patches_stands_out_anywhere() -> None:
    patches = clustered(8, 30)
    patches[:10] += 15  # a third of the first image: dense by itself, far from every other image
    factors = factors_anywhere(patches, np.repeat(np.arange(8), 30), 3)
    assert factors[:10].min() > factors[10:].max()


def test_many_images_are_compared_with_a_seeded_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outliers, "REFERENCE_IMAGES", 6)
    patches, image = clustered(20, 10), np.repeat(np.arange(20), 10)
    patches[5] += 30
    first, again, other = (factors_anywhere(patches, image, 3, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.argmax() == other.argmax() == 5


def test_points_that_coincide_have_factor_one() -> None:
    patches = np.ones((20, 4), np.float32)
    np.testing.assert_allclose(factors_by_position(patches, 10, 3), 1)
    np.testing.assert_allclose(factors_anywhere(patches, np.repeat(np.arange(10), 2), 3), 1)
