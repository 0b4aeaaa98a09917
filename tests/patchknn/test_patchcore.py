"""PatchCore on features of the tests' own making, so that every number can be worked out."""

from __future__ import annotations

import numpy as np
import pytest
from embedders import patch_means, rows_of, texture, textures

from pyimgano.contracts import Detector
from pyimgano.errors import DetectorError, OptionsError
from pyimgano.maps import MapRecipe
from pyimgano.registry import create_model


def fitted(seed: int = 0, **options: object) -> Detector:
    model = create_model("vision_patchcore", embedder=patch_means, seed=seed, **options)
    return model.fit(textures(6))


def all_patches() -> np.ndarray:
    return rows_of(textures(6))


def test_the_score_is_the_largest_distance_to_the_nearest_of_all_patches() -> None:
    model = fitted(coreset_sampling_ratio=1.0)
    query = rows_of([texture(50)])
    expected = np.linalg.norm(query[:, None] - all_patches()[None], axis=2).min(axis=1)
    result = model.score_images([texture(50)])[0]
    assert result.score == pytest.approx(expected.max(), rel=1e-5)
    np.testing.assert_allclose(result.anomaly_map.grid.ravel(), expected, rtol=1e-4)


def test_k_neighbours_are_averaged() -> None:
    model = fitted(coreset_sampling_ratio=1.0, k=4)
    query = rows_of([texture(50)])
    gaps = np.sort(np.linalg.norm(query[:, None] - all_patches()[None], axis=2), axis=1)[:, :4]
    assert model.score_images([texture(50)])[0].score == pytest.approx(gaps.mean(axis=1).max(), rel=1e-5)


def test_reweighting_is_equation_7_of_the_paper() -> None:
    model = fitted(coreset_sampling_ratio=1.0, image_score="reweighted", reweight_neighbors=5)
    bank = model.banks_[0].vectors.astype(np.float64)
    query = rows_of([texture(50)])
    gaps = np.linalg.norm(query[:, None] - bank[None], axis=2)
    worst = int(gaps.min(axis=1).argmax())
    match = int(gaps[worst].argmin())
    around = np.argsort(np.linalg.norm(bank - bank[match], axis=1))[:5]
    weight = 1 - np.exp(gaps[worst, match]) / np.exp(gaps[worst, around]).sum()
    assert model.score_images([texture(50)])[0].score == pytest.approx(weight * gaps[worst, match], rel=1e-4)


def test_the_coreset_has_the_size_asked_for() -> None:
    assert fitted(coreset_sampling_ratio=0.25).memory_bank_size_ == len(all_patches()) // 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_score": "mean"}, "must be 'max' or 'reweighted'"),
        ({"neighborhood": 4}, "neighborhood: must be odd"),
        ({"reweight_neighbors": 5}, "reweight_neighbors: has no effect unless image_score is reweighted"),
        ({"weights": "w.pth", "pretrained": False}, "pretrained: contradicts weights=FILE"),
    ],
)
def test_options_are_checked_before_anything_loads(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        create_model("vision_patchcore", **options)


def test_reweighting_needs_as_many_patches_as_it_compares() -> None:
    with pytest.raises(DetectorError, match="fewer than reweight_neighbors=100"):
        fitted(image_score="reweighted", reweight_neighbors=100)


def test_the_official_defaults() -> None:
    options = create_model("vision_patchcore").options
    assert (options.backbone, options.neighborhood, options.coreset_sampling_ratio) == ("wide_resnet50", 3, 0.1)
    assert (options.projection_dim, options.k, options.image_score, options.smoothing) == (128, 1, "max", 4.0)


def test_standardized_channels_weigh_the_same() -> None:
    wide = np.array([1, 100, 1], np.float32)
    model = create_model(
        "vision_patchcore",
        embedder=lambda images: [grid * wide for grid in patch_means(images)],
        standardize=True,
        coreset_sampling_ratio=1.0,
    ).fit(textures(6))
    rows = all_patches()
    bank, query = ((part - rows.mean(axis=0)) / rows.std(axis=0) for part in (rows, rows_of([texture(50)])))
    expected = np.linalg.norm(query[:, None] - bank[None], axis=2).min(axis=1)
    np.testing.assert_allclose(model.score_images([texture(50)])[0].anomaly_map.grid.ravel(), expected, rtol=1e-3)


@pytest.mark.parametrize(("resize", "enlarged"), [([96, 64], (96, 64)), (None, (64, 200))])
def test_the_map_is_smoothed_at_the_size_of_the_input(resize: list[int] | None, enlarged: tuple[int, int]) -> None:
    shown = fitted(resize=resize, smoothing=2.5).score_images([texture(50, 64, 200)])[0].anomaly_map
    assert shown.recipe == MapRecipe(enlarged, 2.5)
    assert shown.source == (64, 200)
