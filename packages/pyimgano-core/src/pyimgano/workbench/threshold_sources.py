"""What decides a threshold, and that in one place only one thing does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pyimgano.errors import OptionsError

Layer = Mapping[str, Any]
"""Settings of a training as a config holds them, not yet validated."""


@dataclass(frozen=True)
class Level:
    """The settings of one threshold: the key of its strategy, and which strategy each number belongs to.

    `by_hand`: the section and key that set it without a strategy.
    """

    name: str
    strategy: str
    numbers: Mapping[str, str]
    by_hand: tuple[str, str] | None = None


BY_HAND = "by hand"
LEVELS = (
    Level("image", "image_threshold_strategy", {"false_alarm_rate": "split_conformal", "score_quantile": "quantile"}),
    Level(
        "pixel",
        "pixel_threshold_strategy",
        {"pixel_normal_quantile": "normal_pixel_quantile", "pixel_deviations": "mean_std", "pixel_factor": "scaled_quantile"},
        ("defects", "pixel_threshold"),
    ),
)


def settled(layer: Layer) -> dict[str, Any]:
    """Return a layer in which every number stands with the strategy that it belongs to.

    Raises
    ------
    OptionsError
        If two of its settings decide one threshold.
    """
    calibration = dict(_section(layer, "calibration"))
    for level in LEVELS:
        sources = dict(_sources(level, layer))
        if len(set(sources.values())) > 1:
            raise OptionsError(
                f"the {level.name} threshold has {len(sources)} sources: {', '.join(sources)}", "keep one of them in one place"
            )
        strategy = next(iter(sources.values()), None)
        if strategy is not None and strategy != BY_HAND:
            calibration.setdefault(level.strategy, strategy)
    return {**layer, "calibration": calibration} if calibration else dict(layer)


def without_replaced(lower: Layer, upper: Layer) -> dict[str, Any]:
    """Return the lower of two layers without what decides a threshold that the upper one decides another way."""
    lower = dict(lower)
    for level in LEVELS:
        wanted = set(dict(_sources(level, upper)).values())
        if not wanted:
            continue
        dropped = {key for key, strategy in level.numbers.items() if strategy not in wanted} | {level.strategy}
        lower = _without(lower, "calibration", dropped)
        if level.by_hand is not None and BY_HAND not in wanted:
            lower = _without(lower, level.by_hand[0], {level.by_hand[1]})
    return lower


def effective(settings: Layer) -> dict[str, Any]:
    """Return settings without the numbers of strategies that are not used, so that they can be read again."""
    for level in LEVELS:
        by_hand = level.by_hand is not None and _section(settings, level.by_hand[0]).get(level.by_hand[1]) is not None
        used = None if by_hand else _section(settings, "calibration").get(level.strategy)
        dropped = {key for key, strategy in level.numbers.items() if strategy != used} | (
            {level.strategy} if by_hand else set()
        )
        settings = _without(dict(settings), "calibration", dropped)
    return dict(settings)


def _sources(level: Level, layer: Layer) -> Iterator[tuple[str, str]]:
    """Yield the settings that decide a threshold, as a user writes them, with their strategies."""
    calibration = _section(layer, "calibration")
    set_by_hand = level.by_hand is not None and _section(layer, level.by_hand[0]).get(level.by_hand[1]) is not None
    if level.by_hand is not None and set_by_hand:
        yield ".".join(level.by_hand), BY_HAND
    if level.strategy in calibration and not (set_by_hand and calibration[level.strategy] == "none"):
        yield f"calibration.{level.strategy}", str(calibration[level.strategy])
    for key, strategy in level.numbers.items():
        if key in calibration:
            yield f"calibration.{key}", strategy


def _section(layer: Layer, name: str) -> Mapping[str, Any]:
    section = layer.get(name)
    return section if isinstance(section, Mapping) else {}


def _without(layer: dict[str, Any], section: str, keys: set[str]) -> dict[str, Any]:
    if not isinstance(layer.get(section), Mapping):
        return layer
    return {**layer, section: {key: value for key, value in layer[section].items() if key not in keys}}
