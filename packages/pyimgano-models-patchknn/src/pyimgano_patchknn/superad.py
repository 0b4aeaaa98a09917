"""``vision_superad``: several transformer layers, each with a memory bank of all patches of a few reference images."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyimgano.images import ImageSource
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
        chosen = ImageSource([images.items[place] for place in self.references_])
        super()._learn(chosen)

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
