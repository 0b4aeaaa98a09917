"""The main job on real photographs with real weights: solar cells, and the ball screws of the development data."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pyimgano.metrics.image import roc_auc

DATA = Path(os.environ.get("PYIMGANO_DEV_DATA", "")) / "bsdata" / "ballscrew"
needs_ballscrew = pytest.mark.skipif(
    "PYIMGANO_DEV_DATA" not in os.environ or not DATA.is_dir(), reason="PYIMGANO_DEV_DATA names no folder with bsdata/ballscrew"
)


def test_the_demo_finds_cracked_solar_cells(cli: Callable, tmp_path: Path) -> None:
    done = cli("demo", "--output", tmp_path / "demo")
    assert done.code == 0, done.err
    assert "backbone=efficientnet_lite0" in done.out
    table = dict(line.rsplit("  ", 1) for line in done.out.splitlines() if "AUROC" in line or "at that threshold" in line)
    numbers = {name.strip(): float(value.split()[0]) for name, value in table.items()}
    assert numbers["image AUROC"] >= 0.90
    assert numbers["false-alarm rate at that threshold"] <= 0.1
    records = (tmp_path / "demo" / "results.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(records) == len(list((tmp_path / "demo" / "overlays").glob("*.jpg"))) == 607


def train_and_infer(cli: Callable, folder: Path, seed: int) -> list[dict]:
    trained = cli(
        *("train", "--dataset", "folder", "--root", DATA, "--model", "vision_patchcore", "-o", "backbone=efficientnet_lite0"),
        *("--resize", 256, 256, "--seed", seed, "--export-deploy-bundle", folder / "OUT"),
    )
    assert trained.code == 0, trained.err
    inferred = cli(
        *("infer", "--bundle", folder / "OUT", "--input", DATA / "test", "--save-jsonl", folder / "r.jsonl"),
        *("--save-maps", folder / "maps"),
    )
    assert inferred.code == 0, inferred.err
    return [json.loads(line) for line in (folder / "r.jsonl").read_text(encoding="utf-8").splitlines()]


def pixel_auroc(records: list[dict]) -> float:
    """Return the area under the ROC curve of all pixels at image size; good images have no abnormal pixel."""
    labels, scores = [], []
    for record in records:
        path = Path(record["input"])
        heat = np.load(record["anomaly_map"]["path"])
        mask = DATA / "ground_truth" / path.parent.name / f"{path.stem}_mask.png"
        labels.append(np.asarray(Image.open(mask)).ravel() > 0 if mask.exists() else np.zeros(heat.size, bool))
        scores.append(heat.ravel())
    area = roc_auc(np.concatenate(labels), np.concatenate(scores))
    assert area is not None
    return area


@pytest.mark.realdata
@needs_ballscrew
def test_pitted_ball_screws_are_found_and_outlined(cli: Callable, tmp_path: Path) -> None:
    areas = []
    for seed in range(5):
        folder = tmp_path / str(seed)
        folder.mkdir()
        records = train_and_infer(cli, folder, seed)
        labels = np.array([Path(record["input"]).parent.name != "good" for record in records])
        areas.append(roc_auc(labels, np.array([record["score"] for record in records])))
        if seed == 0:
            assert pixel_auroc(records) >= 0.96
    assert min(areas) >= 0.90
    assert float(np.mean(areas)) >= 0.915


@pytest.mark.realdata
@needs_ballscrew
def test_training_twice_gives_the_same_bytes(cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    folders = [tmp_path / "first", tmp_path / "second"]
    records = []
    for folder in folders:
        folder.mkdir()
        records.append(train_and_infer(cli, folder, seed=0))
    files = [{path.name: path.read_bytes() for path in sorted((folder / "OUT").iterdir())} for folder in folders]
    assert files[0] == files[1]
    for record in (*records[0], *records[1]):
        del record["anomaly_map"]["path"]
    assert records[0] == records[1]
