"""Inference as a stream: images in, results out, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from pyimgano.contracts import Detector
from pyimgano.errors import ImageError, OptionsError
from pyimgano.images import ImageLike, batched, from_array
from pyimgano.inference.result import InferenceResult
from pyimgano.pipeline import Pipeline, Scored


@dataclass(frozen=True)
class Chunk:
    """Some of the inputs, with the index of each among all of them."""

    indices: Sequence[int]
    items: Sequence[ImageLike]


@dataclass(frozen=True)
class ArrayFormat:
    """What the arrays among the inputs hold, as `pyimgano.images.from_array` takes them; files say it themselves."""

    channels: Literal["rgb", "bgr"] = "rgb"
    layout: Literal["hwc", "chw"] = "hwc"
    u16_max: int = 65535

    def __post_init__(self) -> None:
        for name, value, known in (("channels", self.channels, ("rgb", "bgr")), ("layout", self.layout, ("hwc", "chw"))):
            if value not in known:
                raise OptionsError(f"{name} is {value!r}", f"pass {' or '.join(map(repr, known))}")
        if not 1 <= self.u16_max <= 65535:
            raise OptionsError(f"u16_max is {self.u16_max!r}", "pass the value of white, such as 4095 for 12 bits")

    def read(self, item: ImageLike) -> ImageLike | ImageError:
        """Return an array as RGB uint8 or why it is none; a path as it is."""
        if not isinstance(item, np.ndarray):
            return item
        try:
            return from_array(item, channels=self.channels, layout=self.layout, u16_max=self.u16_max)
        except ImageError as error:
            return error


def infer_iter(
    model: Pipeline | Detector,
    inputs: Iterable[ImageLike],
    *,
    continue_on_error: bool = False,
    channels: Literal["rgb", "bgr"] = "rgb",
    layout: Literal["hwc", "chw"] = "hwc",
    u16_max: int = 65535,
) -> Iterator[InferenceResult]:
    """Yield one result per input, in order, as soon as its batch is scored.

    Parameters
    ----------
    model
        A pipeline (from a bundle, say), or a bare fitted detector.
    inputs
        Paths, or arrays (H, W, 3): RGB uint8 unless the last three arguments say otherwise. Of an iterator, one batch is taken
        at a time, so that it may be endless.
    continue_on_error
        Yield a result with ``error`` for an image that cannot be read or scored, instead of raising it.
    channels, layout, u16_max
        Of arrays: the order of the colours, whether they come first (``chw``), and the value of white in uint16, such as 4095
        for a camera of 12 bits.

    Raises
    ------
    OptionsError
        For another word or number than these.
    ImageError, DetectorError
        For an image that cannot be read or scored, without `continue_on_error`.
    """
    pipeline = model if isinstance(model, Pipeline) else Pipeline.around(model)
    form = ArrayFormat(channels, layout, u16_max)
    return infer_chunks(pipeline, _chunks(pipeline, inputs), continue_on_error=continue_on_error, form=form)


def infer(
    model: Pipeline | Detector,
    inputs: Iterable[ImageLike],
    *,
    continue_on_error: bool = False,
    channels: Literal["rgb", "bgr"] = "rgb",
    layout: Literal["hwc", "chw"] = "hwc",
    u16_max: int = 65535,
) -> list[InferenceResult]:
    """Return what `infer_iter` yields, as a list."""
    stream = infer_iter(model, inputs, continue_on_error=continue_on_error, channels=channels, layout=layout, u16_max=u16_max)
    return list(stream)


def infer_chunks(
    pipeline: Pipeline, chunks: Iterable[Chunk], *, continue_on_error: bool = False, form: ArrayFormat | None = None
) -> Iterator[InferenceResult]:
    """Yield one result per input; all of a chunk before the next one is asked for, which may wait for it.

    Parameters
    ----------
    form
        What arrays hold, by default RGB uint8 (H, W, 3).
    """
    threshold = pipeline.score_threshold or pipeline.detector.threshold
    value = threshold.value if threshold is not None else None

    def result(index: int, scored: Scored) -> InferenceResult:
        if scored.result is None:
            assert scored.error is not None
            if not continue_on_error:
                raise scored.error
            return InferenceResult(index, scored.item, error=scored.error)
        score = scored.result.score
        label = None if value is None else int(score > value)
        return InferenceResult(index, scored.item, score, label, value, scored.result.anomaly_map, scored.image)

    for chunk in chunks:  # map holds no large image while the next one is made, unlike the name of a loop
        yield from map(result, chunk.indices, _scored(pipeline, chunk.items, form or ArrayFormat()))


def _chunks(pipeline: Pipeline, inputs: Iterable[ImageLike]) -> Iterator[Chunk]:
    if isinstance(inputs, Sequence):
        yield Chunk(range(len(inputs)), inputs)
        return
    start = 0
    for batch in batched(inputs, pipeline.detector.runtime.images_per_batch):
        yield Chunk(range(start, start + len(batch)), batch)
        start += len(batch)


def _scored(pipeline: Pipeline, items: Sequence[ImageLike], form: ArrayFormat) -> Iterator[Scored]:
    if form == ArrayFormat():
        yield from pipeline.score(items)
        return
    for batch in batched(items, pipeline.detector.runtime.images_per_batch):
        read = [form.read(item) for item in batch]
        scored = pipeline.score([image for image in read if not isinstance(image, ImageError)])
        for item, image in zip(batch, read, strict=True):
            yield Scored(item, error=image) if isinstance(image, ImageError) else replace(next(scored), item=item)
