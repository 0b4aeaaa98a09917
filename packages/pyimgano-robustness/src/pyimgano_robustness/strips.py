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
from pyimgano_robustness.conditions import Conditions

FOLDER, REAL = "strips", "real-drift"
SIDE, GAP = 160, 4


def write_strips(place: Path, test: Sequence[Sample], conditions: Conditions, pipeline: Pipeline) -> None:
    """Write ``strips/NAME.jpg`` for every corruption: the first defective image, clean and at every severity.

    Below each image is its map, where the detector makes one. ``strips/real-drift.jpg`` has the same part, or one like it,
    under every condition that images were taken under.
    """
    sample = _first(conditions.clean.samples(test))
    image = read(sample.path)
    first = _panel(image, pipeline)
    rows: dict[str, list[Image]] = {}
    for condition in conditions.corrupted:
        assert condition.corruption is not None
        row = rows.setdefault(condition.corruption.short_name, [first])
        row.append(_panel(condition.image(sample, image), pipeline))
    if conditions.real:
        others = [_like(sample, condition.samples(test)) for condition in conditions.real]
        rows[REAL] = [first, *(_panel(read(other.path), pipeline) for other in others)]
    for name, row in rows.items():
        write_whole(place / FOLDER / f"{name}.jpg", encode_jpeg(_beside(row)))


def _first(samples: Sequence[Sample]) -> Sample:
    """Return the first defective sample, or the first where all are good."""
    return next((sample for sample in samples if sample.label), samples[0])


def _like(sample: Sample, others: Sequence[Sample]) -> Sample:
    """Return the same part, where groups tell, or else another defective one."""
    same = (other for other in others if sample.group is not None and other.group == sample.group)
    return next(same, None) or _first(others)


def _beside(panels: Sequence[Image]) -> Image:
    """Return panels in a row, white below those that are less high: cameras may differ in size."""
    height = max(panel.shape[0] for panel in panels)
    return np.hstack([np.pad(one, ((0, height - one.shape[0]), (0, 0), (0, 0)), constant_values=255) for one in panels])


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
