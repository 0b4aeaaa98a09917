"""A vision transformer as an embedder: the patch tokens of chosen blocks and the class token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import timm
import torch

from pyimgano.contracts import Runtime
from pyimgano.errors import WeightsError
from pyimgano.images import Image, resize
from pyimgano_patchknn.features import PatchFeatures
from pyimgano_patchknn.network import Network
from pyimgano_patchknn.weights import timm_name

KNOWN = "dinov2_vits14, dinov2_vitb14, dinov2_vitl14, dinov3_vits16"


class VisionTransformer(Network[PatchFeatures]):
    """Normalised patch tokens of one or more blocks, each an (h, w, D) grid, and the class token of the last of them.

    Images keep their aspect ratio: the shorter side is scaled to `short_side`, then both sides to the nearest multiple of the
    patch size, so that the grid covers the whole image (the authors of AnomalyDINO crop to such a multiple instead, and resize
    bicubically). Position embeddings are interpolated to the grid.

    Parameters
    ----------
    name
        Backbone name or timm model name.
    blocks
        Which blocks, counted from 0; -1 is the last.
    short_side
        Length of the shorter side in pixels.
    """

    def __init__(self, name: str, blocks: Sequence[int] | None, short_side: int, runtime: Runtime) -> None:
        super().__init__(name, runtime)
        self.blocks = blocks
        self.short_side = short_side
        self._chosen: list[int] = []
        self._patch = (1, 1)

    def _build(self) -> Any:
        architecture = timm_name(self.name)
        with torch.device("meta"):
            outline = timm.create_model(architecture, pretrained=False)
        if not hasattr(outline, "blocks") or not hasattr(outline, "patch_embed"):
            raise WeightsError(f"{self.name} is not a vision transformer", f"for example: {KNOWN}; timm.list_models('vit*')")
        self._chosen = self._choose(len(outline.blocks))
        height, width = outline.patch_embed.patch_size
        self._patch = (int(height), int(width))
        return timm.create_model(architecture, pretrained=False, num_classes=0, dynamic_img_size=True)

    def _choose(self, depth: int) -> list[int]:
        blocks = quarters(depth) if self.blocks is None else self.blocks
        unknown = [block for block in blocks if not -depth <= block < depth]
        if unknown:
            raise WeightsError(f"{self.name} has no block {unknown[0]}", f"it has: 0 to {depth - 1}")
        return sorted({block % depth for block in blocks})

    def _resized(self, image: Image) -> Image:
        height, width = image.shape[:2]
        scale = self.short_side / min(height, width)
        sides = zip((height, width), self._patch, strict=True)
        rows, columns = (max(round(side * scale / patch), 1) * patch for side, patch in sides)
        return resize(image, (rows, columns))

    def _forward(self, inputs: torch.Tensor) -> list[PatchFeatures]:
        outputs = self._run(
            self._model.forward_intermediates,
            inputs,
            indices=self._chosen,
            return_prefix_tokens=True,
            norm=True,
            stop_early=True,
            intermediates_only=True,
        )
        # a model without prefix tokens returns the grids alone
        pairs = [output if isinstance(output, tuple) else (output, None) for output in outputs]
        grids = [grid.float().permute(0, 2, 3, 1).contiguous().cpu().numpy() for grid, _ in pairs]
        prefix = pairs[-1][1] if getattr(self._model, "cls_token", None) is not None else None
        tokens = None if prefix is None else prefix[:, 0].float().cpu().numpy()
        return [
            PatchFeatures(tuple(grid[place] for grid in grids), None if tokens is None else tokens[place])
            for place in range(len(inputs))
        ]


def quarters(depth: int) -> list[int]:
    """Return the last block of each quarter: 5, 11, 17, 23 of 24."""
    return sorted({max(depth * part // 4 - 1, 0) for part in (1, 2, 3, 4)})
