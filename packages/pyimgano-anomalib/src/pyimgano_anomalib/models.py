"""Models of anomalib: built from plain data, filled with tensors, and written down again."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from pyimgano.discovery.requirements import install_command
from pyimgano.errors import MissingDependencyError, OptionsError, PyimganoError, WeightsError
from pyimgano_anomalib.arguments import COMPONENTS, PRETRAINED, checked, parameters, plain, taken
from pyimgano_anomalib.library import image_models, model_class, quiet, version
from pyimgano_anomalib.pretrained import Source, Tensors, no_pretrained_weights, pretrained_weights
from pyimgano_anomalib.randomness import seeded
from pyimgano_anomalib.table import BY_MODEL, Row
from pyimgano_anomalib.transforms import described, rebuilt


@dataclass(frozen=True)
class Description:
    """A model without its tensors, as plain data.

    Attributes
    ----------
    model
        Name of its class.
    arguments
        Of its constructor.
    transform
        Steps of the transform of its input, as `pyimgano_anomalib.transforms.described` gives them.
    anomalib
        The version that made it, where it is known.
    """

    model: str
    arguments: Mapping[str, Any]
    transform: Sequence[Mapping[str, Any]]
    anomalib: str | None = field(default=None, compare=False)


def new_model(
    name: str,
    arguments: Mapping[str, Any],
    where: str,
    *,
    image_size: tuple[int, int] | None = None,
    center_crop: tuple[int, int] | None = None,
    source: Source | None = None,
) -> Any:
    """Return a model to train, with pretrained weights where its class has any and the arguments do not say otherwise.

    Raises
    ------
    OptionsError
        For arguments that its class does not take.
    WeightsError
        If its pretrained weights can neither be found nor downloaded.
    """
    kind = model_class(name)
    values = {**BY_MODEL[name].arguments, **checked(kind, arguments, f"{where}.arguments")}
    processor = _pre_processor(kind, image_size, center_crop, where)
    weights = no_pretrained_weights() if values.get(PRETRAINED) is False else pretrained_weights(source)
    try:
        with weights, quiet():
            return kind(**taken(kind, values), **_without_company(kind, processor))
    except (OSError, RuntimeError) as error:
        if _is_about_a_download(error):
            raise WeightsError(
                f"the pretrained weights of {name} are not on this machine ({first_line(error)})",
                "connect to the internet once; or give a file, -o backbone_weights=FILE; "
                """to try it without, with scores that mean nothing, -o 'arguments={"pre_trained": false}'""",
            ) from error
        raise
    except (TypeError, ValueError, KeyError, AssertionError) as error:
        raise OptionsError(f"{where}: anomalib's {name} refuses its arguments: {first_line(error)}") from error


def _pre_processor(kind: Any, image_size: tuple[int, int] | None, crop: tuple[int, int] | None, where: str) -> Any:
    """Return the transform for a size and a crop; True for the class's own."""
    if image_size is None and crop is None:
        return True
    configure = kind.configure_pre_processor
    known = inspect.signature(configure).parameters
    sizes: dict[str, Any] = {} if image_size is None else {"image_size": image_size}
    if crop is not None:
        if "center_crop_size" in known:
            sizes["center_crop_size"] = crop
        elif "crop_size" in known and crop[0] == crop[1]:
            sizes["crop_size"] = crop[0]
        else:
            what = "a square center_crop only" if "crop_size" in known else "no center_crop"
            raise OptionsError(f"{where}.center_crop: anomalib's {kind.__name__} knows {what}", "leave it away")
    try:
        return configure(**sizes)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise OptionsError(f"{where}.image_size: anomalib's {kind.__name__} refuses it: {first_line(error)}") from error


