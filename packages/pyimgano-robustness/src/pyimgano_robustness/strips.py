"""One test image under growing severity, with its map, as one small picture per corruption."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from pyimgano.contracts import Sample
from pyimgano.defects.overlays import draw_heat, encode_jpeg
from pyimgano.images import Image, read
from pyimgano.inference import infer
from pyimgano.maps import resize_map
from pyimgano.pipeline import Pipeline
from pyimgano.reporting.files import write_whole
from pyimgano_robustness.conditions import Condition

FOLDER = "strips"
SIDE, GAP = 160, 4


def write_strips(place: Path, samples: Sequence[Sample], conditions: Sequence[Condition], pipeline: Pipeline) -> None:
    """Write ``strips/NAME.jpg`` for every corruption: the first defective image, clean and at every severity.

    Below each image is its map, where the detector makes one.
    """
    sample = next((sample for sample in samples if sample.label), samples[0])
    image = read(sample.path)
    clean, *corrupted = conditions
    first = _panel(clean.image(sample, image), pipeline)
    panels: dict[str, list[Image]] = {}
    for condition in corrupted:
        assert condition.corruption is not None
        row = panels.setdefault(condition.corruption.short_name, [first])
        row.append(_panel(condition.image(sample, image), pipeline))
    for name, row in panels.items():
        write_whole(place / FOLDER / f"{name}.jpg", encode_jpeg(np.hstack(row)))


def _panel(image: Image, pipeline: Pipeline) -> Image:
    """Return the image with its map below, small and with a white margin."""
    scale = min(1.0, SIDE / min(image.shape[:2]))
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    shown = [small]
    (result,) = infer(pipeline, [image])
    if result.anomaly_map is not None:
        values = resize_map(result.anomaly_map.render(), (size[1], size[0]))
        shown.append(draw_heat(small, values, pipeline.pixel_threshold))
    margin = ((GAP, GAP), (GAP, GAP), (0, 0))
    return np.vstack([np.pad(one, margin, constant_values=255) for one in shown])
