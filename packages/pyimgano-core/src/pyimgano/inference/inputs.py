"""From what was given on a command line to image files: a list, or a stream where their paths come in on standard input."""

from __future__ import annotations

import codecs
import glob
import io
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from pyimgano.datasets.files import image_files, natural
from pyimgano.errors import DatasetError, OptionsError, suggestion
from pyimgano.images import SUFFIXES

STDIN = "-"
"""The input that stands for paths on standard input."""
_CHUNK = 65536


class Inputs:
    """The images to inspect, in the order given; paths on standard input are read when their turn comes.

    Parameters
    ----------
    given
        Folders (searched below), glob patterns and file names; ``-`` once for paths on standard input.
    listing
        A file with one path per line, which come after `given`; see `read_list`.
    null
        Whether the paths on standard input and in the list end in a NUL byte instead of a newline.

    Raises
    ------
    DatasetError
        For an input that does not exist or holds no images, or if there is nothing at all.
    OptionsError
        If standard input is named twice, or `null` goes with neither it nor a list.
    """

    def __init__(self, given: Sequence[str], listing: Path | None = None, null: bool = False) -> None:
        if given.count(STDIN) > 1:
            raise OptionsError("standard input is named twice", "pass --input - once")
        if null and STDIN not in given and listing is None:
            raise OptionsError(
                "--null is about paths that are read, and none are", "pass it with --input - or --input-list FILE"
            )
        self._null = null
        self.streams = STDIN in given
        place = given.index(STDIN) if self.streams else len(given)
        self._before = _found(given[:place])
        self._after = _found(given[place + 1 :]) + (read_list(listing, null) if listing is not None else [])
        if not self.streams and not self.files:
            raise DatasetError("there is nothing to inspect", "pass --input with a folder, a file or a pattern")

    @property
    def files(self) -> list[str]:
        """Return the images that are known by now: all but those on standard input."""
        return [*self._before, *self._after]

    def chunks(self) -> Iterator[list[str]]:
        """Yield the images in order in lists: all that are known, and of standard input whatever has come in."""
        if not self.streams:
            yield self.files
            return
        if self._before:
            yield self._before
        empty = not self.files
        for paths in read_stream(_standard_input(), self._null):
            empty = False
            yield paths
        if empty:
            raise DatasetError(
                "standard input held no paths", "check the command before the pipe, such as find . -name '*.png'"
            )
        if self._after:
            yield self._after


def expand(inputs: Iterable[str]) -> list[str]:
    """Return the image files that folders (searched below), glob patterns and file names mean, in natural order within each.

    Raises
    ------
    DatasetError
        For an input that does not exist or holds no images.
    """
    files = _found(inputs)
    if not files:
        raise DatasetError("there is nothing to inspect", "pass --input with a folder, a file or a pattern")
    return files


def _found(inputs: Iterable[str]) -> list[str]:
    return [file for given in inputs for file in _expand_one(given)]


def _expand_one(given: str) -> list[str]:
    if not given.strip():
        raise DatasetError("an input is empty", "check the shell variable that it came from")
    path = Path(given)
    if path.is_dir():
        found = [str(file) for file in image_files(path, recursive=True)]
        if not found:
            raise DatasetError(f"folder {path} holds no image files", f"images end in {', '.join(sorted(SUFFIXES))}")
        return found
    if path.exists():
        return [given]
    if not glob.has_magic(given):
        siblings = [child.name for child in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DatasetError(f"input {path} does not exist", suggestion(path.name, siblings) or "check the path")
    matches = [match for match in glob.glob(given, recursive=True) if not Path(match).is_dir()]
    if not matches:
        raise DatasetError(f"no file matches {given!r}", "check the pattern, and quote it so that the shell leaves it alone")
    return sorted(matches, key=lambda match: natural(Path(match)))


def read_list(listing: Path, null: bool = False) -> list[str]:
    """Return the paths in a file, one a line, relative to the current folder; blank lines and lines with # first are left out.

    With `null` paths end in a NUL byte and are taken as they are.

    Raises
    ------
    DatasetError
        If the list cannot be read, holds no paths, or names a file that is not there; the message has the line.
    """
    try:
        content = listing.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        hint = "pass --input - for paths on standard input" if str(listing) == STDIN else "check the path of the list"
        raise DatasetError(f"--input-list {listing} cannot be read ({error.strerror})", hint) from None
    paths = []
    for number, raw in enumerate(content.split(b"\0" if null else b"\n"), start=1):
        entry = os.fsdecode(raw if null else raw.strip())
        if not entry or (entry.startswith("#") and not null):
            continue
        if Path(entry).is_dir() or not Path(entry).exists():
            what = "is a folder" if Path(entry).is_dir() else "does not exist"
            where = f"{listing}, {'entry' if null else 'line'} {number}"
            raise DatasetError(
                f"{where}: {entry} {what}", f"list files, with paths from the current folder {Path.cwd()} or absolute ones"
            )
        paths.append(entry)
    if not paths:
        raise DatasetError(f"{listing} lists no images", "write one path on each line")
    return paths


def read_stream(stream: BinaryIO | io.RawIOBase, null: bool = False) -> Iterator[list[str]]:
    """Yield the paths of a stream, one a line (or NUL byte), in lists of all that have come in by then; never an empty one.

    Parameters
    ----------
    stream
        Its ``read(n)`` returns what is there, and waits only while that is nothing.
    """
    end = b"\0" if null else b"\n"
    rest = b""
    while data := stream.read(_CHUNK):
        *whole, rest = (rest + data).split(end)
        if paths := _paths(whole, null):
            yield paths
    if paths := _paths([rest], null):
        yield paths


def _paths(entries: Iterable[bytes], null: bool) -> list[str]:
    texts = (os.fsdecode(entry if null else entry.rstrip(b"\r")) for entry in entries)
    return [text for text in texts if text.strip()]


def _standard_input() -> BinaryIO | io.RawIOBase:
    """Return stdin without a buffer, whose reads would wait until it is full."""
    buffer = getattr(sys.stdin, "buffer", None)
    if buffer is None:
        raise DatasetError("there is no standard input to read paths from", "pass --input-list FILE")
    raw: BinaryIO | io.RawIOBase = getattr(buffer, "raw", buffer)
    return raw
