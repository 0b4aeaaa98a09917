"""What this distribution provides: a detector for each row of the table, and one for any checkpoint."""

from __future__ import annotations

from collections.abc import Iterable

from pyimgano import hookimpl
from pyimgano.specs import DetectorSpec
from pyimgano_anomalib.table import ROWS, Row

_WEIGHTS_AT = "pyimgano_anomalib.places:weights_at"
_OPTIONS = {"one_pass": "OnePassOptions", "gradient": "GradientOptions", "elsewhere": "ElsewhereOptions"}


@hookimpl
def register_detectors() -> Iterable[DetectorSpec]:
    return [*(_of(row) for row in ROWS), _checkpoint()]


def _of(row: Row) -> DetectorSpec:
    elsewhere = {"requires_checkpoint"} if row.training == "elsewhere" else set()
    return DetectorSpec(
        name=row.detector,
        summary=f"anomalib {row.model}: {row.summary}",
        factory=f"pyimgano_anomalib.detectors:{row.model}",
        options=f"pyimgano_anomalib.options:{_OPTIONS[row.training]}",
        tags=frozenset({"vision", "deep", "anomalib", row.family, row.training} - {"elsewhere"} | elsewhere),
        maps=row.maps,
        weights="checkpoint" if elsewhere else "download" if row.pretrained else "none",
        weights_at=_WEIGHTS_AT if elsewhere else None,
        devices=("cpu", "cuda"),
    )


def _checkpoint() -> DetectorSpec:
    return DetectorSpec(
        name="vision_anomalib_checkpoint",
        summary="any model that anomalib has trained: Lightning checkpoint, torch, ONNX or OpenVINO export",
        factory="pyimgano_anomalib.detectors:Checkpoint",
        options="pyimgano_anomalib.options:CheckpointOptions",
        tags=frozenset({"vision", "deep", "anomalib", "requires_checkpoint"}),
        weights="checkpoint",
        weights_at=_WEIGHTS_AT,
        devices=("cpu", "cuda"),
    )
