"""Light and colour: brightness, contrast, channel gains, vignetting, glare."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pyimgano.augmentation.pixels import Pixels, channel_count, check_uint8
from pyimgano.errors import OptionsError
from pyimgano.preprocessing.pixels import apply_curves, check_number, scale_channels

Field = NDArray[np.float32]

_REACH = 4.0
_PLANCK = 14388.0
"""Second radiation constant, in micrometres times kelvin."""
_WAVELENGTHS = (0.61, 0.545, 0.465)
"""Where red, green and blue of a usual sensor are most sensitive, in micrometres."""


def brightness(image: Pixels, shift: float) -> Pixels:
    """Return the image with `shift`, in [-1, 1] of full white, added to every value; 0 changes nothing."""
    check_uint8(image)
    check_number("brightness", shift, -1, 1)
    return np.asarray(apply_curves(image, [lambda values: values + shift]), dtype=np.uint8)


def contrast(image: Pixels, factor: float) -> Pixels:
    """Return the image with distances from mid grey multiplied by `factor`, in [0, 10]; 1 changes nothing."""
    check_uint8(image)
    check_number("contrast", factor, 0, 10)
    return np.asarray(apply_curves(image, [lambda values: (values - 0.5) * factor + 0.5]), dtype=np.uint8)


def channel_gain(image: Pixels, gains: Sequence[float]) -> Pixels:
    """Return the image with every channel multiplied by its gain, each in [0, 10]; gains of 1 change nothing."""
    check_uint8(image)
    if len(gains) != channel_count(image.shape):
        raise OptionsError(
            f"channel_gain: {len(gains)} gains do not fit an image of shape {image.shape}", "one for each channel"
        )
    for gain in gains:
        check_number("channel_gain", gain, 0, 10)
    return np.asarray(scale_channels(image, gains), dtype=np.uint8)


def draw_channel_gains(rng: np.random.Generator, channels: int, strength: float) -> tuple[float, ...]:
    """Return one gain per channel, 1 + strength * u with u uniform in [-1, 1); `strength` lies in [0, 1]."""
    check_number("strength", strength, 0, 1)
    return tuple((1 + strength * rng.uniform(-1, 1, channels)).tolist())


def random_channel_gain(image: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """Return the image with drawn channel gains, as a lamp of another colour temperature gives; 0 changes nothing."""
    check_uint8(image)
    return channel_gain(image, draw_channel_gains(rng, channel_count(image.shape), strength))


def color_temperature(image: Pixels, mired: float) -> Pixels:
    """Return the image as under a lamp of another colour temperature, with green as bright as before.

    Channels are scaled by the ratio of two black bodies in Wien's approximation, each at one wavelength. A grey image changes
    by what the luma of white changes by.

    Parameters
    ----------
    image
        Grey (H, W) or RGB (H, W, 3), uint8.
    mired
        Change of 10^6 / kelvin, in [-300, 300]: above 0 warmer, below 0 colder; 0 changes nothing.
    """
    check_uint8(image)
    check_number("color_temperature", mired, -300, 300)
    red, green, blue = (math.exp(-_PLANCK * mired * 1e-6 / length) for length in _WAVELENGTHS)
    luma = (0.299 * red + 0.587 * green + 0.114 * blue) / green
    return channel_gain(image, (luma,) if image.ndim == 2 else (red / green, 1.0, blue / green))


def dimmed(image: Pixels, gain: Field) -> Pixels:
    """Return the image with every pixel multiplied by its `gain`, (H, W) float32 in [0, 1]."""
    factors = gain if image.ndim == 2 else cv2.merge([gain] * 3)
    return np.asarray(cv2.multiply(image, factors, dtype=cv2.CV_8U), dtype=np.uint8)


def vignette(image: Pixels, strength: float) -> Pixels:
    """Return the image darkened towards its corners.

    The gain is 1 - strength * r^2, with r the distance from the centre in half diagonals: the leading term of the cos^4 law of
    natural vignetting (Goldman and Chen, Vignette and exposure calibration and compensation, ICCV 2005).

    Parameters
    ----------
    image
        Grey (H, W) or RGB (H, W, 3), uint8.
    strength
        What the corners lose, in [0, 1]; 0 changes nothing.
    """
    check_uint8(image)
    check_number("vignette", strength, 0, 1)
    down, across = (_centred(side) for side in image.shape[:2])
    corner = float(down[-1] ** 2 + across[-1] ** 2) or 1.0
    gain = 1 - np.float32(strength / corner) * (down[:, None] ** 2 + across[None, :] ** 2)
    return dimmed(image, gain)


def _centred(side: int) -> Field:
    return np.arange(side, dtype=np.float32) - np.float32((side - 1) / 2)


@dataclass(frozen=True)
class GlareSpot:
    """One reflection of a lamp: a soft disc, or a streak where `aspect` is above 1.

    Attributes
    ----------
    row, column
        Its centre, as shares of the image's height and width.
    radius
        Standard deviation of its brightness across, as a share of the short side.
    aspect
        How many times longer than wide it is.
    angle
        Direction of its length in degrees, anticlockwise from horizontal.
    """

    row: float
    column: float
    radius: float
    aspect: float = 1.0
    angle: float = 0.0


def draw_glare_spots(rng: np.random.Generator, count: int) -> tuple[GlareSpot, ...]:
    """Return `count` spots anywhere in the image, discs and streaks alike."""
    return tuple(
        GlareSpot(
            row=rng.random(),
            column=rng.random(),
            radius=rng.uniform(0.03, 0.1),
            aspect=rng.uniform(3, 8) if rng.random() < 0.5 else 1.0,
            angle=rng.uniform(0, 180),
        )
        for _ in range(count)
    )


def glare(image: Pixels, spots: Sequence[GlareSpot], strength: float) -> Pixels:
    """Return the image with spots blended towards white, each a gaussian; where they overlap, the brightest counts.

    More strength, more spots and larger radii only ever brighten.

    Parameters
    ----------
    image
        Grey (H, W) or RGB (H, W, 3), uint8.
    spots
        Where the reflections are; `draw_glare_spots` draws some.
    strength
        How white their centres are, in [0, 1]; 0 changes nothing.
    """
    check_uint8(image)
    check_number("glare", strength, 0, 1)
    cover = np.zeros(image.shape[:2], dtype=np.float32)
    for spot in spots:
        _cover(cover, spot)
    darkness = np.asarray(cv2.bitwise_not(image), dtype=np.uint8)
    return np.asarray(cv2.bitwise_not(dimmed(darkness, 1 - np.float32(strength) * cover)), dtype=np.uint8)


def _cover(cover: Field, spot: GlareSpot) -> None:
    """Raise `cover` in place to the brightness of a spot, as far as it can be seen."""
    height, width = cover.shape
    across = max(spot.radius * min(height, width), 1e-3)
    along = across * spot.aspect
    row, column = spot.row * (height - 1), spot.column * (width - 1)
    reach = _REACH * max(across, along)
    top, bottom = max(0, int(row - reach)), min(height, int(row + reach) + 2)
    left, right = max(0, int(column - reach)), min(width, int(column + reach) + 2)
    down = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(row)
    over = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(column)
    cos, sin = np.float32(np.cos(np.deg2rad(spot.angle))), np.float32(np.sin(np.deg2rad(spot.angle)))
    length = (over * cos - down * sin) / np.float32(along)
    breadth = (over * sin + down * cos) / np.float32(across)
    part = cover[top:bottom, left:right]
    np.maximum(part, np.exp(-0.5 * (length * length + breadth * breadth)), out=part)
