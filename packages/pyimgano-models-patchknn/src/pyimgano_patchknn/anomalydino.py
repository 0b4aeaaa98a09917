"""``vision_anomalydino``: the cosine distance of each DINOv2 patch to its nearest neighbours, with few or many images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyimgano.contracts import Runtime
from pyimgano.images import Image
from pyimgano.maps import MapRecipe
from pyimgano.options import parse
from pyimgano_patchknn.base import Matches, PatchEmbedder, PatchKNN
from pyimgano_patchknn.features import PatchFeatures
from pyimgano_patchknn.foreground import foreground_mask
from pyimgano_patchknn.options import AnomalyDINOOptions
from pyimgano_patchknn.rotations import all_rotated
from pyimgano_patchknn.scores import aggregate_patch_scores

if TYPE_CHECKING:
    from pyimgano_patchknn.network import Network

Features = NDArray[np.float32]

FEW = 16
FEW_ROTATIONS = 8


class AnomalyDINO(PatchKNN):
    """AnomalyDINO (Damm et al., AnomalyDINO: Boosting Patch-based Few-shot Anomaly Detection with DINOv2, WACV 2025).

    Patches are the normalised tokens of the last block, compared by 1 - cos. With few images the bank also holds rotated
    copies. The image score is the mean of the most abnormal percent of patches; patches off the part count as 0 in it.

    Parameters
    ----------
    embedder
        Your own patch features, of one layer, instead of a transformer.
    """

    options: AnomalyDINOOptions
    unit = True

    def _new_network(self) -> Network[Any]:
        from pyimgano_patchknn.vit import VisionTransformer

        return VisionTransformer(self.options.backbone, (-1,), self.options.short_side, self.runtime)

    def _recipe(self, size: tuple[int, int]) -> MapRecipe:
        return MapRecipe(size, self.options.smoothing)

    def _augmented(self, images: Iterable[Image], count: int) -> Iterable[Image]:
        return all_rotated(images, self._copies(count))

    def _copies(self, count: int) -> int:
        if self.options.rotations is not None:
            return self.options.rotations
        return FEW_ROTATIONS if count <= FEW else 1

    def _combined(self, grids: Sequence[Features], features: PatchFeatures) -> Features:
        scores = super()._combined(grids, features)
        if not self.options.foreground:
            return scores
        return np.where(foreground_mask(features.layers[-1], self.options.foreground_threshold), scores, np.float32(0))

    def _image_score(self, scores: Features, matches: Sequence[Matches]) -> float:
        return aggregate_patch_scores(scores, self.options.image_score, self.options.topk)


class VisionAnomalyDINO(AnomalyDINO):
    """`AnomalyDINO` from keywords, without the registry: ``VisionAnomalyDINO(embedder=mine, coreset_sampling_ratio=0.5)``.

    Parameters
    ----------
    embedder
        Your own patch features instead of a transformer.
    device, batch_size, amp, seed
        As `pyimgano.create_model`.
    options
        The options of ``vision_anomalydino``, checked as everywhere; ``pyimgano show detector vision_anomalydino`` lists them.
    """

    def __init__(
        self,
        *,
        embedder: PatchEmbedder | None = None,
        device: str = "auto",
        batch_size: int = 16,
        amp: bool = False,
        seed: int = 0,
        **options: Any,
    ) -> None:
        checked = parse(AnomalyDINOOptions, options, "vision_anomalydino", "pyimgano show detector vision_anomalydino")
        super().__init__(checked, Runtime(device=device, batch_size=batch_size, amp=amp, seed=seed), embedder)
