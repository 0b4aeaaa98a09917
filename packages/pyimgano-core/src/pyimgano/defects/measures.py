"""What is measured on regions, one array per property, and the order in which they are listed."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from pyimgano.defects.checks import Mask, Values
from pyimgano.defects.components import Components, Integers
from pyimgano.defects.config import SortKey

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Measures:
    """One row per region.

    Attributes
    ----------
    area
        Number of pixels.
    box
        (N, 4): left, top, right, bottom, inclusive.
    centroid
        (N, 2): mean column and row.
    score_max, score_mean
        Of the region's pixels on the map that was judged.
    """

    area: Integers
    box: Integers
    centroid: Floats
    score_max: Values
    score_mean: Floats

    @classmethod
    def of(cls, components: Components, inside: Values) -> Measures:
        """Measure every component of a map's values ``inside = values[mask]``; sums are float64 and run in raster order."""
        labels, count = components.labels, components.count
        rows, left, right, lengths = components.rows, components.left, components.right, components.lengths
        area = np.bincount(labels, lengths, count)
        columns = np.bincount(labels, (left + right) * lengths, count) / 2
        box = np.stack([_least(labels, ends, count) for ends in (left, rows, -right, -rows)], axis=1)
        sums = components.per_run(np.add, inside, np.float64)
        return cls(
            area=area.astype(np.intp),
            box=box * (1, 1, -1, -1),
            centroid=np.stack([columns, np.bincount(labels, rows * lengths, count)], axis=1) / area[:, None],
            score_max=components.peaks(inside),
            score_mean=np.bincount(labels, sums, count) / area,
        )

    def __getitem__(self, places: Integers | Mask) -> Measures:
        """Return the rows at `places`."""
        return Measures(**{field.name: getattr(self, field.name)[places] for field in fields(self)})

    @property
    def sides(self) -> Integers:
        """Return width and height of every box, (N, 2)."""
        return self.box[:, 2:] - self.box[:, :2] + 1

    @property
    def fill_ratio(self) -> Floats:
        """Return the share of its box that each region fills."""
        return np.asarray(self.area / self.sides.prod(axis=1), dtype=np.float64)

    @property
    def aspect_ratio(self) -> Floats:
        """Return the longer side of every box over the shorter."""
        return np.asarray(self.sides.max(axis=1) / self.sides.min(axis=1), dtype=np.float64)

    def order(self, sort_by: SortKey) -> Integers:
        """Return the places of the regions in the order of the record.

        It is total: two regions never share a box, because a path through one from left to right and a path through the other
        from top to bottom would cross.
        """
        left, top, right, bottom = self.box.T
        falling = (getattr(self, sort_by), self.score_max, self.score_mean, self.area)
        return np.lexsort([right, bottom, left, top, *(-key for key in reversed(falling))])


def _least(labels: Integers, values: Integers, count: int) -> Integers:
    least = np.full(count, np.iinfo(np.intp).max, dtype=np.intp)
    np.minimum.at(least, labels, values)
    return least
