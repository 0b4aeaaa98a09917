"""anomalib's image models as pyimgano detectors."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.7.0"

_HOME = {
    "CheckpointOptions": "pyimgano_anomalib.options",
    "ElsewhereOptions": "pyimgano_anomalib.options",
    "GradientOptions": "pyimgano_anomalib.options",
    "OnePassOptions": "pyimgano_anomalib.options",
    "AnomalibDetector": "pyimgano_anomalib.detector",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pyimgano_anomalib' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
