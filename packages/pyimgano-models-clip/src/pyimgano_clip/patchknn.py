"""``vision_openclip_patchknn``: the cosine distance of each CLIP patch token to its nearest normal ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyimgano.maps import MapRecipe
from pyimgano_clip.options import OpenCLIPPatchKNNOptions
from pyimgano_patchknn.base import Matches, PatchKNN
from pyimgano_patchknn.scores import aggregate_patch_scores

if TYPE_CHECKING:
    from pyimgano_patchknn.network import Network

Features = NDArray[np.float32]


class OpenCLIPPatchKNN(PatchKNN):
    """CLIP patch tokens in a memory bank, compared by 1 - cos.

    Parameters
    ----------
    embedder
        Your own patch features, of one layer, instead of a CLIP.
    """

    options: OpenCLIPPatchKNNOptions
    unit = True

    def _new_network(self) -> Network[Any]:
        from pyimgano_clip.network import PatchNetwork

        return PatchNetwork(self.options, self.runtime)

    def _recipe(self, size: tuple[int, int]) -> MapRecipe:
        return MapRecipe(getattr(self._network, "size", size), self.options.smoothing)

    def _image_score(self, scores: Features, matches: Sequence[Matches]) -> float:
        return aggregate_patch_scores(scores, self.options.image_score, self.options.topk)
