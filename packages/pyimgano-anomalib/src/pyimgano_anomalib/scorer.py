"""A trained model of anomalib behind one call: images in, raw scores and maps out."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from pyimgano.contracts import ImageScore
from pyimgano.errors import BundleError, DetectorError
from pyimgano.images import Image
from pyimgano.maps import AnomalyMap
from pyimgano_anomalib.cropped import CroppedMap
from pyimgano_anomalib.models import Description, description_of, fill, rebuilt_model, tensors_of
from pyimgano_anomalib.table import BY_MODEL
from pyimgano_anomalib.transforms import Box, pixels_of, seen_part

Arrays = Mapping[str, NDArray[Any]]

DESCRIPTION = "description"
"""Name of the array that holds JSON, as UTF-8 bytes."""
_TENSOR = "model."


class Scorer(Protocol):
    """What scores images, whatever the file it came from."""

    def __call__(self, images: Sequence[Image]) -> list[ImageScore]: ...

    def state(self) -> dict[str, NDArray[Any]]: ...


class TorchScorer:
    """A model in evaluation mode with its own transform.

    Scores and maps are those before anomalib's normalisation and clamping.
    """

    def __init__(self, module: Any, arguments: Mapping[str, Any], device: torch.device) -> None:
        self.module = module.to(device).eval()
        self.arguments = dict(arguments)
        self.device = device
        self._parts: dict[tuple[int, int], Box] = {}

    @classmethod
    def of_state(cls, arrays: Arrays, wanted: str | None, device: torch.device) -> TorchScorer:
        """Return the scorer that `state` wrote down; `wanted` is the class that it should be of, where only one will do.

        Raises
        ------
        BundleError
            If it is of another class, or lacks its description.
        """
        noted = read_description(arrays)
        description = Description(noted["model"], noted["arguments"], noted["transform"], noted.get("anomalib"))
        if wanted is not None and description.model != wanted:
            raise BundleError(
                f"the state is of anomalib's {description.model}, not of {wanted}",
                f"use {BY_MODEL[description.model].detector}" if description.model in BY_MODEL else "export the bundle again",
            )
        tensors = {name.removeprefix(_TENSOR): array for name, array in arrays.items() if name.startswith(_TENSOR)}
        narrow = frozenset(noted.get("bfloat16", ()))
        module = fill(
            rebuilt_model(description), {name: _tensor(array, name in narrow) for name, array in tensors.items()}, description
        )
        return cls(module, description.arguments, device)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return tensors and description as arrays."""
        description = description_of(self.module, self.arguments)
        tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors_of(self.module).items()}
        narrow = sorted(name for name, tensor in tensors.items() if tensor.dtype == torch.bfloat16)
        noted = {**vars(description), "bfloat16": narrow}
        arrays = {_TENSOR + name: _array(tensor) for name, tensor in tensors.items()}
        return {**arrays, DESCRIPTION: written(noted)}

    def __call__(self, images: Sequence[Image]) -> list[ImageScore]:
        with torch.inference_mode():
            inputs = [self._input(image) for image in images]
            answers: dict[int, ImageScore] = {}
            for shape in dict.fromkeys(one.shape for one in inputs):
                places = [place for place, one in enumerate(inputs) if one.shape == shape]
                for group in [[place] for place in places] if self._apart else [places]:
                    answers |= zip(
                        group, self._answers([inputs[one] for one in group], [images[one] for one in group]), strict=True
                    )
        return [answers[place] for place in range(len(images))]

    def check(self, images: Sequence[Image]) -> None:
        """Raise `DetectorError` if the model gives an image no finite score."""
        for result in self(images):
            if not math.isfinite(result.score):
                raise DetectorError(f"the model gives the score {result.score}")

    @cached_property
    def _apart(self) -> bool:
        return BY_MODEL[type(self.module).__name__].apart

    def _input(self, image: Image) -> torch.Tensor:
        transformed: torch.Tensor = self.module.pre_processor.transform(pixels_of(image))
        return transformed.to(self.device)

    def _answers(self, inputs: Sequence[torch.Tensor], images: Sequence[Image]) -> list[ImageScore]:
        from anomalib.data import ImageBatch

        batch = self.module.predict_step(ImageBatch(image=torch.stack(list(inputs))), 0)
        maps = None if batch.anomaly_map is None else as_maps(batch.anomaly_map.float().cpu().numpy(), len(images))
        scores = None if batch.pred_score is None else batch.pred_score.float().cpu().numpy()
        placed = [None] * len(images) if maps is None else [*map(self._placed, maps, images)]
        return [*map(ImageScore, as_scores(scores, maps, len(images)), placed)]

    def _placed(self, grid: NDArray[np.float32], image: Image) -> AnomalyMap:
        size = (image.shape[0], image.shape[1])
        part = self.seen_part(size)
        if part.covers(size):
            return AnomalyMap(grid, size)
        return CroppedMap(grid, size, box=(part.left, part.top, part.right, part.bottom))

    def seen_part(self, size: tuple[int, int]) -> Box:
        """Return what the model sees of an image of that (height, width)."""
        if size not in self._parts:
            self._parts[size] = seen_part(self.module.pre_processor.transform, size)
        return self._parts[size]


def as_scores(scores: NDArray[Any] | None, maps: Sequence[NDArray[Any]] | None, count: int) -> list[float]:
    """Return one score per image; without any it is the largest value of the map, as anomalib has it."""
    if scores is None:
        if maps is None:
            raise DetectorError("the model gives neither scores nor maps", "it is no anomaly detector")
        return [float(one.max()) for one in maps]
    flat = np.asarray(scores, dtype=np.float64).reshape(-1)
    if len(flat) != count:
        raise DetectorError(f"the model gives scores of shape {scores.shape} for {count} images", "report this as a bug")
    return [float(score) for score in flat]


def as_maps(maps: NDArray[Any], count: int) -> list[NDArray[np.float32]]:
    """Return one (h, w) map per image from (N, h, w) or (N, 1, h, w)."""
    rows, columns = maps.shape[-2:]
    if maps.size != count * rows * columns:
        raise DetectorError(f"the model gives maps of shape {maps.shape} for {count} images", "report this as a bug")
    return list(np.ascontiguousarray(maps.reshape(count, rows, columns), dtype=np.float32))


def written(value: Any) -> NDArray[np.uint8]:
    """Return JSON as an array of bytes."""
    return np.frombuffer(json.dumps(value, sort_keys=True).encode(), dtype=np.uint8)


def read_description(arrays: Arrays) -> dict[str, Any]:
    """Return the JSON of a state.

    Raises
    ------
    BundleError
        If there is none.
    """
    if DESCRIPTION not in arrays:
        raise BundleError("the state does not say which model of anomalib it is", "export the bundle again")
    noted: dict[str, Any] = json.loads(np.asarray(arrays[DESCRIPTION], dtype=np.uint8).tobytes())
    return noted


def _array(tensor: torch.Tensor) -> NDArray[Any]:
    values: NDArray[Any] = (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return values


def _tensor(array: NDArray[Any], narrow: bool) -> torch.Tensor:
    tensor = torch.from_numpy(np.array(array))
    return tensor.view(torch.bfloat16) if narrow else tensor
