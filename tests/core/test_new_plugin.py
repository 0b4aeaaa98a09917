"""``pyimgano new-plugin`` writes a whole distribution, or says why not."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from pyimgano import __version__
from pyimgano.scaffold.distribution import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_whole_distribution(cli: Callable, tmp_path: Path, kind: str) -> None:
    done = cli("new-plugin", f"acme-edge-{kind}", "--kind", kind, "--into", tmp_path / "new")
    assert done.code == 0, done.err
    folder = tmp_path / "new" / f"acme-edge-{kind}"
    assert done.out.splitlines() == [str(path) for path in sorted(folder.rglob("*")) if path.is_file()]
    package = folder / "src" / f"acme_edge_{kind}"
    assert {path.name for path in package.iterdir()} == {"__init__.py", "plugin.py", "options.py", f"{kind}.py"}
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["pyimgano"] == {package.name: f"{package.name}.plugin"}
    assert f"pyimgano-core>={__version__.rpartition('.')[0]},<0.8" in project["dependencies"]
    for path in folder.rglob("*.py"):
        ast.parse(path.read_text(encoding="utf-8"))
    assert "$" not in "".join(path.read_text(encoding="utf-8") for path in folder.rglob("*") if path.is_file())
    assert 'name="acme_edge"' in (package / "plugin.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("Acme_Edges", "is no name for a distribution"),
        ("../acme", "is no name for a distribution"),
        ("pyimgano-edges", "reads as if it came with pyimgano"),
        ("json", "is a name of Python's own"),
        ("lambda", "is a name of Python's own"),
    ],
)
def test_a_name_that_would_not_do_is_refused(cli: Callable, tmp_path: Path, name: str, problem: str) -> None:
    done = cli("new-plugin", name, "--into", tmp_path)
    assert (done.code, list(tmp_path.iterdir())) == (2, [])
    assert problem in done.err


def test_an_unknown_kind_is_refused_with_the_nearest(cli: Callable, tmp_path: Path) -> None:
    done = cli("new-plugin", "acme-edges", "--kind", "detecter", "--into", tmp_path)
    assert done.code == 2
    assert "did you mean detector?" in done.err


def test_what_is_there_already_stays(cli: Callable, tmp_path: Path) -> None:
    (tmp_path / "acme-edges").mkdir()
    done = cli("new-plugin", "acme-edges", "--into", tmp_path)
    assert done.code == 2
    assert "exists already" in done.err
    assert list((tmp_path / "acme-edges").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(cli: Callable, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = cli("new-plugin", "acme-edges", "--into", tmp_path / "file")
    assert done.code == 2
    assert "cannot be written" in done.err
