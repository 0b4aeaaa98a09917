"""Tiles that the line of ``infer`` asks for: they override the config, and thresholds of another chain are warned of."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyimgano import Pipeline, Runtime, TiledDetector
from pyimgano.tiling import TilingOptions
from pyimgano.workbench.bundle import Bundle

ANOTHER = "the image threshold was calibrated through another chain"


@pytest.fixture(scope="module")
def tiled(surface_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a bundle of a detector that looks at tiles of 64 pixels every 32. Read-only."""
    from pyimgano.cli.app import main

    folder = tmp_path_factory.mktemp("tiled") / "tiled.bundle"
    line = ["train", "--root", str(surface_root), "--model", "vision_filterbank", "--resize", "64", "64"]
    with pytest.raises(SystemExit):
        main([*line, "--tile-size", "64", "--tile-stride", "32", "--export-deploy-bundle", str(folder)])
    return folder


@pytest.fixture
def image(surface_root: Path) -> Path:
    return surface_root / "test" / "good" / "000.png"


def score_of(done: Any) -> float:
    assert done.code == 0, done.err
    score: float = json.loads(done.out)["score"]
    return score


def expected(bundle: Path, image: Path, tiling: TilingOptions) -> float:
    pipeline = Bundle.load(bundle).pipeline()
    inner = pipeline.detector.detector if isinstance(pipeline.detector, TiledDetector) else pipeline.detector
    return float(TiledDetector.wrap(inner, tiling).decision_function([image])[0])


@pytest.mark.parametrize(
    ("line", "tiling"),
    [
        ([], TilingOptions(tile_size=64, stride=32)),
        (["--tile-size", 96], TilingOptions(tile_size=96, stride=32)),
        (["--tile-size", 48, "--tile-stride", "none"], TilingOptions(tile_size=48)),
        (["--tile-size", "none"], TilingOptions()),
        (["--tile-stride", "none"], TilingOptions(tile_size=64)),
        (["--tile-reduce", "topk_mean", "--tile-score-topk", 0.5], {"score_reduce": "topk_mean", "score_topk": 0.5}),
        (["--tile-reduce", "mean"], {"score_reduce": "mean"}),
    ],
)
def test_flags_beat_the_tiling_of_the_config(
    cli: Callable, tiled: Path, image: Path, line: list[object], tiling: TilingOptions | dict[str, Any]
) -> None:
    if isinstance(tiling, dict):
        tiling = TilingOptions(tile_size=64, stride=32, **tiling)
    done = cli("infer", "--bundle", tiled, "--input", image, *line)
    assert score_of(done) == expected(tiled, image, tiling)
    assert (ANOTHER in done.err) == bool(line)


def test_what_joins_the_maps_of_tiles_changes_the_map(cli: Callable, tiled: Path, image: Path, tmp_path: Path) -> None:
    maps = []
    for reduce in ("max", "mean"):
        folder = tmp_path / reduce
        done = cli("infer", "--bundle", tiled, "--input", image, "--tile-map-reduce", reduce, "--save-maps", folder)
        assert (ANOTHER in done.err) == (reduce == "mean")
        maps.append((folder / "000000_000.npy").read_bytes())
    assert maps[0] != maps[1]


def test_a_detector_that_was_trained_on_whole_images_can_score_tiles(cli: Callable, bundle: Path, image: Path) -> None:
    done = cli("infer", "--bundle", bundle, "--input", image, "--tile-size", 64, "--tile-stride", 32)
    tiling = TilingOptions(tile_size=64, stride=32)
    assert score_of(done) == expected(bundle, image, tiling) != score_of(cli("infer", "--bundle", bundle, "--input", image))
    assert ANOTHER in done.err
    assert "the pixel threshold was calibrated through another chain" in done.err


def test_flags_that_say_what_the_config_says_are_no_other_chain(cli: Callable, tiled: Path, image: Path) -> None:
    done = cli("infer", "--bundle", tiled, "--input", image, "--tile-size", 64, "--tile-stride", 32, "--tile-reduce", "max")
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (["--tile-size", 16], "stride 32 leaves gaps between tiles of 16"),
        (["--tile-size", 0], "tiling.tile_size"),
        (["--tile-size", "none", "--tile-stride", 8], "stride needs a tile_size"),
        (["--tile-reduce", "median"], "tiling.score_reduce: must be 'max', 'mean' or 'topk_mean'"),
    ],
)
def test_tiles_that_make_no_sense_are_refused(
    cli: Callable, tiled: Path, image: Path, line: list[object], problem: str
) -> None:
    done = cli("infer", "--bundle", tiled, "--input", image, *line)
    assert done.code == 2
    assert problem in done.err


def test_what_a_detector_learns_from_is_no_flag_of_inference(cli: Callable) -> None:
    assert "--tile-fit-on" in cli("train", "--help").out
    shown = cli("infer", "--help").out
    assert "--tile-map-reduce" in shown
    assert "--tile-fit-on" not in shown


def test_tiling_a_pipeline_again_keeps_what_was_learned_and_its_thresholds(tiled: Path, image: Path) -> None:
    pipeline = Bundle.load(tiled).pipeline()
    before = next(pipeline.score([image])).result
    threshold = pipeline.detector.threshold
    for tiling in (TilingOptions(), pipeline.tiling):
        pipeline.retile(tiling)
        assert pipeline.detector.threshold is threshold is not None
        assert isinstance(pipeline.detector, TiledDetector) == (tiling.tile_size is not None)
    again = next(pipeline.score([image])).result
    assert before is not None
    assert again is not None
    assert before.score == again.score
    unfitted = Pipeline.create("vision_filterbank", {}, Runtime())
    unfitted.retile(TilingOptions(tile_size=64))
    assert next(unfitted.score([image])).error is not None
