"""A single Python file as a plugin: it lists, trains and infers, and a file that cannot be used costs itself alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pyimgano.discovery import CORE, Selection, discover

BRIGHT = """
import numpy as np
from pydantic import Field

from pyimgano import AnomalyMap, Detector, ImageScore, hookimpl
from pyimgano.options import Options
from pyimgano.specs import DetectorSpec


class BrightOptions(Options):
    margin: float = Field(1.0, ge=0, description="Grey levels that do not count.")


class BrightDetector(Detector):
    def _fit(self, images):
        self.mean_ = np.mean([image.mean(axis=2) for image in images], axis=0, dtype=np.float64)

    def _score(self, images):
        grids = [np.maximum(abs(image.mean(axis=2) - self.mean_) - self.options.margin, 0) for image in images]
        return [ImageScore(float(grid.max()), AnomalyMap(grid, grid.shape)) for grid in grids]

    def state(self):
        return {"mean": self.mean_}

    def load_state(self, arrays):
        self.mean_ = arrays["mean"]
        self.mark_fitted()


@hookimpl
def register_detectors():
    return [
        DetectorSpec(
            name="acme_bright",
            summary="Far from the mean image",
            factory="acme_bright:BrightDetector",
            options="acme_bright:BrightOptions",
        )
    ]
"""


@pytest.fixture
def folder(site: Path, tmp_path: Path) -> Path:
    """Give a folder for plugin files, which is not on the path."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    return folder


@pytest.fixture
def bright(folder: Path) -> Path:
    """Give a plugin file with one small detector."""
    return written(folder / "acme_bright.py")


def written(file: Path, code: str = BRIGHT) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text(code, encoding="utf-8")
    return file


def rows(listing: str) -> dict[str, tuple[str, str]]:
    """Return status and what is provided by plugin."""
    cells = [re.split(r"\s{2,}", line) for line in listing.splitlines()[1:] if not line.startswith((" ", "note"))]
    return {name: (status, provides) for name, _, status, provides in cells}


def details(listing: str, name: str) -> list[str]:
    """Return the indented lines below one plugin."""
    after = listing[re.search(rf"^{re.escape(name)} .*\n", listing, re.MULTILINE).end() :].splitlines()
    return [line.strip() for line in after[: next((n for n, line in enumerate(after) if line[:4].strip()), len(after))]]


def test_a_plugin_file_is_listed_like_any_plugin(cli: Callable, bright: Path) -> None:
    done = cli("list-plugins", "--plugin", bright)
    assert done.code == 0
    assert rows(done.out)["acme-bright"] == ("ok", "1 detector")
    assert details(done.out, "acme-bright") == []
    models = cli("list-models", f"--plugin={bright}").out
    assert re.search(r"^acme_bright +acme-bright +Far from the mean image$", models, re.MULTILINE)
    assert "margin  float  1.0" in cli("--plugin", bright, "show", "detector", "acme-bright:acme_bright").out
    assert "acme-bright" not in cli("list-plugins").out


def test_a_plugin_file_trains_and_infers(cli: Callable, bright: Path, surface_root: Path, tmp_path: Path) -> None:
    bundle, results = tmp_path / "bundle", tmp_path / "results.jsonl"
    line = ["train", "--root", surface_root, "--model", "acme_bright", "-o", "margin=2", "--export-deploy-bundle", bundle]
    trained = cli("--plugin", bright, *line)
    assert trained.code == 0, trained.err
    line = ["infer", "--bundle", bundle, "--input", surface_root / "test", "--save-jsonl", results]
    inferred = cli(*line, "--plugin", bright)
    assert inferred.code == 0, inferred.err
    records = [json.loads(text) for text in results.read_text(encoding="utf-8").splitlines()]
    scores = {good: [record["score"] for record in records if ("/good/" in record["input"]) is good] for good in (True, False)}
    assert (len(scores[True]), len(scores[False])) == (6, 9)
    assert sum(scores[False]) / 9 > sum(scores[True]) / 6
    model = json.loads((bundle / "infer_config.json").read_text(encoding="utf-8"))["model"]
    assert (model["name"], model["options"]) == ("acme-bright:acme_bright", {"margin": 2.0})
    without = cli(*line, "--overwrite")
    assert without.code == 2
    assert "acme-bright:acme_bright" in without.err


