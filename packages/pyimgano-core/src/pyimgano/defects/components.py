"""The connected components of a mask, as horizontal runs of pixels: what is wanted of them costs one pass for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from pyimgano.defects.checks import Mask, Values

Integers = NDArray[np.intp]
Number = TypeVar("Number", bound=np.floating[Any])


@dataclass(frozen=True, eq=False)
class Components:
    """The 8-connected components of a mask, or groups of them.

    Attributes
    ----------
    mask
        (H, W) bool: where they are.
    count
        How many there are; they are numbered from 0.
    labels
        The component of each run; runs are in raster order.
    rows, left, lengths
        Row, first column and number of pixels of each run.
    """

    mask: Mask
    count: int
    labels: Integers
    rows: Integers
    left: Integers
    lengths: Integers

    @classmethod
    def of(cls, mask: Mask) -> Components:
        """Return the components of a mask."""
        count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        height, width = mask.shape
        fenced = np.zeros(height * (width + 1) + 1, dtype=np.bool_)  # an empty pixel before, and one after every row
        fenced[1:].reshape(height, width + 1)[:, :width] = mask
        changes = np.flatnonzero(fenced[1:] != fenced[:-1])
        rows, left = np.divmod(changes[::2], width + 1)
        return cls(mask, count - 1, labels[rows, left].astype(np.intp) - 1, rows, left, changes[1::2] - changes[::2])

    @property
    def right(self) -> Integers:
        """Return the last column of each run."""
        return self.left + self.lengths - 1

    def per_run(self, reduction: np.ufunc, inside: NDArray[Number]) -> NDArray[Number]:
        """Return the reduction of ``inside = values[mask]``, some map at the mask, over the pixels of each run."""
        return reduction.reduceat(inside, np.cumsum(self.lengths) - self.lengths) if self.count else inside

    def peaks(self, inside: Values) -> Values:
        """Return the highest of the values ``inside = values[mask]`` for each."""
        peaks = np.full(self.count, -np.inf, dtype=np.float32)
        np.maximum.at(peaks, self.labels, self.per_run(np.maximum, inside))
        return peaks

    def kept(self, keep: Mask) -> Components:
        """Return those for which `keep`, one value each, is true, numbered anew in the same order."""
        if keep.all():
            return self
        runs = keep[self.labels]
        mask = self.mask.copy()
        mask[self._pixels(~runs)] = False
        labels = (np.cumsum(keep) - 1)[self.labels[runs]]
        return Components(mask, int(keep.sum()), labels, self.rows[runs], self.left[runs], self.lengths[runs])

    def _pixels(self, runs: Mask) -> tuple[Integers, Integers]:
        """Return the rows and columns of the pixels of `runs`."""
        lengths = self.lengths[runs]
        offsets = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return np.repeat(self.rows[runs], lengths), np.repeat(self.left[runs], lengths) + offsets

    def grouped(self, groups: Integers) -> Components:
        """Return unions: `groups` has for each the number of the group it goes to, from 0, none left out."""
        count = int(groups.max(initial=-1)) + 1
        return Components(self.mask, count, groups[self.labels], self.rows, self.left, self.lengths)
