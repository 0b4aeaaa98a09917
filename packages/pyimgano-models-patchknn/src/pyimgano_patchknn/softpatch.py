"""``vision_softpatch``: PatchCore for training images among which some may be defective."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyimgano.errors import DetectorError
from pyimgano_patchknn.base import Matches
from pyimgano_patchknn.options import SoftPatchOptions
from pyimgano_patchknn.outliers import factors_anywhere, factors_by_position
from pyimgano_patchknn.patchcore import PatchCore

logger = logging.getLogger(f"pyimgano.{__name__}")

Features = NDArray[np.float32]


class SoftPatch(PatchCore):
    """SoftPatch (Jiang et al., SoftPatch: Unsupervised Anomaly Detection with Noisy Data, NeurIPS 2022).

    Training patches that stand out, by their local outlier factor in a random projection, are left out of the memory bank. The
    authors compare a patch with those at the same place of other images, which needs aligned parts;
    ``discrimination="anywhere"`` compares it with the nearest patch of each other image, wherever that lies.

    The authors leave out 0.15 of the patches and multiply distances by the factor of the match (``soft_weights=True``). The
    defaults here leave out less and do not weight: with small defects that costs less where the training images are clean.

    Attributes
    ----------
    factors_
        (memory_bank_size_,) float32 outlier factors of the kept patches.
    """

    options: SoftPatchOptions
    streams = False
    factors_: Features

    def _select(self, projected: Features, grids: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
        factors = self._factors(projected, grids)
        bound = np.quantile(factors, 1 - self.options.train_patch_outlier_quantile)
        inside = np.flatnonzero(factors <= bound)
        logger.info("leaving out %d of %d patches that stand out", len(projected) - len(inside), len(projected))
        kept = inside[self._coreset(projected[inside])]
        self.factors_ = factors[kept]
        return kept

    def _factors(self, projected: Features, grids: Sequence[tuple[int, int]]) -> Features:
        k = self._neighbors(len(grids))
        if self.options.discrimination == "anywhere":
            sizes = [height * width for height, width in grids]
            return factors_anywhere(projected, np.repeat(np.arange(len(grids)), sizes), k, self.runtime.seed)
        shapes = sorted(set(grids))
        if len(shapes) > 1:
            raise DetectorError(
                f"patch grids of {shapes[0]} and {shapes[-1]} have no places in common",
                "set resize, or discrimination=anywhere",
            )
        return factors_by_position(projected, len(grids), k)

    def _neighbors(self, images: int) -> int:
        if images < 2:
            raise DetectorError(
                "patches of a single image cannot be compared with those of others",
                "learn from more images, or use vision_patchcore",
            )
        if images <= self.options.lof_neighbors:
            logger.warning("lof_neighbors is lowered to %d: there are only %d images", images - 1, images)
        return min(self.options.lof_neighbors, images - 1)

    def _patch_scores(self, matches: Matches) -> Features:
        if not self.options.soft_weights:
            return super()._patch_scores(matches)
        weighted: Features = (matches.distances * self.factors_[matches.indices]).mean(axis=1)
        return weighted

    def state(self) -> dict[str, NDArray[Any]]:
        return {**super().state(), "factors": self.factors_}

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.factors_ = arrays["factors"]
        super().load_state(arrays)
