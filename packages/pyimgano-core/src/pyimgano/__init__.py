"""Industrial visual anomaly detection: a light core that plugins extend.

Public names load on first use, so that ``import pyimgano`` costs nothing but this file.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.7.0"

_HOME = {
    "AnomalyMap": "pyimgano.maps",
    "AnomalyMapPostprocess": "pyimgano.postprocess",
    "BenchmarkConfig": "pyimgano.evaluation",
    "Bundle": "pyimgano.workbench.bundle",
    "Corruption": "pyimgano.contracts",
    "DatasetSplit": "pyimgano.contracts",
    "DefectsConfig": "pyimgano.defects.config",
    "Detector": "pyimgano.contracts",
    "Evidence": "pyimgano.contracts",
    "ImageScore": "pyimgano.contracts",
    "MVTecAD2Dataset": "pyimgano.datasets.mvtec_ad2",
    "MVTecLOCODataset": "pyimgano.datasets.mvtec_loco",
    "Metric": "pyimgano.contracts",
    "Pipeline": "pyimgano.pipeline",
    "Postprocessor": "pyimgano.contracts",
    "Runtime": "pyimgano.contracts",
    "Sample": "pyimgano.contracts",
    "ThresholdRecord": "pyimgano.calibration",
    "TiledDetector": "pyimgano.tiling",
    "TrainConfig": "pyimgano.workbench.config",
    "calibrate_normal_pixel_quantile_threshold": "pyimgano.calibration",
    "calibrate_threshold": "pyimgano.calibration",
    "compute_bg_fpr": "pyimgano.metrics.pixel",
    "compute_pixel_segf1": "pyimgano.metrics.pixel",
    "create_model": "pyimgano.registry",
    "evaluate_detector": "pyimgano.evaluation",
    "evaluate_split": "pyimgano.evaluation",
    "extract_defects_from_anomaly_map": "pyimgano.defects.extract",
    "extract_tile": "pyimgano.tiling",
    "get_industrial_camera_robust_augmentation": "pyimgano.augmentation",
    "get_industrial_drift_augmentation": "pyimgano.augmentation",
    "gray_world_white_balance": "pyimgano.preprocessing",
    "homomorphic_filter": "pyimgano.preprocessing",
    "hookimpl": "pyimgano.hookspecs",
    "hysteresis_mask": "pyimgano.defects.hysteresis",
    "infer": "pyimgano.inference",
    "infer_iter": "pyimgano.inference",
    "iter_tile_coords": "pyimgano.tiling",
    "jpeg_compress": "pyimgano.augmentation",
    "list_models": "pyimgano.registry",
    "load_benchmark_split": "pyimgano.registry",
    "load_dataset": "pyimgano.registry",
    "max_rgb_white_balance": "pyimgano.preprocessing",
    "random_channel_gain": "pyimgano.augmentation",
    "result_to_jsonable": "pyimgano.inference",
    "run_benchmark": "pyimgano.evaluation",
    "run_training": "pyimgano.workbench.training",
    "save_run_report": "pyimgano.reporting.files",
    "smooth_anomaly_map": "pyimgano.defects.smoothing",
    "split_train_calibration": "pyimgano.datasets.splits",
    "stitch_maps": "pyimgano.tiling",
    "vignette": "pyimgano.augmentation",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pyimgano' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
