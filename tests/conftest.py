"""Fixtures that all tests share: running the command line, distributions on the path, small datasets."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from pyimgano import discovery, logs
from pyimgano.cli.app import main
from pyimgano.contracts import DatasetSplit
from pyimgano.discovery import requirements
from pyimgano.registry import load_dataset

ALONE = os.environ.get("PYIMGANO_TEST_ALONE")
"""What alone is installed, where that is so."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that skips itself for want of a module and does not say so by a marker: no session would run it."""
    report = yield
    if ALONE and report.skipped and "could not import" in str(report.longrepr) and item.get_closest_marker("extras") is None:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} needs more than {ALONE}: mark it with @pytest.mark.extras"
    return report


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def fresh_discovery(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Discover anew in every test, without what the developer's own shell selects; plugins of a test are forgotten after it."""
    for name in ("PYIMGANO_PLUGINS", "PYIMGANO_DISABLE", "PYIMGANO_PLUGIN_FILES"):
        monkeypatch.delenv(name, raising=False)
    discovery._cached.cache_clear()
    requirements._version.cache_clear()
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path_factory.getbasetemp())):
            del sys.modules[name]
    logs.ROOT.handlers.clear()
    discovery._cached.cache_clear()
    requirements._version.cache_clear()


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run ``pyimgano ARGS`` in this process; what it sets in the environment is taken back."""

    def run(*args: object) -> Outcome:
        original = dict(os.environ)
        discovery._cached.cache_clear()
        capsys.readouterr()
        try:
            main([str(arg) for arg in args])
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        finally:
            for name in set(os.environ) - set(original):  # not by monkeypatch, which would put them back after the test
                del os.environ[name]
            os.environ.update(original)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def shell(tmp_path: Path) -> Callable[..., Outcome]:
    """Run ``python ARGS`` in a new process, with extra folders first on its path."""

    def run(*args: object, path: Sequence[Path] = (), **environ: str) -> Outcome:
        env = {**os.environ, **environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
        done = subprocess.run(
            [sys.executable, *map(str, args)], capture_output=True, text=True, env=env, cwd=tmp_path, timeout=240, check=False
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty folder at the front of ``sys.path`` for plugins."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.fixture
def distribution(site: Path) -> Callable[..., Path]:
    """Write a distribution as pip would leave it: a module and a ``*.dist-info`` folder.

    ``distribution("acme-scratch", code, requires=[...])``; `entry` and `module` default to the name.
    """

    def write(
        name: str,
        code: str,
        *,
        requires: Sequence[str] | None = ("pyimgano-core>=0.7,<0.8",),
        version: str = "1.0",
        entry: str | None = None,
        module: str | None = None,
        direct_url: str | None = None,
    ) -> Path:
        module = module or name.replace("-", "_")
        (site / f"{module}.py").write_text(code, encoding="utf-8")
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {requirement}" for requirement in requires or ()]
        (info / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(f"[pyimgano]\n{entry or module} = {module}\n", encoding="utf-8")
        if direct_url is not None:
            (info / "direct_url.json").write_text(direct_url, encoding="utf-8")
        return info

    return write


@pytest.fixture(scope="session")
def surface_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a small folder dataset of synthetic surfaces: train/good, test/*, ground_truth/*."""
    root = tmp_path_factory.mktemp("surface") / "parts"
    load_dataset("surface", root, train=25, test_good=6, test_defective=9, height=96, width=128).load()
    return root


@pytest.fixture(scope="session")
def surface_split(surface_root: Path) -> DatasetSplit:
    """Give the split of `surface_root`."""
    return load_dataset("folder", surface_root).load()


@pytest.fixture(scope="session")
def bundle(surface_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a bundle of ``vision_filterbank`` trained on `surface_root`. Read-only: copy it before changing anything."""
    folder = tmp_path_factory.mktemp("bundle") / "parts.bundle"
    line = ["train", "--root", str(surface_root), "--model", "vision_filterbank", "--resize", "96", "128"]
    with pytest.raises(SystemExit) as stopped:
        main([*line, "--export-deploy-bundle", str(folder)])
    assert not stopped.value.code
    return folder
