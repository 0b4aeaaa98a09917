"""``vision_patchcore``: the distance of each patch to its nearest neighbours in a coreset of normal patches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyimgano.maps import MapRecipe
from pyimgano_patchknn.bank import MemoryBank
from pyimgano_patchknn.base import Matches, PatchKNN
from pyimgano_patchknn.options import PatchCoreOptions

if TYPE_CHECKING:
    from pyimgano_patchknn.network import Network

Features = NDArray[np.float32]


class PatchCore(PatchKNN):
    """PatchCore (Roth et al., Towards Total Recall in Industrial Anomaly Detection, CVPR 2022).

    Scores are Euclidean distances, not squared. ``image_score="reweighted"`` is equation 7 of the paper, which the authors'
    code leaves out.

    Parameters
    ----------
    embedder
        Your own patch features, of one layer, instead of a backbone.
    """

    options: PatchCoreOptions

    def _new_network(self) -> Network[Any]:
        from pyimgano_patchknn.backbone import Backbone

        options = self.options
        return Backbone(options.backbone, options.layers, options.resize, options.neighborhood, self.runtime)

    def _recipe(self, size: tuple[int, int]) -> MapRecipe:
        return MapRecipe(self.options.resize or size, self.options.smoothing)

    def _needed(self) -> tuple[str, int]:
        if self.options.image_score == "reweighted" and self.options.reweight_neighbors > self.options.k:
            return "reweight_neighbors", self.options.reweight_neighbors
        return super()._needed()

    def _image_score(self, scores: Features, matches: Sequence[Matches]) -> float:
        score = float(scores.max())
        if self.options.image_score == "reweighted":
            worst = int(scores.argmax())
            score *= _reweighting(self.banks_[0], matches[0].queries[worst], int(matches[0].indices[worst, 0]), self.options)
        return score


def _reweighting(bank: MemoryBank, query: Features, match: int, options: PatchCoreOptions) -> float:
    """Return 1 - softmax of the distance to the match among those to the match's neighbours (equation 7)."""
    _, around = bank.search(bank.vectors[match : match + 1], options.reweight_neighbors)
    distances = np.linalg.norm(bank.vectors[around[0]] - query, axis=1).astype(np.float64)
    nearest = float(np.linalg.norm(bank.vectors[match] - query))
    return float(1 - 1 / np.exp(distances - nearest).sum())
