"""JSON lines on their way to a file or to stdout: whole ones only, whatever ends the run."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pyimgano.errors import OutputError


class Lines:
    """Writes lines in groups; after a full disk the file ends with the last whole group, not within a line.

    Parameters
    ----------
    path
        The file; None for stdout.
    flush_every
        How many calls of `write` make a group.
    append
        Whether the file keeps what it holds.
    """

    def __init__(self, path: Path | None, flush_every: int = 1, append: bool = False) -> None:
        self._name = path or "stdout"
        self._flush_every = flush_every
        self._waiting: list[str] = []
        self._calls = 0
        self._text: IO[str] | None = None
        self._file: io.FileIO | None = None
        if path is None:
            self._text = _standard_output()
        else:
            self._file = open_file(path, "ab" if append else "wb")

    def write(self, *lines: str) -> None:
        """Take lines without their newlines, which stay together."""
        self._waiting += [f"{line}\n" for line in lines]
        self._calls += 1
        if self._calls >= self._flush_every:
            self.flush()

    def flush(self) -> None:
        """Write the lines that wait.

        Raises
        ------
        OutputError
            If they do not fit on the disk; none of them is in the file then, and none waits any longer.
        """
        text, self._waiting, self._calls = "".join(self._waiting), [], 0
        with written(self._name):
            if self._text is not None:
                self._text.write(text)
                self._text.flush()
            elif self._file is not None:
                _write_whole(self._file, text.encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        """Write what waits and close the file; stdout stays open."""
        try:
            if self._waiting:
                self.flush()
        finally:
            if self._file is not None:
                with written(self._name):
                    self._file.close()


def _write_whole(file: io.FileIO, data: bytes) -> None:
    """Write all of `data` or, where the disk is full, nothing."""
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[file.write(rest) or 0 :]
    except OSError:
        done = len(data) - len(rest)
        if done and file.seekable():
            os.ftruncate(file.fileno(), os.fstat(file.fileno()).st_size - done)
        raise


@contextmanager
def written(what: object) -> Iterator[None]:
    """Name what could not be written; a reader of stdout that has left (``| head``) is no error of ours."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"{what} cannot be written ({error.strerror or error})", "free some space") from error


def check_new(path: Path, overwrite: bool) -> None:
    """Raise before any work is done if a file may not be replaced or could not be written."""
    if path.is_dir():
        raise OutputError(f"{path} is a folder, not a file", "name a file, such as results.jsonl")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already", "name a new file, or pass --overwrite")
    existed = path.exists()
    open_file(path, "ab").close()
    if not existed:
        path.unlink()


def open_file(path: Path, mode: str) -> io.FileIO:
    """Open a file for bytes without a buffer, and make the folder that it lies in."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return io.FileIO(path, mode.replace("b", ""))
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror})", "name a file in a folder that you may write to"
        ) from None


def _standard_output() -> IO[str]:
    """Return stdout, writing UTF-8 as JSON wants it whatever the locale; file names that are not UTF-8 are escaped."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    return sys.stdout
