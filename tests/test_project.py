"""What holds across the distributions: versions in lockstep, the catalogue of known plugins, the README's claims."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import pyimgano
import pyimgano_patchknn
import pyimgano_robustness
from pyimgano import __version__
from pyimgano.discovery import CORE, discover
from pyimgano.discovery.catalogue import FIRST_PARTY

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: folder.name)
def test_versions_are_in_lockstep_and_plugins_bound_core(folder: Path) -> None:
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert metadata.version(project["name"]) == __version__
    if project["name"] != CORE:
        bounds = [Requirement(text) for text in project["dependencies"] if text.startswith(CORE)]
        assert [str(bound.specifier) for bound in bounds] == ["<0.8,>=0.7"]
    assert (folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert not any("@" in text for text in project["dependencies"]), "PyPI refuses direct-URL dependencies"


def test_the_catalogue_is_what_the_plugins_provide() -> None:
    found = {}
    for record in discover().records:
        if record.distribution.startswith("pyimgano-") and record.distribution != CORE:
            kinds = sorted({spec.kind for spec in record.components})
            found[record.distribution] = {kind: tuple(record.names(kind)) for kind in kinds}
    assert {name: dict(kinds) for name, kinds in FIRST_PARTY.items()} == found


def test_every_public_name_can_be_imported() -> None:
    for package in (pyimgano, pyimgano_patchknn, pyimgano_robustness):
        for name in package.__all__:
            assert getattr(package, name) is not None


def test_nothing_but_core_owns_the_import_name() -> None:
    owners = [path for path in ROOT.glob("packages/*/src/pyimgano") if path.parents[1].name != CORE]
    assert owners == []


def test_continuous_integration_runs_the_test_command_of_the_readme() -> None:
    command = blocks("bash")[0].splitlines()[1]
    assert command in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_the_plugin_of_the_readme_trains(cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "acme.py").write_text(next(block for block in blocks("python") if "@hookimpl" in block), encoding="utf-8")
    line = next(block for block in blocks("bash") if "--plugin acme.py" in block).splitlines()[0].split()
    done = cli(*line[1:])
    assert done.code == 0, done.err
    assert (tmp_path / "spot.bundle" / "manifest.sha256").exists()


def test_the_python_example_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: object) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks("python")[0], "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 25
    assert {line.split()[-1] for line in lines} == {"good", "defect"}


def test_the_citation_names_this_version_and_licence() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (cited["version"], cited["license"]) == (__version__, "Apache-2.0")
