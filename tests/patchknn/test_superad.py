"""SuperAD on features of the tests' own making: a bank per layer, the k-th neighbour, references chosen by class token."""

from __future__ import annotations

import numpy as np
import pytest
from embedders import colourful, grid_of_means, patch_means, textures, two_layers

from pyimgano.images import ImageSource
from pyimgano.maps import resize_map
from pyimgano.registry import create_model
from pyimgano.tiling.source import TileSource
from pyimgano_patchknn import PatchFeatures


def kth_gap(query: np.ndarray, bank: list[np.ndarray], k: int) -> np.ndarray:
    """Return 1 - cos to the k-th nearest of all bank patches, on the grid of the query."""
    rows, others = query.reshape(-1, 3).astype(np.float64), np.concatenate([grid.reshape(-1, 3) for grid in bank])
    gaps = 1 - (rows / np.linalg.norm(rows, axis=1)[:, None]) @ (others / np.linalg.norm(others, axis=1)[:, None]).T
    return np.sort(gaps, axis=1)[:, k - 1].reshape(query.shape[:2]).astype(np.float32)


@pytest.mark.parametrize("k", [1, 3])
def test_the_map_is_the_mean_over_layers_of_the_distance_to_the_kth_neighbour(k: int) -> None:
    images = [colourful(number) for number in range(3)]
    model = create_model("vision_superad", embedder=two_layers, rotations=1, k=k).fit(images)
    fine, coarse = (
        kth_gap(grid_of_means(colourful(9), side), [grid_of_means(image, side) for image in images], k) for side in (8, 16)
    )
    expected = (fine + resize_map(coarse, fine.shape)) / 2
    result = model.score_images([colourful(9)])[0]
    np.testing.assert_allclose(result.anomaly_map.grid, expected, rtol=1e-3, atol=1e-6)
    assert result.score == pytest.approx(float(expected.max()), rel=1e-3)


def test_every_layer_has_a_bank_of_all_patches_of_the_references_and_their_rotations() -> None:
    model = create_model("vision_superad", embedder=two_layers, references=2, rotations=4).fit(textures(5))
    assert [len(bank) for bank in model.banks_] == [2 * 4 * 96, 2 * 4 * 24]
    assert model.memory_bank_size_ == 2 * 4 * 120


def test_references_are_learned_as_the_source_gives_them() -> None:
    images = textures(5)
    plain = create_model("vision_superad", embedder=two_layers, references=2).fit([255 - image for image in images])
    changed = create_model("vision_superad", embedder=two_layers, references=2)
    changed.fit(ImageSource(images, transform=lambda image: 255 - image))
    for one, other in zip(changed.banks_, plain.banks_, strict=True):
        np.testing.assert_array_equal(one.vectors, other.vectors)


def test_references_can_be_tiles() -> None:
    tiles = TileSource(ImageSource(textures(2)), (48, 48))
    model = create_model("vision_superad", embedder=two_layers, references=2).fit(tiles)
    assert len(model.references_) == 2 < len(tiles)


def test_references_cover_the_training_images_by_class_token() -> None:
    tokens = [[0, 0], [0, 1], [50, 0], [51, 0], [0, 90], [1, 91]]

    def embed(images: list[np.ndarray]) -> list[PatchFeatures]:
        places = [int(image[0, 0, 0]) for image in images]
        return [
            PatchFeatures((grid_of_means(image),), np.array(tokens[place])) for image, place in zip(images, places, strict=True)
        ]

    images = [np.full((16, 16, 3), number, np.uint8) for number in range(6)]
    for seed in range(4):
        chosen = create_model("vision_superad", embedder=embed, references=3, seed=seed).fit(images).references_
        assert sorted(place // 2 for place in chosen.tolist()) == [0, 1, 2]


def test_without_class_tokens_images_are_compared_by_their_mean_patch() -> None:
    shades = [10, 12, 120, 124, 250, 252]
    images = [np.full((16, 16, 3), shade, np.uint8) for shade in shades]
    chosen = create_model("vision_superad", embedder=patch_means, references=3).fit(images).references_
    assert sorted(place // 2 for place in chosen.tolist()) == [0, 1, 2]


def test_all_images_are_references_where_they_are_few() -> None:
    seen: list[int] = []

    def counting(images: list[np.ndarray]) -> list[np.ndarray]:
        seen.append(len(images))
        return patch_means(images)

    model = create_model("vision_superad", embedder=counting, rotations=1).fit(textures(4))
    assert (model.references_.tolist(), sum(seen)) == ([0, 1, 2, 3], 4)
    model = create_model("vision_superad", embedder=counting, references=2, rotations=1).fit(textures(4))
    assert sum(seen) == 4 + 4 + 2


def test_references_survive_a_round_trip() -> None:
    model = create_model("vision_superad", embedder=patch_means, references=2).fit(textures(4))
    copy = create_model("vision_superad", embedder=patch_means, references=2)
    copy.load_state(model.state())
    np.testing.assert_array_equal(copy.references_, model.references_)
