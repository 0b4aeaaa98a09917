"""What drift of lamp, lens, camera and fixture costs an anomaly detector at a fixed threshold."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.7.0"

_HOME = {
    "RobustnessConfig": "pyimgano_robustness.options",
    "apply_blur": "pyimgano_robustness.functions",
    "apply_geo_jitter": "pyimgano_robustness.functions",
    "apply_glare": "pyimgano_robustness.functions",
    "apply_jpeg": "pyimgano_robustness.functions",
    "apply_lighting": "pyimgano_robustness.functions",
    "run_robustness": "pyimgano_robustness.run",
    "run_robustness_benchmark": "pyimgano_robustness.benchmark",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pyimgano_robustness' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
