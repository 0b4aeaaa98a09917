"""The distribution without its extra: listed, described and checked, but honest that it cannot run."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable

import pytest

from pyimgano.errors import MissingDependencyError
from pyimgano.registry import create_model

pytestmark = pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is installed")


def test_listing_names_the_command_that_installs_the_extra(cli: Callable) -> None:
    done = cli("list-plugins")
    assert done.code == 0
    assert "missing-deps" in done.out
    assert "needs torch>=2.4, which is not installed" in done.out
    assert '"pyimgano-models-patchknn[torch]"' in done.out


def test_strict_listing_fails(cli: Callable) -> None:
    assert cli("list-plugins", "--strict").code == 1


def test_options_are_described(cli: Callable) -> None:
    done = cli("show", "detector", "vision_patchcore")
    assert done.code == 0
    assert "coreset_sampling_ratio" in done.out


def test_using_it_names_the_command() -> None:
    with pytest.raises(MissingDependencyError, match=r"needs .*torch") as caught:
        create_model("vision_patchcore")
    assert "pyimgano-models-patchknn[torch]" in caught.value.next_step
    assert sys.executable in caught.value.next_step


def test_the_demo_falls_back_to_cores_detector(cli: Callable, tmp_path: object) -> None:
    done = cli("demo", "--dataset", "surface", "--output", f"{tmp_path}/demo")
    assert done.code == 0, done.err
    assert "model    vision_filterbank" in done.out
