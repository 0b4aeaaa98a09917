"""Where results go: a JSONL stream, maps and overlays, written as they come and never over older ones unasked."""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np

from pyimgano.clock import utc_now
from pyimgano.defects.overlays import draw_overlay, encode_jpeg
from pyimgano.errors import OutputError
from pyimgano.inference.result import InferenceResult, result_to_jsonable
from pyimgano.pipeline import Pipeline
from pyimgano.reporting.strict_json import line

OWN_FILES = "[0-9][0-9][0-9][0-9][0-9][0-9]_*"
"""What maps and overlays of an earlier run are called."""


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
        if jsonl is not None:
            _check_new(jsonl, overwrite)
        self._jsonl = jsonl
        self._target = jsonl or "stdout"
        self._stream: IO[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._stream is not None and self._stream is not sys.stdout:
            with _written(self._target):
                self._stream.close()

    def write(self, result: InferenceResult) -> None:
        """Write everything about one result; its JSON line comes last, so that a line means that its files are there."""
        stream = self._begun()
        record = result_to_jsonable(result)
        if result.error is None:
            self._write_files(result, record)
        if self._audit:
            record.update(bundle=self._bundle, input_sha256=_digest(result), time_utc=utc_now())
        with _written(self._target):
            stream.write(line(record) + "\n")
            stream.flush()

    def _begun(self) -> IO[str]:
        """Return the stream; what an earlier run left makes room with the first record, not before there is one."""
        if self._stream is None:
            self._stream = _standard_output() if self._jsonl is None else _open(self._jsonl)
            for folder in self._folders.values():
                for path in folder.glob(OWN_FILES) if folder is not None else ():
                    path.unlink()
        return self._stream

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
                path.write_bytes(encode_jpeg(draw_overlay(result, rendered, self._pipeline.pixel_threshold)))


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


def _check_new(path: Path, overwrite: bool) -> None:
    """Raise before any work is done if a file may not be replaced or could not be written."""
    if path.is_dir():
        raise OutputError(f"{path} is a folder, not a file", "name a file, such as results.jsonl")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already", "name a new file, or pass --overwrite")
    existed = path.exists()
    _open(path, "a").close()
    if not existed:
        path.unlink()


def _open(path: Path, mode: str = "w") -> IO[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open(mode, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror})", "name a file in a folder that you may write to"
        ) from None


def refuse_places(outputs: Iterable[Path | None], files: Iterable[str], inputs: Iterable[str], bundle: Path) -> None:
    """Raise if results would overwrite an input, be taken for an input next time, or break the seal of the bundle.

    Parameters
    ----------
    outputs
        Files and folders that results go to; None for those that were not asked for.
    files, inputs
        The images to inspect, and the folders, files and patterns that they came from.
    bundle
        The folder of the bundle.
    """
    taken = {Path(file).resolve() for file in files}
    sources = [bundle.resolve(), *(Path(given).resolve() for given in inputs if Path(given).is_dir())]
    for output in outputs:
        if output is None:
            continue
        place = output.resolve()
        if place in taken:
            raise OutputError(f"{output} is one of the images to inspect", "name another file for the results")
        for source in sources:
            if place == source or source in place.parents:
                raise OutputError(
                    f"{output} lies inside {source}, which is read from", "write results to a folder of their own"
                )


def _digest(result: InferenceResult) -> str | None:
    """Return the sha256 of the image's file, or of its pixels where it came as an array."""
    if result.path is None:
        return hashlib.sha256(np.ascontiguousarray(result.item).tobytes()).hexdigest()
    try:
        with result.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
