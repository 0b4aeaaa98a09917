"""Inference as a stream: images in, results out, in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pyimgano.contracts import Detector
from pyimgano.images import ImageLike
from pyimgano.inference.result import InferenceResult
from pyimgano.pipeline import Pipeline


def infer_iter(
    model: Pipeline | Detector, inputs: Sequence[ImageLike], *, continue_on_error: bool = False
) -> Iterator[InferenceResult]:
    """Yield one result per input, in order, as soon as its batch is scored.

    Parameters
    ----------
    model
        A pipeline (from a bundle, say), or a bare fitted detector.
    inputs
        Paths, or RGB uint8 arrays (H, W, 3).
    continue_on_error
        Yield a result with ``error`` for an image that cannot be read or scored, instead of raising it.
    """
    pipeline = model if isinstance(model, Pipeline) else Pipeline.around(model)
    threshold = pipeline.score_threshold or pipeline.detector.threshold
    value = threshold.value if threshold is not None else None
    for index, scored in enumerate(pipeline.score(inputs)):
        if scored.result is None:
            assert scored.error is not None
            if not continue_on_error:
                raise scored.error
            yield InferenceResult(index, scored.item, error=scored.error)
            continue
        score = scored.result.score
        label = None if value is None else int(score > value)
        yield InferenceResult(index, scored.item, score, label, value, scored.result.anomaly_map, scored.image)


def infer(model: Pipeline | Detector, inputs: Sequence[ImageLike], *, continue_on_error: bool = False) -> list[InferenceResult]:
    """Return what `infer_iter` yields, as a list."""
    return list(infer_iter(model, inputs, continue_on_error=continue_on_error))
