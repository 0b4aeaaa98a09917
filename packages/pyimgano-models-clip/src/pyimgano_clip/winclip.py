"""``vision_winclip``: windows at several scales compared with phrases, and with a few reference images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyimgano.contracts import Runtime
from pyimgano.images import Image, ImageSource, batched
from pyimgano.progress import track
from pyimgano_clip.detector import PromptDetector, under
from pyimgano_clip.network import ClipNetwork, WindowFeatures, WindowNetwork
from pyimgano_clip.options import WinCLIPOptions
from pyimgano_clip.windows import harmonic_mean, spread
from pyimgano_patchknn.bank import MemoryBank, Scaling
from pyimgano_patchknn.searcher import Searcher

Features = NDArray[np.float32]
Scores = NDArray[np.float64]

_UNIT = Scaling(unit=True)
_BANK = "reference"


class WinCLIP(PromptDetector[WindowFeatures]):
    """WinCLIP (Jeong et al., WinCLIP: Zero-/Few-Shot Anomaly Classification and Segmentation, CVPR 2023).

    A patch's score is the harmonic mean over the windows that it lies in, then over the scales and the image. With references,
    half of it is the mean association with them: 0.5 (1 - cos) to the most similar reference window of each scale, and to the
    most similar reference patch; the image score is then the mean of the zero-shot one and the largest association.

    Attributes
    ----------
    references_
        Indices of the reference images among the training images, sorted.
    """

    options: WinCLIPOptions

    def __init__(self, options: WinCLIPOptions, runtime: Runtime) -> None:
        super().__init__(options, runtime)
        self.needs_images = options.references > 0
        self.references_: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._banks: list[MemoryBank] = []

    def _new_network(self) -> ClipNetwork[WindowFeatures]:
        return WindowNetwork(self.options, self.options.windows, self.runtime)

    def _learn(self, images: ImageSource) -> None:
        count = min(self.options.references, len(images))
        chosen = np.random.default_rng(self.runtime.seed).choice(len(images), count, replace=False)
        self.references_ = np.sort(chosen).astype(np.int64)
        self._banks = self._memorised(_taken(images, self.references_)) if count else []

    def _memorised(self, references: Sequence[Image]) -> list[MemoryBank]:
        """Return a bank of the windows of each scale, then one of the patches."""
        size = self.runtime.images_per_batch
        batches = track(batched(references, size), "references", -(-len(references) // size))
        embedded = [features for batch in batches for features in self._embed(batch)]
        scales = [np.concatenate(rows) for rows in zip(*(features.windows for features in embedded), strict=True)]
        patches = np.concatenate([features.patches.reshape(-1, features.patches.shape[-1]) for features in embedded])
        return [MemoryBank.of(_UNIT(vectors), _UNIT, self._searcher()) for vectors in (*scales, patches)]

    def _searcher(self) -> Searcher:
        assert self._network is not None
        return Searcher("exact", self.runtime.seed, str(self._network.device), self._network.reduced)

    def _scored(self, features: WindowFeatures) -> tuple[float, Scores]:
        whole = float(self._probability(features.image))
        zero_shot = self._zero_shot(features, whole)
        if not self._banks:
            return whole, zero_shot
        association = self._association(features)
        return (whole + float(association.max())) / 2, (zero_shot + association) / 2

    def _zero_shot(self, features: WindowFeatures, whole: float) -> Scores:
        grid, epsilon = _grid(features), self.options.epsilon
        scales = [
            spread(self._probability(windows), grid, side, epsilon)
            for windows, side in zip(features.windows, self.options.windows, strict=True)
        ]
        return harmonic_mean(np.stack([*scales, np.full(grid, whole)]), epsilon)

    def _association(self, features: WindowFeatures) -> Scores:
        """Return how far each patch is from the references, (h, w) in [0, 1]."""
        grid = _grid(features)
        *scales, patches = self._banks
        maps = [
            spread(_apart(bank, windows), grid, side, self.options.epsilon)
            for bank, windows, side in zip(scales, features.windows, self.options.windows, strict=True)
        ]
        alone = _apart(patches, features.patches.reshape(-1, features.patches.shape[-1]))
        return np.asarray(np.mean([*maps, alone.reshape(grid)], axis=0))

    def state(self) -> dict[str, NDArray[Any]]:
        arrays = {**super().state(), "references": self.references_}
        for place, bank in enumerate(self._banks):
            arrays |= {f"{_BANK}{place}.{name}": array for name, array in bank.state().items()}
        return arrays

    def _restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.references_ = arrays["references"]
        count = len(self.options.windows) + 1 if len(self.references_) else 0
        states = [under(arrays, f"{_BANK}{place}.") for place in range(count)]
        self._banks = [MemoryBank.from_state(state, True, self._searcher()) for state in states]


def _apart(bank: MemoryBank, vectors: Features) -> Scores:
    """Return 0.5 (1 - cos) of vectors (n, D) to the most similar reference, (n,) in [0, 1]."""
    distances, _ = bank.search(_UNIT(vectors), 1)
    return distances[:, 0].astype(np.float64) / 2


def _grid(features: WindowFeatures) -> tuple[int, int]:
    return features.patches.shape[0], features.patches.shape[1]


def _taken(images: ImageSource, places: NDArray[np.int64]) -> list[Image]:
    """Return the images at sorted places, with whatever the source does to its images."""
    wanted = set(places.tolist())
    taken = []
    for place, image in enumerate(images):
        if place in wanted:
            taken.append(image)
        if len(taken) == len(wanted):
            break
    return taken
