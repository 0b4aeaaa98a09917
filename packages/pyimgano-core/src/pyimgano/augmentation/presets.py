"""Augmentations for training, made of the others, in the order in which light becomes a file."""

from __future__ import annotations

from pyimgano.augmentation.base import Compose, RandomApply
from pyimgano.augmentation.transforms import (
    Brightness,
    ChannelGain,
    Gamma,
    GaussianBlur,
    Glare,
    JpegCompression,
    ShotNoise,
    Vignette,
)


def get_industrial_camera_robust_augmentation() -> Compose:
    """Return what tells cameras of one model apart: white balance, exposure, vignetting, noise and JPEG, all mild.

    Call it as ``augmentation(image, rng)`` with an RGB or grey uint8 image and a ``numpy.random.Generator``.
    """
    return Compose(
        (
            ChannelGain(0.06),
            Vignette((0.0, 0.25)),
            RandomApply(ShotNoise((0.0, 0.03))),
            Brightness((-0.06, 0.06)),
            Gamma((0.85, 1.18)),
            RandomApply(JpegCompression(50, 95)),
        )
    )


def get_industrial_drift_augmentation() -> Compose:
    """Return what happens to a line over months: stray light, a lens out of focus, lamps that age, coarser JPEG.

    Call it as ``augmentation(image, rng)`` with an RGB or grey uint8 image and a ``numpy.random.Generator``.
    """
    return Compose(
        (
            RandomApply(Glare(2, (0.2, 0.6)), 0.3),
            RandomApply(GaussianBlur((0.3, 1.5))),
            ChannelGain(0.1),
            Gamma((0.75, 1.33)),
            RandomApply(JpegCompression(30, 90)),
        )
    )
