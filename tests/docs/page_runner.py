"""Run the code of a page block by block, as a reader would: ``python page_runner.py PAGE FOLDER`` also installs what it says.

What becomes of a block is written at its head: ``bash`` and ``python`` are run; with a title that is a file name the block is
written to that file; ``text title="prints"`` is compared with what the block before it printed, numbers aside; ``bash
title="install"`` installs. Anything else is there to be looked at.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(r'^```(\w+)(?: title="([^"]*)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```(.*)$", re.MULTILINE)
NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e-?\d+)?")
SECONDS = 120


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, its title and its text."""

    language: str
    title: str
    text: str
    line: int

    @property
    def role(self) -> str:
        """Return what becomes of it: run, file, prints, install or shown."""
        if self.title in ("install", "prints"):
            return self.title
        if self.title:
            return "file"
        return "run" if self.language in ("bash", "python") else "shown"


class PageError(AssertionError):
    """A block does not do what the page says."""


def blocks(text: str) -> list[Block]:
    """Return the blocks of a page; every fence has to be one that this module reads."""
    found = [Block(one[1], one[2] or "", one[3], text[: one.start()].count("\n") + 1) for one in BLOCK.finditer(text)]
    opened = [fence for fence in FENCE.findall(text) if fence]
    if len(opened) != len(found):
        raise PageError(f"{len(opened)} blocks are opened and {len(found)} can be read: check their heads and ends")
    return found


def is_executed(text: str) -> bool:
    """Return whether the head of a page says that its blocks are run."""
    return text.startswith("---\n") and "executed: true" in text.split("---\n")[1].splitlines()


def without_numbers(line: str) -> str:
    """Return a line whose numbers are all alike, and so are the spaces between its words."""
    return " ".join(NUMBER.sub("0", line).split())


class Reader:
    """Someone who reads a page in an empty folder.

    Parameters
    ----------
    folder
        Where commands run and files are written.
    really_install
        Whether blocks that install are run. Otherwise distributions of this project are taken to be there, and a folder that is
        installed as editable is put on the path with the metadata that its pyproject.toml declares.
    disabled
        Distributions that the reader does not have.
    """

    def __init__(self, folder: Path, *, really_install: bool = False, disabled: Sequence[str] = ()) -> None:
        self.folder = folder
        self.really_install = really_install
        self.disabled = disabled
        self.printed = ""
        self.path: list[Path] = []

    def follow(self, block: Block) -> None:
        """Do what a block says.

        Raises
        ------
        PageError
            If a command fails, or prints something else than the page says.
        """
        match block.role:
            case "run":
                self._run(block)
            case "file":
                place = self.folder / block.title
                if not place.parent.is_dir():
                    raise PageError(f"line {block.line}: {block.title} lies in a folder that nobody made")
                place.write_text(block.text, encoding="utf-8")
            case "prints":
                self._compare(block)
            case "install" if self.really_install:
                self._run(block)
            case "install":
                for word in installed(block):
                    if word.startswith("./"):
                        self._put_on_path(self.folder / word)

    def _run(self, block: Block) -> None:
        command = ["bash", "-euo", "pipefail", "-c", block.text]
        if block.language == "python":
            command = ["python", "-c", block.text]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self._environ(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        self.printed = done.stdout
        if done.returncode:
            raise PageError(f"line {block.line}: exit code {done.returncode}\n{block.text}\n{done.stdout}")

    def _environ(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYIMGANO_")}
        return kept | {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": os.pathsep.join(map(str, self.path)),
            "XDG_CACHE_HOME": str(self.folder / ".cache"),
            "PYIMGANO_DISABLE": ",".join(self.disabled),
        }

    def _compare(self, block: Block) -> None:
        printed = [without_numbers(line) for line in self.printed.splitlines()]
        for line in block.text.splitlines():
            if without_numbers(line) not in printed:
                raise PageError(f"line {block.line}: nothing printed {line!r}, but\n{self.printed}")
            del printed[: printed.index(without_numbers(line)) + 1]

    def _put_on_path(self, project: Path) -> None:
        declared = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
        about = declared["project"]
        info = project / "src" / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
        info.mkdir()
        head = ["Metadata-Version: 2.1", f"Name: {about['name']}", f"Version: {about['version']}"]
        head += [f"Requires-Dist: {requirement}" for requirement in about["dependencies"]]
        (info / "METADATA").write_text("\n".join(head) + "\n", encoding="utf-8")
        points = [
            line for group, names in about["entry-points"].items() for line in (f"[{group}]", *map(" = ".join, names.items()))
        ]
        (info / "entry_points.txt").write_text("\n".join(points) + "\n", encoding="utf-8")
        self.path.append(project / "src")


def installed(block: Block) -> list[str]:
    """Return what the lines of a block install, each a ``pip install`` of requirements or of folders as editable."""
    words = []
    for line in block.text.splitlines():
        command = [word.strip('"') for word in line.split()]
        if command[:2] != ["pip", "install"] or len(command) == 2:
            raise PageError(f"line {block.line}: {line!r} is no pip install")
        words += [word for word in command[2:] if word != "-e"]
    return words


def main() -> None:
    """Follow a page for real, in the environment of this Python."""
    page, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True)
    reader = Reader(folder.resolve(), really_install=True)
    for block in blocks(page.read_text(encoding="utf-8")):
        print(f"{page.name}:{block.line} {block.role} {block.title}")
        reader.follow(block)


if __name__ == "__main__":
    main()
