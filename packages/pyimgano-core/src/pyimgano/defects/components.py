"""The connected components of a mask, as horizontal runs of pixels: what is wanted of them costs one pass for all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from pyimgano.defects.checks import Mask, Values

Integers = NDArray[np.intp]
Number = TypeVar("Number", bound=np.floating[Any])
Runs = tuple[Integers, Integers, Integers, Integers]
"""Label, row, first column and number of pixels of each run."""
PIECE = 1 << 22
"""How many pixels are labelled at once."""


@dataclass(frozen=True, eq=False)
class Components:
    """The 8-connected components of a mask, or groups of them.

    Attributes
    ----------
    shape
        (H, W) of the mask.
    count
        How many there are; they are numbered from 0.
    labels
        The component of each run; runs are in raster order.
    rows, left, lengths
        Row, first column and number of pixels of each run.
    """

    shape: tuple[int, int]
    count: int
    labels: Integers
    rows: Integers
    left: Integers
    lengths: Integers

    @classmethod
    def of(cls, mask: Mask) -> Components:
        """Return the components of a mask."""
        step = max(1, PIECE // mask.shape[1])
        return cls.of_pieces((mask[top : top + step] for top in range(0, mask.shape[0], step)), mask.shape)

    @classmethod
    def of_pieces(cls, pieces: Iterable[Mask], shape: tuple[int, ...]) -> Components:
        """Return the components of a mask that comes in pieces from top to bottom, each of whole rows."""
        runs: list[Runs] = []
        touching: list[tuple[Integers, Integers]] = []
        top = count = 0
        for piece in pieces:
            labels, rows, left, lengths = _runs(piece)
            runs.append((labels + count, rows + top, left, lengths))
            touching += _touching(runs[-2:], top)
            count += int(labels.max(initial=-1)) + 1
            top += len(piece)
        labels, rows, left, lengths = (np.concatenate(parts) for parts in zip(*runs, strict=True))
        if touching:
            count, labels = _joined(count, touching, labels)
        return cls((shape[0], shape[1]), count, labels, rows, left, lengths)

    @property
    def right(self) -> Integers:
        """Return the last column of each run."""
        return self.left + self.lengths - 1

    @property
    def mask(self) -> Mask:
        """Return where they are, (H, W) bool, made anew."""
        mask = np.zeros(self.shape, dtype=np.bool_)
        for top, piece in self.pieces(max(1, PIECE // self.shape[1])):
            mask[top : top + len(piece)] = piece
        return mask

    def pieces(self, step: int) -> Iterator[tuple[int, Mask]]:
        """Yield the mask from top to bottom, as the first row and up to `step` rows."""
        for top in range(0, self.shape[0], step):
            yield top, self.rows_of_mask(top, min(top + step, self.shape[0]))

    def rows_of_mask(self, top: int, bottom: int) -> Mask:
        """Return the rows of the mask from `top` to before `bottom`."""
        first, last = np.searchsorted(self.rows, (top, bottom))
        width = self.shape[1]
        starts = (self.rows[first:last] - top) * width + self.left[first:last]
        edges = np.zeros((bottom - top) * width + 1, dtype=np.int8)
        edges[starts] += 1
        edges[starts + self.lengths[first:last]] -= 1
        return np.cumsum(edges[:-1], dtype=np.int8).view(np.bool_).reshape(-1, width)

    def per_run(self, reduction: np.ufunc, inside: Values, kind: type[Number]) -> NDArray[Number]:
        """Return the reduction of ``inside = values[mask]``, some map at the mask, over the pixels of each run, as `kind`."""
        ends = np.cumsum(self.lengths)
        starts = ends - self.lengths
        reduced = np.empty(len(ends), dtype=kind)
        first = 0
        while first < len(ends):  # a part at a time, because reduceat makes a copy of another type
            last = max(first + 1, int(np.searchsorted(ends, starts[first] + PIECE, side="right")))
            part = inside[starts[first] : ends[last - 1]]
            reduced[first:last] = reduction.reduceat(part, starts[first:last] - starts[first], dtype=kind)
            first = last
        return reduced

    def peaks(self, inside: Values) -> Values:
        """Return the highest of the values ``inside = values[mask]`` for each."""
        peaks = np.full(self.count, -np.inf, dtype=np.float32)
        np.maximum.at(peaks, self.labels, self.per_run(np.maximum, inside, np.float32))
        return peaks

    def kept(self, keep: Mask) -> Components:
        """Return those for which `keep`, one value each, is true, numbered anew in the same order."""
        if keep.all():
            return self
        runs = keep[self.labels]
        labels = (np.cumsum(keep) - 1)[self.labels[runs]]
        return Components(self.shape, int(keep.sum()), labels, self.rows[runs], self.left[runs], self.lengths[runs])

    def kept_of(self, inside: Values, keep: Mask) -> Values:
        """Return those of ``inside = values[mask]``, some map at the mask, that `kept` leaves in the mask."""
        return inside if keep.all() else inside[np.repeat(keep[self.labels], self.lengths)]

    def grouped(self, groups: Integers) -> Components:
        """Return unions: `groups` has for each the number of the group it goes to, from 0, none left out."""
        count = int(groups.max(initial=-1)) + 1
        return Components(self.shape, count, groups[self.labels], self.rows, self.left, self.lengths)


def _runs(mask: Mask) -> Runs:
    """Return the runs of a mask, labelled by component from 0."""
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    height, width = mask.shape
    fenced = np.zeros(height * (width + 1) + 1, dtype=np.bool_)  # an empty pixel before, and one after every row
    fenced[1:].reshape(height, width + 1)[:, :width] = mask
    changes = np.flatnonzero(fenced[1:] != fenced[:-1])
    rows, left = np.divmod(changes[::2], width + 1)
    return labels[rows, left].astype(np.intp) - 1, rows, left, changes[1::2] - changes[::2]


def _touching(runs: list[Runs], top: int) -> list[tuple[Integers, Integers]]:
    """Return the pairs of labels that meet at row `top`, where the last piece begins."""
    if len(runs) < 2:
        return []
    (above, above_rows, above_left, above_lengths), (below, below_rows, below_left, below_lengths) = runs
    upper, lower = above_rows == top - 1, below_rows == top
    left, right = below_left[lower], below_left[lower] + below_lengths[lower] - 1
    first = np.searchsorted(right, above_left[upper] - 1)  # the first run that ends no more than a pixel before it
    last = np.searchsorted(left, above_left[upper] + above_lengths[upper], side="right")
    counts = last - first
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return [(np.repeat(above[upper], counts), below[lower][np.repeat(first, counts) + offsets])]


def _joined(count: int, touching: Iterable[tuple[Integers, Integers]], labels: Integers) -> tuple[int, Integers]:
    """Return how many components there are, and the labels, when pairs of labels are one."""
    one, other = (np.concatenate(side) for side in zip(*touching, strict=True))
    least = np.arange(count)
    while (least[one] != least[other]).any():
        lower = np.minimum(least[one], least[other])
        np.minimum.at(least, least[one], lower)
        np.minimum.at(least, least[other], lower)
        while (least[least] != least).any():
            least = least[least]
    numbers, joined = np.unique(least, return_inverse=True)
    return len(numbers), joined[labels].astype(np.intp)
