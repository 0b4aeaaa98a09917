"""Checkpoints of anomalib: read without running code in them, unless their user says that they are trusted."""

from __future__ import annotations

import pathlib
import pickle
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from pyimgano.errors import WeightsError
from pyimgano_anomalib.arguments import plain
from pyimgano_anomalib.library import quiet, version
from pyimgano_anomalib.models import Description, tensors_of, whose
from pyimgano_anomalib.pretrained import Tensors
from pyimgano_anomalib.table import BY_MODEL
from pyimgano_anomalib.transforms import described, of_config, rebuilt

_PREFIX = "model."
_AGAIN = "copy the file again from its source, or train again"
_TRUST = (
    "loading it would run that as code: with -o trust_checkpoint=true whoever made the file can do anything that you can; "
    "say so only for a file of your own or of someone you trust"
)
_ALLOWED = (
    "anomalib:PrecisionType",
    "anomalib.models.components.classification.kde_classifier:FeatureScalingMethod",
    "anomalib.models.image.efficient_ad.torch_model:EfficientAdModelSize",
    "anomalib.models.image.reverse_distillation.anomaly_map:AnomalyMapGenerationMode",
)
"""Types of arguments, beside plain data and tensors, that a checkpoint may hold."""


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds: a model as plain data, and its tensors."""

    description: Description
    tensors: Tensors


def read_checkpoint(path: Path, wanted: str | None, trust: bool) -> Checkpoint:
    """Return what is in a Lightning checkpoint (.ckpt), or in a torch export (.pt), which has to be trusted.

    Parameters
    ----------
    wanted
        Class that it must be of; None where it may be any.
    trust
        Whether code in the file may run.

    Raises
    ------
    WeightsError
        For a file that is missing, empty, damaged, of another class or another version, and for one that has to be trusted.
    """
    content = _content(path, trust)
    if "model" in content and "state_dict" not in content:
        return _of_module(content["model"], path, wanted)
    if "state_dict" not in content or "hyper_parameters" not in content:
        keys = ", ".join(sorted(map(str, content))[:5]) or "nothing"
        raise WeightsError(
            f"{path} is no checkpoint of Lightning: it holds {keys}", "give the .ckpt that anomalib's Engine wrote"
        )
    arguments = {
        name: value for name, value in content["hyper_parameters"].items() if name not in ("pre_processor", "post_processor")
    }
    name = _class_of(path, content, arguments, wanted)
    tensors = {key.removeprefix(_PREFIX): tensor for key, tensor in content["state_dict"].items() if key.startswith(_PREFIX)}
    return Checkpoint(Description(name, plain(arguments), _transform(path, content, name)), tensors)


def _content(path: Path, trust: bool) -> Mapping[str, Any]:
    if not path.is_file():
        raise WeightsError(f"checkpoint {path} does not exist", "check -o checkpoint=FILE")
    if path.stat().st_size == 0:
        raise WeightsError(f"checkpoint {path} is empty", _AGAIN)
    try:
        with torch.serialization.safe_globals(_allowed()), quiet():
            content = torch.load(path, map_location="cpu", weights_only=not trust)
    except Exception as error:  # a damaged or foreign file may raise anything
        raise _unreadable(path, error) from None
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path} is no checkpoint of Lightning: it holds one {type(content).__name__}", _AGAIN)
    return content


def _allowed() -> list[Any]:
    found: list[Any] = [pathlib.PosixPath, pathlib.PurePosixPath]
    for place in _ALLOWED:
        module, _, name = place.partition(":")
        with suppress(ImportError, AttributeError), quiet():
            found.append(getattr(import_module(module), name))
    return found


def _unreadable(path: Path, error: Exception) -> WeightsError:
    text = str(error)
    if isinstance(error, pickle.UnpicklingError) and "Unsupported" in text and _starts_as_a_pickle(path):
        names = list(dict.fromkeys(re.findall(r"GLOBAL ([\w.]+)", text)))
        return WeightsError(f"{path} is a pickle that holds more than data ({', '.join(names) or 'code'})", _TRUST)
    reason = (text.splitlines() or [type(error).__name__])[0][:160]
    return WeightsError(f"checkpoint {path} is damaged, truncated or no checkpoint: {reason}", _AGAIN)


def _starts_as_a_pickle(path: Path) -> bool:
    """Return whether a file begins as a pickle does, or as the archive that torch puts one into."""
    with path.open("rb") as file:
        return file.read(2) in (b"PK", *(bytes([0x80, protocol]) for protocol in range(2, 6)))


def _class_of(path: Path, content: Mapping[str, Any], arguments: Mapping[str, Any], wanted: str | None) -> str:
    """Return the class of a checkpoint, which it does not name: its constructor takes the arguments that were noted."""
    fitting = whose(arguments)
    if wanted is not None:
        if fitting and wanted not in fitting:
            raise _of_another_class(path, fitting[0], wanted)
        return wanted
    noted = set(re.findall(r"\w+", f"{_noted_folder(content)}/{path}")) & set(BY_MODEL)
    narrowed = [name for name in fitting if name in noted] or fitting or sorted(noted)
    if len(narrowed) == 1:
        return narrowed[0]
    raise WeightsError(
        f"{path} does not say of which class it is{': ' + ' or '.join(narrowed) if narrowed else ''}",
        f"-o model=CLASS names it, one of {', '.join(BY_MODEL)}",
    )


def _noted_folder(content: Mapping[str, Any]) -> str:
    """Return the folder that the Engine wrote the checkpoint to, which has the class in it."""
    states = content.get("callbacks", {})
    return " ".join(str(state.get("dirpath", "")) for state in states.values() if isinstance(state, Mapping))


def _of_another_class(path: Path, found: str, wanted: str) -> WeightsError:
    return WeightsError(
        f"{path} is a checkpoint of anomalib's {found}, not of {wanted}",
        f"use {BY_MODEL[found].detector}, or another checkpoint",
    )


def _transform(path: Path, content: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    config = content.get("anomalib_pre_processor_config")
    if config is not None:
        steps = of_config(config["transform"]) if config.get("transform") else []
        return described(rebuilt(steps))
    enabled = content.get("anomalib_components_enabled", {})
    if enabled.get("pre_processor") is False:
        return []
    kept = content["hyper_parameters"].get("pre_processor")
    if getattr(kept, "transform", None) is not None:
        return described(kept.transform)
    raise WeightsError(
        f"{path} does not say how {name}'s input is transformed: it was made by another version of anomalib than {version()}",
        "export it as ONNX with the version that made it, and load that; or train again",
    )


def _of_module(module: Any, path: Path, wanted: str | None) -> Checkpoint:
    """Return the model that a torch export holds, as plain data and tensors."""
    name = type(module).__name__
    if name not in BY_MODEL or not hasattr(module, "model"):
        raise WeightsError(f"{path} holds a {name}, which is no image model of anomalib {version()}", "export it again")
    if wanted not in (None, name):
        raise _of_another_class(path, name, str(wanted))
    processor = getattr(module, "pre_processor", None)
    steps = described(getattr(processor, "transform", None))
    arguments = {key: value for key, value in dict(module.hparams).items() if key not in ("pre_processor", "post_processor")}
    return Checkpoint(Description(name, plain(arguments), steps), tensors_of(module))
