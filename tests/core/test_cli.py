"""The command line as a whole: help, listing, and what they may import."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pyimgano.discovery.catalogue import FIRST_PARTY

HEAVY = ("numpy", "cv2", "torch", "timm", "faiss", "scipy", "sklearn", "PIL", "rich")


@pytest.mark.parametrize("line", [["--help"], ["list-plugins"], ["list-plugins", "--json"], ["list-models"], ["--version"]])
def test_help_and_listing_import_nothing_heavy(shell: Callable, line: list[str]) -> None:
    code = (
        "import sys\nfrom pyimgano.cli.app import main\n"
        f"try:\n    main({line!r})\nexcept SystemExit as stop:\n    assert not stop.code\n"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = shell("-c", code)
    assert done.code == 0, done.err


def test_python_dash_m_is_the_command(shell: Callable) -> None:
    done = shell("-m", "pyimgano", "--version")
    assert (done.code, done.out) == (0, "pyimgano-core 0.7.0\n")


def test_help_lists_every_command_and_the_global_flags(cli: Callable) -> None:
    shown = cli("--help").out
    for word in ("demo", "train", "infer", "list-plugins", "list-models", "show", "--plugin", "--no-plugins", "--log-file"):
        assert word in shown


def test_a_misspelt_command_is_answered_with_the_nearest(cli: Callable) -> None:
    done = cli("trian")
    assert done.code == 2
    assert "Did you mean train?" in done.err


@pytest.mark.parametrize("command", ["datasets", "demo", "doctor", "train", "infer", "list-plugins", "list-models", "show"])
def test_every_command_explains_itself(cli: Callable, command: str) -> None:
    done = cli(command, "--help")
    assert done.code == 0
    assert "Usage: pyimgano" in done.out


def test_a_user_error_is_two_lines_and_exit_2(cli: Callable, tmp_path: Path) -> None:
    done = cli("train", "--root", tmp_path, "--model", "vision_filterbank", "--export-deploy-bundle", tmp_path / "out")
    assert done.code == 2
    assert [line[:6] for line in done.err.splitlines()] == ["Error:", "Next: "]


def test_a_plugin_command_that_cannot_be_imported_is_a_user_error(cli: Callable, distribution: Callable, site: Path) -> None:
    code = "from pyimgano import hookimpl\nfrom pyimgano.specs import CommandSpec\n@hookimpl\ndef register_commands():\n"
    distribution("acme-tools", f"{code}    return [CommandSpec(name='weigh', summary='Weigh', app='acme_weigh:app')]\n")
    (site / "acme_weigh.py").write_text("raise RuntimeError('no scale')\n", encoding="utf-8")
    assert "weigh" in cli("--help").out
    done = cli("weigh")
    assert done.code == 2
    assert "command weigh of acme-tools cannot be imported: RuntimeError: no scale" in done.err


def test_a_missing_root_names_its_flag(cli: Callable, tmp_path: Path) -> None:
    done = cli("train", "--model", "vision_filterbank", "--output", tmp_path / "run")
    assert done.code == 2
    assert "pass --root DIR" in done.err


def test_debug_shows_the_traceback(shell: Callable) -> None:
    line = ["train", "--root", "nowhere", "--model", "vision_filterbank", "--export-deploy-bundle", "out"]
    assert "Traceback" not in shell("-m", "pyimgano", *line).err
    assert "Traceback" in shell("-m", "pyimgano", *line, "--debug").err


def test_log_file_holds_what_happened(cli: Callable, surface_root: Path, tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    line = ["train", "--root", surface_root, "--model", "vision_filterbank", "--output", tmp_path / "run"]
    done = cli(*line, "--log-file", log, "-q")
    assert (done.code, done.err) == (0, "")
    text = log.read_text(encoding="utf-8")
    assert "fitting pyimgano-core:vision_filterbank on 20 images" in text
    assert "too few for a false-alarm rate" in text


@pytest.mark.parametrize("verbosity", [[], ["-q"], ["-v"]])
def test_warnings_reach_the_report(cli: Callable, surface_root: Path, tmp_path: Path, verbosity: list[str]) -> None:
    cli("train", "--root", surface_root, "--model", "vision_filterbank", "--output", tmp_path / "run", *verbosity)
    warnings = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))["warnings"]
    assert any("19 are needed" in warning for warning in warnings)


def test_a_command_of_a_plugin_that_is_not_installed_comes_with_the_line_that_installs_it(
    cli: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FIRST_PARTY, "pyimgano-away", {"command": ("polish",)})
    done = cli("polish", "--all")
    assert done.code == 2
    assert "polish comes with pyimgano-away" in done.err
    assert re.search(r"Next:  .* install .*pyimgano-away\n", done.err)
