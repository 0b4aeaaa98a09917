"""The detector of each row of the table, by the name of anomalib's class, and that of any checkpoint."""

from __future__ import annotations

from pyimgano_anomalib.detector import AnomalibDetector
from pyimgano_anomalib.table import BY_MODEL


class Checkpoint(AnomalibDetector):
    """Any model that anomalib has trained."""


def __getattr__(name: str) -> type[AnomalibDetector]:
    if name not in BY_MODEL:
        raise AttributeError(f"module 'pyimgano_anomalib.detectors' has no attribute {name!r}")
    made = type(name, (AnomalibDetector,), {"row": BY_MODEL[name], "__doc__": BY_MODEL[name].summary, "__module__": __name__})
    globals()[name] = made
    return made
