"""A new distribution with one component, written whole or not at all."""

from __future__ import annotations

import keyword
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from pyimgano import __version__
from pyimgano.errors import OptionsError, OutputError, suggestion

KINDS = ("detector", "dataset", "corruption", "postprocessor", "metric")
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True)
class NewPlugin:
    """What a new plugin is called.

    Attributes
    ----------
    name
        Of its distribution: lower case, words joined by hyphens.
    kind
        One of `KINDS`.

    Raises
    ------
    OptionsError
        For another name or kind.
    """

    name: str
    kind: str

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise OptionsError(f"there is no kind {self.kind!r}", suggestion(self.kind, KINDS) or f"one of: {', '.join(KINDS)}")
        if not _NAME.fullmatch(self.name):
            raise OptionsError(
                f"{self.name!r} is no name for a distribution", "use lower-case words joined by hyphens, such as acme-edges"
            )
        if self.name.startswith("pyimgano"):
            raise OptionsError(f"{self.name} reads as if it came with pyimgano", "begin with the name of your company or team")
        if self.package in sys.stdlib_module_names or keyword.iskeyword(self.package):
            raise OptionsError(f"{self.package} is a name of Python's own", "choose another, such as acme-edges")

    @property
    def package(self) -> str:
        """Return the name that Python imports."""
        return self.name.replace("-", "_")

    @property
    def component(self) -> str:
        """Return the name of the component: that of the package, without the kind at its end."""
        return self.package.removesuffix(f"_{self.kind}")

    def write(self, parent: Path) -> Path:
        """Write the distribution into a new folder of its name below `parent`, and return that.

        Raises
        ------
        OutputError
            If the folder is there already, or cannot be written.
        """
        folder = parent / self.name
        if folder.exists():
            raise OutputError(f"{folder} exists already", "choose another name, or another folder with --into")
        try:
            parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{self.name}.", dir=parent) as temporary:
                beside = Path(temporary) / self.name
                for template, place in self._templates():
                    target = beside / place
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_text(
                        Template(template.read_text(encoding="utf-8")).substitute(self._words()), encoding="utf-8"
                    )
                shutil.move(beside, folder)
        except OSError as error:
            raise OutputError(f"{folder} cannot be written ({error.strerror})", "choose another folder with --into") from None
        return folder

    def _templates(self) -> list[tuple[Traversable, str]]:
        """Return every template with its place in the distribution."""
        source = f"src/{self.package}"
        places = {
            "pyproject.toml": "pyproject.toml",
            "README.md": "README.md",
            "init.py": f"{source}/__init__.py",
            "plugin.py": f"{source}/plugin.py",
            "options.py": f"{source}/options.py",
            "component.py": f"{source}/{self.kind}.py",
            "test.py": f"tests/test_{self.package}.py",
        }
        root = files(__package__) / "templates"
        own = {entry.name: entry for entry in (root / self.kind).iterdir()}
        shared = {entry.name: entry for entry in (root / "common").iterdir()}
        return [((shared | own)[f"{name}.txt"], place) for name, place in places.items()]

    def _words(self) -> dict[str, str]:
        major, minor, *_ = __version__.split(".")
        title = "".join(word.capitalize() for word in self.component.split("_"))
        return {
            "name": self.name,
            "kind": self.kind,
            "package": self.package,
            "component": self.component,
            "title": title,
            "core": f"pyimgano-core>={major}.{minor},<{major}.{int(minor) + 1}",
        }
