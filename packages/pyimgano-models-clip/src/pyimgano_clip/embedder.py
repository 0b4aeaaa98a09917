"""CLIP patch tokens for your own use, and for any detector that takes an embedder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyimgano.contracts import Runtime
from pyimgano.images import Image, ImageLike, load
from pyimgano.options import parse
from pyimgano_clip.network import PatchNetwork
from pyimgano_clip.options import EmbedderOptions
from pyimgano_patchknn.features import PatchFeatures

Features = NDArray[np.float32]


class PatchEmbedding(NamedTuple):
    """Patch tokens of an image.

    Attributes
    ----------
    patches
        (h * w, D) float32, row by row from the top left.
    grid
        (h, w); it covers the whole image uniformly.
    original_size
        (H, W) of the image.
    """

    patches: Features
    grid: tuple[int, int]
    original_size: tuple[int, int]


class OpenCLIPViTPatchEmbedder:
    """Patch tokens of a CLIP: ``create_model("vision_patchcore", embedder=OpenCLIPViTPatchEmbedder())``.

    Weights are loaded when the first image comes.

    Parameters
    ----------
    device, amp, seed
        As `pyimgano.create_model`.
    options
        Fields of `EmbedderOptions`: backbone, tag or weights, resize, block, projected, attention.
    """

    def __init__(self, *, device: str = "auto", amp: bool = False, seed: int = 0, **options: Any) -> None:
        self.options = parse(EmbedderOptions, options, type(self).__name__)
        self._network = PatchNetwork(self.options, Runtime(device=device, amp=amp, seed=seed))

    @property
    def record(self) -> Mapping[str, Any] | None:
        """Where the weights come from, once they are loaded."""
        return self._network.record

    def embed(self, image: ImageLike) -> PatchEmbedding:
        """Return the patch tokens of one image: a path, or an RGB array."""
        pixels = load(image)
        grid = self([pixels])[0].layers[0]
        height, width, channels = grid.shape
        return PatchEmbedding(grid.reshape(-1, channels), (height, width), (pixels.shape[0], pixels.shape[1]))

    def __call__(self, images: Sequence[Image]) -> list[PatchFeatures]:
        """Return the features of RGB uint8 (H, W, 3) arrays, one per image in their order."""
        if self._network.record is None:
            self._network.load()
        return self._network(images)
