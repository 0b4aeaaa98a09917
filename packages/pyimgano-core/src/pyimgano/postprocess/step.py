"""A postprocessor in a chain, with its identity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyimgano.choice import Choice
from pyimgano.contracts import ImageScore, Postprocessor
from pyimgano.errors import DetectorError
from pyimgano.guard import named_errors
from pyimgano.maps import MapStep
from pyimgano.options import recorded
from pyimgano.registry import build_component, find


@dataclass(frozen=True)
class NamedStep:
    """A change of a map, with the `name` of the postprocessor that makes it."""

    name: str
    change: MapStep

    def __call__(self, values: NDArray[np.float32], /) -> NDArray[np.float32]:
        return self.change(values)


@dataclass(frozen=True)
class PostprocessStep:
    """A postprocessor with its identity: full name, version of its distribution, and all its options as plain data."""

    component: Postprocessor
    name: str
    version: str | None
    options: Mapping[str, Any]

    @classmethod
    def create(cls, choice: Choice) -> PostprocessStep:
        """Return a step around a new postprocessor, not yet fitted."""
        entry = find("postprocessor", choice.name)
        component = build_component(entry, choice.options)
        return cls(component, entry.full_name, entry.record.version, recorded(component.options))

    def fit(self, results: Sequence[ImageScore]) -> None:
        """Let the component learn from held-out normal images."""
        with named_errors(self.name):
            self.component.fit(results)

    def apply(self, result: ImageScore) -> ImageScore:
        """Return what the component makes of a result; what it does to the map later has its name."""
        with named_errors(self.name):
            changed = self.component.apply(result)
        if not isinstance(changed, ImageScore):
            raise DetectorError(f"{self.name} returned {type(changed).__name__} for an image, not an ImageScore")
        if not np.isfinite(changed.score):
            raise DetectorError(f"{self.name} made the score {changed.score} of an image")
        return self._named(changed, len(result.anomaly_map.steps) if result.anomaly_map is not None else 0)

    def _named(self, changed: ImageScore, before: int) -> ImageScore:
        """Return the result with its name on every step of the map but the first `before`."""
        if changed.anomaly_map is None:
            return changed
        steps = changed.anomaly_map.steps
        named = (step if isinstance(step, NamedStep) else NamedStep(self.name, step) for step in steps[before:])
        return replace(changed, anomaly_map=replace(changed.anomaly_map, steps=(*steps[:before], *named)))
