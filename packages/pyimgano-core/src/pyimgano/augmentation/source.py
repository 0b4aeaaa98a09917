"""Training images and changed copies of them as a source to learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from pyimgano.augmentation.base import Augmentation
from pyimgano.augmentation.options import AugmentationOptions
from pyimgano.augmentation.presets import get_industrial_camera_robust_augmentation, get_industrial_drift_augmentation
from pyimgano.errors import ImageError
from pyimgano.images import Image, ImageLike, ImageSource

_PRESETS: dict[str, Callable[[], Augmentation[tuple[object, ...]]]] = {
    "industrial-camera-robust": get_industrial_camera_robust_augmentation,
    "industrial-drift": get_industrial_drift_augmentation,
}


class AugmentedSource(ImageSource):
    """Every image of a list, followed by its changed copies: sized, and the same whenever it is iterated.

    A copy depends on the seed, the place of its image in the list and its own number, and on nothing else. Its `items` are
    empty, because no copy is a file.

    Parameters
    ----------
    items
        Paths or RGB arrays.
    options
        Which changes (a preset other than ``none``), and how many copies.
    seed
        Seed of the changes.
    transform
        What is done to every image and copy after that.
    """

    def __init__(
        self,
        items: Sequence[ImageLike],
        options: AugmentationOptions,
        seed: int,
        transform: Callable[[Image], Image] | None = None,
    ) -> None:
        super().__init__((), transform=transform)
        self._images = ImageSource(items)
        self._change = _PRESETS[options.preset]()
        self._copies = options.copies
        self._seed = seed

    @property
    def untouched(self) -> bool:
        return False

    def __len__(self) -> int:
        return len(self._images) * (1 + self._copies)

    def outcomes(self) -> Iterator[tuple[ImageLike, Image | ImageError]]:
        """Yield every item with its image and then with each copy; an image that cannot be read gives its error, once."""
        self._images.ahead = self.ahead
        for place, (item, outcome) in enumerate(self._images.outcomes()):
            if isinstance(outcome, ImageError):
                yield item, outcome
                continue
            yield item, self._transformed(outcome)
            for number in range(self._copies):
                yield item, self._transformed(self._copy(outcome, place, number))

    def _copy(self, image: Image, place: int, number: int) -> Image:
        return self._change(image, np.random.default_rng((self._seed, place, number)))

    def _transformed(self, image: Image) -> Image:
        return image if self.transform is None else self.transform(image)
