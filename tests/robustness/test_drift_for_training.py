"""What a detector is trained with is what it is tested under."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

import pyimgano
from pyimgano.augmentation import GRADED, Compose
from pyimgano.choice import Choice
from pyimgano.registry import build_corruption
from pyimgano_robustness.options import DEFAULT_CORRUPTIONS

IMAGE = cv2.resize(np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8), (128, 96))


def preset(name: str, severity: int) -> Compose:
    return pyimgano.get_industrial_drift_augmentation((name,), (severity, severity), probability=1)


@pytest.mark.parametrize("name", DEFAULT_CORRUPTIONS)
@pytest.mark.parametrize("severity", range(1, 6))
def test_the_preset_at_a_severity_is_the_corruption_with_the_same_parameters(name: str, severity: int) -> None:
    corruption = build_corruption(Choice(name=f"pyimgano-robustness:{name}"))
    params = corruption.draw(IMAGE.shape, seed=4, key="part.png")
    changed = preset(name, severity).apply(IMAGE, ((params, severity),))
    np.testing.assert_array_equal(changed, corruption.apply(IMAGE, params, severity))
    assert (changed != IMAGE).any()


@pytest.mark.parametrize("name", DEFAULT_CORRUPTIONS)
def test_both_draw_the_same_parameters_from_the_same_generator(name: str) -> None:
    corruption = build_corruption(Choice(name=f"pyimgano-robustness:{name}"))
    (step,) = preset(name, 3).steps
    change = step if name == "lighting" else step.step
    drawn, _ = change.draw(np.random.default_rng(7), IMAGE.shape)
    assert drawn == corruption.component.draw(np.random.default_rng(7), IMAGE.shape)


def test_training_knows_every_corruption_that_is_tested_by_default() -> None:
    assert set(GRADED) == set(DEFAULT_CORRUPTIONS)
