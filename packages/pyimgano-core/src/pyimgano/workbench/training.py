"""A training run: split, fit, calibrate, report."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyimgano.calibration import CalibrationSettings
from pyimgano.contracts import Dataset, DatasetSplit
from pyimgano.logs import collected_warnings
from pyimgano.pipeline import Pipeline
from pyimgano.reporting.strict_json import plain
from pyimgano.workbench.bundle import bundle_files

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingRun:
    """A fitted, calibrated pipeline, the split it came from, how long each stage took (seconds), and the report."""

    pipeline: Pipeline
    split: DatasetSplit
    seconds: Mapping[str, float]
    report: Mapping[str, Any]

    def files(self) -> dict[str, bytes]:
        """Return the files of a run folder or bundle."""
        return bundle_files(self.pipeline, self.report, self.report["category"])


def train(
    dataset: Dataset,
    pipeline: Pipeline,
    settings: CalibrationSettings,
    seed: int = 0,
    dataset_name: str = "",
    category: str | None = None,
) -> TrainingRun:
    """Fit on the training images, calibrate on held-out ones."""
    with collected_warnings() as warnings:
        split, seconds = pipeline.learn(dataset.load(), settings, seed)
    report = {
        "schema_version": 1,
        "dataset": dataset_name,
        "category": category,
        "model": pipeline.name,
        "options": pipeline.options,
        "preprocessing": pipeline.preprocessing,
        "tiling": pipeline.tiling,
        "postprocess": [{"name": step.name, "options": step.options} for step in pipeline.postprocess],
        "weights": pipeline.weights,
        "seed": seed,
        "calibration": settings,
        "images": {"train": len(split.train), "calibration": len(split.calibration), "test": len(split.test)},
        "thresholds": {"image": pipeline.score_threshold, "pixel": pipeline.pixel_threshold},
        "warnings": list(warnings),
    }
    return TrainingRun(pipeline, split, seconds, plain(report))
