"""Core's metrics as components: each reads one number off the evidence, or says why there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyimgano.contracts import Evidence, Metric
from pyimgano.datasets.masks import read_defects_config
from pyimgano.errors import UndefinedMetricError
from pyimgano.metrics.options import AUPROOptions, SPROOptions
from pyimgano.metrics.pixel import PixelCounts
from pyimgano.metrics.spro import au_spro, loco_truth

Read = Callable[[Evidence], float | None]

ONE_CLASS = "the test images are all good or all defective"
ONE_KIND_OF_PIXEL = "the masks are all empty or all full"
NO_DEFECTIVE = "no test image is defective"
NO_GOOD = "no test image is good"
NONE_CALLED = "nothing was called defective"
NOTHING = "nothing is defective and nothing was called so"
UNRATED = "only mvtec_loco rates its defects in a defects_config.json"


class Derived(Metric):
    """A metric that reads its value off what the evidence derives."""

    def __init__(self, options: Any, read: Read, reason: str) -> None:
        super().__init__(options)
        self._read = read
        self._reason = reason

    def compute(self, evidence: Evidence) -> float:
        value = self._read(evidence)
        if value is None:
            raise UndefinedMetricError(self._reason)
        return value


Factory = Callable[[Any], Derived]


def _derived(read: Read, reason: str) -> Factory:
    return lambda options: Derived(options, read, reason)


def _counted(read: Callable[[PixelCounts], float | None], reason: str) -> Factory:
    return _derived(lambda evidence: read(evidence.pixel_total), reason)


def _where_both_classes(read: Read) -> Read:
    return lambda evidence: None if evidence.image_curve.area() is None else read(evidence)


def _where_both_pixels(read: Read) -> Read:
    return lambda evidence: None if evidence.pixel_curves.pixels.area() is None else read(evidence)


auroc = _derived(lambda evidence: evidence.image_curve.area(), ONE_CLASS)
average_precision = _derived(_where_both_classes(lambda evidence: evidence.image_curve.average_precision()), ONE_CLASS)
precision = _derived(lambda evidence: evidence.confusion.precision, NONE_CALLED)
recall = _derived(lambda evidence: evidence.confusion.recall, NO_DEFECTIVE)
f1 = _derived(lambda evidence: evidence.confusion.f1, NOTHING)
specificity = _derived(lambda evidence: evidence.confusion.specificity, NO_GOOD)
accuracy = _derived(lambda evidence: evidence.confusion.accuracy, "there are no test images")
false_alarm_rate = _derived(lambda evidence: evidence.confusion.false_alarm_rate, NO_GOOD)

pixel_auroc = _derived(lambda evidence: evidence.pixel_curves.pixels.area(), ONE_KIND_OF_PIXEL)
pixel_average_precision = _derived(
    _where_both_pixels(lambda evidence: evidence.pixel_curves.pixels.average_precision()), ONE_KIND_OF_PIXEL
)


def aupro(options: AUPROOptions) -> Derived:
    """Return the area under the per-region overlap curve up to a limit, over the limit (Bergmann et al., CVPR 2019)."""
    return Derived(options, lambda evidence: evidence.pixel_curves.regions.area(options.limit), ONE_KIND_OF_PIXEL)


class SPRO(Metric):
    """Saturated per-region overlap of MVTec LOCO: the mean over types of anomaly, each rated together with the good images."""

    options: SPROOptions

    def compute(self, evidence: Evidence) -> float:
        samples, truths = evidence.samples, evidence.truths
        if truths is None:
            raise UndefinedMetricError("there are no masks or no anomaly maps")
        if samples is None:
            raise UndefinedMetricError(UNRATED)
        defective = [sample for sample in samples if sample.label]
        if not defective:
            raise UndefinedMetricError(NO_DEFECTIVE)
        if any("defects_config" not in sample.meta for sample in defective):
            raise UndefinedMetricError(UNRATED)
        places = {sample.meta["defects_config"] for sample in defective}
        configs = {place: read_defects_config(place) for place in places}
        areas = []
        for kind in sorted({sample.defect_type for sample in defective}):
            chosen = [
                loco_truth(truth.anomaly_map, sample.mask_path, configs.get(sample.meta.get("defects_config"), {}))
                for sample, truth in zip(samples, truths, strict=True)
                if not sample.label or sample.defect_type == kind
            ]
            area = au_spro(chosen, self.options.limit)
            if area is None:
                raise UndefinedMetricError(ONE_KIND_OF_PIXEL)
            areas.append(area)
        return sum(areas) / len(areas)


spro = SPRO
pixel_segf1 = _counted(lambda counts: counts.segf1, NOTHING)
bg_fpr = _counted(lambda counts: counts.bg_fpr, "no pixel is free of defects")
good_image_bg_fpr = _counted(lambda counts: counts.good_image_bg_fpr, NO_GOOD)
good_image_alarm_rate = _counted(lambda counts: counts.good_image_alarm_rate, NO_GOOD)
region_recall = _counted(lambda counts: counts.region_recall, "no test image has a defect in its mask")
false_regions_per_image = _counted(lambda counts: counts.false_regions_per_image, "there are no test images")
