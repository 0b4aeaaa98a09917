"""Which detectors find their pretrained weights on this machine."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator

from pyimgano.discovery.load import describe
from pyimgano.doctor.report import TRACEBACKS, Finding
from pyimgano.registry import Entry, detectors
from pyimgano.specs import WeightsPlace

logger = logging.getLogger(__name__)

_UNTOLD = {
    "bundled": "weights come with the plugin",
    "download": "weights are downloaded at the first fit, and the plugin does not say whether they are here",
    "checkpoint": "you bring a file of weights",
}
NAMED = 3
"""The most detectors of one plugin that are named where the same is said of all of them."""


def check_weights() -> Iterator[Finding]:
    """Yield for every detector with pretrained weights where they lie, or the command that gets them."""
    needy = [(name, entry) for name, entry in detectors() if entry.spec.weights != "none"]
    untold: dict[tuple[str, str], list[str]] = {}
    for name, entry in needy:
        if entry.spec.weights_at is None:
            untold.setdefault((entry.record.distribution, entry.spec.weights), []).append(name)
            continue
        try:
            yield _finding(name, entry)
        except (Exception, SystemExit) as error:  # a plugin's function may raise anything, and must cost its detector alone
            logger.debug("weights of %s", name, exc_info=True)
            yield Finding(f"{name}: {entry.spec.weights_at} failed: {describe(error)}", "broken", TRACEBACKS)
    for (distribution, weights), names in untold.items():
        yield Finding(f"{_listed(names, distribution)}: {_UNTOLD[weights]}", "ok" if weights == "bundled" else "note")
    if not needy:
        yield Finding("no detector here needs pretrained weights")


def _listed(names: list[str], distribution: str) -> str:
    if len(names) <= NAMED:
        return ", ".join(names)
    return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more of {distribution}"


def _finding(name: str, entry: Entry) -> Finding:
    places = _places(entry, entry.spec.weights_at)
    here = [f"{place.name} is here, {place.place}" for place in places if place.place]
    missing = [place.name for place in places if not place.place]
    absent = [f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not here"] if missing else []
    message = f"{name}: {'; '.join(here + absent)}"
    return Finding(message) if here else Finding(message, "note", places[0].fix)


def _places(entry: Entry, path: str) -> list[WeightsPlace]:
    """Return the weights that the defaults and the presets name, those of the defaults first."""
    module, _, name = path.partition(":")
    look = getattr(importlib.import_module(module), name)
    found = [look(entry.parse_options(values)) for values in ({}, *entry.spec.presets.values())]
    return list({place.name: place for place in found}.values())
