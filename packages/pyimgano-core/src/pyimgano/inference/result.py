"""What inference says about one image, and its JSON record."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pyimgano.errors import ImageError, MapError, PyimganoError
from pyimgano.images import Image, ImageLike
from pyimgano.maps import AnomalyMap
from pyimgano.reporting.strict_json import plain


@dataclass(frozen=True)
class InferenceResult:
    """One image after inference.

    Attributes
    ----------
    index, item
        Position in the input order, and what was given.
    score
        Higher is more anomalous; None where there was an error.
    label
        1 if ``score > threshold`` else 0, or the reject label; None without a threshold.
    threshold
        The threshold that was applied.
    anomaly_map
        Where the image is abnormal; None if the detector makes no maps.
    image
        The decoded image, RGB uint8 (H, W, 3).
    error
        Why there is no score.
    confidence
        How sure the label is, in [0, 1]; None unless asked for.
    rejected
        Whether that is not enough, so that the label is left open; None without a reject policy.
    """

    index: int
    item: ImageLike
    score: float | None = None
    label: int | None = None
    threshold: float | None = None
    anomaly_map: AnomalyMap | None = None
    image: Image | None = None
    error: PyimganoError | None = None
    confidence: float | None = None
    rejected: bool | None = None

    def without_image(self) -> InferenceResult:
        """Return a copy without the decoded image, to keep many results in little memory."""
        return replace(self, image=None)

    @property
    def path(self) -> Path | None:
        """Return the path of the image, or None for an array."""
        return Path(self.item) if isinstance(self.item, (str, os.PathLike)) else None

    @property
    def name(self) -> str:
        """Return ``{index:06d}_{stem}``, the stem of every file that is written for this image."""
        return f"{self.index:06d}_{self.path.stem if self.path is not None else 'array'}"


def result_to_jsonable(result: InferenceResult, *, include_anomaly_map_values: bool = False) -> dict[str, Any]:
    """Return the JSONL record of a result; keys that do not apply are left out, never null by accident."""
    record: dict[str, Any] = {"index": result.index, "input": str(result.path) if result.path is not None else None}
    if result.error is not None:
        details = {"type": type(result.error).__name__, "message": str(result.error), "stage": _stage(result.error)}
        return {**record, "status": "error", "error": details}
    record["score"] = result.score
    if result.label is not None:
        record.update(label=result.label, threshold=result.threshold)
    if result.confidence is not None:
        record["label_confidence"] = round(result.confidence, 6)
    if result.rejected is not None:
        record["rejected"] = result.rejected
    if result.anomaly_map is not None:
        record["anomaly_map"] = {"shape": list(result.anomaly_map.source), "dtype": "float32"}
        if include_anomaly_map_values:
            record["anomaly_map_values"] = np.round(result.anomaly_map.render(), 6)
    jsonable: dict[str, Any] = plain(record)
    return jsonable


def _stage(error: PyimganoError) -> str:
    """Return where on its way an image met the error."""
    return "read" if isinstance(error, ImageError) else "render" if isinstance(error, MapError) else "score"
