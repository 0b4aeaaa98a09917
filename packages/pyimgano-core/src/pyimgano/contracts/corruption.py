"""Corruptions: what may happen to an image on the line, with all randomness apart from the arithmetic."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from pyimgano.augmentation.pixels import Pixels, check_uint8
from pyimgano.errors import OptionsError, PluginError
from pyimgano.guard import named_errors

P = TypeVar("P")
Mask = NDArray[np.bool_]


class Corruption(ABC, Generic[P]):
    """A change of an image that grows with its severity. Its constructor takes the validated options and does no work.

    A subclass writes `draw` and `apply`, and where pixels move (``CorruptionSpec.moves_pixels``) also `move`. Both are pure:
    they leave their arguments as they are, and the same arguments give the same bytes.
    """

    def __init__(self, options: Any) -> None:
        self.options = options

    @abstractmethod
    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> P:
        """Return all that is random about an image of `shape`, (H, W) or (H, W, 3): places, directions, signs.

        It is drawn once for all severities, which only scale it.
        """

    @abstractmethod
    def apply(self, image: Pixels, params: P, severity: int) -> Pixels:
        """Return the changed image, of the same shape.

        Parameters
        ----------
        image
            Grey (H, W) or RGB (H, W, 3), uint8; read-only.
        params
            What `draw` gave.
        severity
            From 1 to ``CorruptionSpec.severities``. Lengths grow with the image.
        """

    def move(self, mask: Mask, params: P, severity: int) -> Mask:
        """Return a mask, (H, W) bool, moved as `apply` moves the image."""
        return mask


@dataclass(frozen=True)
class NamedCorruption:
    """A corruption with its identity, whose results are checked.

    Attributes
    ----------
    component
        What a plugin made.
    short_name
        Its name, from which its randomness is derived.
    name, version
        Full name, and version of its distribution.
    options
        All its options as plain data.
    severities
        How many there are.
    moves_pixels
        Whether masks move along.
    """

    component: Corruption[Any]
    short_name: str
    name: str
    version: str | None
    options: Mapping[str, Any]
    severities: int
    moves_pixels: bool

    def check_severity(self, severity: int) -> None:
        """Raise `OptionsError` unless the severity is 0, the identity, or one that the corruption has."""
        if isinstance(severity, bool) or not isinstance(severity, (int, np.integer)) or not 0 <= severity <= self.severities:
            raise OptionsError(f"{self.name} has severities 1 to {self.severities} (got {severity!r})", "0 changes nothing")

    def draw(self, shape: tuple[int, ...], *, seed: int, key: str) -> Any:
        """Return the parameters of one image.

        Parameters
        ----------
        shape
            (H, W) or (H, W, 3).
        seed
            Seed of the run.
        key
            What names the image in every run: its path relative to the root of the data.
        """
        with named_errors(self.name):
            return self.component.draw(generator(seed, self.short_name, key), shape)

    def apply(self, image: Pixels, params: Any, severity: int) -> Pixels:
        """Return the changed image, C-contiguous; a copy at severity 0.

        Raises
        ------
        ImageError
            For what is no grey or RGB uint8 image.
        OptionsError
            For a severity that it does not have.
        PluginError
            If the corruption returns another shape or dtype.
        """
        check_uint8(image)
        self.check_severity(severity)
        if severity == 0:
            return image.copy()
        with named_errors(self.name):
            changed = self.component.apply(_read_only(image), params, severity)
        self._check(changed, image, "an image")
        return np.ascontiguousarray(changed)

    def move(self, mask: Mask, params: Any, severity: int) -> Mask:
        """Return a mask, (H, W) bool, moved with its image; errors as in `apply`."""
        self.check_severity(severity)
        if severity == 0 or not self.moves_pixels:
            return mask.copy()
        with named_errors(self.name):
            moved = self.component.move(_read_only(mask), params, severity)
        self._check(moved, mask, "a mask")
        return np.ascontiguousarray(moved)

    def _check(self, found: Any, wanted: NDArray[Any], what: str) -> None:
        if not isinstance(found, np.ndarray):
            raise PluginError(f"{self.name} returned {type(found).__name__} for {what}, not an array")
        if found.dtype != wanted.dtype or found.shape != wanted.shape:
            raise PluginError(
                f"{self.name} returned {what} of dtype {found.dtype} and shape {found.shape} "
                f"for one of {wanted.dtype} and {wanted.shape}",
                "a corruption keeps both; tell the author of the plugin",
            )


def generator(seed: int, name: str, key: str) -> np.random.Generator:
    """Return the generator of one image under one corruption, which depends on nothing else."""
    digest = hashlib.sha256(f"{seed}\0{name}\0{key}".encode(errors="surrogateescape")).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view
