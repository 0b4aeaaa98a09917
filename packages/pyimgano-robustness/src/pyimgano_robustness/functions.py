"""Corruptions as plain functions, for a caller with a generator of its own."""

from __future__ import annotations

from typing import overload

import numpy as np

from pyimgano.augmentation.pixels import Pixels
from pyimgano.contracts import Corruption, NamedCorruption
from pyimgano.contracts.corruption import Mask, P
from pyimgano.options import NoOptions
from pyimgano_robustness.corruptions.fixture import GeoJitter
from pyimgano_robustness.corruptions.lens import Blur
from pyimgano_robustness.corruptions.light import Glare, Lighting
from pyimgano_robustness.corruptions.sensor import Jpeg

SEVERITIES = 5


def apply_lighting(image: Pixels, *, severity: int, rng: np.random.Generator) -> Pixels:
    """Return the image under a light whose exposure, contrast, gamma and colour have drifted.

    Parameters
    ----------
    image
        Grey (H, W) or RGB (H, W, 3), uint8; stays as it is.
    severity
        From 1 to 5; 0 changes nothing.
    rng
        Decides directions and places; equal generators give images that differ in severity only.

    Raises
    ------
    ImageError
        For another shape or dtype.
    OptionsError
        For another severity.
    """
    return _applied("lighting", Lighting, image, severity, rng)


def apply_jpeg(image: Pixels, *, severity: int, rng: np.random.Generator) -> Pixels:
    """Return the image after JPEG of quality 90, 70, 50, 30 or 15; parameters and errors as in `apply_lighting`."""
    return _applied("jpeg", Jpeg, image, severity, rng)


def apply_blur(image: Pixels, *, severity: int, rng: np.random.Generator) -> Pixels:
    """Return the image after a gaussian blur; parameters and errors as in `apply_lighting`."""
    return _applied("blur", Blur, image, severity, rng)


def apply_glare(image: Pixels, *, severity: int, rng: np.random.Generator) -> Pixels:
    """Return the image with reflections of lamps; parameters and errors as in `apply_lighting`."""
    return _applied("glare", Glare, image, severity, rng)


@overload
def apply_geo_jitter(image: Pixels, mask: None = None, *, severity: int, rng: np.random.Generator) -> Pixels: ...


@overload
def apply_geo_jitter(image: Pixels, mask: Mask, *, severity: int, rng: np.random.Generator) -> tuple[Pixels, Mask]: ...


def apply_geo_jitter(
    image: Pixels, mask: Mask | None = None, *, severity: int, rng: np.random.Generator
) -> Pixels | tuple[Pixels, Mask]:
    """Return the image of a part that is turned, shifted and scaled a little, with its mask where one is given.

    `mask` is (H, W) bool and takes the value of the nearest pixel; image and mask are both mirrored at the border. Other
    parameters and errors as in `apply_lighting`.
    """
    corruption = _named("geo_jitter", GeoJitter, moves_pixels=True)
    params = corruption.component.draw(rng, image.shape)
    moved = corruption.apply(image, params, severity)
    return moved if mask is None else (moved, corruption.move(mask, params, severity))


def _applied(name: str, kind: type[Corruption[P]], image: Pixels, severity: int, rng: np.random.Generator) -> Pixels:
    corruption = _named(name, kind)
    return corruption.apply(image, corruption.component.draw(rng, image.shape), severity)


def _named(name: str, kind: type[Corruption[P]], *, moves_pixels: bool = False) -> NamedCorruption:
    return NamedCorruption(kind(NoOptions()), name, f"apply_{name}", None, {}, SEVERITIES, moves_pixels)
