"""The plugin and its detectors pass the conformance kit with the settings in its package, which say what cannot be kept.

A few detectors stand for all in every run; ``pyimgano check-plugin pyimgano-anomalib`` goes through them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from bridge_models import PADIM, PATCHCORE, fitted, needs_anomalib, needs_lite0, saved_checkpoint

from pyimgano.discovery import installed_plugins
from pyimgano.registry import list_models
from pyimgano.testing import Settings
from pyimgano.testing.results import Result
from pyimgano.testing.run import trials

PLUGIN = "pyimgano-anomalib"
(RECORD,) = [record for record in installed_plugins().records if record.distribution == PLUGIN]
SETTINGS = Settings.shipped(RECORD)
CHECKPOINT = "vision_anomalib_checkpoint"
FEW = (PADIM, PATCHCORE, "vision_ganomaly_anomalib", "vision_rad_anomalib")
"""A density, a bank, one that descends and makes no maps, and one whose scores depend on the batch inside anomalib."""
ELSEWHERE = list_models(["anomalib", "requires_checkpoint"])
WITHOUT_A_NETWORK = {"vision_dsr_anomalib": ("Dsr", 64), "vision_efficientad_anomalib": ("EfficientAd", 256)}
"""Those that learn elsewhere and can be built, untrained, on any machine: their classes, and the smallest input that fits."""
NOT_LEARNED = {"vision_dsr_anomalib": ("direction", "map_alignment")}
"""What such a model cannot keep for want of training."""


def checked(names: Sequence[str], settings: Settings | None = None) -> list[Result]:
    """Return what the kit finds about the plugin or some of its detectors."""
    return [trial.result() for trial in trials(PLUGIN, settings) if trial.target.name in names]


def assert_conforms(results: Sequence[Result], names: Sequence[str]) -> None:
    """Fail unless nothing is broken, and every detector learned and survived being saved."""
    assert [(found.component, found.check, found.reason) for found in results if found.bad] == []
    assert {found.component for found in results if (found.check, found.outcome) == ("save_load", "passed")} == set(names)


def with_checkpoint(name: str, path: Path, expected: dict[str, str] | None = None) -> Settings:
    """Return the settings of a detector that loads a file."""
    return Settings(options={name: {"checkpoint": str(path)}}, expected_failures={name: expected or {}})


def test_every_detector_has_options_for_the_kit_or_is_trained_elsewhere() -> None:
    assert sorted(SETTINGS.options) == sorted(list_models(["anomalib"]))
    assert sorted(name for name, options in SETTINGS.options.items() if not options) == sorted(ELSEWHERE)


@needs_anomalib
@needs_lite0
def test_detectors_of_every_kind_keep_what_their_specs_promise() -> None:
    results = checked([PLUGIN, *FEW])
    assert_conforms(results, FEW)
    assert {found.outcome for found in results if found.component in FEW} == {"passed"}


@needs_anomalib
@needs_lite0
def test_a_checkpoint_keeps_what_the_spec_promises_but_for_learning(tmp_path: Path) -> None:
    path = saved_checkpoint(fitted(PADIM).module, tmp_path / "padim.ckpt")
    results = checked([CHECKPOINT], with_checkpoint(CHECKPOINT, path))
    assert_conforms(results, [CHECKPOINT])
    assert [found.check for found in results if found.outcome != "passed"] == ["learns"]


@needs_anomalib
@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_detector_without_its_checkpoint_is_skipped_with_what_to_do(name: str) -> None:
    results = {found.check: found for found in checked([name])}
    assert not any(found.bad for found in results.values())
    assert results["fits"].outcome == "skipped"
    assert "trained" in results["fits"].reason
    assert results["save_load"].after == "fits"


@pytest.mark.conformance
@needs_anomalib
@pytest.mark.parametrize("name", WITHOUT_A_NETWORK)
def test_each_checkpoint_keeps_what_the_spec_promises(name: str, tmp_path: Path) -> None:
    path = saved_checkpoint(untrained(*WITHOUT_A_NETWORK[name]), tmp_path / "model.ckpt")
    expected = dict.fromkeys(NOT_LEARNED.get(name, ()), "the checkpoint of this test has learned nothing")
    assert_conforms(checked([name], with_checkpoint(name, path, expected)), [name])


def untrained(name: str, side: int) -> Any:
    """Return a model of anomalib with random weights for square images."""
    from pyimgano_anomalib.library import model_class
    from pyimgano_anomalib.randomness import seeded

    kind = model_class(name)
    with seeded(0):
        return kind(
            pre_processor=kind.configure_pre_processor((side, side)), post_processor=False, evaluator=False, visualizer=False
        )
