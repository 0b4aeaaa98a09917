"""A whole evaluation: fit on train, fix both thresholds on held-out normals, then score the test images once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np

from pyimgano.calibration import CalibrationSettings
from pyimgano.contracts import DatasetSplit, Detector, Evidence, Metric, Sample
from pyimgano.datasets.masks import read_mask
from pyimgano.errors import DatasetError
from pyimgano.evaluation.results import AUPRO_LIMIT, results_block
from pyimgano.inference import InferenceResult, infer_iter
from pyimgano.logs import collected_warnings
from pyimgano.metrics.pixel import PixelTruth
from pyimgano.pipeline import Pipeline
from pyimgano.progress import track


def score_samples(pipeline: Pipeline, samples: Sequence[Sample]) -> list[InferenceResult]:
    """Score samples once, in order; results hold maps as small grids and no decoded image."""
    stream = infer_iter(pipeline, [str(sample.path) for sample in samples])
    return [result.without_image() for result in track(stream, "test", len(samples))]


def refuse_unlabelled(samples: Sequence[Sample]) -> None:
    """Refuse test images that nothing can be said about."""
    if not samples:
        raise DatasetError("the split has no test images", "evaluate on a dataset with a folder 'test'")
    unlabelled = [sample for sample in samples if sample.label is None]
    if unlabelled:
        raise DatasetError(
            f"{len(unlabelled)} test images have no label, the first is {unlabelled[0].path}",
            "evaluate on a split with labels; 'pyimgano infer' scores images without",
        )


def collect_evidence(
    pipeline: Pipeline, samples: Sequence[Sample], results: Sequence[InferenceResult], pixel: bool = True
) -> tuple[Evidence, list[str]]:
    """Return scored samples as evidence at the pipeline's own thresholds, and why it has no pixels where it has none."""
    missing = _why_no_pixels(samples, results) if pixel else None
    image, pixels = pipeline.score_threshold, pipeline.pixel_threshold
    evidence = Evidence(
        labels=np.array([sample.label for sample in samples]),
        scores=np.array([result.score for result in results], dtype=np.float64),
        threshold=image.value if image else None,
        pixel_threshold=pixels.value if pixels else None,
        truths=[_truth(*pair) for pair in zip(samples, results, strict=True)] if pixel and missing is None else None,
        samples=samples,
    )
    return evidence, [] if missing is None else [f"no pixel metrics, because {missing}"]


def _why_no_pixels(samples: Sequence[Sample], results: Sequence[InferenceResult]) -> str | None:
    if any(result.anomaly_map is None for result in results):
        return "the detector makes no anomaly maps"
    unmasked = sum(1 for sample in samples if sample.label and sample.mask_path is None)
    return f"{unmasked} defective images have no mask" if unmasked else None


def _truth(sample: Sample, result: InferenceResult) -> PixelTruth:
    """Return the map with its mask, which is read when it is needed."""
    assert result.anomaly_map is not None
    mask = partial(read_mask, sample.mask_path, result.anomaly_map.source) if sample.mask_path is not None else None
    return PixelTruth(result.anomaly_map, mask)


def evaluate_split(
    model: Pipeline | Detector,
    split: DatasetSplit,
    *,
    pixel_segf1: bool = True,
    pixel_threshold_strategy: Literal["normal_pixel_quantile", "none"] = "normal_pixel_quantile",
    pixel_normal_quantile: float = 0.999,
    calibration_fraction: float = 0.2,
    calibration_seed: int = 0,
    false_alarm_rate: float = 0.05,
    aupro_limit: float = AUPRO_LIMIT,
    extra_metrics: Mapping[str, Metric] | None = None,
) -> dict[str, Any]:
    """Fit, calibrate and evaluate a model that is not fitted yet.

    Parameters
    ----------
    model
        A detector or a pipeline around one.
    split
        If it has no calibration images, `calibration_fraction` of train is held out with `calibration_seed`.
    pixel_segf1
        Whether to compute pixel metrics where there are masks and maps.
    pixel_threshold_strategy
        ``none`` leaves SegF1 and the background false-positive rate null.
    extra_metrics
        Further metrics, by the name they get in ``extra_metrics``.

    Returns
    -------
    dict
        As `evaluate_detector`, and ``thresholds`` with their provenance.
    """
    refuse_unlabelled(split.test)
    pipeline = model if isinstance(model, Pipeline) else Pipeline.around(model)
    settings = CalibrationSettings(
        calibration_fraction=calibration_fraction,
        false_alarm_rate=false_alarm_rate,
        pixel_threshold_strategy=pixel_threshold_strategy,
        pixel_normal_quantile=pixel_normal_quantile,
    )
    with collected_warnings() as logged:
        split, _ = pipeline.learn(split, settings, calibration_seed)
    evidence, reasons = collect_evidence(pipeline, split.test, score_samples(pipeline, split.test), pixel_segf1)
    results = results_block(evidence, extra=extra_metrics, aupro_limit=aupro_limit)
    results["warnings"] = [*logged, *reasons, *results["warnings"]]
    return {**results, "thresholds": {"image": pipeline.score_threshold, "pixel": pipeline.pixel_threshold}}
