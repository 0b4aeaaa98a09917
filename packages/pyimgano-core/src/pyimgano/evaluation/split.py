"""A whole evaluation: fit on train, fix both thresholds on held-out normals, then score the test images once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from pyimgano.calibration import CalibrationSettings
from pyimgano.contracts import DatasetSplit, Detector, Sample
from pyimgano.datasets.masks import read_mask
from pyimgano.errors import DatasetError
from pyimgano.evaluation.results import AUPRO_LIMIT, image_results, pixel_results
from pyimgano.inference import InferenceResult, infer_iter
from pyimgano.logs import collected_warnings
from pyimgano.metrics.pixel import PixelTruth
from pyimgano.pipeline import Pipeline
from pyimgano.progress import track


@dataclass(frozen=True)
class Scored:
    """Test samples with their results, in order; results hold maps as small grids and no decoded image."""

    samples: Sequence[Sample]
    results: Sequence[InferenceResult]


def score_samples(pipeline: Pipeline, samples: Sequence[Sample]) -> Scored:
    """Score labelled samples once."""
    stream = infer_iter(pipeline, [str(sample.path) for sample in samples])
    return Scored(samples, [result.without_image() for result in track(stream, "test", len(samples))])


def _refuse_unlabelled(samples: Sequence[Sample]) -> None:
    unlabelled = [sample for sample in samples if sample.label is None]
    if unlabelled:
        raise DatasetError(
            f"{len(unlabelled)} test images have no label, the first is {unlabelled[0].path}",
            "evaluate on a split with labels; 'pyimgano infer' scores images without",
        )


def evaluate_scored(pipeline: Pipeline, scored: Scored, pixel: bool = True, aupro_limit: float = AUPRO_LIMIT) -> dict[str, Any]:
    """Return the results block of scored samples at the pipeline's own thresholds; nothing is re-tuned."""
    warnings: list[str] = []
    labels = np.array([sample.label for sample in scored.samples])
    scores = np.array([result.score for result in scored.results], dtype=np.float64)
    image, pixels = pipeline.score_threshold, pipeline.pixel_threshold
    results = image_results(labels, scores, image.value if image else None, warnings)
    truths = _truths(scored, warnings) if pixel else None
    if truths is not None:
        block, oracle = pixel_results(truths, pixels.value if pixels else None, warnings, aupro_limit)
        results["pixel_metrics"] = block
        results["oracle"].update(oracle)
    return {**results, "warnings": warnings}


def _truths(scored: Scored, warnings: list[str]) -> list[PixelTruth] | None:
    """Return maps with masks that are read when needed, or None with the reason why there are no pixel metrics."""
    without_map = [result for result in scored.results if result.anomaly_map is None]
    unmasked = [sample for sample in scored.samples if sample.label and sample.mask_path is None]
    if without_map or unmasked:
        reason = "the detector makes no anomaly maps" if without_map else f"{len(unmasked)} defective images have no mask"
        warnings.append(f"no pixel metrics, because {reason}")
        return None
    truths = []
    for sample, result in zip(scored.samples, scored.results, strict=True):
        assert result.anomaly_map is not None
        mask = partial(read_mask, sample.mask_path, result.anomaly_map.source) if sample.mask_path is not None else None
        truths.append(PixelTruth(result.anomaly_map, mask))
    return truths


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

    Returns
    -------
    dict
        As `evaluate_detector`, and ``thresholds`` with their provenance.
    """
    if not split.test:
        raise DatasetError("the split has no test images", "evaluate on a dataset with a folder 'test'")
    _refuse_unlabelled(split.test)
    pipeline = model if isinstance(model, Pipeline) else Pipeline.around(model)
    settings = CalibrationSettings(
        calibration_fraction=calibration_fraction,
        false_alarm_rate=false_alarm_rate,
        pixel_normal_quantile=pixel_normal_quantile,
    )
    with collected_warnings() as logged:
        split = split.with_calibration(calibration_fraction, calibration_seed)
        pipeline.fit([str(sample.path) for sample in split.train])
        pipeline.calibrate([str(sample.path) for sample in split.calibration], settings)
    if pixel_threshold_strategy == "none":
        pipeline.pixel_threshold = None
    results = evaluate_scored(pipeline, score_samples(pipeline, split.test), pixel_segf1, aupro_limit)
    results["warnings"] = [*logged, *results["warnings"]]
    return {**results, "thresholds": {"image": pipeline.score_threshold, "pixel": pipeline.pixel_threshold}}
