"""Where results go, and where they must not: over the images to inspect, beside them, or into the bundle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from pyimgano.errors import OutputError
from pyimgano.inference.lines import check_new


@dataclass(frozen=True)
class Places:
    """The files and folders that a run writes to; None for what was not asked for."""

    jsonl: Path | None = None
    regions: Path | None = None
    maps: Path | None = None
    masks: Path | None = None
    overlays: Path | None = None
    sheet: Path | None = None
    profile: Path | None = None

    @property
    def outputs(self) -> tuple[Path | None, ...]:
        """Return all of them."""
        return astuple(self)

    def check(self, files: Iterable[str], inputs: Iterable[str], bundle: Path, overwrite: bool) -> None:
        """Raise before any work is done if results would go where they must not, or replace others unasked.

        What the writer of records writes, it checks itself.
        """
        refuse_places(self.outputs, files, inputs, bundle)
        named = [path.resolve() for path in (self.jsonl, self.regions, self.sheet, self.profile) if path is not None]
        twice = next((path for path in named if named.count(path) > 1), None)
        if twice is not None:
            raise OutputError(f"{twice} is named twice", "give every kind of result a file of its own")
        for path in (self.sheet, self.profile):
            if path is not None:
                check_new(path, overwrite)


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
    folders = {file.parent: file for file in taken}
    sources = [bundle.resolve(), *(Path(given).resolve() for given in inputs if Path(given).is_dir())]
    for output in outputs:
        if output is None:
            continue
        place = output.resolve()
        if place in taken:
            raise OutputError(f"{output} is one of the images to inspect", "name another file for the results")
        for folder, file in folders.items():
            if place == folder or place in folder.parents:
                raise OutputError(f"{output} holds {file}, which is to be inspected", "write results to a folder of their own")
        for source in sources:
            if place == source or source in place.parents:
                raise OutputError(
                    f"{output} lies inside {source}, which is read from", "write results to a folder of their own"
                )


def guarded(chunks: Iterable[Sequence[str]], outputs: Sequence[Path | None], bundle: Path) -> Iterator[Sequence[str]]:
    """Yield lists of images as they come in, each after `refuse_places` has let it pass."""
    for chunk in chunks:
        refuse_places(outputs, chunk, (), bundle)
        yield chunk
