"""Patch nearest-neighbour anomaly detectors for pyimgano."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.7.0"

_HOME = {
    "AnomalyDINO": "pyimgano_patchknn.anomalydino",
    "AnomalyDINOOptions": "pyimgano_patchknn.options",
    "FaissKNNIndex": "pyimgano_patchknn.index",
    "PatchCore": "pyimgano_patchknn.patchcore",
    "PatchCoreOptions": "pyimgano_patchknn.options",
    "PatchFeatures": "pyimgano_patchknn.features",
    "SoftPatch": "pyimgano_patchknn.softpatch",
    "SoftPatchOptions": "pyimgano_patchknn.options",
    "SuperAD": "pyimgano_patchknn.superad",
    "SuperADOptions": "pyimgano_patchknn.options",
    "VisionAnomalyDINO": "pyimgano_patchknn.anomalydino",
    "aggregate_patch_scores": "pyimgano_patchknn.scores",
    "k_center_greedy": "pyimgano_patchknn.coreset",
    "reshape_patch_scores": "pyimgano_patchknn.scores",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pyimgano_patchknn' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
