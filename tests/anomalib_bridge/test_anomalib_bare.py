"""The distribution before anomalib is imported, and where it is missing: listed, described and honest."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pyimgano.errors import MissingDependencyError
from pyimgano.registry import create_model, list_models

NAMES = (
    "patchcore",
    "padim",
    "dinomaly",
    "efficientad",
    "cfa",
    "reverse_distillation",
    "stfpm",
    "fastflow",
    "cflow",
    "csflow",
    "uflow",
    "dfm",
    "dfkde",
    "draem",
    "dsr",
    "fre",
    "ganomaly",
    "supersimplenet",
    "uninet",
    "winclip",
    "anomaly_dino",
    "superadd",
    "inp_former",
    "glass",
    "general_ad",
    "l2bt",
    "patchflow",
    "anomalyvfm",
    "foundad",
    "mh_patchcore",
    "rad",
)
HEAVY = ("numpy", "cv2", "torch", "anomalib", "lightning", "pydantic")


def test_all_models_are_listed_by_their_tag() -> None:
    wanted = {"vision_anomalib_checkpoint", *(f"vision_{name}_anomalib" for name in NAMES)}
    assert set(list_models(["anomalib"])) == wanted
    assert {"vision_anomalib_checkpoint", "vision_efficientad_anomalib"} <= set(
        list_models(["anomalib", "requires_checkpoint"])
    )
    assert "vision_padim_anomalib" not in list_models(["requires_checkpoint"])
    assert "vision_padim_anomalib" in list_models(["anomalib", "distribution", "one_pass"])


def test_describing_all_of_it_imports_nothing_heavy(shell: Callable) -> None:
    code = (
        "import sys, pyimgano_anomalib.plugin as p; assert len(p.register_detectors()) == 32;"
        f"assert not set({HEAVY!r}) & set(sys.modules), sorted(sys.modules)"
    )
    done = shell("-c", code)
    assert done.code == 0, done.err


def test_showing_a_detector_and_its_options_imports_neither_torch_nor_anomalib(shell: Callable) -> None:
    code = (
        "import sys; from pyimgano.cli.app import main\n"
        "try: main(['show', 'detector', 'vision_stfpm_anomalib'])\n"
        "finally: assert not {'torch', 'anomalib', 'lightning'} & set(sys.modules)"
    )
    done = shell("-c", code)
    assert done.code == 0, done.err
    for option in ("arguments", "image_size", "checkpoint", "trust_checkpoint", "max_steps"):
        assert option in done.out


def test_making_a_detector_does_not_import_anomalib_before_it_learns(shell: Callable) -> None:
    if importlib.util.find_spec("anomalib") is None:
        pytest.skip("anomalib is not installed")
    code = (
        "import sys; from pyimgano import create_model; create_model('vision_padim_anomalib');"
        "assert not {'torch', 'anomalib', 'lightning'} & set(sys.modules)"
    )
    done = shell("-c", code)
    assert done.code == 0, done.err


def test_another_version_of_anomalib_is_named_with_the_command(site: Path, cli: Callable) -> None:
    info = site / "anomalib-2.99.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: anomalib\nVersion: 2.99.0\n", encoding="utf-8")
    done = cli("list-plugins")
    (line,) = [line.split() for line in done.out.splitlines() if line.startswith("pyimgano-anomalib")]
    assert line[2] == "missing-deps"
    assert "needs anomalib<2.8,>=2.7, but 2.99.0 is installed" in done.out
    assert '"anomalib<2.8,>=2.7"' in done.out
    assert sys.executable in done.out
    with pytest.raises(MissingDependencyError, match=r"needs anomalib<2.8,>=2.7, but 2.99.0 is installed"):
        create_model("vision_padim_anomalib")


@pytest.mark.skipif(importlib.util.find_spec("anomalib") is not None, reason="anomalib is installed")
def test_without_anomalib_it_is_listed_and_names_the_command(cli: Callable) -> None:
    done = cli("list-plugins")
    assert done.code == 0
    assert "needs anomalib<2.8,>=2.7, which is not installed" in done.out
    with pytest.raises(MissingDependencyError, match="needs anomalib") as caught:
        create_model("vision_padim_anomalib")
    assert sys.executable in caught.value.next_step
