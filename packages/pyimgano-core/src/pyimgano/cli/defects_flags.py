"""How the commands that judge pixels put their settings together: config, then preset, then flags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from pyimgano.calibration import PixelThreshold
from pyimgano.defects.config import DefectsConfig
from pyimgano.defects.presets import DEFECTS_PRESETS
from pyimgano.errors import OptionsError, suggestion
from pyimgano.options import overridden

Preset = Annotated[
    str | None,
    typer.Option("--defects-preset", metavar="|".join(DEFECTS_PRESETS), help="Named settings of the defects chain; flags win."),
]


def resolve(config: DefectsConfig, preset: str | None, given: Mapping[str, Any]) -> DefectsConfig:
    """Return a config under what a preset sets, under what flags set."""
    if preset is not None:
        if preset not in DEFECTS_PRESETS:
            known = f"{suggestion(preset, DEFECTS_PRESETS)} there is {', '.join(DEFECTS_PRESETS)}".strip()
            raise OptionsError(f"there is no defects preset {preset!r}", known)
        config = overridden(config, DEFECTS_PRESETS[preset].model_dump(exclude_unset=True), "defects")
    return overridden(config, given, "defects", "see the --defect flags in --help")


def pixel_threshold(
    config: DefectsConfig, given: Mapping[str, Any], configured: PixelThreshold | None, calibrated: PixelThreshold | None
) -> PixelThreshold | None:
    """Return the pixel threshold that counts: what the line sets, the calibrated one where it says none, or the configured one.

    Parameters
    ----------
    config
        The resolved settings.
    given
        The flags that were on the line.
    """
    if "pixel_threshold" not in given:
        return configured
    value = config.pixel_threshold
    return calibrated if value is None else PixelThreshold.by_hand(value, "explicit", configured)
