# Copyright (c) 2026 Acme Industries. Confidential; see LICENSE.
"""The scratch detector finds a scratch where it is, and the brushing it is told about is none."""

import cv2
import numpy as np
import pytest

from pyimgano import create_model
from pyimgano.errors import DetectorError
from pyimgano.testing import plugin_checks


@pytest.mark.parametrize("check", plugin_checks("acme-scratch-detector"))
def test_the_plugin_conforms(check):
    check()


def brushed(seed, size=(256, 256)):
    """Return a grey surface brushed along its rows."""
    rng = np.random.default_rng(seed)
    lines = cv2.GaussianBlur(rng.normal(128, 40, size).astype(np.float32), (0, 0), sigmaX=12, sigmaY=0.6)
    return np.repeat(np.clip(lines + rng.normal(0, 2, size), 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def scratched(seed, start, end, size=(256, 256)):
    image = brushed(seed, size)
    return cv2.line(image, start, end, (235, 235, 235), 2)


@pytest.fixture(scope="module")
def detector():
    return create_model("acme_scratch").fit([brushed(seed) for seed in range(8)])


def test_a_scratch_scores_above_every_good_part(detector):
    good = detector.decision_function([brushed(seed) for seed in range(100, 110)])
    bad = detector.decision_function([scratched(seed, (60, 200), (120, 90)) for seed in range(100, 110)])
    assert bad.min() > good.max()


@pytest.mark.parametrize("size", [(256, 256), (200, 400), (400, 200)])
def test_the_map_is_highest_on_the_scratch(detector, size):
    height, width = size
    start, end = (width // 2 - 20, height // 2 + 30), (width // 2 + 20, height // 2 - 30)
    grid = detector.get_anomaly_map(scratched(7, start, end, size))
    assert grid.shape == size
    y, x = np.unravel_index(grid.argmax(), size)
    line = cv2.line(np.zeros(size, np.uint8), start, end, 1, 11)
    assert line[y, x]


def test_brushing_that_is_named_is_no_scratch():
    model = create_model("acme_scratch", ignore_direction=0.0, ignore_within=20.0).fit([brushed(seed) for seed in range(8)])
    along, across = scratched(5, (40, 128), (200, 128)), scratched(5, (128, 40), (128, 200))
    assert model.decision_function([along])[0] < model.decision_function([across])[0]


@pytest.mark.parametrize(("polarity", "value"), [("bright", 235), ("dark", 20)])
def test_polarity_decides_which_lines_count(polarity, value):
    model = create_model("acme_scratch", polarity=polarity).fit([brushed(seed) for seed in range(8)])
    line = cv2.line(brushed(5), (60, 200), (120, 90), (value,) * 3, 2)
    other = cv2.line(brushed(5), (60, 200), (120, 90), (255 - value,) * 3, 2)
    assert model.decision_function([line])[0] > model.decision_function([other])[0]


def test_ignoring_every_direction_is_refused():
    model = create_model("acme_scratch", directions=2, ignore_direction=45.0, ignore_within=60.0)
    with pytest.raises(DetectorError, match="leaves no direction"):
        model.fit([brushed(0)])
