"""The operators behind drift of lens, sensor and fixture, against their formulas."""

from __future__ import annotations

import math
from itertools import pairwise

import cv2
import numpy as np
import pytest

from pyimgano.augmentation import (
    Speck,
    color_temperature,
    defocus,
    draw_specks,
    dust,
    gaussian_blur,
    placement,
    resolution_loss,
    sensor_noise,
    warp_image,
    warp_mask,
)
from pyimgano.errors import OptionsError


def texture(side: int) -> np.ndarray:
    small = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def spread(image: np.ndarray) -> float:
    """Return the variance of the brightness across columns, in square pixels."""
    weights = image.astype(float).sum(axis=0)
    places = np.arange(len(weights))
    mean = (places * weights).sum() / weights.sum()
    return float(((places - mean) ** 2 * weights).sum() / weights.sum())


@pytest.mark.parametrize("sigma", [0.7, 1, 2, 3, 5])
def test_a_broad_blur_on_a_smaller_copy_is_that_of_the_whole_kernel(sigma: float) -> None:
    image = texture(512)
    whole = cv2.GaussianBlur(image, (0, 0), 2 * sigma, borderType=cv2.BORDER_REFLECT_101).astype(int)
    difference = np.abs(gaussian_blur(image, sigma) - whole)
    assert difference.mean() < 0.7
    assert difference.max() <= 6


@pytest.mark.parametrize("side", [256, 512])
@pytest.mark.parametrize("radius", [2, 4.5, 10])
def test_a_lens_out_of_focus_spreads_a_spot_as_an_even_disc_does(side: int, radius: float) -> None:
    image = np.zeros((side, side), dtype=np.uint8)
    middle = slice(side // 2 - 25, side // 2 + 25)
    image[middle, middle] = 240
    wanted = (radius * side / 256) ** 2 / 4
    assert spread(defocus(image, radius)) - spread(image) == pytest.approx(wanted, abs=0.2 + 0.1 * wanted)


def test_sensor_noise_has_the_variance_of_shot_and_read_noise_together() -> None:
    for value in (40, 120, 200):
        image = np.full((300, 300, 3), value, dtype=np.uint8)
        noise = sensor_noise(image, np.random.default_rng(0), 0.03, 0.01).astype(float) - value
        wanted = 0.03**2 * 255 * value + (0.01 * 255) ** 2
        np.testing.assert_allclose(noise.var(axis=(0, 1)), wanted + 1 / 12, rtol=0.03)
        assert abs(noise.mean()) < 0.1
        assert abs(np.corrcoef(noise[:, :, 0].ravel(), noise[:, :, 1].ravel())[0, 1]) < 0.02


def test_no_sensor_noise_changes_nothing_and_more_changes_every_pixel_at_least_as_much() -> None:
    image = texture(64)
    steps = [sensor_noise(image, np.random.default_rng(1), shot, 0.3 * shot) for shot in (0, 0.02, 0.05, 0.1)]
    changes = [np.abs(step.astype(int) - image) for step in steps]
    assert not changes[0].any()
    assert all((low <= high).all() for low, high in pairwise(changes))


def test_a_warmer_lamp_is_redder_and_a_colder_one_bluer_by_the_law_of_wien() -> None:
    image = np.full((8, 8, 3), 100, dtype=np.uint8)
    kelvin = 5000.0
    warmer = 1e6 / (1e6 / kelvin + 60)
    lengths = np.array([0.61, 0.545, 0.465])
    ratio = np.exp(-14388 / lengths * (1 / warmer - 1 / kelvin))
    np.testing.assert_array_equal(color_temperature(image, 60)[0, 0], np.rint(100 * ratio / ratio[1]))
    red, green, blue = color_temperature(image, -60)[0, 0]
    assert red < green == 100 < blue
    assert (color_temperature(image[:, :, 0], 60) != 100).all()


def test_specks_only_ever_darken_and_the_densest_takes_what_was_asked() -> None:
    image = np.full((200, 300, 3), 200, dtype=np.uint8)
    seen = dust(image, [Speck(0.5, 0.5, radius=0.05)], 0.4)
    assert seen[100, 150].tolist() == [120, 120, 120]
    assert (seen != image).any(axis=2).sum() == pytest.approx(math.pi * 15**2, rel=0.1)
    specks = draw_specks(np.random.default_rng(0), 20)
    few, many, darker = dust(image, specks[:10], 0.4), dust(image, specks, 0.4), dust(image, specks, 0.6)
    assert (few >= many).all()
    assert (many >= darker).all()
    np.testing.assert_array_equal(dust(image, specks, 0), image)


def test_fewer_pixels_leave_even_squares_at_their_mean() -> None:
    image = texture(256)
    small = cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA)
    expected = cv2.resize(small, (256, 256), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(resolution_loss(image, 4), expected)
    np.testing.assert_array_equal(resolution_loss(image, 1), image)


def test_a_part_that_is_placed_nowhere_else_stays_and_one_that_is_shifted_moves_by_its_share() -> None:
    image = texture(100)
    np.testing.assert_array_equal(warp_image(image, placement(image.shape, 0, (0, 0), 1)), image)
    shifted = warp_image(image, placement(image.shape, 0, (0.05, 0.1), 1))
    np.testing.assert_array_equal(shifted[5:, 10:], image[:-5, :-10])


def test_a_part_turns_anticlockwise_about_the_middle() -> None:
    mask = np.zeros((101, 101), dtype=bool)
    mask[50, 90] = True
    turned = warp_mask(mask, placement(mask.shape, 90, (0, 0), 1))
    assert np.argwhere(turned).tolist() == [[10, 50]]


@pytest.mark.parametrize(
    "call",
    [
        lambda image: defocus(image, 65),
        lambda image: resolution_loss(image, 0.5),
        lambda image: sensor_noise(image, np.random.default_rng(0), 2, 0),
        lambda image: color_temperature(image, 301),
        lambda image: dust(image, [], -0.1),
    ],
)
def test_settings_out_of_bounds_are_refused(call: object) -> None:
    with pytest.raises(OptionsError, match="must lie in"):
        call(texture(16))
