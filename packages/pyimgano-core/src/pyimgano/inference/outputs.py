"""Where results go: JSON lines, maps and overlays, written as they come and never over older ones unasked."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from pyimgano.clock import utc_now
from pyimgano.defects.extract import Defects
from pyimgano.defects.mask_files import write_mask_file
from pyimgano.defects.overlays import draw_overlay, encode_jpeg
from pyimgano.errors import OutputError
from pyimgano.inference.lines import Lines, check_new, written
from pyimgano.inference.profile import Stopwatch
from pyimgano.inference.result import InferenceResult, result_to_jsonable
from pyimgano.inference.resume import Held
from pyimgano.pipeline import Pipeline
from pyimgano.reporting.strict_json import line

OWN_FILES = "[0-9][0-9][0-9][0-9][0-9][0-9]_*"
"""What maps and overlays of an earlier run are called."""


class ResultWriter:
    """Writes the record of each result, and its map and overlay where folders for them are given.

    Records come in the order of the results, each after its files.

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
    defects
        Whether records list the defects, with the masks in the folder `masks` where one is given.
    image_space
        Whether regions have their box on the image too.
    held
        What of an earlier run is gone on with: its records and files stay.
    map_values
        Whether records hold the values of the maps.
    flush_every
        After how many records they are written out.
    threads
        How many threads draw, encode and write files; 0 does it in the caller's. Twice as many results may wait.
    watch
        Where the seconds are counted.
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
        *,
        defects: bool = False,
        image_space: bool = False,
        masks: Path | None = None,
        held: Held | None = None,
        map_values: bool = False,
        flush_every: int = 1,
        threads: int = 0,
        watch: Stopwatch | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._folders = {"maps": maps, "overlays": overlays, "masks": masks}
        self._defects = defects
        self._image_space = image_space
        self._audit = audit
        self._bundle = bundle
        for folder in (maps, overlays, masks):
            if folder is not None:
                new_folder(folder, overwrite or held is not None)
        if jsonl is not None:
            check_new(jsonl, overwrite or held is not None)
        self._jsonl = jsonl
        self._held = held
        self._map_values = map_values
        self._flush_every = flush_every
        self._watch = watch or Stopwatch()
        self._lines: Lines | None = None
        self._pool = ThreadPoolExecutor(threads, "write") if threads and (maps or overlays or defects) else None
        self._most = 2 * threads
        self._waiting: deque[Future[dict[str, Any]]] = deque()
        self._lock = RLock()
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Write what waits, whatever has ended the run; what cannot be written is raised unless an error came first."""
        try:
            with self._watch.stage("write"):
                while self._waiting:
                    self._wait_for_first()
            if error is None:
                self._raise_failure()
            if error is None and self._held is not None:
                self._begin()  # where nothing was left to score, what is half-written is cut off all the same
        finally:
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)
            if self._lines is not None:
                self._lines.close()

    def write(self, result: InferenceResult) -> None:
        """Write everything about one result; its JSON line comes last, so that a line means that its files are there.

        With threads it may return before that; an error of an earlier result is raised then.

        Raises
        ------
        OutputError
            If something cannot be written; it names the file. Nothing is written after that.
        """
        self._begin()
        with self._watch.stage("write"):
            if self._pool is None:
                self._append(self._complete(result))
                return
            self._raise_failure()
            while len(self._waiting) >= self._most:
                self._wait_for_first()
            self._raise_failure()
            future = self._pool.submit(self._complete, result)
            self._waiting.append(future)
            future.add_done_callback(lambda _: self._advance())

    def _begin(self) -> None:
        """Open the stream; what an earlier run left makes room with the first record, not before there is one."""
        if self._lines is not None:
            return
        if self._held is not None:
            self._held.tidy()
        self._lines = Lines(self._jsonl, self._flush_every, append=self._held is not None)
        for folder in self._folders.values():
            for path in folder.glob(OWN_FILES) if folder is not None and self._held is None else ():
                path.unlink()

    def _wait_for_first(self) -> None:
        try:
            first = self._waiting[0]
        except IndexError:  # a thread was faster
            return
        wait([first])
        self._advance()

    def _advance(self) -> None:
        """Write the records whose files are all written, up to the first one that is not done."""
        with self._lock:
            while self._waiting and self._waiting[0].done():
                future = self._waiting.popleft()
                if self._failure is not None:
                    continue
                try:
                    self._append(future.result())
                except Exception as error:  # raised again where the caller can see it
                    self._failure = error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _append(self, record: dict[str, Any]) -> None:
        assert self._lines is not None
        if self._held is not None:
            self._held.check_fields(record)
        self._lines.write(line(record))

    def _complete(self, result: InferenceResult) -> dict[str, Any]:
        """Write the files of a result and return its record."""
        record = result_to_jsonable(result, include_anomaly_map_values=self._map_values)
        if result.error is None:
            self._write_files(result, record)
        if self._audit:
            record.update(bundle=self._bundle, input_sha256=_digest(result), time_utc=utc_now())
        return record

    def _write_files(self, result: InferenceResult, record: dict[str, Any]) -> None:
        maps, overlays = self._folders["maps"], self._folders["overlays"]
        rendered = None
        if result.anomaly_map is not None and (maps or overlays or self._defects):
            with self._watch.stage("render"):
                rendered = result.anomaly_map.render()
        if maps is not None and rendered is not None:
            path = maps / f"{result.name}.npy"
            self._save_map(path, rendered)
            record["anomaly_map"]["path"] = str(path)
        elif "anomaly_map" in record and not self._map_values:
            del record["anomaly_map"]
        found = self._find_defects(result, rendered, record) if self._defects else None
        if overlays is not None and result.image is not None:
            with self._watch.stage("render"):
                overlay = draw_overlay(result, rendered, self._pipeline.pixel_threshold, found)
            with self._watch.stage("save"):
                data = encode_jpeg(overlay)
                with _whole(overlays / f"{result.name}.jpg") as file:
                    file.write(data)

    def _find_defects(self, result: InferenceResult, rendered: NDArray[np.float32] | None, record: dict[str, Any]) -> Defects:
        with self._watch.stage("defects"):
            found = self._pipeline.find_defects(result.anomaly_map, rendered, image_space=self._image_space)
        path, masks = None, self._folders["masks"]
        if masks is not None:
            with self._watch.stage("save"):
                path = write_mask_file(found.mask, masks, result.name, found.mask_format)
        record["defects"] = found.record(path)
        return found

    def _save_map(self, path: Path, values: NDArray[np.float32]) -> None:
        with self._watch.stage("save"), _whole(path) as file:
            np.save(file, values, allow_pickle=False)


def writer_threads() -> int:
    """Return how many threads are worth having for drawing and encoding: one per core, at most four."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not every system tells
        cores = os.cpu_count() or 1
    return min(4, cores)


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


def _digest(result: InferenceResult) -> str | None:
    """Return the sha256 of the image's file, or of its pixels where it came as an array."""
    if result.path is None:
        return hashlib.sha256(np.ascontiguousarray(result.item).tobytes()).hexdigest()
    try:
        with result.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
