"""Vision towers as networks of patchknn: images in, embeddings and patch tokens out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from pyimgano.contracts import Runtime
from pyimgano.errors import WeightsError
from pyimgano.images import Image, resize
from pyimgano_clip.architecture import Architecture, build_vision
from pyimgano_clip.checkpoint import Clip, load_clip
from pyimgano_clip.options import Attention, ClipOptions, EmbedderOptions
from pyimgano_clip.tower import VisionTower
from pyimgano_clip.windows import window_places
from pyimgano_patchknn.features import PatchFeatures
from pyimgano_patchknn.network import Network
from pyimgano_patchknn.precision import reduced_precision

Features = NDArray[np.float32]
Output = TypeVar("Output")

ARCHITECTURE = "architecture"
WINDOWS_AT_ONCE = 2048
"""How many windows go through the transformer at once."""


class ClipNetwork(Network[Output]):
    """The vision tower of a CLIP. Images are scaled to its input without cropping, so that the grid covers them whole.

    Parameters
    ----------
    options
        Which network, and at what size it sees an image.
    """

    def __init__(self, options: ClipOptions, runtime: Runtime) -> None:
        super().__init__(options.backbone, runtime)
        self.options = options
        self._architecture: Architecture | None = None

    def load(self, file: Path | None = None, pretrained: bool = True) -> None:
        """Build the network with the weights that the options name; the arguments, which say the same, are patchknn's."""
        self.use(self.load_whole())

    def load_whole(self) -> Clip:
        """Return the CLIP that the options name, with its text tower; an absent device is an error before anything loads."""
        self.runtime.chosen_device(torch.cuda.is_available())
        return load_clip(self.options, self.runtime.seed)

    def use(self, clip: Clip) -> None:
        """Take the vision tower of a CLIP."""
        self._architecture = clip.architecture
        self.record = clip.record
        self._ready(clip.model.visual)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the weights of the vision tower, and what it takes to build it again."""
        assert self._architecture is not None
        return {**super().state(), ARCHITECTURE: self._architecture.to_array()}

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Build the network with the weights that `state` returned; no file and no download is needed."""
        self._architecture = Architecture.from_array(arrays.get(ARCHITECTURE))
        super().load_state({name: array for name, array in arrays.items() if name != ARCHITECTURE})

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the input: whole patches."""
        if self.options.resize is None:
            return self._tower.native
        sides = zip(self.options.resize, self._tower.patch, strict=True)
        height, width = (max(round(side / patch), 1) * patch for side, patch in sides)
        return height, width

    def _build(self) -> Any:
        assert self._architecture is not None
        return build_vision(self._architecture)

    def _ready(self, model: Any) -> None:
        assert self._architecture is not None
        self.device = torch.device(self.runtime.chosen_device(torch.cuda.is_available()))
        self.reduced = reduced_precision(self.runtime.amp, self.device)
        statistics = (self._architecture.mean, self._architecture.std)
        self._mean, self._std = (torch.tensor(one, device=self.device).mul(255).view(1, 3, 1, 1) for one in statistics)
        self._model = model.eval().to(self.device)
        self._tower = VisionTower(self._model)

    def _resized(self, image: Image) -> Image:
        return resize(image, self.size)

    def _grid(self, inputs: torch.Tensor) -> tuple[int, int]:
        (height, width), (rows, columns) = inputs.shape[-2:], self._tower.patch
        return height // rows, width // columns

    def _forward(self, inputs: torch.Tensor) -> Sequence[Output]:
        outputs: Sequence[Output] = self._run(self._outputs, inputs)
        return outputs

    def _outputs(self, inputs: torch.Tensor) -> Sequence[Output]:
        """Return one output per image of a normalised (N, 3, H, W) batch."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class PromptFeatures:
    """An image as a whole (D,) and its patches (h, w, D), where they are compared with texts; of unit length."""

    image: Features
    patches: Features


