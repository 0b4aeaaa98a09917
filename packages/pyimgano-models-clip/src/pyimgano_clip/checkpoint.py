"""An open_clip model with its weights and its tokenizer, and the record of where they come from."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import open_clip
import torch
from open_clip.factory import load_state_dict

from pyimgano.errors import WeightsError, suggestion
from pyimgano_clip.architecture import Architecture, build_clip
from pyimgano_clip.options import ClipOptions
from pyimgano_clip.places import CONFIG_FILE, USUAL_TAGS, weights_in
from pyimgano_patchknn.weights import digest, first_line, hub_reachable

logger = logging.getLogger(f"pyimgano.{__name__}")

Tensors = Mapping[str, torch.Tensor]
Tokenizer = Callable[[list[str]], torch.Tensor]

_NOT_WEIGHTS = frozenset({"input_resolution", "context_length", "vocab_size", "attn_mask", "text.attn_mask"})
_LICENCES = {"openai": "MIT", "laion": "MIT", "datacomp": "MIT", "commonpool": "MIT", "metaclip": "CC-BY-NC-4.0"}
_ANOTHER = "use weights of the same open_clip model, or name theirs with -o backbone=NAME; a folder brings its own {}"


@dataclass(frozen=True, eq=False)
class Clip:
    """A whole CLIP: `model` in evaluation mode on the CPU, its `tokenizer`, what it is, and where its weights come from."""

    model: Any
    tokenizer: Callable[[], Tokenizer]
    architecture: Architecture
    record: Mapping[str, Any]


def load_clip(options: ClipOptions, seed: int) -> Clip:
    """Return the CLIP that options name: from a file, a folder, by open_clip's download, or with random values.

    Raises
    ------
    WeightsError
        For unknown names (with the nearest), weights that cannot be had (with the ways to get them) or belong to another
        architecture (with what differs).
    """
    folder = options.weights if options.weights is not None and options.weights.is_dir() else None
    if folder is not None:
        return _from_folder(folder, options, seed)
    architecture = known_architecture(options.backbone)
    origin: dict[str, Any] = {"architecture": options.backbone}
    tensors: Tensors | None = None
    if options.weights is not None:
        tensors, origin = _read(options.weights), {**origin, "source": "file", "file": options.weights.name}
    elif not options.pretrained:
        origin["source"] = "random"
    else:
        tag = chosen_tag(options.backbone, options.tag)
        config = open_clip.get_pretrained_cfg(options.backbone, tag)
        tensors, origin = _read(_downloaded(options.backbone, tag, config)), {**origin, **_published(tag, config)}
        architecture = architecture.pretrained(config)
    return _made(architecture, tensors, origin, seed, lambda: open_clip.get_tokenizer(options.backbone))


def known_architecture(backbone: str) -> Architecture:
    """Return the architecture that open_clip knows by that name.

    Raises
    ------
    WeightsError
        For an unknown name, with the nearest, and for one without patch tokens.
    """
    config = open_clip.get_model_config(backbone) if backbone in open_clip.list_models() else None
    if config is None:
        close = suggestion(backbone, open_clip.list_models())
        raise WeightsError(
            f"open_clip has no model called {backbone!r}",
            f"{close} for example: {', '.join(USUAL_TAGS)}; open_clip.list_models() lists all".strip(),
        )
    return Architecture.of(backbone, config)


def chosen_tag(backbone: str, tag: str | None) -> str:
    """Return the tag of the weights to use.

    Raises
    ------
    WeightsError
        If the backbone has no weights of that tag, with those that it has.
    """
    known = open_clip.list_pretrained_tags_by_model(backbone)
    chosen = tag or USUAL_TAGS.get(backbone) or (known[0] if len(known) == 1 else None)
    if chosen in known:
        return str(chosen)
    listing = f"it has: {', '.join(known)}" if known else "give a file, -o weights=FILE"
    if chosen is None:
        raise WeightsError(f"{backbone} has pretrained weights of several tags, or none", f"pass -o tag=TAG; {listing}")
    raise WeightsError(
        f"{backbone} has no pretrained weights of tag {chosen!r}", f"{suggestion(chosen, known)} {listing}".strip()
    )


def _from_folder(folder: Path, options: ClipOptions, seed: int) -> Clip:
    """Return a CLIP from a folder as the model hub keeps it: open_clip_config.json and one file of weights."""
    backbone = type(options).model_fields["backbone"].default
    if options.backbone != backbone:
        raise WeightsError(
            f"backbone={options.backbone} has no effect beside a folder, whose {CONFIG_FILE} says what it holds",
            "leave backbone away, or give the file of weights alone",
        )
    file = weights_in(folder)
    try:
        content = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        config, preprocessing = dict(content["model_cfg"]), dict(content.get("preprocess_cfg") or {})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"{folder / CONFIG_FILE} cannot be read: {first_line(error)}", "give a folder as the model hub keeps it"
        ) from None
    if file is None:
        raise WeightsError(f"{folder} holds no open_clip_model.safetensors", "give a folder as the model hub keeps it")
    architecture = Architecture.of(folder.name, config).pretrained(preprocessing)
    origin = {"architecture": folder.name, "source": "file", "file": f"{folder.name}/{file.name}"}
    return _made(architecture, _read(file), origin, seed, lambda: open_clip.get_tokenizer(f"local-dir:{folder}"))


def _made(
    architecture: Architecture,
    tensors: Tensors | None,
    origin: Mapping[str, Any],
    seed: int,
    tokenizer: Callable[[], Tokenizer],
) -> Clip:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build_clip(architecture).eval()
    if tensors is not None:
        _take(model, tensors, architecture.name)
    return Clip(model, tokenizer, architecture, {**origin, "sha256": digest(model.state_dict())})


def _read(path: Path) -> Tensors:
    """Return the tensors of a safetensors or PyTorch file; code in a file is never run."""
    if not path.is_file():
        raise WeightsError(f"weights {path} do not exist", "check -o weights=FILE")
    try:
        content = load_state_dict(str(path), device="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many types for a damaged or foreign file
        raise WeightsError(
            f"{path} is not a readable file of weights: {first_line(error)}", "save the state dict alone, as .safetensors"
        ) from None
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise WeightsError(f"{path} does not hold a state dict", "save model.state_dict(), as .safetensors")
    return content


def _downloaded(backbone: str, tag: str, config: Mapping[str, Any]) -> Path:
    logger.info("loading the weights %s of %s through open_clip", tag, backbone)
    if not hub_reachable():
        huggingface_hub.constants.HF_HUB_OFFLINE = True  # look in the cache at once, without minutes of retries
    try:
        return Path(open_clip.download_pretrained(dict(config)))
    except Exception as error:  # the hub's client raises many types without a network
        raise WeightsError(
            f"the weights {tag} of {backbone} are not on this machine ({first_line(error)})",
            f"either connect to the internet once, so that open_clip downloads {tag} of {backbone}; "
            "or give a checkpoint, -o weights=FILE",
        ) from error


def _published(tag: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known about published weights."""
    licence = next((licence for start, licence in _LICENCES.items() if tag.startswith(start)), None)
    source = config.get("hf_hub") or config.get("url")
    return {"source": "download by open_clip", "tag": tag, "hub_id": str(source).rstrip("/"), "licence": licence}


def _take(model: Any, tensors: Tensors, name: str) -> None:
    """Load weights into a model; say what differs if they are another's."""
    wanted = model.state_dict()
    advice = _ANOTHER.format(CONFIG_FILE)
    for key, tensor in wanted.items():
        if key in tensors and tensors[key].shape != tensor.shape:
            got = tuple(tensors[key].shape)
            raise WeightsError(f"the weights do not fit {name}: {key} is {got}, expected {tuple(tensor.shape)}", advice)
    missing = [key for key in wanted if key not in tensors]
    if missing:
        raise WeightsError(
            f"the weights do not fit {name}: {len(missing)} of {len(wanted)} tensors are missing, the first is {missing[0]}",
            advice,
        )
    unknown = [key for key in tensors if key not in wanted and key not in _NOT_WEIGHTS]
    if unknown:
        raise WeightsError(
            f"the weights do not fit {name}: it has no place for {len(unknown)} of them, the first is {unknown[0]}", advice
        )
    model.load_state_dict({key: tensors[key] for key in wanted})
