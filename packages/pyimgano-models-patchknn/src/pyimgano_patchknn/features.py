"""What an embedder returns, checked: patch features of one image, of one layer or several.

An embedder is any callable from a list of RGB uint8 (H, W, 3) arrays to their features, one entry per image in their order:

- an array (N, h, w, D), or a list of (h, w, D) grids whose sizes may differ: one layer of features (core's `Embedder`);
- a list of `PatchFeatures`: several layers, a class token.

Every detector takes both. Those with one memory bank (PatchCore, SoftPatch, AnomalyDINO) take one layer; SuperAD keeps one
bank per layer. Where a detector compares whole images, it uses the class token, or without one the mean of the last layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyimgano.errors import DetectorError

Features = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PatchFeatures:
    """Patch features of one image.

    Attributes
    ----------
    layers
        One (h, w, D) float32 grid per layer, finite; every grid covers the whole image uniformly.
    token
        (C,) float32: the image as a whole, such as the class token of a transformer.
    """

    layers: tuple[Features, ...]
    token: Features | None = None

    def summary(self) -> Features:
        """Return the token, or without one the mean patch of the last layer."""
        if self.token is not None:
            return self.token
        mean: Features = self.layers[-1].mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
        return mean


Embedded = NDArray[np.float32] | Sequence[NDArray[np.float32]] | Sequence[PatchFeatures]
"""What an embedder returns for a list of images."""


def checked(embedded: Embedded, count: int) -> list[PatchFeatures]:
    """Return what an embedder gave for `count` images as `PatchFeatures`.

    Raises
    ------
    DetectorError
        For another number of entries, for grids that are not (h, w, D), and for values that are not finite.
    """
    if len(embedded) != count:
        raise DetectorError(
            f"the embedder returned {len(embedded)} results for {count} images",
            "return one patch grid per image, in their order",
        )
    return [_checked(entry) for entry in embedded]


def _checked(entry: NDArray[np.float32] | PatchFeatures) -> PatchFeatures:
    features = entry if isinstance(entry, PatchFeatures) else PatchFeatures((entry,))
    layers = tuple(np.asarray(grid, dtype=np.float32) for grid in features.layers)
    for grid in layers or (np.empty(0),):
        if grid.ndim != 3 or not grid.size or not np.isfinite(grid).all():
            raise DetectorError(
                f"patch features must be finite (h, w, D) grids, got shape {grid.shape}"
                f"{' with NaN or infinite values' if grid.size and grid.ndim == 3 else ''}",
                "mend the embedder, or check the weights file",
            )
    token = features.token
    if token is not None:
        token = np.asarray(token, dtype=np.float32)
        if token.ndim != 1 or not np.isfinite(token).all():
            raise DetectorError(f"a class token must be a finite (C,) vector, got shape {token.shape}", "mend the embedder")
    return PatchFeatures(layers, token)
