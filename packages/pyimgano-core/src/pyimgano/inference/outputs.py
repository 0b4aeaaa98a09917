"""Where results go: lines in order, each after its files, counted, and never over older ones unasked."""

from __future__ import annotations

import logging
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any, Self

from pyimgano.errors import OutputError
from pyimgano.inference.artefacts import Artefacts
from pyimgano.inference.lines import Lines, check_new
from pyimgano.inference.profile import Stopwatch
from pyimgano.inference.regions import region_lines, rewrite_regions
from pyimgano.inference.result import InferenceResult
from pyimgano.inference.resume import Held
from pyimgano.pipeline import Pipeline
from pyimgano.reporting.strict_json import line

logger = logging.getLogger(__name__)

OWN_FILES = "[0-9][0-9][0-9][0-9][0-9][0-9]_*"
"""What maps and overlays of an earlier run are called."""


class ResultWriter:
    """Writes the record of each result, and its map and overlay where folders for them are given.

    Records come in the order of the results, each after its files and its regions.

    Attributes
    ----------
    done, defective, failed
        How many results came, and how many of them have the label 1, or an error instead of a score.

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
    regions
        File for the regions of all images, one a line; they are in the records as well.
    keep_errors
        Whether a map that cannot be rendered makes an error record; otherwise it is raised.
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
        regions: Path | None = None,
        keep_errors: bool = False,
        held: Held | None = None,
        map_values: bool = False,
        flush_every: int = 1,
        threads: int = 0,
        watch: Stopwatch | None = None,
    ) -> None:
        self._watch = watch or Stopwatch()
        self._artefacts = Artefacts(
            pipeline,
            maps,
            overlays,
            masks,
            audit,
            bundle,
            defects=defects,
            image_space=image_space,
            map_values=map_values,
            keep_errors=keep_errors,
            watch=self._watch,
        )
        for folder in self._artefacts.folders:
            new_folder(folder, overwrite or held is not None)
        for file in (jsonl, regions):
            if file is not None:
                check_new(file, overwrite or held is not None)
        self.done = self.defective = self.failed = 0
        self._jsonl = jsonl
        self._regions = regions
        self._held = held
        self._flush_every = flush_every
        self._lines: Lines | None = None
        self._region_lines: Lines | None = None
        self._pool = ThreadPoolExecutor(threads, "write") if threads and self._artefacts.draws else None
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
            for lines in (self._region_lines, self._lines):
                if lines is not None:
                    lines.close()
        if error is None:
            self._put_in_order()

    def write(self, result: InferenceResult) -> None:
        """Write everything about one result; its JSON line comes last, so that a line means that its files are there.

        With threads it may return before that; an error of an earlier result is raised then.

        Raises
        ------
        OutputError
            If something cannot be written; it names the file. Nothing is written after that.
        MapError
            If a map cannot be rendered, without `keep_errors`.
        """
        self._begin()
        with self._watch.stage("write"):
            if self._pool is None:
                self._append(self._artefacts.complete(result))
            else:
                self._hand_over(result, self._pool)
        self.done += 1
        if result.error is not None:
            self._count_failure(result.error.problem)

    def _hand_over(self, result: InferenceResult, pool: ThreadPoolExecutor) -> None:
        """Let a thread complete a result, once not too many wait."""
        self._raise_failure()
        while len(self._waiting) >= self._most:
            self._wait_for_first()
        self._raise_failure()
        future = pool.submit(self._artefacts.complete, result)
        self._waiting.append(future)
        future.add_done_callback(lambda _: self._advance())
        if result.anomaly_map is not None and result.anomaly_map.large:
            wait([future])  # its image is as large, and the next one needs the memory

    def _begin(self) -> None:
        """Open the streams; what an earlier run left makes room with the first record, not before there is one."""
        if self._lines is not None:
            return
        going_on = self._held is not None
        if self._held is not None:
            self._held.tidy()
            self._remake_regions(self._held)
        if self._regions is not None:
            self._region_lines = Lines(self._regions, self._flush_every, append=going_on)
        self._lines = Lines(self._jsonl, self._flush_every, append=going_on)
        for folder in self._artefacts.folders if not going_on else ():
            for path in folder.glob(OWN_FILES):
                path.unlink()

    def _put_in_order(self) -> None:
        """Sort what a resumed run has appended into what was there."""
        if self._held is not None and self._held.put_in_order():
            self._remake_regions(self._held)

    def _remake_regions(self, held: Held) -> None:
        if self._regions is not None:
            rewrite_regions(self._regions, held.records(), held.path)

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
        if self._region_lines is not None:
            self._region_lines.write(*region_lines(record))
        self._lines.write(line(record))
        self.defective += record.get("label") == 1
        if record.get("error", {}).get("stage") == "render":  # which was not known when the result came
            self._count_failure(record["error"]["message"].partition("\n")[0])

    def _count_failure(self, problem: str) -> None:
        with self._lock:
            self.failed += 1
        logger.error(problem)


def writer_threads() -> int:
    """Return how many threads are worth having for drawing and encoding: one per core, at most four."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not every system tells
        cores = os.cpu_count() or 1
    return min(4, cores)


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
