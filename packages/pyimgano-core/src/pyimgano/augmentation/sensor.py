"""Sensor and file: read noise, shot noise, JPEG."""

from __future__ import annotations

from functools import cache
from statistics import NormalDist

import cv2
import numpy as np
from numpy.typing import NDArray

from pyimgano.augmentation.pixels import Pixels, check_uint8
from pyimgano.errors import ImageError
from pyimgano.preprocessing.pixels import change_planes, check_number

_JPEG_SIDE = 65500


def gaussian_noise(image: Pixels, rng: np.random.Generator, sigma: float) -> Pixels:
    """Return the image with independent gaussian noise in every value.

    Parameters
    ----------
    image
        Grey (H, W) or RGB (H, W, 3), uint8.
    rng
        Decides the noise; `sigma` only scales it.
    sigma
        Standard deviation as a share of full white, in [0, 1]; 0 changes nothing.
    """
    check_uint8(image)
    check_number("gaussian_noise", sigma, 0, 1)
    shape, deviation = image.shape[:2], np.float32(sigma * 255)
    change = change_planes(image, lambda values, _: values + rng.standard_normal(shape, dtype=np.float32) * deviation)
    return np.asarray(change, dtype=np.uint8)


def shot_noise(image: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """Return the image with noise whose variance is proportional to the value, as counted photons have.

    The normal approximation of Poisson noise (Foi et al., Practical Poissonian-Gaussian noise modeling and fitting for
    single-image raw-data, IEEE Transactions on Image Processing 17, 2008).

    Parameters
    ----------
    image
        Grey (H, W) or RGB (H, W, 3), uint8.
    rng
        Decides the noise; `strength` only scales it.
    strength
        Standard deviation at full white, as a share of it, in [0, 1]: 1 / sqrt(photons at white). 0 changes nothing.
    """
    check_uint8(image)
    check_number("shot_noise", strength, 0, 1)
    shape, deviation = image.shape[:2], np.float32(strength * np.sqrt(255))
    change = change_planes(
        image, lambda values, _: values + np.sqrt(values) * deviation * rng.standard_normal(shape, dtype=np.float32)
    )
    return np.asarray(change, dtype=np.uint8)


def sensor_noise(image: Pixels, rng: np.random.Generator, shot: float, read: float) -> Pixels:
    """Return the image with shot and read noise, each value looked up in one table: one pass, whatever the strengths.

    The model is that of `shot_noise`; the gaussian is cut into 256 equally likely steps, the outermost at 2.9 deviations.

    Parameters
    ----------
    image
        Grey (H, W) or RGB (H, W, 3), uint8.
    rng
        Decides the noise; the strengths only scale it.
    shot
        Standard deviation of shot noise at full white, as a share of it, in [0, 1].
    read
        Standard deviation of read noise, as a share of full white, in [0, 1]; with both 0 nothing changes.
    """
    check_uint8(image)
    check_number("sensor_noise", shot, 0, 1)
    check_number("sensor_noise", read, 0, 1)
    levels = np.arange(256)[:, None]
    deviations = np.sqrt(shot**2 * 255 * levels + (read * 255) ** 2)
    table = np.clip(np.rint(levels + deviations * _gaussian_steps()), 0, 255).astype(np.uint8)
    steps = np.frombuffer(rng.bytes(image.size), dtype=np.uint8).reshape(image.shape)
    return np.take(table, image.astype(np.uint16) << 8 | steps)


@cache
def _gaussian_steps() -> NDArray[np.float64]:
    """Return the medians of 256 equally likely parts of a standard normal distribution, scaled to a deviation of 1."""
    quantile = NormalDist().inv_cdf
    steps = np.array([quantile((place + 0.5) / 256) for place in range(256)])
    return np.asarray(steps / steps.std(), dtype=np.float64)


def jpeg_compress(image: Pixels, quality: int) -> Pixels:
    """Return the image after JPEG compression and decompression.

    Parameters
    ----------
    image
        Grey (H, W) or RGB (H, W, 3), uint8.
    quality
        libjpeg's, in [1, 100]; 100 is the mildest and still not lossless.

    Raises
    ------
    ImageError
        For a side that JPEG cannot hold.
    """
    check_uint8(image)
    check_number("jpeg_compress", quality, 1, 100)
    if max(image.shape[:2]) > _JPEG_SIDE:
        raise ImageError(
            f"shape {image.shape} does not fit a JPEG", f"each side may have {_JPEG_SIDE} pixels; cut it into tiles"
        )
    colour = image.ndim == 3
    stored = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if colour else np.ascontiguousarray(image)
    _, data = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR if colour else cv2.IMREAD_GRAYSCALE), dtype=np.uint8)
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), dtype=np.uint8) if colour else decoded
