"""A model's own transform of its input: written down as JSON, built again from a short list of classes, and its geometry."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torchvision.transforms import v2
from torchvision.tv_tensors import BoundingBoxes, BoundingBoxFormat

from pyimgano.errors import BundleError, WeightsError
from pyimgano.images import Image
from pyimgano_anomalib.arguments import plain

_KNOWN = ("Resize", "CenterCrop", "Normalize", "Pad", "ToDtype", "ToImage", "Identity", "Grayscale")
_HALF = 1 / 64


@dataclass(frozen=True)
class Box:
    """What of an image the model sees: left, top, right and bottom in its pixels, outside of it where it was padded."""

    left: float
    top: float
    right: float
    bottom: float

    def covers(self, size: tuple[int, int]) -> bool:
        """Return whether it is just the whole of an image of that (height, width)."""
        height, width = size
        wanted = (0, 0, width, height)
        return all(
            abs(one - other) < 0.01 for one, other in zip((self.left, self.top, self.right, self.bottom), wanted, strict=True)
        )


def pixels_of(image: Image) -> torch.Tensor:
    """Return an RGB image as anomalib reads one, (3, H, W) float32 in [0, 1]."""
    return torch.tensor(image).permute(2, 0, 1).to(torch.float32).div(255)


def described(transform: Any) -> list[dict[str, Any]]:
    """Return a transform as a list of its steps, ``{"name": class, "arguments": {...}}``, which JSON knows.

    Raises
    ------
    WeightsError
        For a step that could not be built again from that.
    """
    return [_step(one) for one in _leaves(transform)]


def _step(transform: Any) -> dict[str, Any]:
    name = type(transform).__name__
    if name not in _known():
        raise WeightsError(
            f"the model transforms its input by {type(transform).__module__}.{name}, which cannot be kept in a bundle",
            f"use a transform of: {', '.join(_known())}",
        )
    names = [one for one in inspect.signature(type(transform).__init__).parameters if one not in ("self", "args", "kwargs")]
    return {"name": name, "arguments": {one: plain(getattr(transform, one)) for one in names if hasattr(transform, one)}}


def rebuilt(steps: Sequence[Mapping[str, Any]]) -> Any:
    """Return the transform that `described` wrote down.

    Raises
    ------
    BundleError
        For a step that is not of the list.
    """
    return v2.Compose([_built(step) for step in steps] or [v2.Identity()])


def _built(step: Mapping[str, Any]) -> Any:
    name, arguments = step.get("name"), dict(step.get("arguments", {}))
    kinds = _known()
    if name not in kinds:
        raise BundleError(f"the transform {name!r} is none of {', '.join(kinds)}", "export the bundle again")
    if "interpolation" in arguments:
        arguments["interpolation"] = v2.InterpolationMode(arguments["interpolation"])
    if "dtype" in arguments:
        arguments["dtype"] = getattr(torch, arguments["dtype"])
    return kinds[name](**arguments)


def of_config(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the steps of a transform as anomalib's checkpoints describe it, by ``class_path`` and ``init_args``."""
    arguments = config.get("init_args", {})
    name = str(config.get("class_path", "")).rpartition(".")[2]
    if name == "Compose":
        return [step for one in arguments.get("transforms", ()) for step in of_config(one)]
    return [{"name": name, "arguments": dict(arguments)}]


def _known() -> dict[str, Any]:
    found = {name: getattr(v2, name) for name in _KNOWN if hasattr(v2, name)}
    try:
        from anomalib.data.transforms import SquarePad
    except ImportError:
        return found
    return {**found, "SquarePad": SquarePad}


def _leaves(transform: Any) -> list[Any]:
    if isinstance(transform, v2.Compose):
        return [leaf for one in transform.transforms for leaf in _leaves(one)]
    return [] if transform is None else [transform]


def head(transform: Any) -> Any:
    """Return the part of a transform up to its first change of size, which changes nothing when it is done again; or None."""
    leaves = _leaves(transform)
    for place, leaf in enumerate(leaves):
        if isinstance(leaf, v2.Resize):
            return v2.Compose(leaves[: place + 1])
    return None


def seen_part(transform: Any, size: tuple[int, int]) -> Box:
    """Return what of an image of that (height, width) is left after resizing, padding and cropping.

    A tiny box in the centre is sent through the transform, which tells how it scales and moves.
    """
    height, width = size
    across, down = width / 2, height / 2
    corners = torch.tensor([[across - _HALF, down - _HALF, across + _HALF, down + _HALF]], dtype=torch.float64)
    boxes = BoundingBoxes(corners, format=BoundingBoxFormat.XYXY, canvas_size=size)
    moved = boxes
    for leaf in _leaves(transform):
        if not isinstance(leaf, (v2.Normalize, v2.ToDtype, v2.Grayscale)):
            moved = _squared(moved) if type(leaf).__name__ == "SquarePad" else leaf(moved)
    left, top, right, bottom = (float(value) for value in moved[0])
    scale_x, scale_y = (right - left) / (2 * _HALF), (bottom - top) / (2 * _HALF)
    rows, columns = moved.canvas_size
    centre_x, centre_y = (left + right) / 2, (top + bottom) / 2
    return Box(
        across - centre_x / scale_x,
        down - centre_y / scale_y,
        across + (columns - centre_x) / scale_x,
        down + (rows - centre_y) / scale_y,
    )


def _squared(boxes: Any) -> Any:
    """Return boxes on the canvas that anomalib's SquarePad makes, which knows images only."""
    height, width = boxes.canvas_size
    side = max(height, width)
    left, top = (side - width) // 2, (side - height) // 2
    return v2.functional.pad(boxes, [left, top, side - width - left, side - height - top])
