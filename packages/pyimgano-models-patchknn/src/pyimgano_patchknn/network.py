"""What pretrained networks share: loading, provenance, device, state, and forward passes of images of equal size."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from pyimgano.contracts import Runtime
from pyimgano.errors import WeightsError
from pyimgano.images import Image, batched
from pyimgano_patchknn.fusion import fused
from pyimgano_patchknn.precision import reduced_precision
from pyimgano_patchknn.weights import Tensors, digest, find_weights

Output = TypeVar("Output")

PIXELS_AT_ONCE = 1 << 18
"""How many input pixels go through the network at once on a processor: more take memory and measured no faster."""


class Network(ABC, Generic[Output]):
    """A timm model as an embedder. Use `load` (pretrained weights) or `load_state` (from a bundle) before calling it.

    Attributes
    ----------
    record
        Where the weights come from, once they are loaded.
    device, reduced
        Where it runs, and whether in bfloat16, from then on.
    """

    other_way: ClassVar[str] = ""
    """A way to get weights offline beyond a file, for the error that says how."""

    def __init__(self, name: str, runtime: Runtime) -> None:
        self.name = name
        self.runtime = runtime
        self.record: Mapping[str, Any] | None = None
        self.device = torch.device("cpu")
        self.reduced = False
        self._model: Any = None

    @abstractmethod
    def _build(self) -> Any:
        """Return the timm model, with random initial values."""

    @abstractmethod
    def _resized(self, image: Image) -> Image:
        """Return the image at the size that the network sees."""

    @abstractmethod
    def _forward(self, inputs: torch.Tensor) -> Sequence[Output]:
        """Return one output per image of a normalised (N, 3, H, W) batch."""

    def load(self, file: Path | None, pretrained: bool) -> None:
        """Build the network with pretrained weights, or random ones, and record which."""
        weights = find_weights(self.name, file, pretrained, self.other_way)
        model = self._seeded()
        if weights.tensors is not None:
            _take(model, weights.tensors, self.name)
        self.record = {**weights.record, "sha256": digest(model.state_dict())}
        self._ready(fused(model))

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Build the network with the weights that `state` returned."""
        model = self._seeded()
        if not _used(model.state_dict()).keys() <= arrays.keys():
            model = fused(model)
        _take(model, {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}, self.name)
        self._ready(model)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the weights of the layers that are used, batch norm folded in."""
        weights = _used(self._model.state_dict())
        return {name: np.ascontiguousarray(tensor.detach().cpu().numpy()) for name, tensor in weights.items()}

    def _seeded(self) -> Any:
        with torch.random.fork_rng():
            torch.manual_seed(self.runtime.seed)
            return self._build().eval()

    def _ready(self, model: Any) -> None:
        self.device = torch.device(self.runtime.chosen_device(torch.cuda.is_available()))
        self.reduced = reduced_precision(self.runtime.amp, self.device)
        config = model.default_cfg
        self._mean = torch.tensor(config["mean"], device=self.device).mul(255).view(1, 3, 1, 1)
        self._std = torch.tensor(config["std"], device=self.device).mul(255).view(1, 3, 1, 1)
        self._model = model.to(self.device, memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(self, images: Sequence[Image]) -> list[Output]:
        """Return one output per image, from forward passes of images of equal size."""
        scaled = [self._resized(image) for image in images]
        outputs: dict[int, Output] = {}
        for height, width, _ in dict.fromkeys(image.shape for image in scaled):
            places = [place for place, image in enumerate(scaled) if image.shape[:2] == (height, width)]
            at_once = max(1, PIXELS_AT_ONCE // (height * width)) if self.device.type == "cpu" else len(places)
            for group in batched(places, at_once):
                outputs.update(zip(group, self._forward(self._inputs([scaled[place] for place in group])), strict=True))
        return [outputs[place] for place in range(len(images))]

    def _inputs(self, images: Sequence[Image]) -> torch.Tensor:
        """Return images of equal size as a normalised (N, 3, H, W) batch."""
        batch = torch.from_numpy(np.stack(images)).to(self.device).permute(0, 3, 1, 2)
        return ((batch.float() - self._mean) / self._std).contiguous(memory_format=torch.channels_last)

    def _run(self, function: Any, inputs: torch.Tensor, **settings: Any) -> Any:
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.reduced):
            return function(inputs, **settings)


def _used(tensors: Tensors) -> dict[str, torch.Tensor]:
    """Return the tensors that decide features: all but the counters of batch norm."""
    return {name: tensor for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")}


def _take(model: Any, tensors: Tensors, name: str) -> None:
    """Load the tensors that the network has; say what differs if they are another model's."""
    wanted = _used(model.state_dict())
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
    model.load_state_dict({key: tensors[key] for key in wanted}, strict=False)
