"""A vision transformer of open_clip, run step by step: no hook is needed to get at its patch tokens, and none is set."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from pyimgano_clip.options import Attention


class VisionTower:
    """Class token, patch tokens and embeddings of a vision transformer; shares the modules of `visual`.

    Tokens (N, 1 + h * w, C) have the class token first, then the patches row by row. What is compared with text gets the final
    norm, the projection into the space of texts, and unit length, in this order: exactly what open_clip does to the pooled
    token of a whole image.

    Parameters
    ----------
    visual
        open_clip's VisionTransformer, pooled by class token or by average.
    """

    def __init__(self, visual: Any) -> None:
        self.visual = visual
        self.patch: tuple[int, int] = tuple(visual.patch_size)
        self.native: tuple[int, int] = tuple(visual.image_size)
        self.blocks = visual.transformer.resblocks

    def tokens(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return what the first block gets for normalised images (N, 3, H, W).

        Position embeddings are interpolated where the grid is not that of the training.
        """
        visual = self.visual
        patches = visual.conv1(inputs)
        height, width = patches.shape[-2:]
        patches = patches.flatten(2).transpose(1, 2)
        first = visual.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
        tokens = torch.cat([first, patches], dim=1) + self._positions(height, width).to(patches.dtype)
        return visual.ln_pre(tokens)  # type: ignore[no-any-return]

    def _positions(self, height: int, width: int) -> torch.Tensor:
        positions: torch.Tensor = self.visual.positional_embedding
        rows, columns = self.visual.grid_size
        if (height, width) == (rows, columns):
            return positions
        grid = positions[1:].reshape(1, rows, columns, -1).permute(0, 3, 1, 2).float()
        grid = functional.interpolate(grid, size=(height, width), mode="bicubic", antialias=True, align_corners=False)
        return torch.cat([positions[:1], grid.flatten(2).transpose(1, 2)[0].to(positions.dtype)])

    def run(self, tokens: torch.Tensor, first: int = 0, last: int | None = None) -> torch.Tensor:
        """Return the tokens after the blocks [first, last)."""
        for block in self.blocks[first:last]:
            tokens = block(tokens)
        return tokens

    def value_attended(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the tokens after the last block with value-value attention instead of its own.

        Each token gathers the values of the tokens with similar values, softmax(V V^T / sqrt(d)) V, and the feed-forward part
        is left out: trained for the class token, both move patch tokens away from the texts that describe them (Li et al.,
        CLIP Surgery, 2023, sections 3.2 and 3.3).
        """
        block = self.blocks[-1]
        attention = block.attn
        width = attention.embed_dim
        weight, bias = attention.in_proj_weight[2 * width :], attention.in_proj_bias[2 * width :]
        values = functional.linear(block.ln_1(tokens), weight, bias)
        heads = values.reshape(*values.shape[:2], attention.num_heads, -1).transpose(1, 2)
        gathered = functional.scaled_dot_product_attention(heads, heads, heads).transpose(1, 2).flatten(2)
        return tokens + block.ls_1(attention.out_proj(gathered))  # type: ignore[no-any-return]

    def normed(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return tokens after the final norm, (..., C)."""
        return self.visual.ln_post(tokens)  # type: ignore[no-any-return]

    def projected(self, normed: torch.Tensor) -> torch.Tensor:
        """Return normed tokens in the space of texts, with unit length, (..., D) float32."""
        proj = self.visual.proj
        return functional.normalize((normed if proj is None else normed @ proj).float(), dim=-1)

    def pooled(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the embeddings of whole images from the tokens after the last block, (N, D), of unit length."""
        if self.visual.final_ln_after_pool:
            return self.projected(self.normed(self._pool(tokens)))
        return self.projected(self._pool(self.normed(tokens)))

    def _pool(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens[:, 1:].mean(dim=1) if self.visual.pool_type == "avg" else tokens[:, 0]

    def dense(self, before_last: torch.Tensor, after_last: torch.Tensor, attention: Attention) -> torch.Tensor:
        """Return the patch tokens after the final norm, (N, h * w, C), from the tokens before and after the last block."""
        tokens = self.value_attended(before_last) if attention == "value" else after_last
        return self.normed(tokens[:, 1:])
