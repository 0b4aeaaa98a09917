"""Where pretrained weights come from while anomalib builds a model: a file, a package, a download, or nowhere at all."""

from __future__ import annotations

import hashlib
import importlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import getproxies

import huggingface_hub.constants
import torch
from safetensors.torch import load_file
from torchvision.models import WeightsEnum

from pyimgano.errors import WeightsError
from pyimgano_anomalib.places import LITE0, LITE0_PACKAGE, packaged_lite0

Tensors = Mapping[str, torch.Tensor]
Take = Callable[..., None]

_building = threading.RLock()


@dataclass(frozen=True)
class Source:
    """Weights of a network by timm's names, and where they come from."""

    tensors: Tensors
    record: Mapping[str, Any]


class _Untouched(dict[str, torch.Tensor]):
    """Stands for weights that are not fetched: loading them leaves a network as it is."""


@contextmanager
def no_pretrained_weights() -> Iterator[None]:
    """Build networks with random values, whatever weights they ask for: a state dict is loaded over them.

    timm and torchvision have one function each through which all pretrained weights come. A model that asks another library is
    not helped: building it fails where there is no network.
    """
    original = torch.nn.Module.load_state_dict

    def load_state_dict(self: Any, state_dict: Any, *args: Any, **kwargs: Any) -> Any:
        return None if isinstance(state_dict, _Untouched) else original(self, state_dict, *args, **kwargs)

    with (
        _building,
        _timm_loads_by(lambda *_, **__: None),
        _replaced(WeightsEnum, "get_state_dict", lambda *_, **__: _Untouched()),
        _replaced(torch.nn.Module, "load_state_dict", load_state_dict),
    ):
        yield


@contextmanager
def pretrained_weights(source: Source | None) -> Iterator[None]:
    """Build networks with the weights of a source, or with those that the libraries download where it is None."""
    if source is None:
        with _building, _without_retries():
            yield
        return

    def take(model: Any, *_: Any, **__: Any) -> None:
        _take(model, source)

    with _building, _timm_loads_by(take):
        yield


def _timm_loads_by(function: Take) -> AbstractContextManager[None]:
    return _replaced(importlib.import_module("timm.models._builder"), "load_pretrained", function)


@contextmanager
def _replaced(owner: Any, name: str, value: Callable[..., Any]) -> Iterator[None]:
    """Let a function do something else for this thread while the block runs."""
    before, thread = getattr(owner, name), threading.get_ident()

    def chosen(*args: Any, **settings: Any) -> Any:
        return (value if threading.get_ident() == thread else before)(*args, **settings)

    setattr(owner, name, chosen)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _take(model: Any, source: Source) -> None:
    """Load all tensors that a network has; those of a classifier that was left off are left out."""
    wanted = model.state_dict()
    wrong = [
        name
        for name, tensor in wanted.items()
        if not name.endswith("num_batches_tracked")
        and (name not in source.tensors or source.tensors[name].shape != tensor.shape)
    ]
    if wrong:
        raise WeightsError(
            f"the weights in {source.record.get('file')} are another network's: {len(wrong)} of {len(wanted)} tensors are "
            f"missing or of another shape, the first is {wrong[0]}",
            "use weights of the same timm model",
        )
    model.load_state_dict({name: source.tensors[name] for name in wanted if name in source.tensors}, strict=False)


def find_source(file: Path | None, backbone: Any) -> Source | None:
    """Return the weights in a file, or those of a backbone that a package ships; None where the libraries have to get them."""
    if file is not None:
        return Source(_read(file), {"source": "file", "file": file.name})
    path = packaged_lite0() if str(backbone).partition(".")[0] == LITE0 else None
    return None if path is None else _of_package(path)


def _of_package(path: Path) -> Source:
    """Return the weights of Lite0; the package's tensors have timm's order and shapes under other names."""
    import timm

    tensors = list(_read(path).values())
    with torch.device("meta"):
        target = timm.create_model(LITE0, pretrained=False).state_dict()
    if [tensor.shape for tensor in tensors] != [tensor.shape for tensor in target.values()]:
        raise WeightsError(f"{path} does not hold EfficientNet-Lite0", f"install {LITE0_PACKAGE} again")
    record = {
        "source": f"package {LITE0_PACKAGE} {metadata.version(LITE0_PACKAGE)}",
        "file": path.name,
        "licence": "Apache-2.0",
        "trained_on": "ImageNet-1k",
    }
    return Source(dict(zip(target, tensors, strict=True)), record)


def _read(path: Path) -> Tensors:
    """Return the tensors of a file; code in it is never run."""
    if not path.is_file():
        raise WeightsError(f"weights file {path} does not exist", "check -o backbone_weights=FILE")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many types for a damaged or foreign file
        raise _unreadable(path, error) from None
    content = content.get("state_dict", content) if isinstance(content, Mapping) else content
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise WeightsError(f"{path} does not hold a state dict", "save model.state_dict(), as .safetensors")
    return content


def _unreadable(path: Path, error: Exception) -> WeightsError:
    reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
    return WeightsError(f"{path} is no readable file of weights: {reason}", "save the state dict alone, as .safetensors")


@contextmanager
def _without_retries() -> Iterator[None]:
    """Where the model hub does not answer, look in its cache at once, without minutes of retries."""
    if getproxies() or huggingface_hub.constants.HF_HUB_OFFLINE or _hub_answers():
        yield
        return
    huggingface_hub.constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        huggingface_hub.constants.HF_HUB_OFFLINE = False


def _hub_answers() -> bool:
    address = urlparse(huggingface_hub.constants.ENDPOINT)
    try:
        socket.create_connection((address.hostname or "", address.port or 443), timeout=5).close()
    except OSError:
        return False
    return True


def digest(tensors: Tensors) -> str:
    """Return a sha256 over names and values."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        total.update(name.encode())
        total.update(tensors[name].detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
