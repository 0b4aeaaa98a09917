"""The test images that went most wrong, as small pictures: image, map and mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from pyimgano.calibration import PixelThreshold
from pyimgano.contracts import Evidence, Sample
from pyimgano.defects.overlays import draw_heat, encode_jpeg
from pyimgano.images import Image, read
from pyimgano.inference import InferenceResult
from pyimgano.maps import resize_map
from pyimgano.metrics.pixel import PixelTruth

COUNT = 5
SIDE = 360


@dataclass(frozen=True)
class Worst:
    """Rows for the report, whose panels name the pictures, JPEG bytes by file name."""

    rows: dict[str, list[dict[str, Any]]]
    pictures: dict[str, bytes]


def find_worst(
    evidence: Evidence,
    samples: Sequence[Sample],
    results: Sequence[InferenceResult],
    records: Sequence[dict[str, Any]],
    threshold: PixelThreshold | None,
) -> Worst:
    """Return the defective images of lowest and the good ones of highest score, whether or not they crossed the threshold."""
    order = np.argsort(evidence.scores, kind="stable")
    misses = [int(place) for place in order if evidence.labels[place]][:COUNT]
    alarms = [int(place) for place in order[::-1] if not evidence.labels[place]][:COUNT]
    rows: dict[str, list[dict[str, Any]]] = {"misses": [], "false_alarms": []}
    pictures: dict[str, bytes] = {}
    for kind, places in (("misses", misses), ("false_alarms", alarms)):
        for rank, place in enumerate(places, start=1):
            truth = evidence.truths[place] if evidence.truths is not None else None
            panels = _panels(samples[place], results[place], truth, threshold)
            names = {panel: f"{kind}_{rank}_{panel}.jpg" for panel in panels}
            pictures |= {names[panel]: encode_jpeg(picture) for panel, picture in panels.items()}
            record = records[place]
            kept = {key: record[key] for key in ("input", "score", "truth", "defect_type")}
            shown = {panel: f"worst/{names[panel]}" if panel in names else None for panel in ("image", "map", "mask")}
            rows[kind].append({**kept, "called": record.get("label"), "panels": shown})
    return Worst(rows, pictures)


def _panels(
    sample: Sample, result: InferenceResult, truth: PixelTruth | None, threshold: PixelThreshold | None
) -> dict[str, Image]:
    image = read(sample.path)
    small = _small(image)
    panels = {"image": small}
    if result.anomaly_map is not None:
        size = (small.shape[0], small.shape[1])
        panels["map"] = draw_heat(small, resize_map(result.anomaly_map.render(), size), threshold)
    mask = truth.load()[1] if truth is not None else None
    if mask is not None:
        shrunk = _small(np.repeat(mask.astype(np.uint8)[:, :, None] * 255, 3, axis=2))
        panels["mask"] = np.where(shrunk > 0, 255, 0).astype(np.uint8)  # so that the smallest defect stays visible
    return panels


def _small(image: Image) -> Image:
    height, width = image.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