def test_a_plugin_file_in_a_folder_on_the_path_is_not_in_its_own_way(
    cli: Callable, bright: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bright.parent)
    monkeypatch.syspath_prepend(".")
    assert rows(cli("list-plugins", "--plugin", "acme_bright.py").out)["acme-bright"] == ("ok", "1 detector")


def test_a_plugin_file_beside_python_dash_m_is_listed(shell: Callable, tmp_path: Path) -> None:
    written(tmp_path / "acme_bright.py")
    done = shell("-m", "pyimgano", "list-plugins", "--plugin", "./acme_bright.py")
    assert done.code == 0, done.err
    assert rows(done.out)["acme-bright"] == ("ok", "1 detector")


def test_a_plugin_file_loads_where_installed_plugins_are_off(cli: Callable, bright: Path) -> None:
    done = cli("list-models", "--no-plugins", "--plugin", bright, "--json")
    assert [row["full_name"] for row in json.loads(done.out)] == ["acme-bright:acme_bright", "pyimgano-core:vision_filterbank"]


def test_several_plugin_files_load_in_their_order_and_each_once(cli: Callable, bright: Path, folder: Path) -> None:
    dark = written(folder / "acme_dark.py", BRIGHT.replace("acme_bright", "acme_dark"))
    done = cli("list-plugins", "--plugin", dark, "--plugin", bright, "--plugin", folder / ".." / "plugins" / dark.name)
    shown = rows(done.out)
    assert list(shown)[:3] == [CORE, "acme-dark", "acme-bright"]
    assert shown["acme-dark"] == shown["acme-bright"] == ("ok", "1 detector")
    assert len([line for line in done.out.splitlines() if line.startswith("acme-")]) == 2


def test_a_plugin_file_can_be_selected_in_python(bright: Path) -> None:
    record = next(record for record in discover(Selection(files=(str(bright),))).records if record.candidate.file)
    assert (record.distribution, record.status, record.candidate.location) == ("acme-bright", "ok", str(bright.resolve()))


@pytest.mark.parametrize(
    ("name", "code", "problem"),
    [
        ("acme_away.py", None, "FileNotFoundError: no such file: {file}"),
        ("acme_wrong.py", "def :\n", "SyntaxError: invalid syntax (acme_wrong.py, line 1)"),
        ("acme_wrong.py", "\nraise RuntimeError('no')\n", "RuntimeError: no (plugins/acme_wrong.py, line 2)"),
        ("acme_wrong.py", "raise SystemExit\n", "it called sys.exit(None) while it was loaded (plugins/acme_wrong.py, line 1)"),
        ("acme_empty.py", "", "acme_empty implements no hook of pyimgano (see the module pyimgano.hookspecs)"),
        ("json.py", BRIGHT, "ImportError: json.py cannot be imported as 'json': {taken}"),
        ("acme_taken.py", BRIGHT, "ImportError: acme_taken.py cannot be imported as 'acme_taken': {taken}"),
        ("my-plugin.py", BRIGHT, "ImportError: my-plugin.py cannot be imported as 'my-plugin': {taken}"),
        ("acme.v2.py", BRIGHT, "ImportError: acme.v2.py cannot be imported as 'acme.v2': {taken}"),
        ("acme_text.txt", BRIGHT, "ImportError: {file} is not a Python file"),
    ],
    ids=["missing", "syntax", "raises", "exits", "empty", "standard", "taken", "dash", "dot", "text"],
)
def test_a_plugin_file_that_cannot_be_used_costs_itself_alone(
    cli: Callable, site: Path, folder: Path, bright: Path, name: str, code: str | None, problem: str
) -> None:
    written(site / "acme_taken.py", "")
    file = folder / name
    if code is not None:
        written(file, code)
    flags = ["--plugin", file, "--plugin", bright]
    done = cli("list-plugins", *flags)
    assert done.code == 0, done.err
    shown = rows(done.out)
    plugin = re.sub(r"[._]", "-", file.stem)
    assert (shown[plugin], shown["acme-bright"], shown[CORE][0]) == (("broken", "nothing"), ("ok", "1 detector"), "ok")
    taken = "rename the file, that name is taken or not a name"
    lines = [problem.format(file=file, taken=taken)]
    if "no hook" not in problem:
        lines.append(f"trace pyimgano list-plugins --trace {plugin}")
    assert [line for line in details(done.out, plugin) if not line.startswith("skip")] == lines
    assert cli("list-plugins", "--strict", *flags).code == 1
    for line in (["list-models"], ["--help"]):
        other = cli(*line, *flags)
        assert other.code == 0
    assert "vision_filterbank" in cli("list-models", *flags).out


