"""Augmentation: operators do what they say, stronger means more, and all randomness is drawn before anything is changed."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pyimgano.augmentation import (
    GRADED,
    Augmentation,
    Brightness,
    ChannelGain,
    Compose,
    Contrast,
    Gamma,
    GaussianBlur,
    GaussianNoise,
    Glare,
    GlareSpot,
    JpegCompression,
    MotionBlur,
    RandomApply,
    ShotNoise,
    Vignette,
    brightness,
    channel_gain,
    contrast,
    draw_glare_spots,
    gamma,
    gaussian_blur,
    gaussian_noise,
    get_industrial_camera_robust_augmentation,
    get_industrial_drift_augmentation,
    glare,
    jpeg_compress,
    motion_blur,
    random_channel_gain,
    sharpness,
    shot_noise,
    vignette,
)
from pyimgano.errors import ImageError, OptionsError, UnknownComponentError

Pixels = NDArray[np.uint8]
ByStrength = Callable[[Pixels, float], Pixels]

SPOTS = (GlareSpot(0.4, 0.7, 0.1), GlareSpot(0.6, 0.2, 0.05, aspect=5, angle=30))


def gains(image: Pixels, strength: float) -> Pixels:
    drift = (1, -0.5, 0.3)[: image.shape[2] if image.ndim == 3 else 1]
    return channel_gain(image, [1 + strength * direction for direction in drift])


def seeded(operator: Callable[..., Pixels]) -> ByStrength:
    return lambda image, strength: operator(image, np.random.default_rng(5), strength)


BY_STRENGTH: dict[str, ByStrength] = {
    "brighter": brightness,
    "darker": lambda image, strength: brightness(image, -strength),
    "more contrast": lambda image, strength: contrast(image, 1 + strength),
    "less contrast": lambda image, strength: contrast(image, 1 - strength),
    "gamma up": lambda image, strength: gamma(image, 1 + strength),
    "gamma down": lambda image, strength: gamma(image, 1 / (1 + strength)),
    "channel gain": gains,
    "random channel gain": seeded(random_channel_gain),
    "vignette": vignette,
    "glare": lambda image, strength: glare(image, SPOTS, strength),
    "gaussian blur": lambda image, strength: gaussian_blur(image, 32 * strength),
    "motion blur": lambda image, strength: motion_blur(image, 24 * strength, 20),
    "gaussian noise": seeded(gaussian_noise),
    "shot noise": seeded(shot_noise),
}
by_strength = pytest.mark.parametrize("operator", BY_STRENGTH.values(), ids=BY_STRENGTH)
OPERATORS: dict[str, Callable[[Pixels], Pixels]] = {
    **{name: lambda image, operator=operator: operator(image, 0.4) for name, operator in BY_STRENGTH.items()},
    "jpeg": lambda image: jpeg_compress(image, 40),
}
every_operator = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
AUGMENTATIONS: dict[str, Augmentation[Any]] = {
    "brightness": Brightness(),
    "contrast": Contrast(),
    "gamma": Gamma(),
    "channel gain": ChannelGain(),
    "vignette": Vignette(),
    "glare": Glare(),
    "gaussian blur": GaussianBlur(),
    "motion blur": MotionBlur(),
    "gaussian noise": GaussianNoise(),
    "shot noise": ShotNoise(),
    "jpeg": JpegCompression(),
    "sometimes": RandomApply(Vignette()),
    "robust": get_industrial_camera_robust_augmentation(),
    "drift": get_industrial_drift_augmentation(),
}
every_augmentation = pytest.mark.parametrize("augmentation", AUGMENTATIONS.values(), ids=AUGMENTATIONS)

sides = st.integers(1, 20)
shapes = st.one_of(st.tuples(sides, sides), st.tuples(sides, sides, st.just(3)))
images = hnp.arrays(np.uint8, shapes)


def surface(height: int = 96, width: int = 128, seed: int = 0) -> Pixels:
    """Return a coloured texture that reaches neither black nor white."""
    rng = np.random.default_rng(seed)
    texture = cv2.GaussianBlur(rng.standard_normal((height, width, 3)).astype(np.float32), (0, 0), 1.2)
    return np.clip(np.array([130, 110, 90]) + 60 * texture, 20, 235).astype(np.uint8)


def change(image: Pixels, changed: Pixels) -> float:
    return float(np.abs(changed.astype(float) - image).mean())


def spread(image: Pixels) -> NDArray[np.float64]:
    """Return the covariance of (row, column) under an image as a distribution."""
    weights = image / image.sum(dtype=np.float64)
    places = np.stack(np.mgrid[: image.shape[0], : image.shape[1]]).reshape(2, -1)
    return np.cov(places, aweights=weights.ravel(), ddof=0)


# What all operators promise


@every_operator
@settings(max_examples=40, deadline=None)
@given(images)
def test_any_shape_stays_uint8_and_the_argument_is_left_alone(operator: Callable[[Pixels], Pixels], image: Pixels) -> None:
    before = image.copy()
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        result = operator(image)
    assert result.shape == image.shape
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous
    assert not np.shares_memory(result, image)
    np.testing.assert_array_equal(image, before)


@every_operator
def test_a_view_gives_what_its_copy_gives(operator: Callable[[Pixels], Pixels]) -> None:
    for view in (surface()[::-1, ::2, ::-1], surface()[:, :, 1], np.asfortranarray(surface())):
        np.testing.assert_array_equal(operator(view), operator(view.copy(order="C")))


@every_operator
@pytest.mark.parametrize("shape", [(5,), (5, 5, 1), (5, 5, 4), (0, 5)])
def test_what_is_no_image_is_refused(operator: Callable[[Pixels], Pixels], shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="is not an image"):
        operator(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("name", [name for name in OPERATORS if not name.startswith("gamma")])
def test_other_dtypes_are_refused(name: str) -> None:
    with pytest.raises(ImageError, match="dtype float32 cannot be augmented"):
        OPERATORS[name](np.zeros((5, 5), np.float32))


@by_strength
@pytest.mark.parametrize("colour", [True, False])
def test_no_strength_changes_nothing(operator: ByStrength, colour: bool) -> None:
    image = np.arange(256, dtype=np.uint8).reshape(8, 32)
    image = np.stack([image, image[::-1], 255 - image], axis=-1) if colour else image
    np.testing.assert_array_equal(operator(image, 0), image)
    assert not np.shares_memory(operator(image, 0), image)


@by_strength
@pytest.mark.parametrize("image", [surface(), surface(200, 60, 1), surface(64, 64, 2)[:, :, 0]], ids=["wide", "tall", "grey"])
def test_more_strength_changes_more(operator: ByStrength, image: Pixels) -> None:
    changes = [change(image, operator(image, strength)) for strength in (0, 0.05, 0.1, 0.2, 0.4, 0.8)]
    assert changes[0] == 0
    assert all(less < more for less, more in itertools.pairwise(changes)), changes


@pytest.mark.parametrize("image", [surface(), surface(200, 60, 1), surface(64, 64, 2)[:, :, 0]], ids=["wide", "tall", "grey"])
def test_less_jpeg_quality_changes_more(image: Pixels) -> None:
    changes = [change(image, jpeg_compress(image, quality)) for quality in (100, 90, 70, 50, 30, 15, 1)]
    assert all(less < more for less, more in itertools.pairwise(changes)), changes


@every_operator
def test_the_global_generator_is_never_touched(operator: Callable[[Pixels], Pixels]) -> None:
    np.random.seed(3)
    operator(surface())
    assert np.random.random() == np.random.RandomState(3).random()


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda image: brightness(image, 1.1), "brightness"),
        (lambda image: contrast(image, -0.1), "contrast"),
        (lambda image: channel_gain(image, [1, 1, -1]), "channel_gain"),
        (lambda image: channel_gain(image, [1]), "1 gains do not fit"),
        (lambda image: channel_gain(image[:, :, 0], [1, 1, 1]), "3 gains do not fit"),
        (lambda image: random_channel_gain(image, np.random.default_rng(0), 1.5), "strength"),
        (lambda image: vignette(image, 1.5), "vignette"),
        (lambda image: glare(image, SPOTS, -0.5), "glare"),
        (lambda image: gaussian_blur(image, -1), "gaussian_blur"),
        (lambda image: gaussian_blur(image, float("nan")), "gaussian_blur"),
        (lambda image: motion_blur(image, 500, 0), "motion_blur"),
        (lambda image: gaussian_noise(image, np.random.default_rng(0), -1), "gaussian_noise"),
        (lambda image: shot_noise(image, np.random.default_rng(0), 2), "shot_noise"),
        (lambda image: jpeg_compress(image, 0), "jpeg_compress"),
        (lambda image: jpeg_compress(image, 101), "jpeg_compress"),
    ],
)
def test_settings_out_of_bounds_are_refused_by_name(call: Callable[[Pixels], Pixels], name: str) -> None:
    with pytest.raises(OptionsError, match=name):
        call(surface())


# Light


def test_brightness_contrast_and_gains_are_their_formulas() -> None:
    image = surface()
    np.testing.assert_allclose(brightness(image, 0.2), np.clip(image + 51.0, 0, 255), atol=0.5 + 1e-9)
    np.testing.assert_allclose(contrast(image, 1.7), np.clip((image - 127.5) * 1.7 + 127.5, 0, 255), atol=0.5 + 1e-9)
    expected = np.clip(image * np.array([1.2, 0.5, 3.0]), 0, 255)
    np.testing.assert_allclose(channel_gain(image, (1.2, 0.5, 3.0)), expected, atol=0.5 + 1e-9)


def test_random_channel_gains_differ_by_channel_stay_within_the_strength_and_follow_the_generator() -> None:
    image = np.full((4, 4, 3), 200, np.uint8)
    drawn = np.array([random_channel_gain(image, np.random.default_rng(seed), 0.2)[0, 0] for seed in range(300)])
    assert 160 <= drawn.min() < 165
    assert 235 < drawn.max() <= 240
    assert np.abs(np.corrcoef(drawn.T) - np.eye(3)).max() < 0.25
    assert len(np.unique(drawn, axis=0)) > 250
    again = random_channel_gain(image, np.random.default_rng(7), 0.2)
    assert again[0, 0].tolist() == drawn[7].tolist()


@pytest.mark.parametrize("shape", [(101, 201), (201, 101, 3), (64, 64)])
def test_a_vignette_takes_its_strength_from_the_corners_and_nothing_from_the_centre(shape: tuple[int, ...]) -> None:
    darkened = vignette(np.full(shape, 200, np.uint8), 0.6)
    np.testing.assert_array_equal(darkened, darkened[::-1, ::-1])
    np.testing.assert_array_equal(darkened, darkened[:, ::-1])
    assert (darkened[[0, 0, -1, -1], [0, -1, 0, -1]] == 80).all()
    assert (darkened[shape[0] // 2, shape[1] // 2] == 200).all()
    rows, columns = np.arange(shape[0]) - (shape[0] - 1) / 2, np.arange(shape[1]) - (shape[1] - 1) / 2
    squared = rows[:, None] ** 2 + columns[None, :] ** 2
    plane = darkened if darkened.ndim == 2 else darkened[:, :, 1]
    np.testing.assert_allclose(plane, 200 * (1 - 0.6 * squared / squared.max()), atol=0.51)


@pytest.mark.parametrize("shape", [(100, 100), (80, 160), (160, 80)])
def test_a_glare_disc_is_round_lies_where_it_was_put_and_reaches_its_strength(shape: tuple[int, int]) -> None:
    lit = glare(np.full(shape, 55, np.uint8), [GlareSpot(0.5, 0.25, 0.1)], 0.8)
    row, column = np.unravel_index(lit.argmax(), shape)
    assert abs(row - 0.5 * (shape[0] - 1)) <= 1
    assert abs(column - 0.25 * (shape[1] - 1)) <= 1
    assert lit.max() == pytest.approx(55 + 0.8 * 200, abs=3)
    down, over = np.mgrid[: shape[0], : shape[1]]
    squared = (down - 0.5 * (shape[0] - 1)) ** 2 + (over - 0.25 * (shape[1] - 1)) ** 2
    sigma = 0.1 * min(shape)
    np.testing.assert_allclose(lit, 55 + 160 * np.exp(-squared / (2 * sigma**2)), atol=0.51)


@pytest.mark.parametrize("angle", [0, 30, 90, 135])
def test_a_streak_is_longer_than_wide_and_turned_anticlockwise(angle: float) -> None:
    lit = glare(np.zeros((201, 201), np.uint8), [GlareSpot(0.5, 0.5, 0.02, aspect=4, angle=angle)], 1)
    covariance = spread(lit)
    along = np.array([-np.sin(np.deg2rad(angle)), np.cos(np.deg2rad(angle))])
    across = np.array([along[1], -along[0]])
    assert np.sqrt(along @ covariance @ along) == pytest.approx(16.08, rel=0.05)
    assert np.sqrt(across @ covariance @ across) == pytest.approx(4.02, rel=0.05)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.floats(0, 1), st.floats(1, 3))
def test_stronger_larger_and_more_glare_only_ever_brightens(seed: int, count: int, strength: float, factor: float) -> None:
    image = surface(40, 60)
    spots = draw_glare_spots(np.random.default_rng(seed), count)
    base = glare(image, spots, strength)
    assert (base >= image).all()
    assert (glare(image, spots, min(1, strength * factor)) >= base).all()
    assert (glare(image, [replace(spot, radius=spot.radius * factor) for spot in spots], strength) >= base).all()
    assert (base >= glare(image, spots[:-1], strength)).all()


def test_drawn_spots_lie_everywhere_and_are_discs_and_streaks() -> None:
    spots = draw_glare_spots(np.random.default_rng(0), 200)
    assert {min(3, int(4 * spot.row)) for spot in spots} == {min(3, int(4 * spot.column)) for spot in spots} == {0, 1, 2, 3}
    discs = [spot for spot in spots if spot.aspect == 1]
    assert 60 < len(discs) < 140
    assert all(3 <= spot.aspect <= 8 for spot in spots if spot not in discs)
    assert draw_glare_spots(np.random.default_rng(0), 200)[:50] == draw_glare_spots(np.random.default_rng(0), 50)


def test_a_spot_outside_the_image_is_not_an_error() -> None:
    image = surface()
    np.testing.assert_array_equal(glare(image, [GlareSpot(5, -3, 0.05)], 1), image)
    np.testing.assert_array_equal(glare(image, [], 1), image)


def test_where_spots_overlap_the_brightest_counts() -> None:
    np.testing.assert_array_equal(glare(surface(), SPOTS[:1] * 3, 0.4), glare(surface(), SPOTS[:1], 0.4))


# Sharpness


@pytest.mark.parametrize("side", [32, 64, 200])
def test_the_weakest_blur_shows_on_small_images_too(side: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (side, side, 3)).astype(np.uint8)
    changes = [change(image, gaussian_blur(image, sigma)) for sigma in (0, 0.5, 1, 1.5, 2, 3)]
    assert all(less < more for less, more in itertools.pairwise(changes)), changes


@pytest.mark.parametrize("sigma", [0.05, 0.2, 0.5, 1, 4, 20, 64])
def test_the_variance_of_the_kernel_of_a_blur_is_sigma_squared(sigma: float) -> None:
    kernel = sharpness._gaussian(sigma).astype(np.float64)
    places = np.arange(len(kernel)) - len(kernel) // 2
    assert kernel @ places**2 == pytest.approx(sigma**2, rel=2e-3)
    assert kernel.sum() == pytest.approx(1, abs=1e-6)
    assert kernel.min() > -1e-7


@pytest.mark.parametrize("side", [128, 256, 512])
def test_the_sigma_of_a_blur_is_that_at_a_short_side_of_256(side: int) -> None:
    image = np.zeros((side, side + 40), np.uint8)
    image[side // 2, side // 2] = 255
    image = cv2.dilate(image, np.ones((9, 9), np.uint8))
    widened = spread(gaussian_blur(image, 2)) - spread(image)
    np.testing.assert_allclose(np.sqrt(np.diag(widened)), 2 * side / 256, rtol=0.05)


@pytest.mark.parametrize("length", [3, 8.5, 20])
@pytest.mark.parametrize("angle", [0, 45, 90, 120, 180])
def test_motion_blur_averages_along_a_line_of_its_length_and_direction(length: float, angle: float) -> None:
    image = np.zeros((256, 300), np.uint8)
    image[120:137, 140:157] = 255
    covariance = spread(motion_blur(image, length, angle)) - spread(image)
    along = np.array([-np.sin(np.deg2rad(angle)), np.cos(np.deg2rad(angle))])
    across = np.array([along[1], -along[0]])
    assert along @ covariance @ along == pytest.approx(length**2 / 12, rel=0.1, abs=0.3)
    assert across @ covariance @ across == pytest.approx(0, abs=0.3)
    np.testing.assert_allclose(motion_blur(image, length, angle).sum(dtype=float), image.sum(dtype=float), rtol=0.01)


def test_motion_blur_grows_with_the_image() -> None:
    image = np.zeros((512, 512), np.uint8)
    image[240:273, 240:273] = 255
    widened = spread(motion_blur(image, 10, 0)) - spread(image)
    assert widened[1, 1] == pytest.approx(20**2 / 12, rel=0.05)


@pytest.mark.parametrize("blur", [lambda image: gaussian_blur(image, 5), lambda image: motion_blur(image, 15, 70)])
def test_blur_leaves_a_constant_image_and_its_border_alone(blur: Callable[[Pixels], Pixels]) -> None:
    image = np.full((60, 90, 3), 137, np.uint8)
    np.testing.assert_array_equal(blur(image), image)


# Sensor and file


def test_gaussian_noise_has_the_deviation_asked_for_in_every_channel_independently() -> None:
    image = np.full((200, 300, 3), 128, np.uint8)
    noise = gaussian_noise(image, np.random.default_rng(0), 0.05).astype(float) - 128
    np.testing.assert_allclose(noise.std(axis=(0, 1)), 0.05 * 255, rtol=0.02)
    np.testing.assert_allclose(noise.mean(axis=(0, 1)), 0, atol=0.2)
    assert np.abs(np.corrcoef(noise.reshape(-1, 3).T) - np.eye(3)).max() < 0.02


def test_the_variance_of_shot_noise_is_proportional_to_the_value() -> None:
    variances = []
    for level in (0, 20, 80, 160):
        image = np.full((200, 300), level, np.uint8)
        variances.append(shot_noise(image, np.random.default_rng(1), 0.1).astype(float).var())
    assert variances[0] == 0
    np.testing.assert_allclose(variances[1:], 0.01 * 255 * np.array([20, 80, 160]), rtol=0.05)


@pytest.mark.parametrize("noise", [gaussian_noise, shot_noise])
def test_strength_scales_noise_that_the_generator_decides(noise: Callable[..., Pixels]) -> None:
    image = np.full((50, 60, 3), 128, np.uint8)
    weak, strong = (noise(image, np.random.default_rng(3), sigma).astype(float) - 128 for sigma in (0.05, 0.1))
    np.testing.assert_allclose(strong, 2 * weak, atol=1.51)
    other = noise(image, np.random.default_rng(4), 0.1)
    assert (other != strong + 128).mean() > 0.9


@pytest.mark.parametrize("quality", [15, 50, 95])
@pytest.mark.parametrize("colour", [True, False])
def test_jpeg_is_what_a_file_holds_with_channels_in_rgb_order(quality: int, colour: bool) -> None:
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 1.0) if colour else image[:, :, 0]
    file = io.BytesIO()
    PillowImage.fromarray(image).save(file, "JPEG", quality=quality)
    expected = np.asarray(PillowImage.open(file))
    assert change(expected, jpeg_compress(image, quality)) < 0.5
    assert change(image, expected) > 1


def test_an_image_too_long_for_jpeg_is_refused() -> None:
    jpeg_compress(np.zeros((65500, 1), np.uint8), 50)
    with pytest.raises(ImageError, match=r"does not fit a JPEG"):
        jpeg_compress(np.zeros((1, 65501), np.uint8), 50)


# Draw and apply


@every_augmentation
@pytest.mark.parametrize("shape", [(64, 48, 3), (48, 64), (1, 1), (1, 30, 3)])
def test_an_augmentation_is_its_draw_then_its_pure_apply(augmentation: Augmentation[Any], shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    before = image.copy()
    for seed in range(8):
        params = augmentation.draw(np.random.default_rng(seed), shape)
        once, twice = augmentation.apply(image, params), augmentation.apply(image, params)
        called = augmentation(image, np.random.default_rng(seed))
        np.testing.assert_array_equal(once, twice)
        np.testing.assert_array_equal(once, called)
        assert once.shape == shape
        assert once.dtype == np.uint8
        assert not np.shares_memory(once, image)
        np.testing.assert_array_equal(image, before)


@every_augmentation
def test_another_draw_gives_another_image(augmentation: Augmentation[Any]) -> None:
    rng = np.random.default_rng(0)
    drawn = {augmentation(surface(), rng).tobytes() for _ in range(40)}
    assert len(drawn) > 8


@every_augmentation
def test_drawing_never_touches_the_global_generator(augmentation: Augmentation[Any]) -> None:
    np.random.seed(3)
    augmentation(surface(), np.random.default_rng(0))
    assert np.random.random() == np.random.RandomState(3).random()


@every_augmentation
def test_augmentations_are_values(augmentation: Augmentation[Any]) -> None:
    assert augmentation == replace(augmentation)
    assert hash(augmentation) == hash(replace(augmentation))
    with pytest.raises(AttributeError):
        augmentation.span = (0, 1)


@pytest.mark.parametrize(
    ("augmentation", "low", "high", "reached"),
    [
        (Brightness((-0.2, 0.1)), -0.2, 0.1, 0.02),
        (Contrast((0.5, 2)), 0.5, 2, 0.05),
        (Gamma((0.5, 2)), 0.5, 2, 0.05),
        (Vignette((0.1, 0.3)), 0.1, 0.3, 0.02),
        (GaussianBlur((1, 3)), 1, 3, 0.1),
        (JpegCompression(40, 42), 40, 42, 0),
    ],
)
def test_what_is_drawn_fills_its_span(augmentation: Augmentation[Any], low: float, high: float, reached: float) -> None:
    rng = np.random.default_rng(0)
    drawn = [augmentation.draw(rng, (10, 10, 3)) for _ in range(400)]
    assert low <= min(drawn) <= low + reached
    assert high - reached <= max(drawn) <= high


def test_gamma_darkens_as_often_as_it_brightens() -> None:
    rng = np.random.default_rng(0)
    drawn = [Gamma((0.25, 4)).draw(rng, (1, 1)) for _ in range(1000)]
    assert 450 < sum(exponent > 1 for exponent in drawn) < 550


def test_the_other_augmentations_pass_their_parameters_on() -> None:
    image = surface()
    rng = np.random.default_rng(0)
    for augmentation, operator in [(MotionBlur((5, 9)), motion_blur), (Glare(3, (0.3, 0.4)), glare)]:
        params = augmentation.draw(rng, image.shape)
        np.testing.assert_array_equal(augmentation.apply(image, params), operator(image, *params))
    for augmentation, operator in [(GaussianNoise((0.1, 0.2)), gaussian_noise), (ShotNoise((0.1, 0.2)), shot_noise)]:
        sigma, seed = augmentation.draw(rng, image.shape)
        assert 0.1 <= sigma <= 0.2
        expected = operator(image, np.random.default_rng(seed), sigma)
        np.testing.assert_array_equal(augmentation.apply(image, (sigma, seed)), expected)
    lengths, angles = zip(*(MotionBlur((5, 9)).draw(rng, image.shape) for _ in range(200)), strict=True)
    assert 5 <= min(lengths) <= max(lengths) <= 9
    assert max(angles) - min(angles) > 150
    counts = {len(Glare(3, (0.3, 0.4)).draw(rng, image.shape)[0]) for _ in range(100)}
    assert counts == {1, 2, 3}
    assert len(ChannelGain(0.2).draw(rng, (5, 5))) == 1
    assert len(ChannelGain(0.2).draw(rng, (5, 5, 3))) == 3


def test_a_composition_applies_its_steps_in_order() -> None:
    image = surface()
    both = Compose((Brightness((0.5, 0.5)), Gamma((2, 2))))
    np.testing.assert_array_equal(both(image, np.random.default_rng(0)), gamma(brightness(image, 0.5), 2))
    np.testing.assert_array_equal(Compose(())(image, np.random.default_rng(0)), image)
    with pytest.raises(ValueError, match="zip"):
        both.apply(image, (0.5,))


def test_an_augmentation_is_left_out_as_often_as_asked() -> None:
    rng = np.random.default_rng(0)
    sometimes = RandomApply(Vignette((0.3, 0.4)), 0.25)
    drawn = [sometimes.draw(rng, (5, 5)) for _ in range(2000)]
    assert 430 < sum(params is not None for params in drawn) < 570
    for probability, expected in [(0, 0), (1, 50)]:
        chosen = [RandomApply(Vignette(), probability).draw(rng, (5, 5)) is not None for _ in range(50)]
        assert sum(chosen) == expected


def test_a_step_that_is_left_out_does_not_change_what_the_next_one_draws() -> None:
    never, always = (Compose((RandomApply(Vignette(), p), Brightness())) for p in (0, 1))
    assert never.draw(np.random.default_rng(1), (5, 5))[1] == always.draw(np.random.default_rng(1), (5, 5))[1]


def test_spans_that_fall_and_impossible_probabilities_are_refused() -> None:
    with pytest.raises(OptionsError, match="must rise"):
        Brightness((0.2, 0.1)).draw(np.random.default_rng(0), (5, 5))
    with pytest.raises(OptionsError, match="probability"):
        RandomApply(Brightness(), 1.5)


# Presets


def inner(preset: Compose) -> list[Augmentation[Any]]:
    return [step.step if isinstance(step, RandomApply) else step for step in preset.steps]


def kinds(preset: Compose) -> set[str]:
    return {type(step).__name__ for step in inner(preset)}


def test_the_presets_hold_what_they_are_named_for() -> None:
    assert kinds(get_industrial_camera_robust_augmentation()) >= {"JpegCompression", "Vignette", "ChannelGain", "Brightness"}
    changes = [type(step.change).__name__ for step in inner(get_industrial_drift_augmentation())]
    assert changes == ["GradedLighting", "GradedGlare", "GradedBlur", "GradedJpeg"]


def test_drift_is_made_of_the_graded_changes_that_are_named_in_the_order_of_the_line() -> None:
    image, names = surface(), ("jpeg", "geo_jitter")
    preset = get_industrial_drift_augmentation(names, severities=(4, 4), probability=1)
    params = preset.draw(np.random.default_rng(3), image.shape)
    assert [severity for _, severity in params] == [4, 4]
    expected = image
    for name, (drawn, severity) in zip(("geo_jitter", "jpeg"), params, strict=True):
        expected = GRADED[name].apply(expected, drawn, severity)
    np.testing.assert_array_equal(preset.apply(image, params), expected)
    assert change(image, expected) > 1


def test_drift_draws_every_severity_that_is_asked_for_and_no_other() -> None:
    (step,) = get_industrial_drift_augmentation(("lighting",), (2, 4)).steps
    drawn = {step.draw(np.random.default_rng(seed), (8, 8, 3))[1] for seed in range(40)}
    assert drawn == {2, 3, 4}


@pytest.mark.parametrize("severities", [(0, 3), (3, 2), (1, 6)])
def test_drift_of_impossible_severities_is_refused(severities: tuple[int, int]) -> None:
    with pytest.raises(OptionsError, match="severities must rise within 1 to 5"):
        get_industrial_drift_augmentation(severities=severities)


def test_drift_of_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UnknownComponentError, match="glair") as caught:
        get_industrial_drift_augmentation(("glair",))
    assert caught.value.next_step == "did you mean glare? there are geo_jitter, lighting, glare, blur, jpeg"


@pytest.mark.parametrize("preset", [get_industrial_camera_robust_augmentation, get_industrial_drift_augmentation])
def test_the_presets_change_an_image_but_leave_it_recognisable(preset: Callable[[], Compose]) -> None:
    image = surface(96, 128)
    augment = preset()
    for seed in range(30):
        changed = augment(image, np.random.default_rng(seed))
        assert 1 < change(image, changed) < 60
        assert np.corrcoef(changed.ravel(), image.ravel())[0, 1] > 0.3
