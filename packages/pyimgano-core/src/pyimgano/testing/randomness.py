"""The random generators that all code of a process shares, and that no component may touch."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from pyimgano.testing.results import CheckFailure

UNLIKELY = 740_318_527
"""A seed that nobody uses, so that seeding a shared generator always moves it."""


class _Generator(NamedTuple):
    name: str
    state: Callable[[], Any]
    restore: Callable[[Any], None]
    seed: Callable[[int], Any]

    def fingerprint(self) -> str:
        state = self.state()
        return repr(state.tolist() if hasattr(state, "tolist") else [np.asarray(part).tolist() for part in _parts(state)])


def _parts(state: Any) -> list[Any]:
    return [part for part in state if part is not None] if isinstance(state, tuple) else [state]


def _shared() -> list[_Generator]:
    """Return the shared generators of the libraries that are loaded; of torch that of the CPU."""
    numpy = np.random
    found = [
        _Generator("random", random.getstate, random.setstate, random.seed),
        _Generator("numpy.random", lambda: numpy.get_state(legacy=True), numpy.set_state, numpy.seed),
    ]
    torch = sys.modules.get("torch")
    if torch is not None:
        found.append(_Generator("torch", torch.get_rng_state, torch.set_rng_state, torch.manual_seed))
    return found


@contextmanager
def untouched(what: str) -> Iterator[None]:
    """Fail if the block moves a shared generator; `what` says what is done in it."""
    with seeded(UNLIKELY):
        before = [(generator, generator.fingerprint()) for generator in _shared()]
        yield
        moved = [generator.name for generator, fingerprint in before if generator.fingerprint() != fingerprint]
    if moved:
        raise CheckFailure(
            f"{what} changes the shared random state of {' and '.join(moved)}",
            "draw from a numpy.random.Generator of your own, made from the seed it is given",
        )


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the shared generators for the block, and put them back as they were after it."""
    before = [(generator, generator.state()) for generator in _shared()]
    for generator, _ in before:
        generator.seed(seed)
    try:
        yield
    finally:
        for generator, state in before:
            generator.restore(state)
