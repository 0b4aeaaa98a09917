"""Learning from changed copies: seeded, of training images only, changed before anything else is done to them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pyimgano import Pipeline, Runtime
from pyimgano.augmentation import get_industrial_drift_augmentation
from pyimgano.augmentation.options import AugmentationOptions
from pyimgano.augmentation.source import AugmentedSource
from pyimgano.errors import ImageError
from pyimgano.preprocessing import IlluminationOptions
from pyimgano.tiling import TileSource

DRIFT = AugmentationOptions(preset="industrial-drift", copies=2)


@pytest.fixture
def images() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (40, 48, 3), dtype=np.uint8) for _ in range(3)]


def test_every_image_is_followed_by_its_changed_copies(images: list[np.ndarray]) -> None:
    source = AugmentedSource(images, DRIFT, seed=5)
    found = list(source)
    assert len(source) == len(found) == 9
    change = get_industrial_drift_augmentation()
    for place, image in enumerate(images):
        np.testing.assert_array_equal(found[3 * place], image)
        for number in range(2):
            expected = change(image, np.random.default_rng((5, place, number)))
            np.testing.assert_array_equal(found[3 * place + 1 + number], expected)
            assert (expected != image).any()


def test_copies_are_the_same_each_time_and_others_with_another_seed(images: list[np.ndarray]) -> None:
    source = AugmentedSource(images, DRIFT, seed=0)
    first, second = list(source), list(source)
    assert all((one == other).all() for one, other in zip(first, second, strict=True))
    others = list(AugmentedSource(images, DRIFT, seed=1))
    assert any((one != other).any() for one, other in zip(first, others, strict=True))


def test_what_is_done_to_every_image_is_done_after_the_change(images: list[np.ndarray]) -> None:
    found = list(AugmentedSource(images, DRIFT, seed=0, transform=lambda image: 255 - image))
    plain = list(AugmentedSource(images, DRIFT, seed=0))
    assert all((one == 255 - other).all() for one, other in zip(found, plain, strict=True))


def test_a_file_that_cannot_be_read_gives_its_error_once(tmp_path: Path) -> None:
    source = AugmentedSource([str(tmp_path / "none.png")], DRIFT, seed=0)
    ((_, outcome),) = source.outcomes()
    assert isinstance(outcome, ImageError)


def test_tiles_are_cut_from_copies_too(images: list[np.ndarray]) -> None:
    tiles = TileSource(AugmentedSource(images, DRIFT, seed=0), (20, 24))
    assert len(tiles) == len(list(tiles)) == 9 * 4


def test_a_pipeline_learns_from_copies_and_prepares_them_like_images(images: list[np.ndarray]) -> None:
    def bank(augmentation: AugmentationOptions | None, learned: list[np.ndarray]) -> np.ndarray:
        options = {"resize": [32, 32], "distance": "mahalanobis"}
        chain = IlluminationOptions(gamma=0.5)
        pipeline = Pipeline.create("vision_filterbank", options, Runtime(seed=3), preprocessing=chain)
        return pipeline.fit(learned, augmentation).detector.state()["mean"]

    by_hand = list(AugmentedSource(images, DRIFT, seed=3))
    np.testing.assert_array_equal(bank(DRIFT, images), bank(None, by_hand))
    assert (bank(DRIFT, images) != bank(None, images)).any()


def test_held_out_images_are_never_changed(cli: Callable, surface_root: Path, tmp_path: Path) -> None:
    line = ["train", "--root", surface_root, "--model", "vision_filterbank", "--resize", 32, 48, "--export-infer-config"]
    plain = cli(*line, tmp_path / "plain")
    drift = cli(*line, tmp_path / "drift", "--augment-preset", "industrial-drift", "--augment-copies", 3)
    assert (plain.code, drift.code) == (0, 0)
    assert "on 20 good images and 60 changed copies" in drift.out
    reports = [json.loads((tmp_path / name / "report.json").read_text(encoding="utf-8")) for name in ("plain", "drift")]
    assert reports[0]["split"] == reports[1]["split"]
    assert reports[1]["thresholds"]["image"]["calibration_count"] == 5
    assert reports[1]["augmentation"] == {"preset": "industrial-drift", "copies": 3}
    states = [(tmp_path / name / "state.safetensors").read_bytes() for name in ("plain", "drift")]
    assert states[0] != states[1]
