"""PaDiM and PatchCore of the bridge against anomalib's own Engine, on photographs of ball screws with ImageNet weights."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bridge_models import PADIM, PATCHCORE, needs_anomalib, needs_lite0
from moved_bundle import GUARD

from pyimgano.calibration import CalibrationSettings
from pyimgano.contracts import Detector, Runtime
from pyimgano.pipeline import Pipeline
from pyimgano.workbench.bundle import bundle_files, write_bundle

DATA = Path(os.environ.get("PYIMGANO_DEV_DATA", "/nowhere")) / "bsdata" / "ballscrew"
TRAIN, HELD_OUT, TEST = 20, 4, 6
LITE0 = {"backbone": "tf_efficientnet_lite0"}
OPTIONS: dict[str, dict[str, Any]] = {
    PADIM: {"arguments": {**LITE0, "layers": ["blocks.1", "blocks.2"], "n_features": 8}},
    PATCHCORE: {"arguments": {**LITE0, "layers": ["blocks.2", "blocks.4"], "coreset_sampling_ratio": 0.02}},
}
pytestmark = [
    needs_anomalib,
    needs_lite0,
    pytest.mark.realdata,
    pytest.mark.skipif(not DATA.is_dir(), reason="PYIMGANO_DEV_DATA names no folder with bsdata/ballscrew"),
]
both = pytest.mark.parametrize("name", OPTIONS)


def first(folder: Path, count: int) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())[:count]


@pytest.fixture(scope="module")
def test_images() -> list[Path]:
    return first(DATA / "test" / "good", TEST // 2) + first(DATA / "test" / "pitting", TEST // 2)


@pytest.fixture(scope="module")
def pipelines() -> dict[str, Pipeline]:
    """Give both models, trained through the bridge, with thresholds from images of good parts that they have not seen."""
    paths = [str(path) for path in first(DATA / "train" / "good", TRAIN + HELD_OUT)]
    return {
        name: Pipeline.create(name, options, Runtime(device="cpu"))
        .fit(paths[:TRAIN])
        .calibrate(paths[TRAIN:], CalibrationSettings(false_alarm_rate=0.2))
        for name, options in OPTIONS.items()
    }


@pytest.fixture(scope="module")
def models(pipelines: dict[str, Pipeline]) -> dict[str, Detector]:
    """Give their detectors."""
    return {name: pipeline.detector for name, pipeline in pipelines.items()}


def predicted(module: Any, paths: Sequence[Path], folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return what anomalib's own Engine predicts for files that it reads itself, without normalisation."""
    from anomalib.data import PredictDataset
    from anomalib.engine import Engine
    from torch.utils.data import DataLoader

    scores, maps = [], []
    engine = Engine(default_root_dir=folder, logger=False, accelerator="cpu", devices=1, enable_progress_bar=False)
    for path in paths:
        data = PredictDataset(path=path)
        loader = DataLoader(data, batch_size=1, collate_fn=data.collate_fn)
        (batch,) = engine.predict(module, dataloaders=loader, return_predictions=True)
        scores.append(batch.pred_score.numpy().reshape(-1)[0])
        maps.append(batch.anomaly_map.numpy().reshape(batch.anomaly_map.shape[-2:]))
    return np.array(scores), np.stack(maps)


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float((np.abs(ours - theirs) / np.abs(theirs).max()).max())


@both
def test_raw_scores_and_maps_are_those_of_anomalibs_engine(
    name: str, models: dict[str, Detector], test_images: list[Path], tmp_path: Path
) -> None:
    results = models[name].score_images(test_images)
    scores, maps = predicted(models[name].module, test_images, tmp_path)
    np.testing.assert_allclose([result.score for result in results], scores, rtol=1e-4)
    grids = np.stack([result.anomaly_map.grid for result in results])
    assert grids.shape == maps.shape
    assert relative(grids, maps) < 1e-4
    assert scores.max() > 1.05 * scores.min(), "these images must differ, or the comparison says nothing"


def test_training_through_the_bridge_is_training_by_anomalib(
    models: dict[str, Detector], test_images: list[Path], tmp_path: Path
) -> None:
    """PaDiM is a mean and a covariance, so that anomalib must learn the same from files that it reads itself."""
    from anomalib.data import Folder
    from anomalib.engine import Engine
    from anomalib.models import Padim
    from torch.utils.data import DataLoader

    from pyimgano_anomalib.pretrained import find_source, pretrained_weights

    good = tmp_path / "good"
    good.mkdir()
    for path in first(DATA / "train" / "good", TRAIN):
        (good / path.name).symlink_to(path)
    with pretrained_weights(find_source(None, LITE0["backbone"])):
        theirs = Padim(**OPTIONS[PADIM]["arguments"], post_processor=False, evaluator=False, visualizer=False)
    theirs.model.idx = models[PADIM].module.model.idx.clone()
    data = Folder(
        "screws",
        root=tmp_path,
        normal_dir="good",
        train_batch_size=7,
        num_workers=0,
        val_split_mode="none",
        test_split_mode="none",
    )
    engine = Engine(default_root_dir=tmp_path / "engine", logger=False, accelerator="cpu", devices=1, enable_progress_bar=False)
    data.setup()
    in_order = DataLoader(data.train_data, batch_size=16, collate_fn=data.train_data.collate_fn)
    engine.fit(theirs, train_dataloaders=in_order)  # in another order its covariances differ in their fourth digit
    ours = models[PADIM].score_images(test_images)
    scores, maps = predicted(theirs.eval(), test_images, tmp_path)
    np.testing.assert_allclose([result.score for result in ours], scores, rtol=1e-4)
    assert relative(np.stack([result.anomaly_map.grid for result in ours]), maps) < 1e-4


SCORE = """
import json, sys
from pyimgano.workbench.bundle import Bundle
answers = {}
for folder in json.loads(sys.argv[1]):
    results = [scored.result for scored in Bundle.load(folder).pipeline().score(sys.argv[2:])]
    answers[folder] = [[one.score, float(one.anomaly_map.grid.sum())] for one in results]
print("ANSWERS" + json.dumps(answers))
"""


def test_a_bundle_scores_equally_in_a_new_process_without_a_network(
    pipelines: dict[str, Pipeline], test_images: list[Path], tmp_path: Path, shell: Callable
) -> None:
    folders = {name: tmp_path / f"{name}.bundle" for name in pipelines}
    for name, pipeline in pipelines.items():
        write_bundle(folders[name], bundle_files(pipeline, {}))
    guard, home = tmp_path / "guard", tmp_path / "home"
    guard.mkdir()
    home.mkdir()
    (guard / "sitecustomize.py").write_text(GUARD, encoding="utf-8")
    settings = {"path": [guard], "HOME": str(home), "HF_HOME": str(home), "XDG_CACHE_HOME": str(home), "TORCH_HOME": str(home)}
    assert "the network is blocked" in shell("-c", "import socket; socket.create_connection(('127.0.0.1', 9))", **settings).err
    done = shell("-c", SCORE, json.dumps(list(map(str, folders.values()))), *test_images, **settings)
    assert done.code == 0, done.err
    answers = json.loads(done.out.partition("ANSWERS")[2])
    for name, pipeline in pipelines.items():
        results = pipeline.detector.score_images(test_images)
        here = [[one.score, float(one.anomaly_map.grid.sum())] for one in results]
        np.testing.assert_allclose(answers[str(folders[name])], here, rtol=1e-6)
