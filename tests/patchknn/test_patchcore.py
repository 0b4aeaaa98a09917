"""PatchCore on features of the tests' own making, so that every number can be worked out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from pyimgano.contracts import Detector
from pyimgano.errors import DetectorError, NotFittedError, OptionsError
from pyimgano.registry import create_model


def patch_means(images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Embed each 8x8 patch as its mean colour."""
    return [
        image[: image.shape[0] // 8 * 8, : image.shape[1] // 8 * 8]
        .reshape(image.shape[0] // 8, 8, image.shape[1] // 8, 8, 3)
        .mean(axis=(1, 3), dtype=np.float32)
        for image in images
    ]


def texture(seed: int, height: int = 64, width: int = 96) -> np.ndarray:
    return np.random.default_rng(seed).integers(100, 140, (height, width, 3)).astype(np.uint8)


def fitted(seed: int = 0, **options: object) -> Detector:
    model = create_model("vision_patchcore", embedder=patch_means, seed=seed, **options)
    return model.fit([texture(number) for number in range(6)])


def all_patches() -> np.ndarray:
    return np.concatenate([grid.reshape(-1, 3) for grid in patch_means([texture(number) for number in range(6)])])


def test_the_score_is_the_largest_distance_to_the_nearest_of_all_patches() -> None:
    model = fitted(coreset_sampling_ratio=1.0)
    query = patch_means([texture(50)])[0].reshape(-1, 3).astype(np.float64)
    expected = np.linalg.norm(query[:, None] - all_patches()[None], axis=2).min(axis=1)
    result = model.score_images([texture(50)])[0]
    assert result.score == pytest.approx(expected.max(), rel=1e-5)
    np.testing.assert_allclose(result.anomaly_map.grid.ravel(), expected, rtol=1e-4)


def test_k_neighbours_are_averaged() -> None:
    model = fitted(coreset_sampling_ratio=1.0, k=4)
    query = patch_means([texture(50)])[0].reshape(-1, 3).astype(np.float64)
    gaps = np.sort(np.linalg.norm(query[:, None] - all_patches()[None], axis=2), axis=1)[:, :4]
    assert model.score_images([texture(50)])[0].score == pytest.approx(gaps.mean(axis=1).max(), rel=1e-5)


def test_reweighting_is_equation_7_of_the_paper() -> None:
    model = fitted(coreset_sampling_ratio=1.0, image_score="reweighted", reweight_neighbors=5)
    bank = model.banks_[0].vectors.astype(np.float64)
    query = patch_means([texture(50)])[0].reshape(-1, 3).astype(np.float64)
    gaps = np.linalg.norm(query[:, None] - bank[None], axis=2)
    worst = int(gaps.min(axis=1).argmax())
    match = int(gaps[worst].argmin())
    around = np.argsort(np.linalg.norm(bank - bank[match], axis=1))[:5]
    weight = 1 - np.exp(gaps[worst, match]) / np.exp(gaps[worst, around]).sum()
    assert model.score_images([texture(50)])[0].score == pytest.approx(weight * gaps[worst, match], rel=1e-4)


def test_the_coreset_has_the_size_asked_for() -> None:
    assert fitted(coreset_sampling_ratio=0.25).memory_bank_size_ == len(all_patches()) // 4


def test_equal_seeds_give_equal_scores_and_other_seeds_other_banks() -> None:
    images = [texture(50), texture(51)]
    first, again, other = fitted(3), fitted(3), fitted(4)
    np.testing.assert_array_equal(first.decision_function(images), again.decision_function(images))
    assert not np.array_equal(first.banks_[0].vectors, other.banks_[0].vectors)


def test_state_survives_a_round_trip() -> None:
    model = fitted()
    copy = create_model("vision_patchcore", embedder=patch_means)
    copy.load_state(model.state())
    np.testing.assert_array_equal(copy.decision_function([texture(9)]), model.decision_function([texture(9)]))


def test_an_image_scores_the_same_whatever_its_batch_mates() -> None:
    model = fitted()
    images = [texture(60 + number, 64 + 8 * number, 96) for number in range(5)]
    together = model.decision_function(images)
    alone = np.array([model.decision_function([image])[0] for image in images])
    np.testing.assert_allclose(together, alone, rtol=1e-5)
    np.testing.assert_allclose(model.decision_function(images[::-1])[::-1], together, rtol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 256), (256, 64), (120, 200)])
@pytest.mark.parametrize("corner", [(0, 0), (0, -1), (-1, 0), (-1, -1)])
def test_a_defect_in_a_corner_lights_that_corner(height: int, width: int, corner: tuple[int, int]) -> None:
    image = texture(70, height, width)
    rows = slice(0, 12) if corner[0] == 0 else slice(height - 12, height)
    columns = slice(0, 12) if corner[1] == 0 else slice(width - 12, width)
    image[rows, columns] = 255
    shown = fitted(resize=None).get_anomaly_map(image)
    peak = np.unravel_index(int(shown.argmax()), shown.shape)
    assert shown.shape == (height, width)
    assert (peak[0] < height / 2) == (corner[0] == 0)
    assert (peak[1] < width / 2) == (corner[1] == 0)


def test_a_constant_image_scores_finitely() -> None:
    model = create_model("vision_patchcore", embedder=patch_means).fit([np.full((64, 64, 3), 9, np.uint8)] * 2)
    assert model.decision_function([np.full((64, 64, 3), 9, np.uint8)]).tolist() == [0.0]


def test_one_training_image_is_enough() -> None:
    model = create_model("vision_patchcore", embedder=patch_means).fit([texture(0)])
    assert np.isfinite(model.decision_function([texture(1)])).all()


def test_a_bank_smaller_than_k_is_refused_when_fitting() -> None:
    with pytest.raises(DetectorError, match="fewer than k=9"):
        create_model("vision_patchcore", embedder=patch_means, k=9, coreset_sampling_ratio=0.05).fit([texture(0)])


def test_features_that_are_not_finite_are_refused() -> None:
    model = create_model("vision_patchcore", embedder=lambda images: np.full((len(images), 2, 2, 3), np.nan, np.float32))
    with pytest.raises(DetectorError, match="must be finite"):
        model.fit([texture(0)])


def test_scoring_before_fitting_is_refused() -> None:
    with pytest.raises(NotFittedError, match="PatchCore is not fitted"):
        create_model("vision_patchcore", embedder=patch_means).decision_function([texture(0)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, r"vision_patchcore\.k: must be at least 1 \(got 0\)"),
        ({"coreset_sampling_ratio": 0}, r"coreset_sampling_ratio: must be greater than 0"),
        ({"coreset_ratio": 0.1}, "unknown option; did you mean coreset_sampling_ratio"),
        ({"image_score": "mean"}, "must be 'max' or 'reweighted'"),
    ],
)
def test_options_are_checked_before_anything_loads(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        create_model("vision_patchcore", **options)


def test_global_generators_and_inputs_are_left_alone() -> None:
    before = np.random.get_state()[1].copy()
    image = texture(0)
    kept = image.copy()
    fitted().decision_function([image])
    np.testing.assert_array_equal(image, kept)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
