"""Which detectors find their pretrained weights on this machine."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator

from pyimgano.discovery.load import describe
from pyimgano.doctor.report import TRACEBACKS, Finding
from pyimgano.registry import Entry, detectors
from pyimgano.specs import DetectorSpec, WeightsPlace

logger = logging.getLogger(__name__)

_UNTOLD = {
    "bundled": "its weights come with it",
    "download": "its weights are downloaded when it is first fitted, and its plugin does not say whether they are here",
    "checkpoint": "it needs a file of weights that you bring",
}


def check_weights() -> Iterator[Finding]:
    """Yield for every detector with pretrained weights where they lie, or the command that gets them."""
    needy = [(name, entry) for name, entry in detectors() if entry.spec.weights != "none"]
    for name, entry in needy:
        try:
            yield _finding(name, entry)
        except (Exception, SystemExit) as error:  # a plugin's function may raise anything, and must cost its detector alone
            logger.debug("weights of %s", name, exc_info=True)
            yield Finding(f"{name}: {entry.spec.weights_at} failed: {describe(error)}", "broken", TRACEBACKS)
    if not needy:
        yield Finding("no detector here needs pretrained weights")


def _finding(name: str, entry: Entry) -> Finding:
    spec: DetectorSpec = entry.spec
    if spec.weights_at is None:
        return Finding(f"{name}: {_UNTOLD[spec.weights]}", "ok" if spec.weights == "bundled" else "note")
    places = _places(entry, spec.weights_at)
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
