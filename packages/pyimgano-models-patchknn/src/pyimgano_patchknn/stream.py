"""Training patches in bounded memory: merge and reduce."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pyimgano_patchknn.moments import Moments

Features = NDArray[np.float32]

_NONE = np.empty((0, 0), dtype=np.float32)


class PatchStream:
    """Patches of one layer, at most `limit` at a time: whenever that many are held, they are reduced to a few of them.

    Merge and reduce (Har-Peled and Mazumdar 2004): a cover of a union of covers covers the whole, with their radii added. What
    is kept depends on the order of the patches, and not on how many are added at once.

    Parameters
    ----------
    limit
        Most patches that are held.
    reduce
        Returns the indices to keep of the patches held (limit, D), fewer than `limit`.

    Attributes
    ----------
    moments
        Of all patches that came.
    reduced
        Whether any were left out.
    """

    def __init__(self, limit: int, reduce: Callable[[PatchStream], NDArray[np.int64]]) -> None:
        self.limit = limit
        self.moments = Moments()
        self.reduced = False
        self._reduce = reduce
        self._held = _NONE
        self._count = 0

    @property
    def patches(self) -> Features:
        """The patches held, (N, D)."""
        return self._held[: self._count]

    def add(self, patches: Features) -> None:
        """Take in (M, D) patches."""
        if not self._held.size:
            self._held = np.empty((self.limit, patches.shape[1]), dtype=np.float32)
        self.moments.add(patches)
        while len(patches):
            if self._count == self.limit:
                kept = self.patches[self._reduce(self)]
                self._held[: len(kept)] = kept
                self._count, self.reduced = len(kept), True
            taken = patches[: self.limit - self._count]
            self._held[self._count : self._count + len(taken)] = taken
            self._count += len(taken)
            patches = patches[len(taken) :]
