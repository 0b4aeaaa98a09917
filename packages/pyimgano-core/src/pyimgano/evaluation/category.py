"""One model on one category: fit, calibrate, score, and everything the report says about it."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pyimgano.calibration import CalibrationSettings
from pyimgano.contracts import DatasetSplit, Metric, Sample
from pyimgano.datasets.masks import mask_files
from pyimgano.datasets.splits import sample_evenly
from pyimgano.evaluation.breakdown import defect_types, image_records, pro_points, relative_name
from pyimgano.evaluation.config import BenchmarkConfig
from pyimgano.evaluation.results import results_block
from pyimgano.evaluation.split import collect_evidence, score_samples
from pyimgano.evaluation.worst import find_worst
from pyimgano.logs import collected_warnings
from pyimgano.pipeline import Pipeline
from pyimgano.reporting.strict_json import plain

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Category:
    """A category to benchmark on: its name, its images, the folder they are named from, and what the limits of the run cut."""

    name: str
    split: DatasetSplit
    root: Path | None
    cut: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, split: DatasetSplit, root: Path | None, config: BenchmarkConfig) -> Category:
        """Return the category, cut down to the limits of the config."""
        limited = _limited(split, config)
        cut = tuple(role for role in ("train", "test") if len(getattr(limited, role)) < len(getattr(split, role)))
        return cls(name, limited, root or common_folder(split), cut)

    @cached_property
    def digests(self) -> Mapping[Path, str | None]:
        """Return the sha256 of every image, mask and file that describes one; None for what cannot be read."""
        samples = (*self.split.train, *self.split.calibration, *self.split.test)
        return {path: _sha256(path) for sample in samples for path in _files(sample)}

    @cached_property
    def data_sha256(self) -> str:
        """Return a digest of all its images and masks, with their names and labels, by which a resumed run knows it again."""
        whole = hashlib.sha256()
        for role in ("train", "calibration", "test"):
            samples: Sequence[Sample] = getattr(self.split, role)
            for sample in samples:
                files = [f"{relative_name(path, self.root)}\t{self.digests[path]}" for path in _files(sample)]
                row = "\t".join([role, str(sample.label), sample.defect_type, *files])
                whole.update(f"{row}\n".encode(errors="surrogateescape"))
        return whole.hexdigest()


@dataclass(frozen=True)
class CategoryRun:
    """What one category gave: its report, one record per test image, and pictures of the worst, by file name."""

    report: Mapping[str, Any]
    records: Sequence[Mapping[str, Any]]
    pictures: Mapping[str, bytes]


def run_category(category: Category, pipeline: Pipeline, config: BenchmarkConfig, metrics: Mapping[str, Metric]) -> CategoryRun:
    """Fit and calibrate a new pipeline on a category, then score its test images once."""
    with collected_warnings() as warnings:
        split, seconds = pipeline.learn(category.split, calibration_settings(config), config.seed)
    run = judge_category(category, split, pipeline, config, metrics, seconds)
    return replace(run, report={**run.report, "warnings": [*warnings, *run.report["warnings"]]})


def judge_category(
    category: Category,
    split: DatasetSplit,
    pipeline: Pipeline,
    config: BenchmarkConfig,
    metrics: Mapping[str, Metric],
    seconds: Mapping[str, float],
) -> CategoryRun:
    """Score the test images of a category once with a pipeline that was fitted and calibrated on it.

    Parameters
    ----------
    split
        The category's, with the calibration images that were held out.
    seconds
        How long fitting and calibrating took, by the name of the stage.
    """
    with collected_warnings() as warnings:
        started = time.perf_counter()
        results = score_samples(pipeline, split.test)
        seconds = {**seconds, "score": time.perf_counter() - started}
        evidence, reasons = collect_evidence(pipeline, split.test, results, config.pixel)
        block = results_block(evidence, extra=metrics, aupro_limit=config.aupro_limit)
        for sentence in (*_limits(category, config), *reasons, *block.pop("warnings")):
            logger.warning(sentence)
    records = image_records(evidence, split.test, category.root)
    worst = find_worst(evidence, split.test, results, records, pipeline.pixel_threshold)
    defective = int(evidence.labels.sum())
    counts = {"train": len(split.train), "calibration": len(split.calibration), "test": len(split.test)}
    report = {
        "category": category.name,
        "data_sha256": category.data_sha256,
        "images": {**counts, "good": len(split.test) - defective, "defective": defective},
        "options": pipeline.options,
        "weights": pipeline.weights,
        "results": block,
        "thresholds": {"image": pipeline.score_threshold, "pixel": pipeline.pixel_threshold},
        "defect_types": defect_types(evidence, split.test),
        "curves": {"pro": pro_points(evidence)},
        "worst": worst.rows,
        "timing": _timing(seconds, len(split.test)),
        "warnings": warnings,
    }
    return CategoryRun(plain(report), plain(records), worst.pictures)


def calibration_settings(config: BenchmarkConfig) -> CalibrationSettings:
    if config.pixel and config.pixel_segf1:
        return config.calibration
    return config.calibration.model_copy(update={"pixel_threshold_strategy": "none"})


def _limited(split: DatasetSplit, config: BenchmarkConfig) -> DatasetSplit:
    train, test = split.train, split.test
    if config.limit_train is not None:
        train = tuple(sample_evenly(train, [None] * len(train), config.limit_train, config.seed))
    if config.limit_test is not None:
        test = tuple(sample_evenly(test, [sample.label for sample in test], config.limit_test, config.seed))
    return replace(split, train=train, test=test)


def _limits(category: Category, config: BenchmarkConfig) -> list[str]:
    limits = {"train": config.limit_train, "test": config.limit_test}
    return [f"limited to {limits[role]} {role} images: not comparable with full runs" for role in category.cut]


def common_folder(split: DatasetSplit) -> Path | None:
    """Return the folder that all images lie below, for a dataset that keeps its own."""
    folders = {sample.path.parent for sample in (*split.train, *split.calibration, *split.test)}
    return next((path for path in (min(folders), *min(folders).parents) if all(f.is_relative_to(path) for f in folders)), None)


def _files(sample: Sample) -> list[Path]:
    """Return the image, its masks, and the files that describe it."""
    masks = mask_files(sample.mask_path) if sample.mask_path is not None else []
    return [sample.path, *masks, *(value for value in sample.meta.values() if isinstance(value, Path))]


def _sha256(path: Path) -> str | None:
    """Return the digest of a file; None where it cannot be read, which fitting or scoring will say."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _timing(seconds: Mapping[str, float], images: int) -> dict[str, float]:
    rounded = {f"{stage}_s": round(value, 4) for stage, value in seconds.items()}
    return {**rounded, "ms_per_image": round(1000 * seconds["score"] / images, 3)}
