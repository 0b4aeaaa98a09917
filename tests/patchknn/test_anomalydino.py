"""AnomalyDINO on features of the tests' own making: cosine distances, the top percent, rotations, the foreground."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from embedders import colourful, patch_means, rows_of, texture, textures

from pyimgano.errors import OptionsError
from pyimgano.maps import MapRecipe
from pyimgano.registry import create_model
from pyimgano_patchknn import VisionAnomalyDINO
from pyimgano_patchknn.foreground import foreground_mask
from pyimgano_patchknn.rotations import rotated


def cosine_gaps(query: np.ndarray, bank: np.ndarray) -> np.ndarray:
    query, bank = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (query, bank))
    return 1 - query @ bank.T


@pytest.mark.parametrize("k", [1, 4])
def test_patch_scores_are_the_mean_cosine_distance_to_the_nearest(k: int) -> None:
    images = [colourful(number) for number in range(4)]
    model = create_model("vision_anomalydino", embedder=patch_means, rotations=1, k=k).fit(images)
    result = model.score_images([colourful(50)])[0]
    expected = np.sort(cosine_gaps(rows_of([colourful(50)]), rows_of(images)), axis=1)[:, :k].mean(axis=1)
    np.testing.assert_allclose(result.anomaly_map.grid.ravel(), expected, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize(
    ("options", "count"),
    [({}, 1), ({"topk": 0.1}, 9), ({"topk": 5}, 5), ({"image_score": "max"}, 1), ({"image_score": "mean"}, 96)],
)
def test_the_image_score_is_the_mean_of_the_largest_patch_scores(options: dict[str, object], count: int) -> None:
    model = create_model("vision_anomalydino", embedder=patch_means, **options).fit(textures(2))
    result = model.score_images([colourful(50)])[0]
    assert result.anomaly_map.grid.size == 96
    assert result.score == pytest.approx(float(np.sort(result.anomaly_map.grid.ravel())[-count:].mean()), rel=1e-5)


@pytest.mark.parametrize(("images", "rotations", "copies"), [(2, None, 8), (16, None, 8), (17, None, 1), (17, 3, 3), (2, 1, 1)])
def test_few_images_are_learned_with_rotated_copies(images: int, rotations: int | None, copies: int) -> None:
    seen: list[np.ndarray] = []

    def watching(batch: list[np.ndarray]) -> list[np.ndarray]:
        seen.extend(batch)
        return patch_means(batch)

    model = create_model("vision_anomalydino", embedder=watching, rotations=rotations).fit(textures(images, 16, 16))
    assert len(seen) == images * copies
    assert model.memory_bank_size_ == images * copies * 4
    np.testing.assert_array_equal(seen[copies], texture(1, 16, 16))


def test_rotated_copies_turn_by_equal_steps_about_the_centre() -> None:
    image = colourful(0)[:64, :64]
    copies = list(rotated(image, 4))
    for turns, copy in enumerate(copies):
        np.testing.assert_array_equal(copy, np.rot90(image, turns))
    assert len(list(rotated(image, 8))) == 8
    assert [copy.shape for copy in rotated(colourful(0), 3)] == [(64, 96, 3)] * 3


def test_a_coreset_makes_the_bank_smaller() -> None:
    model = VisionAnomalyDINO(embedder=patch_means, coreset_sampling_ratio=0.5, rotations=1).fit(textures(3))
    assert model.memory_bank_size_ == 3 * 96 // 2


def test_keywords_and_the_registry_give_the_same_detector() -> None:
    ours = VisionAnomalyDINO(embedder=patch_means, seed=2, coreset_sampling_ratio=0.5).fit(textures(3))
    theirs = create_model("vision_anomalydino", embedder=patch_means, seed=2, coreset_sampling_ratio=0.5).fit(textures(3))
    np.testing.assert_array_equal(ours.decision_function([texture(9)]), theirs.decision_function([texture(9)]))
    with pytest.raises(OptionsError, match=r"vision_anomalydino\.coreset_ratio: unknown option"):
        VisionAnomalyDINO(coreset_ratio=0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"topk": 1.5}, r"topk: must be a share in \(0, 1\] or a whole number"),
        ({"topk": 0.5, "image_score": "max"}, "topk: has no effect unless image_score is topk_mean"),
        ({"foreground_threshold": 3}, "foreground_threshold: has no effect unless foreground is True"),
        ({"short_side": 15}, "short_side: must be at least 16"),
        ({"rotations": 0}, "rotations: must be at least 1"),
    ],
)
def test_options_without_effect_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        create_model("vision_anomalydino", **options)


def part_on_a_table(side: int = 20, sign: float = 1.0) -> np.ndarray:
    """Return (20, 20, 6) features: a part of 8 x 8 patches in the centre, far from the rest along one direction."""
    grid = np.random.default_rng(0).standard_normal((20, 20, 6)).astype(np.float32)
    grid[6:14, 6:14] += sign * np.array([0, 0, 40, 0, 0, 0], np.float32)
    return grid


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_foreground_is_the_side_that_fills_the_centre(sign: float) -> None:
    mask = foreground_mask(part_on_a_table(sign=sign), 10.0)
    expected = np.zeros((20, 20), bool)
    expected[5:15, 5:15] = True
    np.testing.assert_array_equal(mask, expected)


def test_a_texture_is_foreground_everywhere() -> None:
    assert foreground_mask(np.random.default_rng(0).standard_normal((9, 9, 6)).astype(np.float32), 10.0).all()
    assert foreground_mask(np.ones((9, 9, 6), np.float32), 10.0).all()


def test_scores_off_the_part_count_as_zero_but_count() -> None:
    def embed(images: list[np.ndarray]) -> list[np.ndarray]:
        return [
            part_on_a_table() + (image[:20, :20, :1] > 200) * np.float32(5) * np.array([1, 0, 0, 0, 0, 0]) for image in images
        ]

    good, bad = np.zeros((20, 20, 3), np.uint8), np.zeros((20, 20, 3), np.uint8)
    bad[0:2, 0:2] = 255  # off the part
    options = {"embedder": embed, "rotations": 1, "image_score": "mean"}
    masked = create_model("vision_anomalydino", **options, foreground=True).fit([good])
    plain = create_model("vision_anomalydino", **options).fit([good])
    assert plain.decision_function([bad])[0] > 5e-4
    assert masked.decision_function([bad])[0] == pytest.approx(0, abs=1e-6)
    bad[8, 8] = 255
    result = masked.score_images([bad])[0]
    assert result.score == pytest.approx(float(result.anomaly_map.grid.mean()), rel=1e-5)
    assert result.anomaly_map.grid[8, 8] > 0


def test_the_mask_has_the_size_of_the_grid_after_morphology() -> None:
    mask = foreground_mask(cv2.resize(part_on_a_table(), (31, 17)), 5.0)
    assert mask.shape == (17, 31)


def test_the_map_is_smoothed_at_the_size_of_the_image() -> None:
    model = create_model("vision_anomalydino", embedder=patch_means, smoothing=2.5).fit(textures(2))
    assert model.score_images([texture(50, 64, 200)])[0].anomaly_map.recipe == MapRecipe((64, 200), 2.5)
