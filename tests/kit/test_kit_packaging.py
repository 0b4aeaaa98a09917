"""What the kit finds in a distribution as a whole: each faulty piece of metadata or import is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pyimgano.discovery import discover
from pyimgano.testing import Result
from pyimgano.testing.checks import all_checks
from pyimgano.testing.run import trials

PLUGIN = """
from pyimgano import hookimpl
from pyimgano.specs import PostprocessorSpec

@hookimpl
def register_postprocessors():
    return [
        PostprocessorSpec(
            name="acme_half", summary="Half of every score", factory="acme_work:Half", options="acme_options:HalfOptions",
            acts_on="score",
        )
    ]
"""
OPTIONS = """
from pydantic import Field
from pyimgano.options import Options

class HalfOptions(Options):
    share: float = Field(0.5, gt=0, le=1, description="What is kept.")
"""
WORK = """
from dataclasses import replace
import pydantic
from pyimgano import ImageScore
from pyimgano.contracts import Postprocessor

class Half(Postprocessor):
    def apply(self, result):
        return replace(result, score=self.options.share * result.score)

def place(options):
    return None
"""
WEIGHED = """
from pyimgano.specs import DetectorSpec

@hookimpl
def register_detectors():
    return [DetectorSpec(name="acme_net", summary="A network", factory="acme_work:Half", weights_at="acme_work:place")]
"""
COMMAND = """
from pyimgano.specs import CommandSpec

@hookimpl
def register_commands():
    return [CommandSpec(name="acme-weigh", summary="Weigh", app="acme_work:app")]
