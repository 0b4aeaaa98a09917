"""SoftPatch on features of the tests' own making: what is left out, what is weighted, and against which neighbours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from embedders import colourful, patch_means, rows_of, texture, textures
from PIL import Image

from pyimgano.contracts import Detector
from pyimgano.errors import DetectorError
from pyimgano.registry import create_model
from pyimgano_patchknn.outliers import factors_anywhere, factors_by_position

RED = slice(16, 32)


def stained(seed: int) -> np.ndarray:
    """Return a texture with a red square, two by two patches."""
    image = texture(seed)
    image[RED, RED] = (255, 0, 0)
    return image


def fitted(images: list[np.ndarray], **options: object) -> Detector:
    options = {"coreset_sampling_ratio": 1.0, **options}
    return create_model("vision_softpatch", embedder=patch_means, **options).fit(images)


@pytest.mark.parametrize("discrimination", ["position", "anywhere"])
def test_patches_of_a_defective_training_image_are_left_out(discrimination: str) -> None:
    options = {"discrimination": discrimination, "train_patch_outlier_quantile": 0.01}
    images = [*textures(9), stained(9)]
    model = fitted(images, **options)
    bank = model.banks_[0].vectors
    assert model.memory_bank_size_ == len(rows_of(images)) - 10
    assert bank[:, 1].min() > 50  # red has no green
    naive = create_model("vision_patchcore", embedder=patch_means, coreset_sampling_ratio=1.0).fit(images)
    assert model.decision_function([stained(40)])[0] > 50 > naive.decision_function([stained(40)])[0]


def test_the_share_left_out_is_that_of_the_option() -> None:
    total = len(rows_of(textures(10)))
    assert fitted(textures(10), train_patch_outlier_quantile=0.25).memory_bank_size_ == total * 3 // 4
    assert fitted(textures(10), train_patch_outlier_quantile=0.0).memory_bank_size_ == total
    half = fitted(textures(10), train_patch_outlier_quantile=0.25, coreset_sampling_ratio=0.5)
    assert half.memory_bank_size_ == total * 3 // 8


@pytest.mark.parametrize("k", [1, 3])
def test_distances_are_multiplied_by_the_factor_of_the_match(k: int) -> None:
    images = [colourful(number) for number in range(10)]
    model = fitted(images, train_patch_outlier_quantile=0.0, soft_weights=True, lof_neighbors=4, k=k)
    rows = rows_of(images)
    factors = factors_by_position(rows.astype(np.float32), 10, 4)
    np.testing.assert_allclose(model.factors_, factors, rtol=1e-4)
    gaps = np.linalg.norm(rows_of([colourful(50)])[:, None] - rows[None], axis=2)
    nearest = np.argsort(gaps, axis=1)[:, :k]
    expected = (np.take_along_axis(gaps, nearest, axis=1) * factors[nearest]).mean(axis=1)
    np.testing.assert_allclose(model.score_images([colourful(50)])[0].anomaly_map.grid.ravel(), expected, rtol=1e-3)


def test_without_weights_and_removal_it_is_patchcore() -> None:
    options = {"coreset_sampling_ratio": 0.3}
    model = fitted(textures(8), train_patch_outlier_quantile=0.0, soft_weights=False, **options)
    plain = create_model("vision_patchcore", embedder=patch_means, **options).fit(textures(8))
    np.testing.assert_array_equal(model.decision_function([texture(50)]), plain.decision_function([texture(50)]))


def test_the_position_free_factors_are_those_of_the_module() -> None:
    model = fitted(textures(7), discrimination="anywhere", train_patch_outlier_quantile=0.0, lof_neighbors=2)
    image = np.repeat(np.arange(7), len(rows_of([texture(0)])))
    np.testing.assert_allclose(model.factors_, factors_anywhere(rows_of(textures(7)).astype(np.float32), image, 2), rtol=1e-4)


def test_grids_without_common_places_are_refused_with_the_way_out() -> None:
    with pytest.raises(DetectorError, match=r"patch grids of \(8, 12\) and \(10, 12\) have no places in common") as caught:
        fitted([texture(0), texture(1, 80)])
    assert "discrimination=anywhere" in caught.value.next_step


def test_fewer_images_than_neighbours_lower_the_neighbours_and_say_so(caplog: pytest.LogCaptureFixture) -> None:
    model = fitted(textures(3), lof_neighbors=6, train_patch_outlier_quantile=0.0)
    assert "lof_neighbors is lowered to 2: there are only 3 images" in caplog.text
    np.testing.assert_allclose(model.factors_, factors_by_position(rows_of(textures(3)).astype(np.float32), 3, 2), rtol=1e-4)


def test_random_weights_paths_and_a_whole_bank_work_together(tmp_path: Path) -> None:
    paths = []
    for number in range(5):
        image = texture(number, 96, 96) if number < 4 else stained(number)
        Image.fromarray(image).save(tmp_path / f"{number}.png")
        paths.append(str(tmp_path / f"{number}.png"))
    model = create_model("vision_softpatch", pretrained=False, device="cpu", coreset_sampling_ratio=1.0, resize=[64, 64])
    scores = model.fit(paths[:4]).decision_function(paths)
    shown = model.get_anomaly_map(paths[0])
    assert scores.shape == (5,)
    assert (shown.shape, shown.dtype) == ((96, 96), np.float32)
    assert np.isfinite(scores).all()
