"""Where results go: a JSONL stream, maps and overlays, written as they come and never over older ones unasked."""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np

from pyimgano.clock import utc_now
from pyimgano.defects.overlays import draw_overlay, write_jpeg
from pyimgano.errors import OutputError
from pyimgano.inference.result import InferenceResult, result_to_jsonable
from pyimgano.pipeline import Pipeline
from pyimgano.reporting.strict_json import line


class ResultWriter:
    """Writes the record of each result, and its map and overlay where folders for them are given.

    Parameters
    ----------
    jsonl
        File for the records; None writes them to stdout.
    maps, overlays
        Folders for ``.npy`` maps at image size and ``.jpg`` overlays.
    audit
        Whether every record says which bundle decided, on which bytes (sha256 of the image file), and when.
    bundle
        Digest of that bundle; None for a loose config.
    overwrite
        Whether files of an earlier run may be replaced.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        jsonl: Path | None = None,
        maps: Path | None = None,
        overlays: Path | None = None,
        audit: bool = False,
        bundle: str | None = None,
        overwrite: bool = False,
    ) -> None:
        self._pipeline = pipeline
        self._folders = {"maps": maps, "overlays": overlays}
        self._audit = audit
        self._bundle = bundle
        for folder in (maps, overlays):
            if folder is not None:
                new_folder(folder, overwrite)
        self._target = jsonl or "stdout"
        self._stream: IO[str] = _standard_output() if jsonl is None else _open_new(jsonl, overwrite)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._stream is not sys.stdout:
            with _written(self._target):
                self._stream.close()

    def write(self, result: InferenceResult) -> None:
        """Write everything about one result; its JSON line comes last, so that a line means that its files are there."""
        record = result_to_jsonable(result)
        if result.error is None:
            self._write_files(result, record)
        if self._audit:
            record.update(bundle=self._bundle, input_sha256=_digest(result), time_utc=utc_now())
        with _written(self._target):
            self._stream.write(line(record) + "\n")
            self._stream.flush()

    def _write_files(self, result: InferenceResult, record: dict[str, Any]) -> None:
        maps, overlays = self._folders["maps"], self._folders["overlays"]
        rendered = result.anomaly_map.render() if result.anomaly_map is not None and (maps or overlays) else None
        if maps is not None and rendered is not None:
            path = maps / f"{result.name}.npy"
            with _written(path):
                np.save(path, rendered, allow_pickle=False)
            record["anomaly_map"]["path"] = str(path)
        elif "anomaly_map" in record:
            del record["anomaly_map"]
        if overlays is not None and result.image is not None:
            path = overlays / f"{result.name}.jpg"
            with _written(path):
                write_jpeg(path, draw_overlay(result, rendered, self._pipeline.pixel_threshold))


def new_folder(folder: Path, overwrite: bool = False) -> None:
    """Make a folder for results.

    Raises
    ------
    OutputError
        If it is a file, cannot be written, or holds files already and may not overwrite them.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file, not a folder", "name a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()) and not overwrite:
            raise OutputError(f"folder {folder} holds files already", "name a new folder, or pass --overwrite")
        probe = folder / ".write-test"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"folder {folder} cannot be written ({error.strerror})", "name a folder that you may write to"
        ) from None


@contextmanager
def _written(what: object) -> Iterator[None]:
    """Name what could not be written; a reader of stdout that has left (``| head``) is no error of ours."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"{what} cannot be written ({error.strerror or error})", "free some space") from error


def _standard_output() -> IO[str]:
    """Return stdout, writing UTF-8 as JSON wants it whatever the locale; file names that are not UTF-8 are escaped."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    return sys.stdout


def _open_new(path: Path, overwrite: bool) -> IO[str]:
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already", "name a new file, or pass --overwrite")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("w", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror})", "name a file in a folder that you may write to"
        ) from None


def _digest(result: InferenceResult) -> str | None:
    """Return the sha256 of the image's file, or of its pixels where it came as an array."""
    if result.path is None:
        return hashlib.sha256(np.ascontiguousarray(result.item).tobytes()).hexdigest()
    try:
        with result.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