def test_two_plugin_files_of_one_name_are_a_clash_of_the_second(cli: Callable, bright: Path, folder: Path) -> None:
    second = written(folder / "more" / "acme_bright.py")
    done = cli("list-plugins", "--plugin", bright, "--plugin", second)
    statuses = [re.split(r"\s{2,}", line)[2] for line in done.out.splitlines() if line.startswith("acme-bright")]
    assert (done.code, statuses) == (0, ["ok", "broken"])
    assert re.search(r"^acme_bright ", cli("list-models", "--plugin", bright, "--plugin", second).out, re.MULTILINE)


def test_a_plugin_file_that_failed_loads_once_it_is_mended(cli: Callable, folder: Path) -> None:
    file = written(folder / "acme_bright.py", "raise RuntimeError('not yet')\n")
    assert rows(cli("list-plugins", "--plugin", file).out)["acme-bright"] == ("broken", "nothing")
    written(file)
    assert rows(cli("list-plugins", "--plugin", file).out)["acme-bright"] == ("ok", "1 detector")


@pytest.mark.parametrize("line", [["--plugin"], ["list-plugins", "--plugin"], ["--plugin=", "list-plugins"]])
def test_a_plugin_flag_without_a_file_is_a_user_error(cli: Callable, line: list[str]) -> None:
    done = cli(*line)
    assert (done.code, done.err) == (2, "Error: --plugin needs a file name\nNext:  write --plugin FILE\n")


def test_a_failure_while_fitting_names_the_detector(cli: Callable, folder: Path, surface_root: Path, tmp_path: Path) -> None:
    fails = BRIGHT.replace("        self.mean_ = np.mean", "        raise ValueError('no light')\n        self.mean_ = np.mean")
    acme = written(folder / "acme_bright.py", fails)
    done = cli("--plugin", acme, "train", "--root", surface_root, "--model", "acme_bright", "--output", tmp_path / "run")
    assert done.code == 2
    assert "acme-bright:acme_bright failed: ValueError: no light" in done.err


def test_the_next_command_brings_the_plugin_along(cli: Callable, bright: Path, surface_root: Path, tmp_path: Path) -> None:
    line = ["--plugin", bright, "train", "--root", surface_root, "--model", "acme_bright"]
    done = cli(*line, "--export-deploy-bundle", tmp_path / "b")
    assert f"next       pyimgano --plugin {bright} infer --bundle" in done.out
    without = cli("infer", "--bundle", tmp_path / "b", "--input", surface_root / "test")
    assert without.code == 2
    assert "no plugin called 'acme-bright' is loaded" in without.err
    assert "--plugin FILE" in without.err


def test_a_file_that_is_broken_is_said_though_nothing_of_it_is_used(
    cli: Callable, folder: Path, bundle: Path, surface_root: Path
) -> None:
    broken = written(folder / "acme_bright.py", "raise RuntimeError('no light')")
    done = cli("--plugin", broken, "infer", "--bundle", bundle, "--input", surface_root / "test")
    assert done.code == 0
    assert "plugin acme-bright is broken: RuntimeError: no light" in done.err


def test_a_factory_under_another_name_than_the_file_is_told_the_right_one(cli: Callable, folder: Path) -> None:
    path = folder / "acme_glow.py"
    path.write_text(BRIGHT, encoding="utf-8")
    done = cli(
        "--plugin",
        path,
        "train",
        "--model",
        "acme_bright",
        "--dataset",
        "surface",
        "--root",
        folder / "parts",
        "--output",
        folder / "run",
    )
    assert done.code == 2
    assert "No module named 'acme_bright'" in done.err
    assert 'write "acme_glow:BrightOptions" in its spec' in done.err
