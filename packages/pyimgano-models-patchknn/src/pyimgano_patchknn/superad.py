"""``vision_superad``: several transformer layers, each with a memory bank of all patches of a few reference images."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyimgano.errors import ImageError
from pyimgano.images import Image, ImageLike, ImageSource
from pyimgano.progress import track
from pyimgano_patchknn.anomalydino import AnomalyDINO
from pyimgano_patchknn.base import Matches
from pyimgano_patchknn.coreset import k_center_greedy
from pyimgano_patchknn.options import SuperADOptions

if TYPE_CHECKING:
    from pyimgano_patchknn.network import Network

logger = logging.getLogger(f"pyimgano.{__name__}")

Features = NDArray[np.float32]


class SuperAD(AnomalyDINO):
    """SuperAD (VAND 3.0 challenge, track 1, CVPR 2025 workshops): AnomalyDINO on several blocks of a large transformer.

    Reference images are a greedy k-centre cover of the training images by class token. The score of a patch in one layer is
    its cosine distance to its k-th nearest neighbour (the authors use the first), its score the mean over the layers.

    Training images are embedded one batch at a time and forgotten, but for their class tokens; the references chosen are
    embedded again, with their rotated copies, so that memory does not grow with the number of images.

    Parameters
    ----------
    embedder
        Your own patch features instead of a transformer: one bank per layer. Without class tokens, images are compared by the
        mean patch of the last layer.

    Attributes
    ----------
    references_
        Indices of the reference images among the training images, sorted.
    """

    options: SuperADOptions
    several_layers = True
    references_: NDArray[np.int64]

    def _new_network(self) -> Network[Any]:
        from pyimgano_patchknn.vit import VisionTransformer

        return VisionTransformer(self.options.backbone, self.options.blocks, self.options.short_side, self.runtime)

    def _learn(self, images: ImageSource) -> None:
        self.references_ = self._choose(images)
        logger.info("learning from %d of %d images", len(self.references_), len(images))
        super()._learn(_Chosen(images, self.references_))

    def _choose(self, images: ImageSource) -> NDArray[np.int64]:
        if len(images) <= self.options.references:
            return np.arange(len(images))
        batches = images.batches(self.runtime.images_per_batch)
        total = -(-len(images) // self.runtime.images_per_batch)
        summaries = [features.summary() for batch in track(batches, "choose", total) for features in self._embed(batch)]
        return np.sort(k_center_greedy(np.stack(summaries), self.options.references, self.runtime.seed))

    def _patch_scores(self, matches: Matches) -> Features:
        return matches.distances[:, -1]

    def state(self) -> dict[str, NDArray[Any]]:
        return {**super().state(), "references": self.references_}

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.references_ = arrays["references"]
        super().load_state(arrays)


class _Chosen(ImageSource):
    """Some images of a source, as it gives them: cut into tiles, changed, or as they are."""

    def __init__(self, images: ImageSource, places: NDArray[np.int64]) -> None:
        super().__init__((), images.workers, images.ahead)
        self._images = images
        self._places = {int(place) for place in places}

    @property
    def untouched(self) -> bool:
        return False

    def __len__(self) -> int:
        return len(self._places)

    def outcomes(self) -> Iterator[tuple[ImageLike, Image | ImageError]]:
        for place, outcome in enumerate(self._images.outcomes()):
            if place in self._places:
                yield outcome
