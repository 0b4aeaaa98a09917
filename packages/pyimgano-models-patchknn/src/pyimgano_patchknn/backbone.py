"""A pretrained network cut off after the layers that are used, as an embedder of patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch.nn import functional

from pyimgano.contracts import Runtime
from pyimgano.errors import DetectorError, WeightsError
from pyimgano.images import Image, resize
from pyimgano_patchknn.weights import Tensors, digest, find_weights, timm_name

STRIDES = (8, 16)


class Backbone:
    """Patch features of one or more layers on the grid of the finest, averaged over a neighbourhood and concatenated.

    Roth et al. 2022, section 3.1: local neighbourhoods are pooled by averaging, coarser layers are enlarged bilinearly. Use
    `load` (pretrained weights) or `load_state` (weights from a bundle) before calling it.

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

    def __init__(
        self, name: str, layers: Sequence[str] | None, size: tuple[int, int] | None, neighborhood: int, runtime: Runtime
    ) -> None:
        self.name = name
        self.layers = layers
        self.size = size
        self.neighborhood = neighborhood
        self.runtime = runtime
        self.record: Mapping[str, Any] | None = None
        self._network: Any = None
        self._device = torch.device("cpu")

    def load(self, file: Path | None, pretrained: bool) -> None:
        """Build the network with pretrained weights, or random ones, and record which."""
        weights = find_weights(self.name, file, pretrained)
        network = self._build()
        if weights.tensors is not None:
            _take(network, weights.tensors, self.name)
        self.record = {**weights.record, "sha256": digest(network.state_dict())}
        self._ready(network)

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Build the network with the weights that `state` returned."""
        network = self._build()
        _take(network, {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}, self.name)
        self._ready(network)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the weights of the layers that are used."""
        return {name: tensor.detach().cpu().numpy() for name, tensor in _used(self._network.state_dict()).items()}

    def _build(self) -> Any:
        architecture = timm_name(self.name)
        with torch.device("meta"):
            info = timm.create_model(architecture, pretrained=False, features_only=True).feature_info
        chosen = self._choose(info.module_name(), info.reduction())
        with torch.random.fork_rng():
            torch.manual_seed(self.runtime.seed)
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

    def _ready(self, network: Any) -> None:
        self._device = _device(self.runtime.device)
        if self.runtime.threads:
            torch.set_num_threads(self.runtime.threads)
        config = network.default_cfg
        self._mean = torch.tensor(config["mean"], device=self._device).mul(255).view(1, 3, 1, 1)
        self._std = torch.tensor(config["std"], device=self._device).mul(255).view(1, 3, 1, 1)
        self._network = network.eval().to(self._device, memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(self, images: Sequence[Image]) -> list[NDArray[np.float32]]:
        """Return one (h, w, D) float32 grid per image, from one forward pass per group of equal size."""
        scaled = [image if self.size is None else resize(image, self.size) for image in images]
        grids: dict[int, NDArray[np.float32]] = {}
        for shape in dict.fromkeys(image.shape for image in scaled):
            places = [place for place, image in enumerate(scaled) if image.shape == shape]
            features = self._forward(np.stack([scaled[place] for place in places]))
            grids.update(zip(places, features, strict=True))
        return [grids[place] for place in range(len(images))]

    def _forward(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        pixels = torch.from_numpy(batch).to(self._device).permute(0, 3, 1, 2)
        inputs = ((pixels.float() - self._mean) / self._std).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self.runtime.amp):
            outputs = self._network(inputs)
        side = self.neighborhood
        averaged = [functional.avg_pool2d(out.float(), side, 1, side // 2) for out in outputs]
        height, width = max((out.shape[-2:] for out in averaged), key=lambda shape: shape[0] * shape[1])
        grids = [
            out
            if out.shape[-2:] == (height, width)
            else functional.interpolate(out, size=(height, width), mode="bilinear", align_corners=False)
            for out in averaged
        ]
        features: NDArray[np.float32] = torch.cat(grids, dim=1).permute(0, 2, 3, 1).contiguous().cpu().numpy()
        return features


def _device(asked: str) -> torch.device:
    if asked == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if asked.startswith("cuda") and not torch.cuda.is_available():
        raise DetectorError(f"device {asked!r} was asked for, but this machine has no usable CUDA device", "use --device cpu")
    return torch.device(asked)


def _used(tensors: Tensors) -> dict[str, torch.Tensor]:
    """Return the tensors that decide features: all but the counters of batch norm."""
    return {name: tensor for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")}


def _take(network: Any, tensors: Tensors, name: str) -> None:
    """Load the tensors that the network has; say what differs if they are another model's."""
    wanted = _used(network.state_dict())
    missing = [key for key in wanted if key not in tensors]
    if missing:
        raise WeightsError(
            f"the weights do not fit {name}: {len(missing)} of {len(wanted)} tensors are missing, the first is {missing[0]}",
            "use weights of the same timm model",
        )
    for key, tensor in wanted.items():
        if tensors[key].shape != tensor.shape:
            raise WeightsError(
                f"the weights do not fit {name}: {key} is {tuple(tensors[key].shape)}, expected {tuple(tensor.shape)}",
                "use weights of the same timm model",
            )
    network.load_state_dict({key: tensors[key] for key in wanted}, strict=False)
