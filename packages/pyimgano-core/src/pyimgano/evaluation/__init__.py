"""What would have happened on the line: metrics at thresholds that were fixed before the test images were seen."""

from pyimgano.evaluation.results import evaluate_detector
from pyimgano.evaluation.split import evaluate_split

__all__ = ["evaluate_detector", "evaluate_split"]