def rebuilt_model(description: Description) -> Any:
    """Return a model without its tensors, and without a download.

    Raises
    ------
    WeightsError
        If building it needs a download nevertheless, or its arguments are those of another version of anomalib.
    """
    name = description.model
    kind = model_class(name)
    _check_company(BY_MODEL[name])
    unknown = [one for one in description.arguments if one not in parameters(kind)]
    if unknown:
        raise WeightsError(
            f"anomalib {version()}'s {name} has no argument {unknown[0]!r}: another version trained it{_of(description)}",
            "train it again with this version, or install the version that it was trained with",
        )
    values = {**description.arguments, **BY_MODEL[name].arguments}
    if PRETRAINED in parameters(kind):
        values[PRETRAINED] = False
    from anomalib.pre_processing import PreProcessor

    processor = PreProcessor(transform=rebuilt(description.transform))
    try:
        with no_pretrained_weights(), quiet(), seeded(0):  # what is drawn is overwritten
            return kind(**checked(kind, values, name), **_without_company(kind, processor))
    except PyimganoError:
        raise
    except Exception as error:  # a library that downloads, or arguments that do not fit, may raise anything
        raise WeightsError(
            f"anomalib's {name} cannot be built: {type(error).__name__}: {first_line(error)}",
            "if it needs a download that this machine cannot make, export it as ONNX and load that",
        ) from error


def _check_company(row: Row) -> None:
    if row.needs is not None and importlib.util.find_spec(row.needs) is None:
        raise MissingDependencyError(
            f"anomalib's {row.model} needs {row.needs}, which is not installed",
            install_command(f"pyimgano-anomalib[{row.extra}]"),
        )


def _without_company(kind: Any, processor: Any) -> dict[str, Any]:
    """Return the arguments that leave thresholds, metrics and pictures to pyimgano."""
    wanted = dict.fromkeys(COMPONENTS, False) | {"pre_processor": processor}
    known = inspect.signature(kind.__init__).parameters
    return {name: value for name, value in wanted.items() if name in known}


def description_of(module: Any, arguments: Mapping[str, Any]) -> Description:
    """Return what a model is, from the model itself and the arguments it was made with."""
    return Description(type(module).__name__, plain(arguments), described(module.pre_processor.transform), version())


def tensors_of(module: Any) -> dict[str, torch.Tensor]:
    """Return what a model has learned, with its memory banks."""
    return {name: tensor.detach() for name, tensor in module.model.state_dict().items()}


def fill(module: Any, tensors: Tensors, description: Description) -> Any:
    """Give a model its tensors and return it, ready to score.

    Buffers take the size of what they get, as memory banks do; everything else must fit.

    Raises
    ------
    WeightsError
        Naming how many tensors differ, and the first.
    """
    model, name = module.model, description.model
    for key, tensor in tensors.items():
        _make_room(model, key, tensor)
    own = model.state_dict()
    missing = [key for key in own if key not in tensors]
    foreign = [key for key in tensors if key not in own]
    other = [key for key in own if key in tensors and own[key].shape != tensors[key].shape]
    if missing or foreign or other:
        first = (missing or foreign or other)[0]
        what = (
            f"{len(missing)} of its {len(own)} tensors are missing, {len(foreign)} are unknown, {len(other)} of another shape"
        )
        raise WeightsError(
            f"these are no tensors of anomalib {version()}'s {name}{_of(description)}: {what}; the first is {first}",
            "it is another class, or was trained by another version of anomalib",
        )
    model.load_state_dict(dict(tensors))
    return module.eval()


def _make_room(model: Any, key: str, tensor: torch.Tensor) -> None:
    """Let a buffer have the shape of what it is to hold."""
    path, _, leaf = key.rpartition(".")
    try:
        owner = model.get_submodule(path)
    except AttributeError:
        return
    if leaf in owner._buffers and (owner._buffers[leaf] is None or owner._buffers[leaf].shape != tensor.shape):
        owner._buffers[leaf] = torch.empty_like(tensor)


def whose(arguments: Mapping[str, Any]) -> list[str]:
    """Return the classes whose constructors take exactly these arguments."""
    models = image_models()
    return [name for name in BY_MODEL if hasattr(models, name) and set(parameters(getattr(models, name))) == set(arguments)]


def _of(description: Description) -> str:
    return "" if description.anomalib is None else f" (made by anomalib {description.anomalib})"


def _is_about_a_download(error: Exception) -> bool:
    from urllib.error import URLError

    chain: list[BaseException] = [error]
    while (last := chain[-1].__cause__ or chain[-1].__context__) is not None and last not in chain:
        chain.append(last)
    kinds = {kind.__name__ for one in chain for kind in type(one).__mro__}
    wanted = {
        "LocalEntryNotFoundError",
        "HfHubHTTPError",
        "OfflineModeIsEnabled",
        "ConnectError",
        "gaierror",
        "ConnectionError",
    }
    return isinstance(error, URLError) or bool(wanted & kinds)


def first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
