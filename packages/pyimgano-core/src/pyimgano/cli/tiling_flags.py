"""How the flags of tiling meet a config, and what a trained pipeline does about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyimgano.options import overridden
from pyimgano.tiling import TilingOptions


def on_tiles(tiling: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of tiling, which by default learn from tiles too: a part looks different at another scale."""
    return {"fit_on": "tiles", **tiling} if tiling.get("tile_size") is not None else dict(tiling)


def above(config: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a config under those that flags set; without tiles there is no stride either."""
    stride = {"stride": None} if given.get("tile_size", 0) is None else {}
    return {**config, **stride, **given}


def resolve(config: TilingOptions, given: Mapping[str, Any]) -> TilingOptions:
    """Return the tiling of a trained pipeline under what flags set."""
    return overridden(config, above({}, given), "tiling", "see the --tile flags in --help")
