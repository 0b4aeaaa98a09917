"""What the parts of a run promise each other, one kind of component per module."""

from pyimgano.contracts.corruption import Corruption, NamedCorruption
from pyimgano.contracts.dataset import Dataset, DatasetSplit, LabelledPaths, Sample
from pyimgano.contracts.detector import Detector, Embedder, ImageScore, Runtime
from pyimgano.contracts.metric import Evidence, Metric
from pyimgano.contracts.postprocessor import Postprocessor

__all__ = [
    "Corruption",
    "Dataset",
    "DatasetSplit",
    "Detector",
    "Embedder",
    "Evidence",
    "ImageScore",
    "LabelledPaths",
    "Metric",
    "NamedCorruption",
    "Postprocessor",
    "Runtime",
    "Sample",
]
