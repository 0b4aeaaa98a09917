"""Fixtures of the tests of pyimgano-models-clip: tiny CLIPs as local checkpoints, made once for all workers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest


def _shared(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Path]) -> Path:
    """Return a folder that one worker makes and the others wait for."""
    from filelock import FileLock

    base = factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = root / name, root / f"{name}.done"
    with FileLock(root / f"{name}.lock"):
        if not done.exists():
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a tiny CLIP with random values, two blocks deep and pooled by its class token."""
    import tiny_clip

    vision = {**tiny_clip.TOWERS["vision_cfg"], "layers": 2, "width": 32, "head_width": 16, "pool_type": "tok"}
    towers = {**tiny_clip.TOWERS, "embed_dim": 24, "vision_cfg": vision}
    return _shared(tmp_path_factory, "tiny_clip", lambda folder: tiny_clip.random_clip(folder, towers))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a tiny CLIP that was trained on generated surfaces and sentences about them."""
    import tiny_clip

    return _shared(tmp_path_factory, "trained_clip", tiny_clip.train_clip)
