"""Going on with a JSONL that an earlier run left, whatever ended it."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from pyimgano.errors import OutputError
from pyimgano.inference.lines import written
from pyimgano.inference.stream import Chunk

logger = logging.getLogger(__name__)

_FRESH = "name a new file, or replace this one with --overwrite"


@dataclass
class Held:
    """What the JSONL of an earlier run holds.

    Attributes
    ----------
    path
        The file; it need not be there.
    inputs
        The inputs that have been scored, by index. Those with an error are not among them: they are tried again.
    scores
        Their scores and labels, by index.
    fields
        The keys of a record that was scored; None where there is none.
    errors
        How many error records there are.
    size
        Bytes of whole lines; what comes after them was being written when the run ended.
    ordered
        Whether the lines are sorted by index.
    """

    path: Path
    inputs: dict[int, str] = field(default_factory=dict)
    scores: dict[int, tuple[float, int | None]] = field(default_factory=dict)
    fields: frozenset[str] | None = None
    errors: int = 0
    size: int = 0
    ordered: bool = True

    @classmethod
    def read(cls, path: Path, digest: str | None, threshold: float | None) -> Held:
        """Return what a file holds, which is nothing where there is no file; it is not changed.

        Parameters
        ----------
        digest, threshold
            The bundle and the image threshold of this run, which the records must come from too.

        Raises
        ------
        OutputError
            If a line is not a record, or comes from another bundle or threshold.
        """
        held, last = cls(path), -1
        for number, (raw, record) in enumerate(_records(path), start=1):
            if record.get("bundle", digest) != digest:
                raise OutputError(f"{path} was written with another bundle (line {number})", _FRESH)
            held.size += len(raw)
            held.ordered, last = held.ordered and record["index"] > last, record["index"]
            if "score" not in record:
                held.errors += 1
                continue
            if record.get("threshold") != threshold:
                raise OutputError(
                    f"{path} was written with the threshold {record.get('threshold')}, not {threshold} (line {number})", _FRESH
                )
            held.inputs[record["index"]] = record["input"]
            held.scores[record["index"]] = record["score"], record.get("label")
            held.fields = frozenset(record)
        return held

    def check(self, files: Sequence[str]) -> None:
        """Raise if a record's input is not at the record's index among the inputs of this run."""
        for index, given in self.inputs.items():
            if index >= len(files) or files[index] != given:
                raise self._moved(index, given)

    def check_fields(self, record: dict[str, Any]) -> None:
        """Raise if a record of this run has other keys than those in the file."""
        if self.fields is not None and "score" in record and self.fields != record.keys():
            names = ", ".join(sorted(self.fields ^ record.keys()))
            raise OutputError(
                f"{self.path} was written with other flags: its records and those of this run differ in {names}",
                f"pass the flags of the first run, or {_FRESH}",
            )

    def tidy(self) -> None:
        """Cut off a half-written last line and take out the error records, so that the file can be appended to."""
        if not self.path.exists():
            return
        left = self.path.stat().st_size - self.size
        if left:
            logger.warning("%s ends with a half-written record, which is cut off; its image is scored again", self.path)
        with written(self.path):
            if self.errors:
                _rewrite(self.path, lambda old: (raw for raw, record in _records(old) if "score" in record))
            elif left:
                os.truncate(self.path, self.size)

    def remaining(self, chunks: Iterable[Sequence[str]]) -> Iterator[Chunk]:
        """Yield the inputs that have no score yet, with their indices among all of them."""
        for chunk in numbered(chunks):
            left = [
                (index, item) for index, item in zip(chunk.indices, chunk.items, strict=True) if not self._has(index, str(item))
            ]
            if left:
                yield Chunk([index for index, _ in left], [item for _, item in left])

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield what the file holds by now, one record at a time."""
        for _, record in _records(self.path):
            yield record

    def put_in_order(self) -> bool:
        """Sort the lines by index, where inputs that had failed before came last; return whether that was to be done."""
        needed = bool(self.errors or not self.ordered) and self.path.exists()
        if needed:
            with written(self.path):
                _rewrite(self.path, _in_order)
        return needed

    def _has(self, index: int, given: str) -> bool:
        held = self.inputs.get(index, given)
        if held != given:
            raise self._moved(index, held)
        return index in self.inputs

    def _moved(self, index: int, given: str) -> OutputError:
        return OutputError(
            f"{self.path} has a record {index} of {given}, which is not input {index} now: the inputs are others than then",
            f"pass the inputs of the first run in the same order, or {_FRESH}",
        )


def numbered(chunks: Iterable[Sequence[str]]) -> Iterator[Chunk]:
    """Yield inputs with their indices among all of them."""
    start = 0
    for chunk in chunks:
        yield Chunk(range(start, start + len(chunk)), chunk)
        start += len(chunk)


def _records(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Yield every whole line with its record."""
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                if raw.endswith(b"\n"):
                    yield raw, _parsed(raw, path, number)
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"{path} cannot be read ({error.strerror})", "name a file that you may read and write") from None


def _parsed(raw: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        record = json.loads(raw)
        if isinstance(record, dict) and isinstance(record["index"], int) and isinstance(record["input"], str):
            return record
    except (ValueError, KeyError, RecursionError):
        pass
    raise OutputError(f"{path}, line {number} is not a record of pyimgano infer", "name the file of the earlier run")


def _rewrite(path: Path, lines: Callable[[Path], Iterable[bytes]]) -> None:
    """Replace a file by lines made from it, whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.writelines(lines(path))
        shutil.copymode(path, part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _in_order(path: Path) -> Iterator[bytes]:
    places: list[tuple[int, int, int]] = []
    offset = 0
    for raw, record in _records(path):
        places.append((record["index"], offset, len(raw)))
        offset += len(raw)
    with path.open("rb") as file:
        yield from (_at(file, start, length) for _, start, length in sorted(places))


def _at(file: BinaryIO, start: int, length: int) -> bytes:
    file.seek(start)
    return file.read(length)
