"""What the command lines that compare models have in common: a config under the flags, and options for every model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pyimgano.choice import Choice
from pyimgano.cli import flags, tiling_flags
from pyimgano.errors import OptionsError
from pyimgano.evaluation.config import BenchmarkConfig, read_config
from pyimgano.options import from_pairs, parse

Config = TypeVar("Config", bound=BenchmarkConfig)


def settle(
    model: type[Config],
    command: str,
    config: Path | None,
    settings: dict[str, Any],
    blocks: Mapping[str, Mapping[str, Any]],
    lists: Mapping[str, Sequence[Any] | None],
) -> Config:
    """Return the settings of a command: what the line gives above what the config file holds.

    Parameters
    ----------
    model
        The settings.
    command
        Its name, for errors.
    config
        The file, or None.
    settings
        Single values that the line gives.
    blocks
        Blocks of settings, set value by value.
    lists
        Lists, which replace those of the config; components are text as `Choice.read` takes it.
    """
    values = (read_config(config) if config is not None else {}) | {k: v for k, v in settings.items() if k != "tiling"}
    for name, given in blocks.items():
        _override(values, name, given)
    _tile(values, settings.get("tiling", {}))
    values |= {name: list(given) for name, given in lists.items() if given}
    known = values.keys() <= model.model_fields.keys()
    if known and not values.get("models"):  # beside an unknown key, that is the better reason
        raise OptionsError("there is no model to benchmark", "pass --model NAME; 'pyimgano list-models' lists them")
    return parse(model, values, command, f"pyimgano {command} --help")


def with_shared_options(
    config: Config, shared: Callable[[str], Mapping[str, Any]], anomaly_map: dict[str, Any], *, from_line: bool
) -> Config:
    """Return the settings with options for every model, and with what flags set of the map's postprocessor.

    Options on the line go from the general to the particular, and all of them over those of a config.

    Parameters
    ----------
    shared
        The options that the line gives all models, by the name of a model.
    from_line
        Whether the models are named on the line, so that their own options are particular.
    """
    models = [_with(one, shared(one.name), above=not from_line) for one in config.models]
    steps = flags.postprocess_choices(config.postprocess, anomaly_map)
    return config.model_copy(update={"models": tuple(models), "postprocess": steps})


def shared_options(model_kwargs: str | None, pairs: Sequence[str] | None) -> dict[str, Any]:
    """Return the options of every model: those of ``--model-kwargs`` under those of ``-o``."""
    return _json_object(model_kwargs) | from_pairs(pairs or ())


def _with(choice: Choice, shared: Mapping[str, Any], *, above: bool) -> Choice:
    return Choice(name=choice.name, options={**choice.options, **shared} if above else {**shared, **choice.options})


def _override(values: dict[str, Any], name: str, given: Mapping[str, Any]) -> None:
    """Put what the line sets over the mapping that a config has under a name; one that is no mapping is left to be refused."""
    old = values.get(name, {})
    values[name] = {**old, **given} if isinstance(old, Mapping) else old


def _tile(values: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Put what the line says about tiles over the config; models learn from tiles too unless told otherwise."""
    old = values.get("tiling", {})
    values["tiling"] = tiling_flags.on_tiles(tiling_flags.above(old, given)) if isinstance(old, Mapping) else old


def _json_object(text: str | None) -> dict[str, Any]:
    try:
        values = json.loads(text) if text is not None else {}
    except ValueError as error:
        raise OptionsError(f"--model-kwargs is not JSON: {error}", """write it as --model-kwargs '{"k": 3}'""") from None
    if not isinstance(values, dict):
        raise OptionsError("--model-kwargs is not a JSON object", """write it as --model-kwargs '{"k": 3}'""")
    return values
