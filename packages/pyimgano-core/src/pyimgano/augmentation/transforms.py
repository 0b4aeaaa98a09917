"""The pixel operators as augmentations: what is drawn, from which span."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyimgano.augmentation.base import Augmentation, Span, uniform
from pyimgano.augmentation.light import (
    GlareSpot,
    brightness,
    channel_gain,
    contrast,
    draw_channel_gains,
    draw_glare_spots,
    glare,
    vignette,
)
from pyimgano.augmentation.pixels import Pixels, channel_count
from pyimgano.augmentation.sensor import gaussian_noise, jpeg_compress, shot_noise
from pyimgano.augmentation.sharpness import gaussian_blur, motion_blur
from pyimgano.preprocessing.tone import gamma

Generator = np.random.Generator
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Brightness(Augmentation[float]):
    """`brightness` by a shift from `span`."""

    span: Span = (-0.1, 0.1)

    def draw(self, rng: Generator, shape: Shape) -> float:
        return uniform(rng, self.span)

    def apply(self, image: Pixels, params: float) -> Pixels:
        return brightness(image, params)


@dataclass(frozen=True)
class Contrast(Augmentation[float]):
    """`contrast` by a factor from `span`."""

    span: Span = (0.85, 1.15)

    def draw(self, rng: Generator, shape: Shape) -> float:
        return uniform(rng, self.span)

    def apply(self, image: Pixels, params: float) -> Pixels:
        return contrast(image, params)


@dataclass(frozen=True)
class Gamma(Augmentation[float]):
    """`gamma` with an exponent from `span`, evenly on a logarithmic scale, so that darker is as likely as brighter."""

    span: Span = (0.8, 1.25)

    def draw(self, rng: Generator, shape: Shape) -> float:
        low, high = self.span
        return float(np.exp(uniform(rng, (float(np.log(low)), float(np.log(high))))))

    def apply(self, image: Pixels, params: float) -> Pixels:
        return np.asarray(gamma(image, params), dtype=np.uint8)


@dataclass(frozen=True)
class ChannelGain(Augmentation[tuple[float, ...]]):
    """`channel_gain`, each gain within `strength` of 1."""

    strength: float = 0.08

    def draw(self, rng: Generator, shape: Shape) -> tuple[float, ...]:
        return draw_channel_gains(rng, channel_count(shape), self.strength)

    def apply(self, image: Pixels, params: tuple[float, ...]) -> Pixels:
        return channel_gain(image, params)


@dataclass(frozen=True)
class Vignette(Augmentation[float]):
    """`vignette` of a strength from `span`."""

    span: Span = (0.0, 0.3)

    def draw(self, rng: Generator, shape: Shape) -> float:
        return uniform(rng, self.span)

    def apply(self, image: Pixels, params: float) -> Pixels:
        return vignette(image, params)


@dataclass(frozen=True)
class Glare(Augmentation[tuple[tuple[GlareSpot, ...], float]]):
    """`glare` of one to `most` spots, of a strength from `span`."""

    most: int = 2
    span: Span = (0.2, 0.7)

    def draw(self, rng: Generator, shape: Shape) -> tuple[tuple[GlareSpot, ...], float]:
        count = int(rng.integers(1, self.most, endpoint=True))
        return draw_glare_spots(rng, count), uniform(rng, self.span)

    def apply(self, image: Pixels, params: tuple[tuple[GlareSpot, ...], float]) -> Pixels:
        return glare(image, *params)


@dataclass(frozen=True)
class GaussianBlur(Augmentation[float]):
    """`gaussian_blur` of a sigma from `span`."""

    span: Span = (0.0, 1.5)

    def draw(self, rng: Generator, shape: Shape) -> float:
        return uniform(rng, self.span)

    def apply(self, image: Pixels, params: float) -> Pixels:
        return gaussian_blur(image, params)


@dataclass(frozen=True)
class MotionBlur(Augmentation[tuple[float, float]]):
    """`motion_blur` of a length from `span`, in any direction."""

    span: Span = (0.0, 4.0)

    def draw(self, rng: Generator, shape: Shape) -> tuple[float, float]:
        return uniform(rng, self.span), uniform(rng, (0.0, 180.0))

    def apply(self, image: Pixels, params: tuple[float, float]) -> Pixels:
        return motion_blur(image, *params)


@dataclass(frozen=True)
class GaussianNoise(Augmentation[tuple[float, int]]):
    """`gaussian_noise` of a sigma from `span`; the other parameter seeds the noise."""

    span: Span = (0.0, 0.02)

    def draw(self, rng: Generator, shape: Shape) -> tuple[float, int]:
        return uniform(rng, self.span), int(rng.integers(2**63))

    def apply(self, image: Pixels, params: tuple[float, int]) -> Pixels:
        sigma, seed = params
        return gaussian_noise(image, np.random.default_rng(seed), sigma)


@dataclass(frozen=True)
class ShotNoise(Augmentation[tuple[float, int]]):
    """`shot_noise` of a strength from `span`; the other parameter seeds the noise."""

    span: Span = (0.0, 0.03)

    def draw(self, rng: Generator, shape: Shape) -> tuple[float, int]:
        return uniform(rng, self.span), int(rng.integers(2**63))

    def apply(self, image: Pixels, params: tuple[float, int]) -> Pixels:
        strength, seed = params
        return shot_noise(image, np.random.default_rng(seed), strength)


@dataclass(frozen=True)
class JpegCompression(Augmentation[int]):
    """`jpeg_compress` at a quality from `low` to `high`."""

    low: int = 40
    high: int = 95

    def draw(self, rng: Generator, shape: Shape) -> int:
        return int(rng.integers(self.low, self.high, endpoint=True))

    def apply(self, image: Pixels, params: int) -> Pixels:
        return jpeg_compress(image, params)
