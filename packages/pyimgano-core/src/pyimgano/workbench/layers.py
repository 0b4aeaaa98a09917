"""Settings of a training from several places, one over the other: recipe, config, flags. Nothing is validated here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyimgano.choice import Choice
from pyimgano.defects.presets import DEFECTS_PRESETS
from pyimgano.errors import OptionsError
from pyimgano.options import parse
from pyimgano.workbench.config import TrainConfig
from pyimgano.workbench.recipes import read_recipe
from pyimgano.workbench.threshold_sources import Layer, effective, settled, without_replaced


def resolve(config: Layer, flags: Layer | None = None, recipe: str | None = None) -> TrainConfig:
    """Return the settings of a recipe, under those of a config, under those that flags set.

    Parameters
    ----------
    config
        What a config file holds. The recipe that it names counts unless `recipe` names another.
    flags
        What the command line sets, in the same shape; an explicit zero or None counts.
    recipe
        Name of a recipe.

    Raises
    ------
    OptionsError
        For an unknown key or recipe, a wrong value, a threshold with two sources in one place, or where no detector is named.
    """
    name = recipe if recipe is not None else config.get("recipe")
    values: dict[str, Any] = {}
    for layer in (read_recipe(name) if name is not None else {}, config, flags or {}):
        values = _over(values, _layer(layer))
    values["recipe"] = name
    _learn_from_tiles(values)
    model = values.get("model", {})
    unnamed = isinstance(model, Mapping) and not model.get("name")
    if unnamed and values.keys() <= TrainConfig.model_fields.keys():  # beside an unknown key, that is the better reason
        raise OptionsError("there is no detector to train", "pass --model NAME, --recipe NAME or --config FILE")
    return parse(TrainConfig, values, "train", "pyimgano schema config describes every key")


def recorded(config: TrainConfig) -> dict[str, Any]:
    """Return settings, defaults included, as a config that `resolve` makes the same of."""
    return effective(config.model_dump())


def _layer(values: Layer) -> dict[str, Any]:
    """Return a layer with its shorthands written out."""
    layer = dict(values)
    for section in ("model", "dataset"):
        if isinstance(layer.get(section), str):
            layer[section] = Choice.read(layer[section]).model_dump(exclude_defaults=True)
    defects = _section(layer, "defects")
    preset = DEFECTS_PRESETS.get(str(defects.get("preset")))
    if preset is not None:
        layer["defects"] = _merged(preset.model_dump(exclude_unset=True), defects)
    return settled(layer)


def _over(lower: Layer, upper: Layer) -> dict[str, Any]:
    """Return two layers as one. What the upper one puts in another's place takes that one's settings away with it."""
    lower = without_replaced(lower, upper)
    for section in ("model", "dataset"):
        old, new = _section(lower, section), _section(upper, section)
        another = "name" in new and old.get("name") not in (None, new["name"])
        if another or (section == "model" and new.get("preset") is not None):
            lower[section] = {key: value for key, value in old.items() if key not in ("options", "preset")}
    old, new = (_section(_section(layer, "adaptation"), "tiling") for layer in (lower, upper))
    if old and new.get("tile_size", old) is None:
        lower["adaptation"] = {
            **lower["adaptation"],
            "tiling": {key: old[key] for key in old if key not in ("stride", "fit_on")},
        }
    return _merged(lower, upper)


def _learn_from_tiles(values: dict[str, Any]) -> None:
    """Let a detector that looks at tiles learn from tiles too, unless told otherwise."""
    tiling = _section(_section(values, "adaptation"), "tiling")
    if tiling.get("tile_size") is not None:
        values["adaptation"] = {**values["adaptation"], "tiling": {"fit_on": "tiles", **tiling}}


def _merged(lower: Layer, upper: Layer) -> dict[str, Any]:
    both = {
        name: _merged(lower[name], upper[name])
        for name in upper
        if isinstance(lower.get(name), Mapping) and isinstance(upper[name], Mapping)
    }
    return {**lower, **upper, **both}


def _section(layer: Layer, name: str) -> Mapping[str, Any]:
    section = layer.get(name)
    return section if isinstance(section, Mapping) else {}
