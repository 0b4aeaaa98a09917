"""``vision_filterbank``: classical texture statistics per patch, whitened, compared with those of good parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pyimgano.contracts import Detector, ImageScore, Runtime
from pyimgano.detectors.options import FilterBankOptions
from pyimgano.images import Image, ImageSource, resize
from pyimgano.maps import AnomalyMap, MapRecipe
from pyimgano.progress import track

Features = NDArray[np.float32]

ORIENTATIONS = 4
SCALES = (1, 2, 4)
WAVELENGTH = 6.0
_BLOCK = 4096


class FilterBank(Detector):
    """Colour, gradient and Gabor energy at several scales, per patch, whitened by the covariance of normal patches.

    The distance to the mean in whitened space is Mahalanobis's; the distance to the nearest of a seeded sample of normal
    patches also follows surfaces of several kinds. Gabor energy after Jain and Farrokhnia, Pattern Recognition 24, 1991.
    """

    options: FilterBankOptions
    mean_: Features
    whitening_: Features
    bank_: Features

    def __init__(self, options: FilterBankOptions, runtime: Runtime) -> None:
        super().__init__(options, runtime)

    def _fit(self, images: ImageSource) -> None:
        grids = [self._features(image) for image in track(images, "fit", len(images))]
        patches = np.concatenate([grid.reshape(-1, grid.shape[-1]) for grid in grids])
        self.mean_ = patches.mean(axis=0, dtype=np.float64).astype(np.float32)
        self.whitening_ = _whitening(patches - self.mean_, self.options.shrinkage)
        rng = np.random.default_rng(self.runtime.seed)
        chosen = np.sort(rng.permutation(len(patches))[: self.options.bank_size])
        self.bank_ = (patches[chosen] - self.mean_) @ self.whitening_

    def _score(self, images: Sequence[Image]) -> list[ImageScore]:
        return [self._score_one(image) for image in images]

    def _score_one(self, image: Image) -> ImageScore:
        features = self._features(image)
        centred: Features = features.reshape(-1, features.shape[-1]) - self.mean_
        white: Features = np.asarray(centred @ self.whitening_, dtype=np.float32)
        nearest = self.options.distance == "nearest"
        distance = _nearest(white, self.bank_) if nearest else np.linalg.norm(white, axis=1)
        grid = distance.reshape(features.shape[:2]).astype(np.float32)
        recipe = MapRecipe(self.options.resize, self.options.smoothing)
        return ImageScore(
            _mean_of_top(grid, self.options.top_fraction), AnomalyMap(grid, (image.shape[0], image.shape[1]), recipe)
        )

    def _features(self, image: Image) -> Features:
        """Return patch features (h, w, D) of one image."""
        scaled = resize(image, self.options.resize)
        height, width = (max(1, side // self.options.patch) for side in self.options.resize)
        lab: Features = np.asarray(cv2.cvtColor(scaled, cv2.COLOR_RGB2LAB), dtype=np.float32) / np.float32(255)
        channels = [lab[:, :, 0], lab[:, :, 1], lab[:, :, 2]]
        grey = lab[:, :, 0]
        for scale in SCALES:
            size = (max(scaled.shape[1] // scale, 8), max(scaled.shape[0] // scale, 8))
            small = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
            channels += _responses(small)
        pooled = [cv2.resize(channel, (width, height), interpolation=cv2.INTER_AREA) for channel in channels]
        return np.stack(pooled, axis=-1).astype(np.float32)

    def state(self) -> dict[str, NDArray[Any]]:
        return {"mean": self.mean_, "whitening": self.whitening_, "bank": self.bank_}

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.mean_, self.whitening_, self.bank_ = (arrays[name] for name in ("mean", "whitening", "bank"))
        self.mark_fitted()


def _responses(grey: Features) -> list[Features]:
    """Return gradient magnitude, local deviation and Gabor energies of a grey image in [0, 1]."""
    dx = np.asarray(cv2.Sobel(grey, cv2.CV_32F, 1, 0), dtype=np.float32)
    dy = np.asarray(cv2.Sobel(grey, cv2.CV_32F, 0, 1), dtype=np.float32)
    mean, square = cv2.blur(grey, (5, 5)), cv2.blur(grey * grey, (5, 5))
    responses = [np.sqrt(dx * dx + dy * dy), np.sqrt(np.maximum(square - mean * mean, 0))]
    for even, odd in _gabor_pairs():
        real, imaginary = cv2.filter2D(grey, cv2.CV_32F, even), cv2.filter2D(grey, cv2.CV_32F, odd)
        responses.append(np.sqrt(real * real + imaginary * imaginary))
    return [np.asarray(response, dtype=np.float32) for response in responses]


@cache
def _gabor_pairs() -> tuple[tuple[Features, Features], ...]:
    """Return even and odd kernels without mean, one pair per orientation."""
    pairs = []
    for angle in np.arange(ORIENTATIONS) * np.pi / ORIENTATIONS:
        kernels = [
            np.asarray(cv2.getGaborKernel((13, 13), 2.5, float(angle), WAVELENGTH, 0.8, phase, cv2.CV_32F), dtype=np.float32)
            for phase in (0.0, np.pi / 2)
        ]
        even, odd = (kernel - kernel.mean() for kernel in kernels)
        pairs.append((even / np.abs(even).sum(), odd / np.abs(odd).sum()))
    return tuple(pairs)


def _whitening(centred: Features, shrinkage: float) -> Features:
    """Return W with ``centred @ W`` of nearly unit covariance.

    Features are first put on one scale, then their correlation is shrunk towards the identity, so that neither small nor
    constant features decide by their size.
    """
    deviation = np.maximum(centred.std(axis=0, dtype=np.float64), 1e-3)
    scaled = centred / deviation
    correlation = scaled.T @ scaled / len(scaled)
    values, vectors = np.linalg.eigh((1 - shrinkage) * correlation + shrinkage * np.eye(len(correlation)))
    return np.asarray(vectors / np.sqrt(np.maximum(values, 1e-3)) / deviation[:, None], dtype=np.float32)


def _mean_of_top(grid: Features, fraction: float) -> float:
    """Return the mean of the largest values, at least one."""
    count = max(1, round(grid.size * fraction))
    return float(np.partition(grid, grid.size - count, axis=None)[grid.size - count :].mean())


def _nearest(queries: Features, bank: Features) -> Features:
    """Return the Euclidean distance of each query (N, D) to its nearest bank vector, in blocks."""
    norms = (bank * bank).sum(axis=1)
    best = np.empty(len(queries), dtype=np.float32)
    for start in range(0, len(queries), _BLOCK):
        block = queries[start : start + _BLOCK]
        squared = norms - 2 * (block @ bank.T)
        best[start : start + _BLOCK] = squared.min(axis=1) + (block * block).sum(axis=1)
    return np.sqrt(np.maximum(best, 0))