class PromptNetwork(ClipNetwork[PromptFeatures]):
    """Image embeddings and patch tokens in the space of texts."""

    def __init__(self, options: ClipOptions, attention: Attention, runtime: Runtime) -> None:
        super().__init__(options, runtime)
        self.attention = attention

    def _outputs(self, inputs: torch.Tensor) -> list[PromptFeatures]:
        tower = self._tower
        before = tower.run(tower.tokens(inputs), 0, -1)
        after = tower.run(before, -1)
        patches = _grids(tower.projected(tower.dense(before, after, self.attention)), self._grid(inputs))
        return [PromptFeatures(*pair) for pair in zip(_array(tower.pooled(after)), patches, strict=True)]


@dataclass(frozen=True, eq=False)
class WindowFeatures:
    """What WinCLIP compares of an image.

    Attributes
    ----------
    image
        (D,) embedding of the whole, of unit length.
    windows
        For each scale (n, D) embeddings of its windows, in the order of `window_places`, of unit length.
    patches
        (h, w, C) tokens of the last block after the final norm, not projected.
    """

    image: Features
    windows: tuple[Features, ...]
    patches: Features


class WindowNetwork(ClipNetwork[WindowFeatures]):
    """Embeddings of an image and of the windows in it: each window goes through the transformer with the class token alone."""

    def __init__(self, options: ClipOptions, sides: Sequence[int], runtime: Runtime) -> None:
        super().__init__(options, runtime)
        self.sides = tuple(sides)

    def _outputs(self, inputs: torch.Tensor) -> list[WindowFeatures]:
        tower, grid = self._tower, self._grid(inputs)
        tokens = tower.tokens(inputs)
        after = tower.run(tokens)
        patches = _grids(tower.normed(after[:, 1:]), grid)
        scales = [_array(self._windows(tokens, window_places(grid, side))) for side in self.sides]
        images = _array(tower.pooled(after))
        return [
            WindowFeatures(images[place], tuple(scale[place] for scale in scales), patches[place])
            for place in range(len(inputs))
        ]

    def _windows(self, tokens: torch.Tensor, places: NDArray[np.int64]) -> torch.Tensor:
        """Return embeddings (N, n, D) of windows that hold the patches `places` (n, k)."""
        columns = torch.from_numpy(places + 1).to(tokens.device)
        rows = max(1, WINDOWS_AT_ONCE // len(places))
        parts = []
        for start in range(0, len(tokens), rows):
            some = tokens[start : start + rows]
            first = some[:, :1].unsqueeze(1).expand(-1, len(places), -1, -1)
            windows = torch.cat([first, some[:, columns]], dim=2).flatten(0, 1)
            parts.append(self._tower.pooled(self._tower.run(windows)).reshape(len(some), len(places), -1))
        return torch.cat(parts)


class PatchNetwork(ClipNetwork[PatchFeatures]):
    """Patch tokens of one block after the final norm, projected or not, and the embedding of the image."""

    options: EmbedderOptions

    def __init__(self, options: EmbedderOptions, runtime: Runtime) -> None:
        super().__init__(options, runtime)

    def _ready(self, model: Any) -> None:
        super()._ready(model)
        depth = len(self._tower.blocks)
        if not -depth <= self.options.block < depth:
            raise WeightsError(f"{self.name} has no block {self.options.block}", f"it has: 0 to {depth - 1}")
        self._chosen = self.options.block % depth

    def _outputs(self, inputs: torch.Tensor) -> list[PatchFeatures]:
        tower, grid = self._tower, self._grid(inputs)
        before = tower.run(tower.tokens(inputs), 0, self._chosen)
        after = tower.run(before, self._chosen, self._chosen + 1)
        tokens = tower.dense(before, after, self.options.attention)
        patches = _grids(tower.projected(tokens) if self.options.projected else tokens, grid)
        whole = _array(tower.pooled(tower.run(after, self._chosen + 1)))
        return [PatchFeatures((grid,), token) for grid, token in zip(patches, whole, strict=True)]


def _array(tensor: torch.Tensor) -> Features:
    array: Features = tensor.float().contiguous().cpu().numpy()
    return array


def _grids(tokens: torch.Tensor, grid: tuple[int, int]) -> Features:
    """Return patch tokens (N, h * w, C) as (N, h, w, C)."""
    return _array(tokens.reshape(len(tokens), *grid, -1))
