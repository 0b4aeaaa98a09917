"""Preprocessing: every correction equals its formula, leaves its argument alone, and survives images with nothing in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from pyimgano.errors import ImageError, OptionsError
from pyimgano.options import parse
from pyimgano.preprocessing import (
    IlluminationOptions,
    apply_illumination,
    clahe,
    contrast_stretch,
    gamma,
    gray_world_white_balance,
    homomorphic_filter,
    max_rgb_white_balance,
    shading_correction,
)
from pyimgano.preprocessing.pixels import broad_gaussian, percentiles

Pixels = NDArray[Any]
Operator = Callable[[Pixels], Pixels]

OPERATORS: dict[str, Operator] = {
    "gray_world": gray_world_white_balance,
    "max_rgb": max_rgb_white_balance,
    "max_rgb_99": lambda image: max_rgb_white_balance(image, 99),
    "homomorphic": homomorphic_filter,
    "homomorphic_strong": lambda image: homomorphic_filter(image, 0.5, 0, 4),
    "shading": shading_correction,
    "clahe": clahe,
    "gamma": lambda image: gamma(image, 0.5),
    "contrast_stretch": contrast_stretch,
}
EVERYTHING = {
    "shading": True,
    "shading_scale": 0.3,
    "white_balance": "max_rgb",
    "max_rgb_percentile": 98.0,
    "homomorphic": True,
    "homomorphic_cutoff": 3.0,
    "homomorphic_gain_low": 0.4,
    "homomorphic_gain_high": 1.3,
    "gamma": 0.8,
    "contrast_stretch": (2.0, 97.0),
    "clahe": True,
    "clahe_clip_limit": 3.0,
    "clahe_grid": 3,
}

operators = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
sides = st.integers(1, 20)
shapes = st.one_of(st.tuples(sides, sides), st.tuples(sides, sides, st.just(3)))
images = hnp.arrays(np.uint8, shapes, elements=st.one_of(st.integers(0, 255), st.sampled_from([0, 255])))


def photograph(height: int = 96, width: int = 128, seed: int = 0) -> NDArray[np.uint8]:
    """Return a smooth coloured scene with texture, away from black and white."""
    rng = np.random.default_rng(seed)
    texture = cv2.GaussianBlur(rng.standard_normal((height, width, 3)).astype(np.float32), (0, 0), 1.5)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    slope = 30 * rows / height + 20 * columns / width
    colour = np.array([120, 100, 80], np.float32)
    return np.clip(colour + slope[:, :, None] + 60 * texture, 1, 254).astype(np.uint8)


# What all of them promise


@operators
@settings(max_examples=40, deadline=None)
@given(images, st.sampled_from([np.uint8, np.float32, np.float64]))
def test_shape_and_dtype_stay_and_the_argument_is_left_alone(operator: Operator, image: Pixels, dtype: Any) -> None:
    image = image if dtype is np.uint8 else (image / 255).astype(dtype)
    before = image.copy()
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        result = operator(image)
    assert result.shape == image.shape
    assert result.dtype == image.dtype
    assert not np.shares_memory(result, image)
    np.testing.assert_array_equal(image, before)
    assert np.isfinite(result).all()
    assert result.min() >= 0
    assert result.max() <= (255 if dtype is np.uint8 else 1)


@operators
@pytest.mark.parametrize("level", [0, 1, 128, 254, 255])
@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 3), (1, 40, 3), (40, 1), (700, 900, 3)])
def test_a_constant_image_stays_constant(operator: Operator, level: int, shape: tuple[int, ...]) -> None:
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        result = operator(np.full(shape, level, np.uint8))
    assert len(np.unique(result)) == 1


@operators
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_black_channels_stay_black(operator: Operator, channel: int) -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    image[:, :, channel] = photograph(20, 30)[:, :, 0]
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        result = operator(image)
    assert result[:, :, channel].any()
    if operator is not clahe:  # which moves all channels by what the luma moves
        assert not np.delete(result, channel, axis=2).any()


@operators
def test_grey_is_treated_as_a_colour_image_of_three_equal_channels(operator: Operator) -> None:
    grey = photograph()[:, :, 0]
    colour = operator(np.repeat(grey[:, :, None], 3, axis=2))
    assert (colour == colour[:, :, :1]).all()
    assert np.abs(colour[:, :, 0].astype(int) - operator(grey)).max() <= 1


@operators
def test_floating_point_gives_what_uint8_gives_without_its_rounding(operator: Operator) -> None:
    image = photograph()
    exact = operator(image / 255)
    assert np.abs(exact * 255 - operator(image)).max() <= 0.51 * (2 if operator is clahe else 1)
    assert np.abs(operator((image / 255).astype(np.float32)) - exact).max() < 1e-5


@operators
def test_a_view_gives_what_its_copy_gives(operator: Operator) -> None:
    for view in (photograph()[::-1, ::2, ::-1], photograph()[:, :, 1], np.asfortranarray(photograph())):
        np.testing.assert_array_equal(operator(view), operator(view.copy(order="C")))


@operators
@pytest.mark.parametrize("shape", [(5,), (5, 5, 1), (5, 5, 4), (1, 5, 5, 3), (0, 5), (5, 0, 3)])
def test_what_is_no_image_is_refused(operator: Operator, shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="is not an image"):
        operator(np.zeros(shape, np.uint8))


@operators
@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.bool_])
def test_other_dtypes_are_refused(operator: Operator, dtype: Any) -> None:
    with pytest.raises(ImageError, match=f"dtype {np.dtype(dtype)} is not supported"):
        operator(np.zeros((5, 5), dtype))


@operators
@pytest.mark.parametrize("value", [-0.01, 1.01, np.nan, np.inf])
def test_floats_outside_black_and_white_are_refused(operator: Operator, value: float) -> None:
    image = np.full((5, 5), 0.5)
    image[2, 3] = value
    with pytest.raises(ImageError, match=r"leave \[0, 1\]"):
        operator(image)


# White balance


def test_grey_world_makes_the_means_equal_to_their_mean() -> None:
    image = np.empty((10, 10, 3), np.uint8)
    image[:] = 100, 50, 180
    assert (gray_world_white_balance(image) == 110).all()
    image = photograph()
    balanced = gray_world_white_balance(image / 255)
    means = image.mean(axis=(0, 1)) / 255
    np.testing.assert_allclose(balanced, np.clip(image / 255 * (means.mean() / means), 0, 1), rtol=1e-12)
    np.testing.assert_allclose(balanced.mean(axis=(0, 1)), means.mean(), rtol=1e-9)


def test_grey_world_takes_a_colour_cast_back() -> None:
    scene = np.repeat(photograph()[:, :, :1], 3, axis=2) / 255
    cast = scene * np.array([0.9, 1.0, 0.7])
    balanced = gray_world_white_balance(cast)
    np.testing.assert_allclose(balanced, scene * balanced.mean() / scene.mean(), rtol=1e-9)


def test_no_white_balance_brightens_a_channel_more_than_eight_times() -> None:
    image = np.empty((8, 8, 3), np.uint8)
    image[:] = 240, 2, 120
    assert gray_world_white_balance(image)[0, 0].tolist() == [121, 16, 121]
    assert max_rgb_white_balance(image)[0, 0].tolist() == [240, 16, 240]


def test_max_rgb_makes_the_brightest_values_equal() -> None:
    image = np.random.default_rng(0).integers(0, 100, (20, 20, 3)).astype(np.uint8)
    image[3, 4] = 200, 150, 120
    balanced = max_rgb_white_balance(image)
    assert balanced[3, 4].tolist() == [200, 200, 200]
    np.testing.assert_array_equal(balanced, np.rint(image * (200 / np.array([200, 150, 120]))))


def test_a_percentile_keeps_one_hot_pixel_from_deciding() -> None:
    image = np.empty((20, 20, 3), np.uint8)
    image[:] = 100, 50, 80
    image[0, 0] = 0, 255, 0
    assert max_rgb_white_balance(image, 99)[9, 9].tolist() == [100, 100, 100]
    assert max_rgb_white_balance(image)[9, 9].tolist() == [255, 50, 255]


@settings(max_examples=200, deadline=None)
@given(images, st.lists(st.one_of(st.sampled_from([0, 1, 50, 99, 100]), st.floats(0, 100)), min_size=1, max_size=4))
def test_percentiles_by_counting_equal_numpys(image: Pixels, percents: list[float]) -> None:
    counted = percentiles(image, percents)
    np.testing.assert_allclose(counted, np.percentile(image / 255, percents), atol=1e-9)


# Tone


def test_gamma_is_a_power_law() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for exponent in (0.1, 0.45, 1.0, 2.2, 10.0):
        np.testing.assert_array_equal(gamma(levels, exponent), np.rint(255 * (levels / 255) ** exponent))
    np.testing.assert_allclose(gamma(levels / 255, 2.2), (levels / 255) ** 2.2, rtol=1e-12)


def test_contrast_stretch_moves_two_percentiles_of_all_channels_to_black_and_white() -> None:
    image = photograph()
    dark, bright = np.percentile(image, [5, 90])
    expected = np.clip((image - dark) / (bright - dark), 0, 1)
    np.testing.assert_allclose(contrast_stretch(image, 5, 90), expected * 255, atol=0.5 + 1e-9)
    np.testing.assert_allclose(contrast_stretch(image / 255, 5, 90), expected, atol=1e-12)


def test_contrast_stretch_to_the_extremes_uses_the_whole_range() -> None:
    stretched = contrast_stretch(np.linspace(90, 110, 400).reshape(20, 20).astype(np.uint8), 0, 100)
    assert (stretched.min(), stretched.max()) == (0, 255)


def test_contrast_stretch_leaves_an_image_alone_whose_percentiles_coincide() -> None:
    image = np.full((20, 20), 70, np.uint8)
    image[0, 0] = 90
    np.testing.assert_array_equal(contrast_stretch(image), image)


def test_clahe_of_grey_is_opencvs() -> None:
    grey = photograph(160, 200)[:, :, 1]
    np.testing.assert_array_equal(clahe(grey, 3.0, 4), cv2.createCLAHE(3.0, (4, 4)).apply(grey))


def test_clahe_moves_every_channel_by_what_the_luma_moves() -> None:
    image = photograph(160, 200)
    luma = np.rint(image @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    moved = cv2.createCLAHE(2.0, (8, 8)).apply(luma).astype(int) - luma
    expected = np.clip(image + moved[:, :, None], 0, 255)
    assert (clahe(image) == expected).mean() > 0.999
    assert np.abs(moved).max() > 20


def test_the_cells_of_clahe_are_at_least_16_pixels_wide() -> None:
    image = photograph(48, 300)
    np.testing.assert_array_equal(
        clahe(image[:, :, 0], 2.0, 10), cv2.createCLAHE(2.0, (10, 3)).apply(np.ascontiguousarray(image[:, :, 0]))
    )
    assert len(np.unique(clahe(np.full((3, 5), 9, np.uint8), 2.0, 64))) == 1


# Uneven light


def mirrored_gaussian(values: NDArray[np.float64], cutoff: float) -> NDArray[np.float64]:
    """Return values low-passed in frequency, by a gaussian of `cutoff` cycles per short side, mirrored at the border."""
    height, width = values.shape
    whole = np.pad(values, ((0, height), (0, width)), mode="symmetric")
    frequency = np.hypot(np.fft.fftfreq(2 * height)[:, None], np.fft.fftfreq(2 * width)[None]) * min(height, width)
    smooth = np.fft.ifft2(np.fft.fft2(whole) * np.exp(-0.5 * (frequency / cutoff) ** 2)).real
    return smooth[:height, :width]


@pytest.mark.parametrize("cutoff", [0.7, 2.0, 8.0])
def test_homomorphic_filtering_is_a_gaussian_filter_of_the_logarithm(cutoff: float) -> None:
    image = photograph(90, 130) / 255
    luma = np.log(image @ np.array([0.299, 0.587, 0.114]))
    slow = mirrored_gaussian(luma, cutoff)
    change = (0.3 - 1) * (slow - slow.mean()) + (1.4 - 1) * (luma - slow)
    expected = np.clip(image * np.exp(change)[:, :, None], 0, 1)
    np.testing.assert_allclose(homomorphic_filter(image, cutoff, 0.3, 1.4), expected, atol=0.012)


def test_homomorphic_filtering_with_both_gains_at_one_changes_nothing() -> None:
    np.testing.assert_array_equal(homomorphic_filter(photograph(), 2.0, 1, 1), photograph())


def test_homomorphic_filtering_removes_slow_light_and_keeps_fine_detail() -> None:
    columns = np.arange(256) / 256
    light = np.exp(0.8 * np.cos(2 * np.pi * 0.5 * columns))
    detail = np.exp(0.1 * np.sin(2 * np.pi * 24 * columns))
    image = np.tile(0.3 * light * detail, (256, 1))
    filtered = homomorphic_filter(image, 3.0, 0)
    ratio = np.log(filtered / (0.3 * detail))
    assert ratio.std() < 0.05 * np.log(light).std()
    np.testing.assert_allclose(np.log(filtered).mean(), np.log(image).mean(), atol=1e-3)


def test_homomorphic_filtering_keeps_hue() -> None:
    image = photograph() / 255 * 0.5
    filtered = homomorphic_filter(image)
    np.testing.assert_allclose(filtered[:, :, 0] / filtered[:, :, 1], image[:, :, 0] / image[:, :, 1], rtol=1e-4)


@pytest.mark.parametrize("correct", [homomorphic_filter, shading_correction])
def test_what_is_slow_is_measured_by_the_size_of_the_image(correct: Operator) -> None:
    small = photograph(60, 80)
    large = cv2.resize(small, (320, 240), interpolation=cv2.INTER_CUBIC)
    shrunk = cv2.resize(correct(large), (80, 60), interpolation=cv2.INTER_AREA)
    assert np.abs(shrunk.astype(int) - correct(small)).mean() < 3


def test_no_pixel_is_brightened_more_than_eight_times() -> None:
    image = np.full((64, 64), 250, np.uint8)
    image[:, :32] = 2
    assert homomorphic_filter(image, 30.0, 0, 1).max() <= 255
    assert homomorphic_filter(image, 30.0, 0, 1)[:, :20].max() == 16
    reference = np.full((64, 64), 255, np.uint8)
    reference[:, :8] = 1
    assert shading_correction(image, reference)[:, :8].max() == 16


def test_a_reference_takes_the_flat_field_out() -> None:
    scene = photograph() / 255 * 0.6
    rows = np.linspace(0.5, 1, scene.shape[0])[:, None, None]
    field = rows ** np.array([1.0, 0.5, 0.0]) * np.array([1.0, 0.8, 0.9])
    corrected = shading_correction(scene * field, np.broadcast_to(field, scene.shape).copy())
    np.testing.assert_allclose(corrected, scene * field.mean(axis=(0, 1)), rtol=1e-5)
    grey = shading_correction(scene * rows, np.broadcast_to(rows[:, :, 0], scene.shape[:2]).copy())
    np.testing.assert_allclose(grey, scene * rows.mean(), rtol=1e-5)


def test_a_reference_may_have_another_dtype_than_the_image() -> None:
    reference = photograph(seed=1)
    np.testing.assert_array_equal(
        shading_correction(photograph(), reference), shading_correction(photograph(), reference / np.float32(255))
    )


def test_without_a_reference_the_field_is_a_broad_gaussian_of_the_image() -> None:
    image = photograph(90, 130)[:, :, 0]
    field = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 0.2 * 90, borderType=cv2.BORDER_REFLECT)
    expected = image * field.mean() / field
    assert np.abs(shading_correction(image, scale=0.2) - expected).max() < 3


@pytest.mark.parametrize("shape", [(96, 127, 3), (128, 96, 3), (96, 127)])
def test_a_reference_of_another_size_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="does not fit"):
        shading_correction(photograph(), np.full(shape, 200, np.uint8))


def test_a_colour_reference_does_not_fit_a_grey_image_and_black_ones_fit_none() -> None:
    with pytest.raises(ImageError, match="does not fit"):
        shading_correction(photograph()[:, :, 0], photograph())
    reference = photograph()
    reference[:, :, 1] = 0
    with pytest.raises(ImageError, match="black"):
        shading_correction(photograph(), reference)


@pytest.mark.parametrize("sigma", [0.3, 3.0, 20.0, 70.0])
@pytest.mark.parametrize("shape", [(120, 200), (200, 120), (37, 500), (1, 50)])
def test_a_broad_gaussian_on_a_smaller_copy_is_one(sigma: float, shape: tuple[int, int]) -> None:
    values = np.random.default_rng(0).random(shape, dtype=np.float32) + np.linspace(0, 2, shape[1], dtype=np.float32)
    direct = cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    np.testing.assert_allclose(broad_gaussian(values, sigma), direct, atol=0.03)


# Bounds


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda image: max_rgb_white_balance(image, 0), "percentile"),
        (lambda image: max_rgb_white_balance(image, 100.5), "percentile"),
        (lambda image: gamma(image, 0), "gamma"),
        (lambda image: gamma(image, float("nan")), "gamma"),
        (lambda image: clahe(image, 0.5), "clip_limit"),
        (lambda image: clahe(image, 2, 0), "grid"),
        (lambda image: contrast_stretch(image, 50, 50), "percentiles"),
        (lambda image: contrast_stretch(image, 1, 101), "percentiles"),
        (lambda image: homomorphic_filter(image, 0), "cutoff"),
        (lambda image: homomorphic_filter(image, 2, -0.1), "gain_low"),
        (lambda image: homomorphic_filter(image, 2, 0.5, 5), "gain_high"),
        (lambda image: shading_correction(image, scale=0), "scale"),
    ],
)
def test_settings_out_of_bounds_are_refused_by_name(call: Operator, name: str) -> None:
    with pytest.raises(OptionsError, match=name):
        call(photograph())


# The chain


def test_by_default_nothing_is_done() -> None:
    image = photograph()
    assert apply_illumination(image, IlluminationOptions()) is image


def test_the_chain_runs_in_its_documented_order() -> None:
    image = photograph()
    expected = shading_correction(image, scale=0.3)
    expected = max_rgb_white_balance(expected, 98)
    expected = homomorphic_filter(expected, 3.0, 0.4, 1.3)
    expected = gamma(expected, 0.8)
    expected = contrast_stretch(expected, 2, 97)
    expected = clahe(expected, 3.0, 3)
    np.testing.assert_array_equal(apply_illumination(image, IlluminationOptions(**EVERYTHING)), expected)


@pytest.mark.parametrize(
    ("values", "operator"),
    [
        ({"shading": True}, shading_correction),
        ({"white_balance": "gray_world"}, gray_world_white_balance),
        ({"white_balance": "max_rgb"}, max_rgb_white_balance),
        ({"homomorphic": True}, homomorphic_filter),
        ({"gamma": 2}, lambda image: gamma(image, 2)),
        ({"contrast_stretch": (1, 99)}, contrast_stretch),
        ({"clahe": True}, clahe),
    ],
)
def test_each_step_alone_is_its_function_with_the_same_defaults(values: dict[str, Any], operator: Operator) -> None:
    image = photograph()
    before = image.copy()
    result = apply_illumination(image, IlluminationOptions(**values))
    np.testing.assert_array_equal(result, operator(image))
    assert (result != image).any()
    np.testing.assert_array_equal(image, before)


def test_parameters_without_their_step_do_nothing() -> None:
    options = IlluminationOptions(shading_scale=0.1, max_rgb_percentile=50, homomorphic_cutoff=9, clahe_clip_limit=9)
    assert apply_illumination(photograph(), options).tobytes() == photograph().tobytes()


def test_what_is_no_image_is_refused_even_where_nothing_is_done() -> None:
    with pytest.raises(ImageError):
        apply_illumination(np.zeros((5, 5, 4), np.uint8), IlluminationOptions())


def test_the_options_survive_json_and_refuse_what_is_out_of_bounds() -> None:
    options = IlluminationOptions(**EVERYTHING)
    assert IlluminationOptions.model_validate_json(options.model_dump_json()) == options
    assert all(field.description for field in IlluminationOptions.model_fields.values())
    for values, message in [
        ({"contrast_stretch": [99, 1]}, "must rise within 0 to 100"),
        ({"gamma": 0}, "illumination.gamma: must be at least 0.1"),
        ({"white_balance": "grey_world"}, "illumination.white_balance: must be 'none', 'gray_world' or 'max_rgb'"),
        ({"clahe_grid": 65}, "illumination.clahe_grid: must be at most 64"),
        ({"claha": True}, "did you mean clahe"),
    ]:
        with pytest.raises(OptionsError, match=message):
            parse(IlluminationOptions, values, "illumination")


@pytest.mark.parametrize("field", ["shading_scale", "max_rgb_percentile", "homomorphic_cutoff", "gamma", "clahe_clip_limit"])
def test_the_bounds_of_the_options_are_those_of_the_functions(field: str) -> None:
    metadata = IlluminationOptions.model_fields[field].metadata
    for bound in (getattr(part, name) for part in metadata for name in ("ge", "le") if hasattr(part, name)):
        values = {"shading": True, "white_balance": "max_rgb", "homomorphic": True, "clahe": True, field: bound}
        apply_illumination(photograph(), IlluminationOptions(**values))
