"""What is written about one image besides its line: map, mask, overlay; and the record that names them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib.format import write_array_header_1_0
from numpy.typing import NDArray

from pyimgano.clock import utc_now
from pyimgano.defects.extract import Defects
from pyimgano.defects.mask_files import write_mask_file
from pyimgano.defects.overlays import draw_overlay, encode_jpeg, panel_size
from pyimgano.errors import MapError
from pyimgano.inference.lines import written
from pyimgano.inference.profile import Stopwatch
from pyimgano.inference.result import InferenceResult, result_to_jsonable
from pyimgano.pipeline import Pipeline


@dataclass(frozen=True)
class Artefacts:
    """Writes the files of a result and makes its record; the parameters are those of `ResultWriter`."""

    pipeline: Pipeline
    maps: Path | None = None
    overlays: Path | None = None
    masks: Path | None = None
    audit: bool = False
    bundle: str | None = None
    defects: bool = False
    image_space: bool = False
    map_values: bool = False
    keep_errors: bool = False
    watch: Stopwatch = field(default_factory=Stopwatch)

    @property
    def folders(self) -> list[Path]:
        """Return the folders that files go to."""
        return [folder for folder in (self.maps, self.overlays, self.masks) if folder is not None]

    @property
    def draws(self) -> bool:
        """Return whether there is more to do than a line."""
        return bool(self.maps or self.overlays or self.defects)

    def complete(self, result: InferenceResult) -> dict[str, Any]:
        """Write the files of a result and return its record.

        Raises
        ------
        MapError
            If a step fails on its map; the message names the image. With `keep_errors` that makes an error record instead.
        OutputError
            If a file cannot be written.
        """
        try:
            record = self._record(result)
        except MapError as error:
            error.problem = f"{result.path or result.name}: {error.problem}"
            if not self.keep_errors:
                raise
            record = result_to_jsonable(replace(result, error=error))
        if self.audit:
            record.update(bundle=self.bundle, input_sha256=_digest(result), time_utc=utc_now())
        return record

    def _record(self, result: InferenceResult) -> dict[str, Any]:
        record = result_to_jsonable(result, include_anomaly_map_values=self.map_values)
        if result.error is None:
            self._write_files(result, record)
        return record

    def _write_files(self, result: InferenceResult, record: dict[str, Any]) -> None:
        rendered = None
        if result.anomaly_map is not None and self.draws and not result.anomaly_map.large:
            with self.watch.stage("render"):
                rendered = result.anomaly_map.render()
        if self.maps is not None and result.anomaly_map is not None:
            path = self.maps / f"{result.name}.npy"
            self._save_map(path, result.anomaly_map.bands() if rendered is None else [(0, rendered)], result.anomaly_map.source)
            record["anomaly_map"]["path"] = str(path)
        elif "anomaly_map" in record and not self.map_values:
            del record["anomaly_map"]
        found = self._find_defects(result, rendered, record) if self.defects else None
        if self.overlays is not None and result.image is not None:
            with self.watch.stage("render"):
                if rendered is None and result.anomaly_map is not None:
                    rendered = result.anomaly_map.overview(panel_size(result.image))
                overlay = draw_overlay(result, rendered, self.pipeline.pixel_threshold, found)
            with self.watch.stage("save"):
                data = encode_jpeg(overlay)
                with _whole(self.overlays / f"{result.name}.jpg") as file:
                    file.write(data)

    def _find_defects(self, result: InferenceResult, rendered: NDArray[np.float32] | None, record: dict[str, Any]) -> Defects:
        with self.watch.stage("defects"):
            found = self.pipeline.find_defects(result.anomaly_map, rendered, image_space=self.image_space)
        path = None
        if self.masks is not None:
            with self.watch.stage("save"):
                path = write_mask_file(found.mask, self.masks, result.name, found.mask_format)
        record["defects"] = found.record(path)
        return found

    def _save_map(self, path: Path, bands: Iterable[tuple[int, NDArray[np.float32]]], shape: tuple[int, int]) -> None:
        with self.watch.stage("save"), _whole(path) as file:
            write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
            for _, rows in bands:
                file.write(np.ascontiguousarray(rows, dtype="<f4").data)


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """Give a file that gets its name once it is whole."""
    part = path.with_name(f".{path.name}.part")
    with written(path):
        try:
            with part.open("wb") as file:
                yield file
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)


def _digest(result: InferenceResult) -> str | None:
    """Return the sha256 of the image's file, or of its pixels where it came as an array."""
    if result.path is None:
        return hashlib.sha256(np.ascontiguousarray(result.item).tobytes()).hexdigest()
    try:
        with result.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
