"""Postprocessors: steps between the detector and the thresholds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Self

from pyimgano.contracts.detector import ImageScore
from pyimgano.errors import BundleError


class Postprocessor(ABC):
    """Changes the score or the map of an image. Its constructor takes the validated options and does no work.

    A subclass writes `apply`, and where it learns something (``PostprocessorSpec.fits``) also `fit`, `state` and `load_state`.
    """

    def __init__(self, options: Any) -> None:
        self.options = options

    def fit(self, results: Sequence[ImageScore]) -> Self:
        """Learn from held-out normal images, which the detector was not fitted on; never from test images."""
        return self

    @abstractmethod
    def apply(self, result: ImageScore) -> ImageScore:
        """Return the changed result. A map is changed by a step that it runs when it is rendered (`AnomalyMap.then`)."""

    def state(self) -> dict[str, Any]:
        """Return all that was learned, as values that JSON knows."""
        return {}

    def load_state(self, values: Mapping[str, Any]) -> None:
        """Take back what `state` returned; this base, which learned nothing, takes nothing."""
        if values:
            raise BundleError(
                f"{type(self).__name__} learns nothing, but is to take back {', '.join(values)}", "export the bundle again"
            )
