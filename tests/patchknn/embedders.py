"""Embedders and images of the tests' own making, small enough that every number can be worked out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyimgano_patchknn import PatchFeatures


def grid_of_means(image: np.ndarray, side: int = 8) -> np.ndarray:
    """Return the mean colour of every side x side patch that is whole."""
    height, width = image.shape[0] // side, image.shape[1] // side
    return image[: height * side, : width * side].reshape(height, side, width, side, 3).mean(axis=(1, 3), dtype=np.float32)


def patch_means(images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Embed each 8x8 patch as its mean colour."""
    return [grid_of_means(image) for image in images]


def two_layers(images: Sequence[np.ndarray]) -> list[PatchFeatures]:
    """Embed patches of 8 and of 16 pixels as mean colours, and the image as its darkest and brightest value."""
    return [
        PatchFeatures((grid_of_means(image), grid_of_means(image, 16)), np.array([image.min(), image.max()], dtype=np.float32))
        for image in images
    ]


def texture(seed: int, height: int = 64, width: int = 96) -> np.ndarray:
    """Return a noisy grey surface."""
    return np.random.default_rng(seed).integers(100, 140, (height, width, 3)).astype(np.uint8)


def colourful(seed: int) -> np.ndarray:
    """Return noise of all colours, (64, 96, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (64, 96, 3)).astype(np.uint8)


def textures(count: int, height: int = 64, width: int = 96) -> list[np.ndarray]:
    """Return `count` noisy grey surfaces."""
    return [texture(number, height, width) for number in range(count)]


def rows_of(images: Sequence[np.ndarray]) -> np.ndarray:
    """Return all patches of `patch_means`, (N, 3) float64."""
    return np.concatenate([grid.reshape(-1, 3) for grid in patch_means(images)]).astype(np.float64)
