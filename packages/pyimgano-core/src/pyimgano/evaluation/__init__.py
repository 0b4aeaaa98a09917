"""What would have happened on the line: metrics at thresholds that were fixed before the test images were seen."""

from pyimgano.evaluation.benchmark import run_benchmark
from pyimgano.evaluation.config import BenchmarkConfig
from pyimgano.evaluation.results import evaluate_detector
from pyimgano.evaluation.split import evaluate_split

__all__ = ["BenchmarkConfig", "evaluate_detector", "evaluate_split", "run_benchmark"]
