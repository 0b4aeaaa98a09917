"""The kit in a plugin author's own tests: parameters, outcomes, fixtures, and nothing loaded until they are used."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

GOOD = (Path(__file__).parent / "good_plugin.py").read_text(encoding="utf-8")
TEST = """
import pytest
from pyimgano.testing import plugin_checks

@pytest.mark.parametrize(
    "check",
    plugin_checks(
        "acme-parts",
        options={"acme_nearest": {"k": 3}},
        expected_failures={"acme_nearest": {"learns": "not yet"}},
        only=["direction", "summary", "learns", "loads", "finite"],
    ),
)
def test_the_plugin_conforms(check):
    check()

def test_fixtures(surface_dataset, tiny_images, isolated_plugins):
    from pyimgano.registry import list_models
    assert len(surface_dataset.train) == 12
    assert [image.shape for image in tiny_images] == [(64, 96, 3)] * 6
    assert list_models() == ["vision_filterbank"]
"""
LOADED = "import sys, pyimgano.testing.pytest_plugin\nprint(*({'numpy', 'cv2', 'pydantic', 'yaml', 'PIL'} & set(sys.modules)))"


def test_the_entry_point_loads_nothing_of_core(shell: Callable) -> None:
    done = shell("-c", LOADED)
    assert (done.code, done.out.strip()) == (0, "")


def test_core_declares_the_entry_point() -> None:
    project = (Path(__file__).parents[2] / "packages/pyimgano-core/pyproject.toml").read_text(encoding="utf-8")
    assert '[project.entry-points.pytest11]\npyimgano = "pyimgano.testing.pytest_plugin"\n' in project


def test_an_authors_test_passes_fails_skips_and_expects(shell: Callable, tmp_path: Path) -> None:
    faulty = GOOD.replace("float(grid.max())", "-float(grid.max())")
    (tmp_path / "acme_parts.py").write_text(faulty, encoding="utf-8")
    (tmp_path / "test_acme.py").write_text(TEST, encoding="utf-8")
    declared = any(entry.value == "pyimgano.testing.pytest_plugin" for entry in metadata.entry_points(group="pytest11"))
    plugins = [] if declared else ["-p", "pyimgano.testing.pytest_plugin"]
    file = str(tmp_path / "acme_parts.py")
    done = shell(
        *("-m", "pytest", "-v", "-p", "no:cacheprovider", "--import-mode=importlib", *plugins, "test_acme.py"),
        PYIMGANO_PLUGIN_FILES=file,
    )
    lines = {line.split("[")[1].split("]")[0]: line for line in done.out.splitlines() if "conforms[" in line and "%" in line}
    assert "PASSED" in lines["acme_nearest-summary"]
    assert "FAILED" in lines["acme_nearest-direction"]
    assert "SKIPPED" in lines["acme_parts-loads"]
    assert "FAILED" in lines["acme_nearest-learns"], "it was expected to fail and did not"
    assert "acme_nearest: direction: surfaces score" in done.out
    assert "test_fixtures PASSED" in done.out, done.out


def test_an_expected_failure_is_an_xfail() -> None:
    from pyimgano.testing.checks import checks_of
    from pyimgano.testing.parameters import PluginCheck
    from pyimgano.testing.run import Target, Trial

    check = next(check for check in checks_of("metric") if check.name == "summary")

    class Wordless:
        class spec:  # noqa: N801
            summary = ""

    target = Target("acme", "metric", None, Wordless, "", {"summary": "later"})
    with pytest.raises(pytest.xfail.Exception, match="later"):
        PluginCheck(Trial(target, check))()
