"""Where pretrained weights come from while anomalib builds a model: a file, a package, a download, or nowhere at all."""

from __future__ import annotations

import hashlib
import importlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import getproxies

import huggingface_hub.constants
import timm
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from huggingface_hub.file_download import repo_folder_name
from safetensors.torch import load_file
from torchvision.models import WeightsEnum

from pyimgano.errors import WeightsError
from pyimgano_anomalib.places import LITE0, LITE0_PACKAGE, packaged_lite0

Tensors = Mapping[str, torch.Tensor]
Take = Callable[[torch.nn.Module], None]

_PATIENCE, _SILENCE = 5, 60
"""Seconds to wait for a host, and for how long one that did not answer is left alone."""
_silent_until: dict[str, float] = {}
_building = threading.RLock()


@dataclass(frozen=True)
class Source:
    """Weights of a network by timm's names, and where they come from."""

    tensors: Tensors
    record: Mapping[str, Any]


class _Unfetched(dict[str, torch.Tensor]):
    """Stands for weights that torchvision would fetch; a network that loads it takes those of the block instead."""


def no_pretrained_weights() -> AbstractContextManager[None]:
    """Build networks with random values, whatever weights they ask for: a state dict is loaded over them, or none is wanted.

    A model that asks another library than timm and torchvision is not helped: building it fails where there is no network.
    """
    return _weights_by(lambda _: None)


def pretrained_weights(source: Source | None) -> AbstractContextManager[None]:
    """Build networks with the weights of a source, or with those that the libraries download where it is None."""
    return _without_retries() if source is None else _weights_by(lambda model: _take(model, source))


@contextmanager
def _weights_by(take: Take) -> Iterator[None]:
    """Let `take` give networks their weights: timm and torchvision have one function each through which all of them come."""
    original = torch.nn.Module.load_state_dict

    def load_state_dict(self: Any, state_dict: Any, *args: Any, **settings: Any) -> Any:
        return take(self) if isinstance(state_dict, _Unfetched) else original(self, state_dict, *args, **settings)

    with (
        _building,
        _replaced(importlib.import_module("timm.models._builder"), "load_pretrained", lambda model, *_, **__: take(model)),
        _replaced(WeightsEnum, "get_state_dict", lambda *_, **__: _Unfetched()),
        _replaced(torch.nn.Module, "load_state_dict", load_state_dict),
    ):
        yield


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
    """Where a host of weights does not answer, look at once for what was fetched before, without minutes of retries."""
    if getproxies():  # they may reach what this machine does not
        with _building:
            yield
        return
    fetch = WeightsEnum.get_state_dict

    def fetched(weights: Any, *args: Any, **settings: Any) -> Any:
        if not _in_cache(weights.url) and not _answers(weights.url):
            raise ConnectionError(_silence(weights.url, weights))
        return fetch(weights, *args, **settings)

    with _building, _replaced(WeightsEnum, "get_state_dict", fetched), _hub_at_once():
        yield


@contextmanager
def _hub_at_once() -> Iterator[None]:
    """Keep the model hub to its cache where it does not answer; what is not in there is not built either."""
    hub = huggingface_hub.constants
    if hub.HF_HUB_OFFLINE or _answers(hub.ENDPOINT):
        yield
        return
    create = timm.create_model

    def created(model_name: str, pretrained: bool = False, *args: Any, **settings: Any) -> Any:
        if pretrained and _never_fetched(model_name):
            raise ConnectionError(_silence(hub.ENDPOINT, model_name))
        return create(model_name, pretrained, *args, **settings)

    hub.HF_HUB_OFFLINE = True
    try:
        with _replaced(timm, "create_model", created):
            yield
    except LocalEntryNotFoundError as error:
        raise ConnectionError(_silence(hub.ENDPOINT, "a part of them")) from error
    finally:
        hub.HF_HUB_OFFLINE = False


def _never_fetched(model: str) -> bool:
    """Return whether the hub's cache has no folder for the weights of a timm model."""
    config = timm.get_pretrained_cfg(model)
    if config is None or not config.hf_hub_id:
        return False
    folder = repo_folder_name(repo_id=config.hf_hub_id, repo_type="model")
    return not (Path(huggingface_hub.constants.HF_HUB_CACHE) / folder).is_dir()


def _in_cache(url: str) -> bool:
    """Return whether torch has fetched a file before."""
    return (Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name).is_file()


def _answers(url: str) -> bool:
    """Return whether a host takes connections; one that did not is asked again after a minute."""
    address = urlparse(url)
    host, port = address.hostname or "", address.port or 443
    if time.monotonic() < _silent_until.get(host, 0):
        return False
    try:
        socket.create_connection((host, port), timeout=_PATIENCE).close()
    except OSError:
        _silent_until[host] = time.monotonic() + _SILENCE
        return False
    return True


def _silence(url: str, wanted: object) -> str:
    return f"{wanted} was not fetched before, and {urlparse(url).hostname} does not answer"


def digest(tensors: Tensors) -> str:
    """Return a sha256 over names and values."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        total.update(name.encode())
        total.update(tensors[name].detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
