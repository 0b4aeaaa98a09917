"""``anomaly_map``: normalisation by held-out normal pixels, smoothing, morphology and a filter of small regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat

from pyimgano.calibration import PixelQuantile
from pyimgano.contracts import ImageScore, Postprocessor
from pyimgano.errors import BundleError, CalibrationError, NotFittedError, OptionsError
from pyimgano.maps import AnomalyMap
from pyimgano.options import Options, parse
from pyimgano.postprocess.options import AnomalyMapOptions

Values = NDArray[np.float32]


class Learned(Options):
    """What `AnomalyMapPostprocess.fit` learned: `percentiles`, which become 0 and 1, and where they lie, `range`."""

    percentiles: tuple[float, float] = Field(description="Two percentiles of held-out normal pixels.")
    range: tuple[FiniteFloat, FiniteFloat] = Field(description="Their values.")


class AnomalyMapPostprocess(Postprocessor):
    """Changes anomaly maps at image size: normalise, smooth, open, close, drop small regions, in this order.

    Normalisation is one affine map for all images, from held-out normal ones: scaling every image by itself would give every
    good image a pixel at 1. Nothing is clipped, so a defect lies above 1. Image scores stay as they are.

    Parameters
    ----------
    options
        Validated options, or leave it out and give their values by name: ``AnomalyMapPostprocess(gaussian_sigma=2)``.
    """

    options: AnomalyMapOptions

    def __init__(self, options: AnomalyMapOptions | None = None, /, **values: Any) -> None:
        if options is not None and values:
            raise OptionsError("anomaly_map got its options both as a model and by name", "pass one of the two")
        super().__init__(options or parse(AnomalyMapOptions, values, "anomaly_map", "pyimgano show postprocessor anomaly_map"))
        self._learned: Learned | None = None

    @property
    def _percentiles(self) -> tuple[float, float] | None:
        """The percentiles that become 0 and 1; None without normalisation."""
        ends = {"none": None, "minmax": (0.0, 100.0), "percentile": self.options.percentile_range}
        return ends[self.options.normalize_method]

    def fit(self, results: Sequence[ImageScore]) -> Self:
        percentiles = self._percentiles
        if percentiles is None:
            return self
        maps = [result.anomaly_map for result in results if result.anomaly_map is not None]
        if not maps:
            raise CalibrationError("there are no maps of held-out normal images", "use a detector that makes anomaly maps")
        low, high = (_percentile(maps, percent) for percent in percentiles)
        if not low < high:
            raise CalibrationError(
                f"held-out normal pixels reach from {low:g} to {high:g}, which nothing can be scaled by",
                "calibrate on real images of good parts, or use normalize_method=none",
            )
        self._learned = Learned(percentiles=percentiles, range=(low, high))
        return self

    def apply(self, result: ImageScore) -> ImageScore:
        if result.anomaly_map is None:
            return result
        if self._percentiles is not None and self._learned is None:
            raise NotFittedError("anomaly_map has no range to normalise by", "calibrate the pipeline first")
        return replace(result, anomaly_map=result.anomaly_map.then(self._change))

    def _change(self, values: Values, /) -> Values:
        options = self.options
        if self._learned is not None:
            low, high = self._learned.range
            values = ((values.astype(np.float64) - low) / (high - low)).astype(np.float32)
        if options.gaussian_sigma:
            smooth = cv2.GaussianBlur(values, (0, 0), options.gaussian_sigma, borderType=cv2.BORDER_REFLECT_101)
            values = np.asarray(smooth, dtype=np.float32)
        for kind, side in ((cv2.MORPH_OPEN, options.open_ksize), (cv2.MORPH_CLOSE, options.close_ksize)):
            if side:
                disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
                values = np.asarray(cv2.morphologyEx(values, kind, disc), dtype=np.float32)
        if options.component_threshold is not None:
            values = _flatten_small(values, options.component_threshold, options.min_component_area)
        return values

    def state(self) -> dict[str, Any]:
        return {} if self._learned is None else self._learned.model_dump(mode="json")

    def load_state(self, values: Mapping[str, Any]) -> None:
        percentiles = self._percentiles
        if percentiles is None:  # what was learned for normalisation is not used without it
            return
        again = "train again, or put the option back"
        if not values:
            raise BundleError(f"anomaly_map is to normalise by {_named(percentiles)}, but has learned nothing", again)
        learned = parse(Learned, values, "anomaly_map.state", again)
        if learned.percentiles != percentiles:
            problem = f"anomaly_map is to normalise by {_named(percentiles)}, but has learned {_named(learned.percentiles)}"
            raise BundleError(problem, again)
        low, high = learned.range
        if not low < high:
            raise BundleError(f"anomaly_map.state.range: must rise, got {low:g} and {high:g}", again)
        self._learned = learned


def _named(percentiles: tuple[float, float]) -> str:
    return "the percentiles {:g} and {:g}".format(*percentiles)


def _percentile(maps: Sequence[AnomalyMap], percent: float) -> float:
    """Return the percentile of all pixels; the lower half by mirroring, so that only the nearer tail is kept in memory."""
    total = sum(one.source[0] * one.source[1] for one in maps)
    sign = 1.0 if percent >= 50 else -1.0
    share = percent / 100 if percent >= 50 else 1 - percent / 100
    if share == 1:
        return sign * max(float((sign * one.render()).max()) for one in maps)
    quantile = PixelQuantile(share, total)
    for one in maps:
        quantile.add(sign * one.render())
    return sign * quantile.threshold().value


def _flatten_small(values: Values, threshold: float, least: int) -> Values:
    """Lower every 8-connected region above the threshold with fewer than `least` pixels to the threshold."""
    above = (values > threshold).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(above, connectivity=8)
    small = stats[:, cv2.CC_STAT_AREA] < least
    small[0] = False
    return np.where(small[labels], np.float32(threshold), values)
