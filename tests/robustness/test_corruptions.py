"""Every corruption: the same bytes everywhere, more with severity, masks that follow."""

from __future__ import annotations

import hashlib
import importlib
import os
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyimgano.choice import Choice
from pyimgano.contracts import NamedCorruption
from pyimgano.images import read, resize
from pyimgano.registry import build_corruption
from pyimgano_robustness.plugin import register_corruptions

SPECS = {spec.name: spec for spec in register_corruptions()}
NAMES = sorted(SPECS)
SEVERITIES = range(1, 6)


def named(name: str) -> NamedCorruption:
    return build_corruption(Choice(name=f"pyimgano-robustness:{name}"))


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def digests(keys: list[str]) -> dict[str, str]:
    image = texture(48, 70)
    found = {}
    for key in keys:
        whole = hashlib.sha256()
        for name in NAMES:
            corruption = named(name)
            params = corruption.draw(image.shape, seed=3, key=key)
            for severity in SEVERITIES:
                whole.update(corruption.apply(image, params, severity).tobytes())
        found[key] = whole.hexdigest()
    return found


def test_pixels_are_equal_across_runs_order_subsets_and_processes(shell: Callable) -> None:
    keys = [f"test/good/{number:03d}.png" for number in range(4)]
    expected = digests(keys)
    assert len(set(expected.values())) == len(keys)
    shuffled = random.Random(0).sample(keys, 3)
    assert digests(shuffled) == {key: expected[key] for key in shuffled}
    code = f"from test_corruptions import digests; print(digests({keys!r}))"
    done = shell("-c", code, path=[Path(__file__).parent], PYTHONHASHSEED="7")
    assert done.out.strip() == str(expected), done.err


@pytest.mark.parametrize("name", NAMES)
def test_what_a_severity_does_to_an_image_does_not_depend_on_other_severities(name: str) -> None:
    image, corruption = texture(40, 56), named(name)
    params = corruption.draw(image.shape, seed=0, key="a")
    downwards = {severity: corruption.apply(image, params, severity) for severity in reversed(SEVERITIES)}
    for severity in SEVERITIES:
        again = corruption.apply(image, corruption.draw(image.shape, seed=0, key="a"), severity)
        np.testing.assert_array_equal(downwards[severity], again)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_grow_strictly_with_severity(name: str) -> None:
    module, _, kind = SPECS[name].factory.partition(":")
    strengths = getattr(importlib.import_module(module), kind).STRENGTHS
    assert len(strengths) == SPECS[name].severities == 5
    assert all(low < high for low, high in zip((0, *strengths), strengths, strict=False))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(height=st.integers(8, 90), width=st.integers(8, 90), colour=st.booleans(), key=st.text(max_size=3))
def test_any_size_grey_or_colour_keeps_shape_and_dtype(name: str, height: int, width: int, colour: bool, key: str) -> None:
    image = texture(height, width) if colour else texture(height, width)[:, :, 0]
    before, corruption = image.copy(), named(name)
    params = corruption.draw(image.shape, seed=0, key=key)
    for severity in SEVERITIES:
        changed = corruption.apply(image, params, severity)
        assert (changed.shape, changed.dtype) == (image.shape, np.uint8)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(corruption.apply(image, params, 0), image)


@pytest.mark.parametrize("name", NAMES)
def test_every_severity_changes_a_textured_image(name: str) -> None:
    image, corruption = texture(256, 256), named(name)
    params = corruption.draw(image.shape, seed=0, key="a")
    assert all((corruption.apply(image, params, severity) != image).any() for severity in SEVERITIES)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("jpeg", "sensor_noise")])
def test_scales_follow_the_size_of_the_image(name: str) -> None:
    """A large image, corrupted and then shrunk, looks like the small one corrupted; noise and JPEG are made of pixels."""
    large, corruption = texture(384, 384), named(name)
    small = resize(large, (192, 192))
    params = corruption.draw(large.shape, seed=0, key="a")
    for severity in (2, 5):
        shrunk = resize(corruption.apply(large, params, severity), (192, 192)).astype(int)
        assert np.abs(shrunk - corruption.apply(small, params, severity)).mean() < 1.5


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("height", "width"), [(120, 120), (96, 160)])
def test_a_blob_and_its_mask_keep_a_common_centroid(name: str, severity: int, height: int, width: int) -> None:
    corruption = named(name)
    for number in range(6):
        image = np.full((height, width, 3), 40, dtype=np.uint8)
        mask = np.zeros((height, width), dtype=bool)
        row, column = 20 + 10 * number, height // 2 + 5 * number - 15
        image[row : row + 7, column : column + 7] = 220
        mask[row : row + 7, column : column + 7] = True
        params = corruption.draw(image.shape, seed=0, key=f"{number}.png")
        moved = corruption.move(mask, params, severity)
        assert moved.dtype == np.bool_
        assert moved.any()
        if not corruption.moves_pixels:
            np.testing.assert_array_equal(moved, mask)
            continue
        blob = corruption.apply(image, params, severity)[:, :, 0].astype(float) - 40
        np.testing.assert_allclose(centroid(blob), centroid(moved), atol=1)


def centroid(weights: np.ndarray) -> tuple[float, float]:
    rows, columns = np.indices(weights.shape)
    return float((rows * weights).sum() / weights.sum()), float((columns * weights).sum() / weights.sum())


def test_fault_37_a_defect_at_the_border_is_mirrored_in_the_mask_as_it_is_in_the_image() -> None:
    corruption = named("geo_jitter")
    image = np.full((128, 128), 30, dtype=np.uint8)
    image[:16] = 200
    for number in range(8):
        params = corruption.draw(image.shape, seed=0, key=f"{number}.png")
        for severity in SEVERITIES:
            moved = corruption.move(image > 100, params, severity)
            seen = corruption.apply(image, params, severity) > 115
            assert (moved != seen).mean() < 0.01


def test_the_discs_of_a_severity_contain_those_of_the_one_before() -> None:
    image, corruption = texture(96, 128), named("glare")
    for number in range(5):
        params = corruption.draw(image.shape, seed=0, key=str(number))
        steps = [corruption.apply(image, params, severity) for severity in (0, *SEVERITIES)]
        assert all((low <= high).all() for low, high in pairwise(steps))


@pytest.mark.realdata
@pytest.mark.skipif("PYIMGANO_DEV_DATA" not in os.environ, reason="needs the photographs of PYIMGANO_DEV_DATA")
def test_fault_37_the_mean_change_never_shrinks_on_any_photograph() -> None:
    root = Path(os.environ["PYIMGANO_DEV_DATA"]) / "bsdata" / "ballscrew"
    photographs = sorted(path for part in ("train", "test") for path in (root / part).rglob("*") if path.is_file())
    assert len(photographs) > 100
    corruptions = [named(name) for name in NAMES]
    for path in photographs:
        image = read(path)
        scale = 160 / min(image.shape[:2])
        image = resize(image, (round(image.shape[0] * scale), round(image.shape[1] * scale)))
        for corruption in corruptions:
            params = corruption.draw(image.shape, seed=0, key=path.relative_to(root).as_posix())
            images = (corruption.apply(image, params, severity) for severity in (0, *SEVERITIES))
            changes = [float(np.abs(changed.astype(np.int16) - image).mean()) for changed in images]
            assert changes == sorted(changes), (path.name, corruption.name, changes)
