"""What core promises of every corruption, and what it says about one that breaks its word."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pyimgano.choice import Choice
from pyimgano.contracts import NamedCorruption
from pyimgano.contracts.corruption import generator
from pyimgano.errors import DetectorError, ImageError, OptionsError, PluginError, UnknownComponentError
from pyimgano.registry import build_corruption

PLUGIN = """
import numpy as np
from pyimgano import hookimpl
from pyimgano.contracts import Corruption
from pyimgano.specs import CorruptionSpec

class Roll(Corruption):
    def draw(self, rng, shape):
        return int(rng.integers(1, 4))
    def apply(self, image, params, severity):
        return np.roll(image, params * severity, axis=1)
    def move(self, mask, params, severity):
        return np.roll(mask, params * severity, axis=1)

class Floats(Roll):
    def apply(self, image, params, severity):
        return image.astype(np.float32)

class Cut(Roll):
    def apply(self, image, params, severity):
        return image[1:]

class Grey(Roll):
    def move(self, mask, params, severity):
        return mask.astype(np.uint8)

class InPlace(Roll):
    def apply(self, image, params, severity):
        image[:] = 0
        return image

class Nothing(Roll):
    def apply(self, image, params, severity):
        pass

@hookimpl
def register_corruptions():
    kinds = ("Roll", "Floats", "Cut", "Grey", "InPlace", "Nothing")
    return [
        CorruptionSpec(name=kind.lower(), summary="", factory=f"acme_belt:{kind}", severities=3, moves_pixels=True)
        for kind in kinds
    ]
"""
IMAGE = np.arange(12 * 16 * 3, dtype=np.uint8).reshape(12, 16, 3)
MASK = IMAGE[:, :, 0] > 128


@pytest.fixture
def corruption(distribution: Callable) -> Callable[[str], NamedCorruption]:
    distribution("acme-belt", PLUGIN)
    return lambda name: build_corruption(Choice(name=name))


def test_a_plugin_adds_a_corruption_that_moves_image_and_mask_alike(corruption: Callable) -> None:
    roll = corruption("roll")
    assert (roll.name, roll.short_name, roll.severities) == ("acme-belt:roll", "roll", 3)
    params = roll.draw(IMAGE.shape, seed=0, key="a.png")
    assert params == int(generator(0, "roll", "a.png").integers(1, 4))
    np.testing.assert_array_equal(roll.apply(IMAGE, params, 2), np.roll(IMAGE, 2 * params, axis=1))
    np.testing.assert_array_equal(roll.move(MASK, params, 2), np.roll(MASK, 2 * params, axis=1))


def test_severity_0_is_a_copy(corruption: Callable) -> None:
    roll = corruption("roll")
    for changed, original in ((roll.apply(IMAGE, 1, 0), IMAGE), (roll.move(MASK, 1, 0), MASK)):
        np.testing.assert_array_equal(changed, original)
        assert not np.shares_memory(changed, original)


@pytest.mark.parametrize("severity", [4, -1, 1.5, True])
def test_a_severity_that_it_does_not_have_is_refused_with_those_it_has(corruption: Callable, severity: object) -> None:
    with pytest.raises(OptionsError, match=r"acme-belt:roll has severities 1 to 3 \(got"):
        corruption("roll").apply(IMAGE, 1, severity)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("floats", r"acme-belt:floats returned an image of dtype float32 and shape \(12, 16, 3\) for one of uint8"),
        ("cut", r"acme-belt:cut returned an image of dtype uint8 and shape \(11, 16, 3\)"),
        ("nothing", "acme-belt:nothing returned NoneType for an image, not an array"),
    ],
)
def test_another_dtype_or_shape_is_an_error_that_names_the_corruption(corruption: Callable, name: str, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        corruption(name).apply(IMAGE, 1, 1)


def test_so_is_a_mask_that_is_no_longer_binary(corruption: Callable) -> None:
    with pytest.raises(PluginError, match="acme-belt:grey returned a mask of dtype uint8"):
        corruption("grey").move(MASK, 1, 1)


def test_a_corruption_cannot_change_the_image_it_is_given(corruption: Callable) -> None:
    before = IMAGE.copy()
    with pytest.raises(DetectorError, match="acme-belt:inplace failed: ValueError"):
        corruption("inplace").apply(IMAGE, 1, 1)
    np.testing.assert_array_equal(IMAGE, before)


@pytest.mark.parametrize("image", [IMAGE.astype(np.float32), IMAGE[:, :, :2], IMAGE[0, 0]])
def test_only_grey_or_colour_uint8_is_taken(corruption: Callable, image: np.ndarray) -> None:
    with pytest.raises(ImageError):
        corruption("roll").apply(image, 1, 1)


def test_an_unknown_corruption_gets_a_suggestion(corruption: Callable) -> None:
    with pytest.raises(UnknownComponentError, match="did you mean roll"):
        corruption("rol")


def test_the_randomness_of_an_image_depends_on_seed_corruption_and_path_alone() -> None:
    draws = {generator(*what).integers(2**63) for what in [(0, "a", "x"), (1, "a", "x"), (0, "b", "x"), (0, "a", "y")]}
    assert len(draws) == 4
    assert generator(0, "a", "x").integers(2**63) in draws
