"""Recipes: whole configs that ship with the project, each a file that explains itself."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import yaml

from pyimgano.errors import OptionsError, suggestion

_FOLDER = files("pyimgano.workbench") / "recipe_files"


def recipe_names() -> list[str]:
    """Return the names of all recipes, sorted."""
    return sorted(file.name.removesuffix(".yaml") for file in _FOLDER.iterdir() if file.name.endswith(".yaml"))


def recipe_text(name: str) -> str:
    """Return a recipe as it is written: comments that say what it is for, and a config that can be copied and changed.

    Raises
    ------
    OptionsError
        If there is none of that name.
    """
    known = recipe_names()
    if name not in known:
        hint = suggestion(str(name), known)
        raise OptionsError(f"no recipe is called {name!r}", f"{hint} there is {', '.join(known)}".strip())
    return (_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


def recipe_summary(name: str) -> str:
    """Return the first line of a recipe, which says what it is for."""
    return recipe_text(name).partition("\n")[0].removeprefix("# ")


def read_recipe(name: str) -> dict[str, Any]:
    """Return the settings of a recipe; errors as in `recipe_text`."""
    settings: dict[str, Any] = yaml.safe_load(recipe_text(name))
    return settings
