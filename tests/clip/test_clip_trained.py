"""A tiny CLIP, trained in this session on generated surfaces and sentences about them: scores separate, maps point."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_clip import PART, surface, surfaces

from pyimgano.contracts import Detector
from pyimgano.metrics.image import roc_auc
from pyimgano.registry import create_model

pytestmark = pytest.mark.slow

IMAGES, MASKS, LABELS = surfaces(4321, 60)
GOOD = surfaces(99, 24)[0][::2]
WORDS = {"class_name": PART, "temperature": 0.1, "device": "cpu"}
POOLED = {"attention": "block"}
"""Its patch tokens are averaged for the image embedding, which makes them comparable with texts as they are."""


@pytest.fixture(scope="module")
def promptscore(trained: Path) -> Detector:
    """Give the zero-shot detector, which has seen no image."""
    return create_model("vision_openclip_promptscore", weights=trained, **WORDS, **POOLED).fit()


def image_auroc(model: Detector) -> float:
    return float(roc_auc(LABELS, model.decision_function(IMAGES)))


def pixel_auroc(model: Detector) -> float:
    maps = np.stack(model.predict_anomaly_map(IMAGES))
    return float(roc_auc(np.stack(MASKS).astype(int).ravel(), maps.ravel()))


def test_zero_shot_scores_separate_defective_from_good(promptscore: Detector) -> None:
    assert image_auroc(promptscore) >= 0.9


def test_zero_shot_maps_point_at_the_defect(promptscore: Detector) -> None:
    assert pixel_auroc(promptscore) >= 0.8


@pytest.mark.parametrize("references", [0, 4])
def test_winclip_separates_and_points_without_and_with_references(trained: Path, references: int) -> None:
    model = create_model("vision_winclip", weights=trained, references=references, **WORDS).fit(GOOD)
    assert image_auroc(model) >= 0.9
    assert pixel_auroc(model) >= 0.8


def test_neighbours_of_clip_tokens_separate_and_point(trained: Path) -> None:
    model = create_model("vision_openclip_patchknn", weights=trained, device="cpu").fit(GOOD)
    assert image_auroc(model) >= 0.9
    assert pixel_auroc(model) >= 0.8


def test_words_that_say_the_opposite_turn_the_scores_around(trained: Path) -> None:
    prompts = {"normal": ["damaged {}", "{} with defect"], "anomalous": ["flawless {}", "perfect {}"]}
    model = create_model("vision_openclip_promptscore", weights=trained, prompts=prompts, **WORDS, **POOLED).fit()
    assert image_auroc(model) <= 0.1


@pytest.mark.parametrize("size", [(64, 256), (256, 64), (96, 96), (200, 100)])
def test_a_spot_in_a_corner_lights_that_corner(promptscore: Detector, size: tuple[int, int]) -> None:
    clean, _ = surface(np.random.default_rng(5), "good", size)
    height, width = size[0] // 4, size[1] // 4
    for top, left in ((0, 0), (0, 3 * width), (3 * height, 0), (3 * height, 3 * width)):
        spoiled = clean.copy()
        spoiled[top + height // 4 : top + 3 * height // 4, left + width // 4 : left + 3 * width // 4] //= 2
        shown = promptscore.get_anomaly_map(spoiled)
        row, column = np.unravel_index(int(shown.argmax()), size)
        assert top <= row < top + height
        assert left <= column < left + width
