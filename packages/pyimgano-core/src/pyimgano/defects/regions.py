"""The list of regions of a mask: measured, merged where asked for, sorted, numbered and cut."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import count, repeat
from typing import Any, NamedTuple

from numpy.typing import NDArray

from pyimgano.defects.checks import Values
from pyimgano.defects.components import Components, Integers
from pyimgano.defects.config import DefectsConfig
from pyimgano.defects.hulls import solidities
from pyimgano.defects.measures import Measures
from pyimgano.defects.merge import nearby_groups
from pyimgano.defects.space import image_boxes


class Region(NamedTuple):
    """One defect. Coordinates are columns and rows of the map, from 0; boxes are left, top, right, bottom, inclusive.

    Attributes
    ----------
    id
        Place in the list, from 1.
    bbox_xyxy
        Its box on the map.
    area
        Number of its pixels.
    centroid_xy
        Mean column and row of its pixels.
    score_max, score_mean
        Of its pixels on the map that was judged, which is the smoothed one.
    solidity
        Area over the number of pixels in the convex hull; None where the hull has no area, as that of a straight line, and
        where no solidity was asked for.
    bbox_xyxy_image
        Its box on the image; None where the size of the image was not given.
    merged_from_ids
        Numbers that its parts would have in a list without merging; None for a region in one piece.
    """

    id: int
    bbox_xyxy: tuple[int, int, int, int]
    area: int
    centroid_xy: tuple[float, float]
    score_max: float
    score_mean: float
    solidity: float | None = None
    bbox_xyxy_image: tuple[int, int, int, int] | None = None
    merged_from_ids: tuple[int, ...] | None = None

    @property
    def _sides(self) -> tuple[int, int]:
        left, top, right, bottom = self.bbox_xyxy
        return right - left + 1, bottom - top + 1

    @property
    def bbox_area(self) -> int:
        """Return the number of pixels of its box."""
        return math.prod(self._sides)

    @property
    def fill_ratio(self) -> float:
        """Return the share of its box that it fills."""
        return self.area / self.bbox_area

    @property
    def aspect_ratio(self) -> float:
        """Return the longer side of its box over the shorter."""
        return max(self._sides) / min(self._sides)

    def record(self) -> dict[str, Any]:
        """Return the region as it stands in the JSONL record; the last two keys only where there is something to say."""
        record: dict[str, Any] = {
            "id": self.id,
            "bbox_xyxy": list(self.bbox_xyxy),
            "area": self.area,
            "centroid_xy": list(self.centroid_xy),
            "bbox_area": self.bbox_area,
            "fill_ratio": self.fill_ratio,
            "aspect_ratio": self.aspect_ratio,
            "solidity": self.solidity,
            "score_max": self.score_max,
            "score_mean": self.score_mean,
        }
        if self.bbox_xyxy_image is not None:
            record["bbox_xyxy_image"] = list(self.bbox_xyxy_image)
        if self.merged_from_ids is not None:
            record["merged_from_ids"] = list(self.merged_from_ids)
        return record


def list_regions(
    components: Components,
    measures: Measures,
    inside: Values,
    config: DefectsConfig,
    image_size: tuple[int, int] | None = None,
) -> tuple[Region, ...]:
    """Return the regions in the order of the record, at most ``config.max_regions`` of them.

    Parameters
    ----------
    components, measures
        The components of the mask, and what was measured on them.
    inside
        The map that was judged, at the mask.
    image_size
        (height, width) of the image, for boxes on it.
    """
    order = measures.order(config.max_regions_sort_by)
    merged: dict[int, tuple[int, ...]] = {}
    if config.merge_nearby.enabled:
        groups = nearby_groups(measures.box, config.merge_nearby.max_gap_px, components.shape)
        merged = _parts(groups, order)
        components = components.grouped(groups)
        measures = Measures.of(components, inside)
        order = measures.order(config.max_regions_sort_by)
    order = order[: config.max_regions or None]
    listed = measures[order]
    solidity: Iterable[float | None] = repeat(None)
    if config.shape_filters.min_solidity:
        solidity = [None if math.isnan(one) else one for one in solidities(components, measures.area, order).tolist()]
    on_image = _rows(image_boxes(listed.box, components.shape, image_size)) if image_size else repeat(None)
    scores = listed.score_max.tolist(), listed.score_mean.tolist()
    parts = map(merged.get, order.tolist())
    columns = count(1), _rows(listed.box), listed.area.tolist(), _rows(listed.centroid), *scores, solidity, on_image, parts
    return tuple(map(Region, *columns))


def _rows(array: NDArray[Any]) -> Iterable[Any]:
    """Return the rows of an (N, n) array as tuples."""
    return zip(*array.T.tolist(), strict=True)


def _parts(groups: Integers, order: Integers) -> dict[int, tuple[int, ...]]:
    """Return for each group of several the places, from 1, that its members have in `order`."""
    parts: dict[int, list[int]] = {}
    for number, group in enumerate(groups[order].tolist(), start=1):
        parts.setdefault(group, []).append(number)
    return {group: tuple(numbers) for group, numbers in parts.items() if len(numbers) > 1}
