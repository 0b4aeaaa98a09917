"""``vision_patchcore``: the distance of each patch to its nearest neighbours in a coreset of normal patches."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyimgano.contracts import Detector, Embedder, ImageScore, Runtime
from pyimgano.errors import DetectorError
from pyimgano.images import Image, ImageSource
from pyimgano.maps import AnomalyMap, MapRecipe
from pyimgano.progress import track
from pyimgano_patchknn.coreset import k_center_greedy, random_projection
from pyimgano_patchknn.index import FaissKNNIndex
from pyimgano_patchknn.options import PatchCoreOptions

logger = logging.getLogger(f"pyimgano.{__name__}")

Features = NDArray[np.float32]

BACKBONE = "backbone."


class PatchCore(Detector):
    """PatchCore (Roth et al., Towards Total Recall in Industrial Anomaly Detection, CVPR 2022).

    Scores are Euclidean distances, not squared. ``image_score="reweighted"`` is equation 7 of the paper, which the authors'
    code leaves out.

    Parameters
    ----------
    embedder
        Your own patch features instead of a backbone.
    """

    options: PatchCoreOptions

    def __init__(self, options: PatchCoreOptions, runtime: Runtime, embedder: Embedder | None = None) -> None:
        super().__init__(options, runtime)
        self._embedder = embedder
        self._backbone: Any = None
        self.index_: FaissKNNIndex

    @property
    def memory_bank_size_(self) -> int:
        """Number of patches in the memory bank."""
        return len(self.index_)

    def _fit(self, images: ImageSource) -> None:
        if self._embedder is None:
            self._backbone = self._new_backbone()
            self._backbone.load(self.options.weights, self.options.pretrained)
            self.weights = self._backbone.record
        batches = images.batches(self.runtime.images_per_batch)
        total = -(-len(images) // self.runtime.images_per_batch)
        grids = [grid for batch in track(batches, "features", total) for grid in self._embed(batch)]
        patches = np.concatenate([grid.reshape(-1, grid.shape[-1]) for grid in grids])
        del grids
        self.index_ = FaissKNNIndex(self._coreset(patches), self.runtime.threads)

    def _coreset(self, patches: Features) -> Features:
        keep = max(int(len(patches) * self.options.coreset_sampling_ratio), 1)
        if keep < self.options.k:
            raise DetectorError(
                f"the memory bank would hold {keep} patches, fewer than k={self.options.k}",
                "raise coreset_sampling_ratio, lower k, or learn from more images",
            )
        if keep == len(patches):
            return patches
        logger.info("choosing %d of %d patches", keep, len(patches))
        projected = random_projection(patches, self.options.projection_dim, self.runtime.seed)
        return patches[np.sort(k_center_greedy(projected, keep, self.runtime.seed))]

    def _score(self, images: Sequence[Image]) -> list[ImageScore]:
        grids = self._embed(images)
        queries = np.concatenate([grid.reshape(-1, grid.shape[-1]) for grid in grids])
        distances, indices = self.index_.search(queries, self.options.k)
        patch_scores = distances.mean(axis=1)
        results = []
        start = 0
        for image, grid in zip(images, grids, strict=True):
            part = slice(start, start + grid.shape[0] * grid.shape[1])
            start = part.stop
            scores = patch_scores[part].reshape(grid.shape[:2])
            score = float(scores.max())
            if self.options.image_score == "reweighted":
                worst = start - scores.size + int(scores.argmax())
                score *= self._reweighting(queries[worst], int(indices[worst, 0]))
            size = (image.shape[0], image.shape[1])
            recipe = MapRecipe(self.options.resize or size, self.options.smoothing)
            results.append(ImageScore(score, AnomalyMap(scores, size, recipe)))
        return results

    def _reweighting(self, query: Features, match: int) -> float:
        """Return 1 - softmax of the distance to the match among those to the match's neighbours (equation 7)."""
        neighbours = min(self.options.reweight_neighbors, len(self.index_))
        _, around = self.index_.search(self.index_.bank[match : match + 1], neighbours)
        distances = np.linalg.norm(self.index_.bank[around[0]] - query, axis=1).astype(np.float64)
        nearest = float(np.linalg.norm(self.index_.bank[match] - query))
        return float(1 - 1 / np.exp(distances - nearest).sum())

    def _embed(self, images: Sequence[Image]) -> Sequence[Features]:
        grids = (self._embedder or self._backbone)(images)
        for grid in grids:
            if grid.ndim != 3 or not np.isfinite(grid).all():
                raise DetectorError(f"patch features must be finite (h, w, D) grids, got shape {grid.shape}")
        return [np.asarray(grid, dtype=np.float32) for grid in grids]

    def _new_backbone(self) -> Any:
        from pyimgano_patchknn.backbone import Backbone

        options = self.options
        return Backbone(options.backbone, options.layers, options.resize, options.neighborhood, self.runtime)

    def state(self) -> dict[str, NDArray[Any]]:
        weights = self._backbone.state() if self._backbone is not None else {}
        return {"bank": self.index_.bank, **{BACKBONE + name: array for name, array in weights.items()}}

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        if self._embedder is None:
            self._backbone = self._new_backbone()
            self._backbone.load_state({k.removeprefix(BACKBONE): v for k, v in arrays.items() if k.startswith(BACKBONE)})
        self.index_ = FaissKNNIndex(arrays["bank"], self.runtime.threads)
        self.mark_fitted()
