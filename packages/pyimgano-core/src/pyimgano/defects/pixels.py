"""The pixels of a map as the thresholds meet them, smoothed: all of them, or band by band where the map comes in bands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np
from numpy.typing import ArrayLike

from pyimgano.defects.checks import Mask, Values, above, checked_map
from pyimgano.defects.components import PIECE, Components
from pyimgano.defects.config import DefectsConfig
from pyimgano.defects.roi import validity_mask
from pyimgano.defects.smoothing import reach_of, smooth_anomaly_map
from pyimgano.errors import OptionsError
from pyimgano.maps import AnomalyMap, ScoredPart

Bands = Iterator[tuple[int, Values]]
"""First row, and rows, from top to bottom."""


class JudgedPixels:
    """What exceeds thresholds in a map, and the values there. An `AnomalyMap` is rendered anew for each, and never held whole.

    Attributes
    ----------
    shape
        (H, W).
    valid
        Which pixels count, (H, W) bool; None if all do.
    """

    def __init__(self, anomaly_map: ArrayLike | AnomalyMap, config: DefectsConfig) -> None:
        self._bands: Callable[[], Bands]
        if isinstance(anomaly_map, AnomalyMap):
            source, self.shape = anomaly_map, anomaly_map.source
            self.valid = valid_pixels(self.shape, config, source.scored)
            self._bands = lambda: _smoothed(source.bands(), self.shape, self.valid, config)
        else:
            values, self.valid = prepare_map(anomaly_map, config)
            self.shape = (values.shape[0], values.shape[1])
            self._bands = lambda: _cut(values)
        self._stats: dict[str, float] = {}

    def exceeding(self, threshold: float) -> tuple[Components, Values]:
        """Return the components of what is above a threshold, and the values there in raster order."""
        inside: list[Values] = []
        components = Components.of_pieces(self._masks(threshold, inside), self.shape)
        return components, np.concatenate(inside)

    def at(self, components: Components) -> Values:
        """Return the values at the pixels of components, in raster order."""
        inside = [rows[components.rows_of_mask(top, top + len(rows))] for top, rows in self._bands()]
        return np.concatenate(inside)

    def stats(self) -> dict[str, float]:
        """Return ``max`` and ``mean`` of the pixels that count; after `exceeding`, which measures them on its way."""
        return dict(self._stats)

    def _masks(self, threshold: float, inside: list[Values]) -> Iterator[Mask]:
        peaks, means, counts = [], [], []
        for top, rows in self._bands():
            mask, counted = above(rows, threshold), None
            if self.valid is not None:
                valid = self.valid[top : top + len(rows)]
                mask, counted = mask & valid, valid.astype(np.uint8)
            inside.append(rows[mask])
            count = rows.size if counted is None else cv2.countNonZero(counted)
            if count:
                peaks.append(cv2.minMaxLoc(rows, counted)[1])
                means.append(cv2.mean(rows, counted)[0])
                counts.append(count)
            yield mask
        mean = means[0] if len(means) == 1 else float(np.average(means, weights=counts))
        self._stats = {"max": max(peaks), "mean": mean}


def prepare_map(anomaly_map: ArrayLike | AnomalyMap, config: DefectsConfig) -> tuple[Values, Mask | None]:
    """Return the map that the threshold meets, and which of its pixels count (None: all).

    A pixel threshold must be calibrated on these values of normal images, at these pixels.

    Raises
    ------
    DetectorError
        If the map is not (H, W) finite numbers.
    OptionsError
        If no pixel counts.
    """
    scored = None
    if isinstance(anomaly_map, AnomalyMap):
        scored, anomaly_map = anomaly_map.scored, anomaly_map.render()
    values = checked_map(anomaly_map)
    valid = valid_pixels((values.shape[0], values.shape[1]), config, scored)
    smoothing = config.map_smoothing
    if smoothing.method != "none":
        values = smooth_anomaly_map(values, smoothing.method, smoothing.ksize, smoothing.sigma, valid)
    return values, valid


def valid_pixels(shape: tuple[int, int], config: DefectsConfig, scored: ScoredPart | None = None) -> Mask | None:
    """Return which pixels of a map of `shape` count, of those that are scored (None: all), or None where all do.

    Raises
    ------
    OptionsError
        If no pixel counts.
    """
    chosen = validity_mask(shape, config.border_ignore_px, config.roi_xyxy_norm, config.roi_polygons_norm)
    if scored is None:
        return chosen
    inside = scored.mask(shape)
    both = inside if chosen is None else chosen & inside
    if not both.any():
        raise OptionsError("the detector has not seen any pixel of the region that counts", "choose another region of interest")
    return both


def _cut(values: Values) -> Bands:
    step = max(1, PIECE // values.shape[1])
    return ((top, values[top : top + step]) for top in range(0, len(values), step))


def _smoothed(bands: Iterable[tuple[int, Values]], shape: tuple[int, int], valid: Mask | None, config: DefectsConfig) -> Bands:
    """Yield a map that comes in bands as the thresholds meet it."""
    smoothing = config.map_smoothing
    if smoothing.method == "none":
        yield from ((top, checked_map(rows)) for top, rows in bands)
        return
    for start, stop, first, rows in _with_neighbours(bands, shape, reach_of(smoothing)):
        counted = None if valid is None else valid[first : first + len(rows)]
        smooth = smooth_anomaly_map(rows, smoothing.method, smoothing.ksize, smoothing.sigma, counted)
        yield start, smooth[start - first : stop - first]


def _with_neighbours(
    bands: Iterable[tuple[int, Values]], shape: tuple[int, int], reach: int
) -> Iterator[tuple[int, int, int, Values]]:
    """Yield start and stop of some rows, and from which row on the map is there; `reach` rows before and after are, if any."""
    height, width = shape
    step = max(1, PIECE // width)
    rows, top, start = np.empty((0, width), dtype=np.float32), 0, 0
    for _, band in bands:
        rows = np.concatenate([rows, band])
        while start < height and min(start + step, height) + min(reach, max(height - start - step, 0)) <= top + len(rows):
            stop = min(start + step, height)
            first, last = max(start - reach, top), min(stop + reach, height)
            yield start, stop, first, rows[first - top : last - top]
            start = stop
        drop = max(start - reach - top, 0)
        rows, top = rows[drop:], top + drop
