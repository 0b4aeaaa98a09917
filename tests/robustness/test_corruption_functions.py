"""The corruptions as plain functions."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

import pyimgano_robustness
from pyimgano.errors import ImageError, OptionsError
from pyimgano_robustness import apply_blur, apply_geo_jitter, apply_glare, apply_jpeg, apply_lighting

FUNCTIONS = [apply_lighting, apply_jpeg, apply_blur, apply_glare, apply_geo_jitter]
IMAGE = cv2.resize(np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8), (96, 64))


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("image", [IMAGE, IMAGE[:, :, 0]])
def test_equal_generators_give_equal_bytes_and_severity_0_changes_nothing(function: Callable, image: np.ndarray) -> None:
    for severity in range(1, 6):
        changed = function(image, severity=severity, rng=rng())
        assert (changed.shape, changed.dtype) == (image.shape, np.uint8)
        assert changed.tobytes() == function(image, severity=severity, rng=rng()).tobytes()
    np.testing.assert_array_equal(function(image, severity=0, rng=rng()), image)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_bad_input_is_refused(function: Callable) -> None:
    with pytest.raises(OptionsError, match="severities 1 to 5"):
        function(IMAGE, severity=6, rng=rng())
    with pytest.raises(ImageError):
        function(IMAGE.astype(np.float64), severity=1, rng=rng())


@pytest.mark.parametrize(("severity", "quality"), [(1, 90), (2, 70), (3, 50), (4, 30), (5, 15)])
def test_jpeg_has_the_published_qualities(severity: int, quality: int) -> None:
    _, data = cv2.imencode(".jpg", IMAGE[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    expected = cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1]
    np.testing.assert_array_equal(apply_jpeg(IMAGE, severity=severity, rng=rng()), expected)


def test_geo_jitter_moves_a_mask_along_and_keeps_it_binary() -> None:
    mask = np.zeros(IMAGE.shape[:2], dtype=bool)
    mask[20:40, 30:60] = True
    moved, with_it = apply_geo_jitter(IMAGE, mask, severity=5, rng=rng())
    np.testing.assert_array_equal(moved, apply_geo_jitter(IMAGE, severity=5, rng=rng()))
    assert with_it.dtype == np.bool_
    assert (with_it != mask).any()


def test_every_public_name_can_be_imported() -> None:
    assert all(getattr(pyimgano_robustness, name) is not None for name in pyimgano_robustness.__all__)


def test_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    readme = Path(__file__).parents[2] / "packages" / "pyimgano-robustness" / "README.md"
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"```python\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(block, "README.md", "exec"), {})
    assert "loses most under" in capsys.readouterr().out
