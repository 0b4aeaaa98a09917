"""Scoring images in a stream, and the record that is written for each."""

from pyimgano.inference.result import InferenceResult, result_to_jsonable
from pyimgano.inference.stream import infer, infer_iter

__all__ = ["InferenceResult", "infer", "infer_iter", "result_to_jsonable"]
