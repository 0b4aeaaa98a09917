"""Which patches lie on the part, by the first principal component of the image's own features."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]

BORDER = 0.2


def foreground_mask(grid: Features, threshold: float) -> NDArray[np.bool_]:
    """Return where the part is, (h, w).

    Transformer features separate an object from its background along their first principal component (Damm et al.,
    AnomalyDINO, WACV 2025, section 3.3): the part lies more than `threshold` from the mean on one side. A component has no
    sign of its own, so the side is taken that covers more of the centre (the image without a border of a fifth). The mask is
    then widened by one patch and closed. Where no patch lies that far, as in a texture, the whole image is the part.

    Parameters
    ----------
    grid
        (h, w, D) features of one image.
    threshold
        In units of the features.
    """
    height, width = grid.shape[:2]
    patches = grid.reshape(-1, grid.shape[-1]).astype(np.float64)
    centred = patches - patches.mean(axis=0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    along = (centred @ vectors[:, -1]).reshape(height, width)
    rows, columns = int(height * BORDER), int(width * BORDER)
    sides = [(along > threshold), (along < -threshold)]
    mask = max(sides, key=lambda side: int(side[rows : height - rows, columns : width - columns].sum()))
    if not mask.any():
        return np.ones((height, width), dtype=np.bool_)
    square = np.ones((3, 3), np.uint8)
    wide = cv2.morphologyEx(cv2.dilate(mask.astype(np.uint8), square), cv2.MORPH_CLOSE, square)
    return np.asarray(wide) > 0
