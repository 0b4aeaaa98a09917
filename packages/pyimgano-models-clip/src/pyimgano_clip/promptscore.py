"""``vision_openclip_promptscore``: an image and its patches compared with phrases, before any part has been seen."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyimgano_clip.detector import PromptDetector
from pyimgano_clip.network import ClipNetwork, PromptFeatures, PromptNetwork
from pyimgano_clip.options import OpenCLIPPromptScoreOptions
from pyimgano_patchknn.scores import aggregate_patch_scores


class OpenCLIPPromptScore(PromptDetector[PromptFeatures]):
    """Zero-shot: the probability of the defective phrases against the good ones, of the image and of each patch.

    ``fit()`` needs no images and looks at none; thresholds are calibrated on normal images as everywhere.
    """

    options: OpenCLIPPromptScoreOptions
    needs_images = False

    def _new_network(self) -> ClipNetwork[PromptFeatures]:
        return PromptNetwork(self.options, self.options.attention, self.runtime)

    def _scored(self, features: PromptFeatures) -> tuple[float, NDArray[np.floating[Any]]]:
        patches = self._probability(features.patches)
        if self.options.image_score == "image":
            return float(self._probability(features.image)), patches
        return aggregate_patch_scores(patches, self.options.image_score, self.options.topk), patches
