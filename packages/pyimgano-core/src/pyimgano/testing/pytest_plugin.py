"""Fixtures for the tests of plugin authors; pytest loads this module in every run, so it imports nothing of core until used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyimgano.contracts import DatasetSplit
    from pyimgano.images import Image


@pytest.fixture(scope="session")
def surface_dataset(tmp_path_factory: pytest.TempPathFactory) -> DatasetSplit:
    """Give a small split of synthetic surfaces, with defects and masks, as files."""
    from pyimgano.registry import load_dataset

    root = tmp_path_factory.mktemp("pyimgano") / "surface"
    return load_dataset("surface", root, train=12, test_good=4, test_defective=6, height=64, width=96).load()


@pytest.fixture
def tiny_images() -> list[Image]:
    """Give six textured pictures, RGB uint8 (64, 96, 3)."""
    from pyimgano.testing.images import textures

    return textures(6)


@pytest.fixture
def isolated_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test see core's own components and no installed plugin."""
    monkeypatch.setenv("PYIMGANO_PLUGINS", "")
    monkeypatch.delenv("PYIMGANO_PLUGIN_FILES", raising=False)
