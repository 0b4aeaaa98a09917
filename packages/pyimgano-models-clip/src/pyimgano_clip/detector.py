"""What the detectors that compare with text share: the network, the prompts, and a state that needs neither again."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from pyimgano.contracts import Detector, ImageScore, Runtime
from pyimgano.errors import BundleError
from pyimgano.images import Image, ImageLike, ImageSource
from pyimgano.maps import AnomalyMap, MapRecipe
from pyimgano_clip.network import ClipNetwork
from pyimgano_clip.options import PromptOptions
from pyimgano_clip.text import defect_probability, text_features
from pyimgano_patchknn.threads import limited_threads

Features = NDArray[np.float32]
Output = TypeVar("Output")

NETWORK, TEXT, PROMPTS = "backbone.", "text", "prompts"


class PromptDetector(Detector, Generic[Output]):
    """A detector that compares images with phrases for good and for defective parts.

    Attributes
    ----------
    text_
        (2, D) directions of the prompts about good and about defective parts, after fitting.
    """

    options: PromptOptions
    needs_images = True
    """Whether it learns from images; without, `fit` takes none and looks at none."""

    def __init__(self, options: PromptOptions, runtime: Runtime) -> None:
        super().__init__(options, runtime)
        self._network: ClipNetwork[Output] | None = None
        self.text_: Features = np.empty((0, 0), dtype=np.float32)

    @abstractmethod
    def _new_network(self) -> ClipNetwork[Output]:
        """Return the network that the options describe, without weights."""

    @abstractmethod
    def _scored(self, features: Output) -> tuple[float, NDArray[np.floating[Any]]]:
        """Return the score of an image and its grid of scores (h, w)."""

    def _learn(self, images: ImageSource) -> None:
        """Learn from normal images; by default nothing."""

    def fit(self, images: Iterable[ImageLike] = ()) -> Self:
        """Load the network, embed the prompts, learn from normal images where the options ask for it; else none is needed."""
        source = images if isinstance(images, ImageSource) else ImageSource(list(images))
        if len(source) or self.needs_images:
            return super().fit(source)
        self._fit(source)
        self.mark_fitted()
        return self

    def _fit(self, images: ImageSource) -> None:
        network = self._new_network()
        with limited_threads(self.runtime.threads):
            clip = network.load_whole()
            network.use(clip)
            clip.model.to(network.device)
            self.text_ = text_features(clip, self.options.prompts, self.options.class_name)
            self._network, self.weights = network, network.record
            self._learn(images)

    def _score(self, images: Sequence[Image]) -> list[ImageScore]:
        with limited_threads(self.runtime.threads):
            embedded = self._embed(images)
            scored = [self._scored(features) for features in embedded]
        return [
            ImageScore(score, AnomalyMap(grid.astype(np.float32), (image.shape[0], image.shape[1]), self._recipe()))
            for image, (score, grid) in zip(images, scored, strict=True)
        ]

    def _embed(self, images: Sequence[Image]) -> list[Output]:
        assert self._network is not None
        return self._network(images)

    def _recipe(self) -> MapRecipe:
        assert self._network is not None
        return MapRecipe(self._network.size, self.options.smoothing)

    def _probability(self, features: Features) -> NDArray[np.float64]:
        return defect_probability(features, self.text_, self.options.temperature)

    def state(self) -> dict[str, NDArray[Any]]:
        assert self._network is not None
        network = {NETWORK + name: array for name, array in self._network.state().items()}
        return {**network, TEXT: self.text_, PROMPTS: self._asked()}

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        if TEXT not in arrays or not np.array_equal(arrays.get(PROMPTS, ()), self._asked()):
            raise BundleError(
                "class_name and prompts are not those that the text features were made of",
                "undo that change, or train again: texts are embedded in training, not here",
            )
        self.text_ = np.asarray(arrays[TEXT], dtype=np.float32)
        self._network = self._new_network()
        self._network.load_state(under(arrays, NETWORK))
        self._restore(arrays)
        self.mark_fitted()

    def _restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `_learn` learned; by default nothing."""

    def _asked(self) -> NDArray[np.uint8]:
        """Return what was asked about prompts, as bytes of JSON."""
        asked = self.options.model_dump(mode="json", include={"class_name", "prompts"})
        return np.frombuffer(json.dumps(asked, sort_keys=True).encode(), dtype=np.uint8)


def under(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """Return the arrays whose names start with `prefix`, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
