"""The plugin's detectors pass the conformance kit with a tiny CLIP."""

from __future__ import annotations

from pathlib import Path

from pyimgano.testing import Settings, check_plugin

NAMES = ("vision_openclip_patchknn", "vision_openclip_promptscore", "vision_winclip", "winclip")


RANDOM = "a network with random values knows no defects from words"


def test_every_detector_keeps_what_its_spec_promises(tiny: Path) -> None:
    settings = Settings(
        options={name: {"weights": str(tiny)} for name in NAMES},
        expected_failures={"vision_openclip_promptscore": {"direction": RANDOM, "map_alignment": RANDOM}},
    )
    results = check_plugin("pyimgano-models-clip", settings)
    assert [(found.component, found.check, found.reason) for found in results if found.bad] == []
    passed = {found.component for found in results if (found.check, found.outcome) == ("save_load", "passed")}
    assert passed == set(NAMES)