"""
WORK_APP = "import jax\nfrom typer import Typer\napp = Typer()\n@app.command()\ndef weigh():\n    'Weigh.'\n" + WORK
CORE = "pyimgano-core>=0.7,<0.8"
REQUIRES = (CORE, "pydantic>=2.7")
FAULTS = [
    # what is changed, the check that fails, and a word of its reason
    ({"plugin": "import numpy\n" + PLUGIN, "requires": (*REQUIRES, "numpy>=2")}, "light_import", "numpy"),
    ({"plugin": "import jax\n" + PLUGIN, "requires": (*REQUIRES, "jax")}, "light_import", "jax"),
    ({"options": "import jax\n" + OPTIONS, "requires": (*REQUIRES, "jax")}, "light_options", "jax"),
    ({"plugin": PLUGIN + COMMAND, "work": WORK_APP, "requires": (*REQUIRES, "jax", "typer")}, "light_commands", "jax"),
    ({"requires": ("pyimgano-core>=0.7", "pydantic>=2.7")}, "requirement_on_core", "pyimgano-core>=0.7"),
    ({"requires": ("pyimgano-core<0.8", "pydantic>=2.7")}, "requirement_on_core", "pyimgano-core<0.8"),
    ({"requires": (*REQUIRES, "acme-lib @ https://acme.example/lib.whl")}, "no_direct_urls", "acme.example"),
    ({"work": WORK + "\ndef later():\n    import jax\n"}, "requirements_cover_imports", "jax (acme_work.py, line 15)"),
    ({"work": WORK + "\nimport yaml\n"}, "requirements_cover_imports", "yaml"),
    ({"work": WORK.replace("self.options.share", "0.5")}, "options_are_read", "acme_half.share"),
    (
        {"plugin": PLUGIN.replace('acts_on="score"', 'acts_on="score", extra="fast", requires=("pydantic>=2.7",)')},
        "extras_bring_requires",
        "'fast'",
    ),
    ({"plugin": PLUGIN + "\n@hookimpl\ndef register_detectors():\n    raise OSError('no')\n"}, "entry_point", "partial"),
    ({"plugin": PLUGIN.replace("acme_half", "Acme-Half")}, "entry_point", "not a valid name"),
    ({"plugin": PLUGIN + WEIGHED, "work": "import jax\n" + WORK, "requires": (*REQUIRES, "jax")}, "light_weights_at", "jax"),
    ({"plugin": PLUGIN + WEIGHED.replace("place", "plaice")}, "light_weights_at", "acme_work:plaice, which is no function"),
]


@pytest.fixture
def found(distribution: Callable, site: Path) -> Callable[..., dict[str, Result]]:
    """Return what the kit finds about a distribution with these modules and requirements, by check."""

    def examine(
        plugin: str = PLUGIN,
        options: str = OPTIONS,
        work: str = WORK,
        requires: Sequence[str] = REQUIRES,
        only: Sequence[str] = (),
    ) -> dict[str, Result]:
        (site / "acme_options.py").write_text(options, encoding="utf-8")
        (site / "acme_work.py").write_text(work, encoding="utf-8")
        (site / "jax.py").write_text("", encoding="utf-8")
        distribution("acme-half", plugin, requires=requires)
        chosen = only or [check.name for kind, check in all_checks() if kind == "plugin"]
        return {trial.check.name: trial.result() for trial in trials("acme-half", only=chosen, index=discover())}

    return examine


def test_a_sound_distribution_passes(found: Callable) -> None:
    results = found()
    assert {name: result.reason for name, result in results.items() if result.outcome != "passed"} == {
        "light_weights_at": "no detector names weights_at",
        "light_commands": "it adds no command",
    }


@pytest.mark.parametrize(("change", "check", "reason"), FAULTS)
def test_a_fault_of_a_distribution_is_named(found: Callable, change: dict, check: str, reason: str) -> None:
    results = found(**change)
    assert [name for name, result in results.items() if result.bad] == [check]
    assert reason in results[check].reason


@pytest.mark.parametrize(
    "work",
    [
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import jax\n" + WORK,
        "try:\n    import jax\nexcept ImportError:\n    jax = None\n" + WORK,
        WORK + "\nimport pydantic_core\n",
    ],
    ids=["for type checkers alone", "where it is there", "a part of something required"],
)
def test_imports_that_need_no_requirement_pass(found: Callable, work: str) -> None:
    assert found(work=work, only=["requirements_cover_imports"])["requirements_cover_imports"].outcome == "passed"


def test_an_import_of_an_extra_is_covered(found: Callable) -> None:
    requires = (*REQUIRES, 'jax>=0.4; extra == "fast"')
    done = found(work=WORK + "\nimport jax\n", requires=requires, only=["requirements_cover_imports"])
    assert done["requirements_cover_imports"].outcome == "passed"


def test_what_cannot_run_here_is_skipped_with_the_reason(found: Callable) -> None:
    plugin = PLUGIN.replace('acts_on="score"', 'acts_on="score", requires=("acme-missing>=1",)')
    results = found(plugin=plugin, only=["applies", "options_valid"])
    assert (results["applies"].outcome, results["options_valid"].outcome) == ("skipped", "passed")
    assert "acme-missing" in results["applies"].reason


def test_every_check_of_a_distribution_is_broken_by_some_fault() -> None:
    assert {check.name for kind, check in all_checks() if kind == "plugin"} - {check for _, check, _ in FAULTS} == set()


def test_settings_in_the_package_of_a_plugin_count_and_those_of_the_caller_go_before_them(
    distribution: Callable, site: Path, cli: Callable
) -> None:
    info = distribution("acme-half", "x = 1\n")
    (site / "acme_half.py").unlink()
    package = site / "acme_half"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "plugin.py").write_text(PLUGIN, encoding="utf-8")
    (site / "acme_options.py").write_text(OPTIONS, encoding="utf-8")
    (site / "acme_work.py").write_text(WORK.replace("result.score)", "min(result.score, 3.0))"), encoding="utf-8")
    (info / "entry_points.txt").write_text("[pyimgano]\nacme = acme_half.plugin\n", encoding="utf-8")
    brought = package / "check-plugin.yaml"
    brought.write_text("expected_failures: {acme_half: {keeps_order: scores are clipped here}}\n", encoding="utf-8")
    done = cli("check-plugin", "acme-half", "--only", "keeps_order")
    assert done.code == 0
    assert "scores are clipped here" in done.out
    assert f"with the settings of its author in {brought}" in done.out
    done = cli("check-plugin", "acme-half", "--only", "keeps_order", "--expect", "acme_half:keeps_order=so I say")
    assert "so I say" in done.out
    brought.write_text("options: {acme_third: {}}\n", encoding="utf-8")
    done = cli("check-plugin", "acme-half")
    assert done.code == 2
    assert "it has no component called 'acme_third'" in done.err
