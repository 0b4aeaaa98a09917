"""``pyimgano check-plugin``: what it prints, how it exits, and what an author can tell it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

GOOD = (Path(__file__).parent / "good_plugin.py").read_text(encoding="utf-8")
FEW = ["--only", "direction", "--only", "summary", "--only", "loads"]


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[..., Path]:
    """Write the plugin file, with one text replaced."""

    def write(old: str = "", new: str = "") -> Path:
        path = tmp_path / "acme_parts.py"
        sys.modules.pop(path.stem, None)
        path.write_text(GOOD.replace(old, new) if old else GOOD, encoding="utf-8")
        return path

    return write


REVERSED = ("float(grid.max())", "-float(grid.max())")


def test_a_good_plugin_file_passes(cli: Callable, plugin: Callable, parts_root: Path) -> None:
    done = cli("check-plugin", "--plugin", plugin(), "-o", f"acme_parts.root={parts_root}")
    assert done.code == 0, done.out + done.err
    assert "acme_nearest  detector" in done.out
    assert "failed" not in done.out


def test_a_fault_exits_with_1_and_says_what_to_do(cli: Callable, plugin: Callable) -> None:
    done = cli("check-plugin", "--plugin", plugin(*REVERSED), *FEW)
    assert done.code == 1
    assert "acme_nearest: direction failed\n" in done.out
    assert "  Next: higher must be more anomalous" in done.out


def test_json_has_every_check(cli: Callable, plugin: Callable) -> None:
    done = cli("check-plugin", "acme-parts", "--plugin", plugin(*REVERSED), "--json", *FEW)
    assert done.code == 1
    found = json.loads(done.out)
    assert (found["plugin"], found["passed"]) == ("acme-parts", False)
    rows = {(row["component"], row["check"]): row["outcome"] for row in found["results"]}
    assert rows["acme_nearest", "direction"] == "failed"
    assert rows["acme_nearest", "summary"] == "passed"
    assert rows["acme_parts", "loads"] == "skipped"


def test_an_expected_failure_passes_and_one_that_does_not_happen_fails(cli: Callable, plugin: Callable) -> None:
    line = ["check-plugin", *FEW, "--expect", "acme_nearest:direction=scores are similarities"]
    done = cli(*line, "--plugin", plugin(*REVERSED))
    assert done.code == 0
    assert "direction expected\n  scores are similarities: surfaces score" in done.out
    done = cli(*line, "--plugin", plugin())
    assert done.code == 1
    assert "direction unexpected pass" in done.out


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("kit.yaml", "options: {acme_parts: {root: ROOT}}\nexpected_failures: {acme_nearest: {direction: known}}\n"),
        ("kit.toml", "[options.acme_parts]\nroot = 'ROOT'\n[expected_failures.acme_nearest]\ndirection = 'known'\n"),
    ],
)
def test_settings_come_from_a_file(
    cli: Callable, plugin: Callable, parts_root: Path, tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text.replace("ROOT", str(parts_root)), encoding="utf-8")
    done = cli("check-plugin", "--plugin", plugin(*REVERSED), "--settings", tmp_path / name, "--json", *FEW)
    assert done.code == 0, done.out
    rows = {(row["component"], row["check"]): row["outcome"] for row in json.loads(done.out)["results"]}
    assert (rows["acme_parts", "loads"], rows["acme_nearest", "direction"]) == ("passed", "expected")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--only", "directoin"], "did you mean direction?"),
        (["--expect", "acme_nearest:nothing=why"], "no check is called 'nothing'"),
        (["--expect", "acme_nearest:direction"], "COMPONENT:CHECK=REASON"),
        (["-o", "acme_nearst.k=3"], "no component called 'acme_nearst'"),
        (["-o", "k=3"], "names no component"),
        (["--settings", "missing.yaml"], "missing.yaml cannot be read"),
    ],
)
def test_what_is_not_there_is_a_user_error(cli: Callable, plugin: Callable, flags: list[str], said: str) -> None:
    done = cli("check-plugin", "--plugin", plugin(), *flags)
    assert done.code == 2
    assert said in done.err


def test_a_plugin_that_is_not_there_is_a_user_error(cli: Callable) -> None:
    assert "did you mean pyimgano-core?" in cli("check-plugin", "pyimgano-cor").err
    assert "no plugin is named" in cli("check-plugin").err


def test_all_checks_are_listed_with_their_promise(cli: Callable) -> None:
    rows = json.loads(cli("check-plugin", "--list-checks", "--json").out)
    assert {row["kind"] for row in rows} >= {"plugin", "detector", "dataset", "corruption", "postprocessor", "metric"}
    assert all(row["promise"].endswith(".") for row in rows)
    assert len({(row["kind"], row["check"]) for row in rows}) == len(rows)


def test_help_imports_nothing_heavy(shell: Callable) -> None:
    code = (
        "import sys\nfrom pyimgano.cli.app import main\ntry:\n    main(['check-plugin', '--help'])\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'cv2', 'pytest'} & set(sys.modules)\nsys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = shell("-c", code)
    assert done.code == 0, done.err


def test_equal_reasons_stand_together(cli: Callable, plugin: Callable) -> None:
    done = cli("check-plugin", "--plugin", plugin("return [self._score_one(image) for image in images]", "return []"))
    assert done.code == 1
    told = [line for line in done.out.splitlines() if line.startswith("acme_nearest: ") and "finite" in line]
    assert len(told) == 1
    assert told[0].startswith("acme_nearest: finite, direction, ")
    assert done.out.count("returned 0 results for 3 images") == 1


def test_debug_shows_where_a_plugin_raised(shell: Callable, plugin: Callable) -> None:
    faulty = plugin("found = cells(image)\n", "found = cells(image.no_such_thing)\n")
    done = shell("-m", "pyimgano", "--debug", "--plugin", faulty, "check-plugin", "--only", "finite")
    assert "acme_nearest: finite error" in done.out
    assert (
        f"AttributeError: 'numpy.ndarray' object has no attribute 'no_such_thing' ({faulty.parent.name}/acme_parts.py"
        in done.out
    )
    assert "Traceback" in done.err
    assert "found = cells(image.no_such_thing)" in done.err


def test_a_distribution_without_an_entry_point_is_told_so(cli: Callable, distribution: Callable) -> None:
    (distribution("acme-lost", "x = 1\n") / "entry_points.txt").unlink()
    done = cli("check-plugin", "acme-lost")
    assert done.code == 2
    assert "acme-lost is installed, but has no entry point in the group pyimgano" in done.err
