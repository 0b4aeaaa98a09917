"""Inference from a bundle: one record per image in order, whatever some of the images or a plugin's detector do."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PillowImage
from test_images import BAD_FILES

from pyimgano import create_model, infer, infer_iter, result_to_jsonable
from pyimgano.contracts import DatasetSplit, Runtime
from pyimgano.defects.overlays import MIN_WIDTH, RED, draw_overlay
from pyimgano.errors import ImageError, OutputError
from pyimgano.images import read
from pyimgano.inference.inputs import expand
from pyimgano.inference.outputs import ResultWriter
from pyimgano.inference.result import InferenceResult
from pyimgano.pipeline import Pipeline
from pyimgano.workbench.bundle import Bundle

SEALED_KEYS = ["index", "input", "score", "label", "threshold", "bundle", "input_sha256", "time_utc"]


@pytest.fixture
def pipeline(bundle: Path) -> Pipeline:
    """Give the pipeline of the bundle."""
    return Bundle.load(bundle).pipeline()


@pytest.fixture
def line_up(surface_root: Path, tmp_path: Path) -> Path:
    """Give a folder with 6 images, 0.png to 5.png, that may be damaged."""
    folder = tmp_path / "line"
    folder.mkdir()
    for number in range(6):
        shutil.copy(surface_root / "test" / "good" / f"{number:03d}.png", folder / f"{number}.png")
    return folder


def parsed(text: str) -> list[dict[str, Any]]:
    """Return JSONL as records; nothing but strict JSON lines may be in it."""
    assert text.endswith("\n") or not text
    return [json.loads(line, parse_constant=lambda name: pytest.fail(name)) for line in text.splitlines()]


def refused(done: Any) -> str:
    """Return the error of a command that ended with 2, a problem and a next step, and said nothing on stdout."""
    assert done.code == 2
    assert "Traceback" not in done.err
    assert "Error: " in done.err
    assert "\nNext:  " in done.err
    return str(done.err)


# Records


def test_every_image_has_one_record_in_order(cli: Callable, bundle: Path, surface_root: Path, tmp_path: Path) -> None:
    results = tmp_path / "results" / "r.jsonl"
    done = cli("infer", "--bundle", bundle, "--input", surface_root / "test", "--save-jsonl", results)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"15 images, 9 called defective; records in {results}\n"
    records = parsed(results.read_text(encoding="utf-8"))
    assert [record["index"] for record in records] == list(range(15))
    names = [Path(record["input"]).relative_to(surface_root / "test").as_posix() for record in records]
    assert names == sorted(names)
    assert len(set(names)) == 15
    digest = hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()
    for record in records:
        assert list(record) == SEALED_KEYS
        assert record["label"] == int(record["score"] > record["threshold"])
        assert record["bundle"] == digest
        assert record["input_sha256"] == hashlib.sha256(Path(record["input"]).read_bytes()).hexdigest()
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["time_utc"])
    assert {record["label"] for record in records} == {0, 1}


def test_stdout_holds_the_same_records(cli: Callable, bundle: Path, surface_root: Path, tmp_path: Path) -> None:
    line = ["infer", "--bundle", bundle, "--input", surface_root / "test", "--no-audit"]
    printed = cli(*line)
    assert printed.code == 0
    assert cli(*line, "--save-jsonl", tmp_path / "r.jsonl").code == 0
    assert printed.out == (tmp_path / "r.jsonl").read_text(encoding="utf-8")
    assert all(list(record) == ["index", "input", "score", "label", "threshold"] for record in parsed(printed.out))


def test_an_image_at_the_threshold_is_good_and_just_above_it_is_not(
    cli: Callable, surface_root: Path, bundle: Path, tmp_path: Path
) -> None:
    shutil.copytree(bundle, tmp_path / "run")
    (tmp_path / "run" / "manifest.json").unlink()
    config = tmp_path / "run" / "infer_config.json"
    content = json.loads(config.read_text(encoding="utf-8"))
    line = ["infer", "--infer-config", config, "--input", surface_root / "test/good/000.png"]
    score = parsed(cli(*line).out)[0]["score"]
    for threshold, label in [(score, 0), (math.nextafter(score, -math.inf), 1), (math.nextafter(score, math.inf), 0)]:
        config.write_text(json.dumps({**content, "threshold": threshold}), encoding="utf-8")
        record = parsed(cli(*line).out)[0]
        assert (record["label"], record["threshold"]) == (label, threshold)
        pipeline = Bundle.load_config(config).pipeline()
        assert pipeline.detector.predict([surface_root / "test/good/000.png"]).tolist() == [label]


def test_a_loose_config_gives_no_audit_unless_asked(cli: Callable, surface_root: Path, tmp_path: Path) -> None:
    cli("train", "--root", surface_root, "--model", "vision_filterbank", "--resize", 96, 128, "--output", tmp_path / "run")
    line = ["infer", "--infer-config", tmp_path / "run" / "infer_config.json", "--input", surface_root / "test/good/000.png"]
    assert list(parsed(cli(*line).out)[0]) == ["index", "input", "score", "label", "threshold"]
    assert "input_sha256" in parsed(cli(*line, "--audit").out)[0]


@pytest.mark.parametrize("given", [[], ["--bundle", "b", "--infer-config", "c"]])
def test_exactly_one_of_bundle_and_config_is_needed(cli: Callable, tmp_path: Path, given: list[str]) -> None:
    assert "one of --bundle and --infer-config" in refused(cli("infer", *given, "--input", tmp_path))


def test_records_are_on_disk_one_by_one(pipeline: Pipeline, surface_split: DatasetSplit, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    paths = [str(sample.path) for sample in surface_split.test]
    with ResultWriter(pipeline, path) as writer:
        for count, result in enumerate(infer_iter(pipeline, paths)):
            assert path.exists() == (count > 0)
            writer.write(result)
            assert len(parsed(path.read_text(encoding="utf-8"))) == count + 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_record_is_out_before_the_next_image_is_there(bundle: Path, line_up: Path, tmp_path: Path) -> None:
    camera = tmp_path / "camera.png"
    os.mkfifo(camera)
    command = [sys.executable, "-m", "pyimgano", "infer", "--bundle", bundle, "--no-audit", "--batch-size", "1"]
    running = subprocess.Popen([*map(str, command), "-i", str(line_up / "0.png"), "-i", str(camera)], stdout=subprocess.PIPE)
    too_late = threading.Timer(60, running.kill)
    too_late.start()
    try:
        assert running.stdout is not None
        assert json.loads(running.stdout.readline())["input"] == str(line_up / "0.png")
        camera.write_bytes((line_up / "1.png").read_bytes())
        assert json.loads(running.stdout.readline())["input"] == str(camera)
        assert running.wait(60) == 0
    finally:
        too_late.cancel()
        running.kill()
        running.wait()
        running.stdout.close()


def test_a_reader_that_leaves_early_causes_no_traceback(bundle: Path, line_up: Path) -> None:
    command = [sys.executable, "-m", "pyimgano", "infer", "--bundle", bundle, "--input", line_up, "--batch-size", 1]
    running = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout is not None
    running.stdout.close()
    _, error = running.communicate(timeout=60)
    assert running.returncode == 1
    assert b"Traceback" not in error


def test_records_can_be_caught_in_python(pipeline: Pipeline, line_up: Path) -> None:
    with redirect_stdout(io.StringIO()) as caught, ResultWriter(pipeline) as writer:
        for result in infer_iter(pipeline, [str(line_up / "0.png")]):
            writer.write(result)
    assert [record["index"] for record in parsed(caught.getvalue())] == [0]


@pytest.mark.parametrize("name", [b"part-\xff.png", "prüfteil 部品 🔩.png".encode()], ids=["not utf-8", "utf-8"])
@pytest.mark.parametrize("to_file", [True, False])
def test_any_file_name_is_valid_json_in_any_locale(
    shell: Callable, bundle: Path, line_up: Path, tmp_path: Path, name: bytes, to_file: bool
) -> None:
    strange = tmp_path / os.fsdecode(name)
    try:
        (line_up / "0.png").rename(strange)
    except OSError:
        pytest.skip("this file system refuses the name")
    line = ["infer", "--bundle", bundle, "--input", strange, "--save-overlays", tmp_path / "o", "--save-maps", tmp_path / "m"]
    to = ["--save-jsonl", tmp_path / "r.jsonl"] if to_file else []
    done = shell(
        "-c", "import sys\nfrom pyimgano.cli.app import main\nmain(sys.argv[1:])", *line, *to, PYTHONIOENCODING="ascii"
    )
    assert done.code == 0, done.err
    text = (tmp_path / "r.jsonl").read_bytes().decode("utf-8") if to_file else done.out
    record = parsed(text)[0]
    assert record["input"] == str(strange)
    assert record["input_sha256"] == hashlib.sha256(strange.read_bytes()).hexdigest()
    assert Path(record["anomaly_map"]["path"]).is_file()


# Maps and overlays


def test_maps_are_saved_at_image_size_as_float32(cli: Callable, bundle: Path, pipeline: Pipeline, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sizes = {"a.png": (96, 128), "b.png": (40, 300), "c.png": (300, 41), "d.png": (8, 8)}
    for name, size in sizes.items():
        PillowImage.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(tmp_path / name)
    done = cli("infer", "--bundle", bundle, "--input", tmp_path / "*.png", "--save-maps", tmp_path / "maps")
    assert done.code == 0, done.err
    records = parsed(done.out)
    assert [Path(record["anomaly_map"]["path"]).name for record in records] == [
        "000000_a.npy",
        "000001_b.npy",
        "000002_c.npy",
        "000003_d.npy",
    ]
    for record, (name, size) in zip(records, sizes.items(), strict=True):
        values = np.load(record["anomaly_map"]["path"], allow_pickle=False)
        assert (values.dtype, values.shape) == (np.float32, size)
        assert record["anomaly_map"]["shape"] == list(size)
        assert record["anomaly_map"]["dtype"] == "float32"
        np.testing.assert_allclose(values, pipeline.detector.get_anomaly_map(tmp_path / name), rtol=1e-5)
        assert values.max() <= record["score"] * (1 + 1e-6)
    assert len(list((tmp_path / "maps").iterdir())) == 4


def test_overlays_can_be_decoded_and_read_by_people(cli: Callable, bundle: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, size in {"small": (16, 16), "wide": (60, 2500), "tall": (700, 350), "part": (96, 128)}.items():
        PillowImage.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    done = cli("infer", "--bundle", bundle, "--input", tmp_path / "*.png", "--save-overlays", tmp_path / "seen")
    assert done.code == 0, done.err
    assert "anomaly_map" not in parsed(done.out)[0]
    names = sorted(path.name for path in (tmp_path / "seen").iterdir())
    assert names == ["000000_part.jpg", "000001_small.jpg", "000002_tall.jpg", "000003_wide.jpg"]
    for name in names:
        height, width = read(tmp_path / "seen" / name).shape[:2]
        assert width >= 2 * MIN_WIDTH
        assert max(height, width) <= 2 * 2048 + 200


def test_an_overlay_shows_the_image_beside_heat_and_outline_where_pixels_are_abnormal(
    pipeline: Pipeline, surface_split: DatasetSplit
) -> None:
    threshold = pipeline.pixel_threshold
    result = max(infer(pipeline, [str(sample.path) for sample in surface_split.test]), key=lambda one: one.score or 0)
    assert threshold is not None
    assert threshold.score_summary is not None
    assert result.image is not None
    assert result.anomaly_map is not None
    rendered = result.anomaly_map.render()
    panel = draw_overlay(result, rendered, threshold)[-240:]
    left, right = panel[:, :320], panel[:, -320:]
    np.testing.assert_array_equal(left, cv2.resize(result.image, (320, 240), interpolation=cv2.INTER_CUBIC))
    heat = cv2.resize(rendered, (320, 240), interpolation=cv2.INTER_LINEAR)
    abnormal = heat > threshold.value
    outline = cv2.morphologyEx(abnormal.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((9, 9), np.uint8)) > 0
    begins = (threshold.value + threshold.score_summary.mean) / 2
    changed = (left != right).any(axis=2)
    assert not changed[(heat <= begins) & ~outline].any()
    assert changed[abnormal].all()
    assert (right[outline] == RED).all(axis=1).any()
    assert not (right[~outline] == RED).all(axis=1).any()


@pytest.mark.parametrize("size", [(8, 3000), (3000, 8), (8, 8), (2100, 2100)])
@pytest.mark.parametrize("with_map", [True, False])
@pytest.mark.parametrize("label", [None, 0, 1])
def test_overlays_of_extreme_shapes_can_be_drawn(size: tuple[int, int], with_map: bool, label: int | None) -> None:
    threshold = None if label is None else 1.0
    result = InferenceResult(0, "x" * 300 + ".png", 2.0, label, threshold, image=np.zeros((*size, 3), np.uint8))
    overlay = draw_overlay(result, np.ones(size, np.float32) if with_map else None, None)
    assert overlay.dtype == np.uint8
    assert overlay.ndim == 3
    assert min(overlay.shape[:2]) > 8


# Bad images


def test_a_bad_image_stops_the_run_and_earlier_records_are_kept(
    cli: Callable, bundle: Path, line_up: Path, tmp_path: Path
) -> None:
    (line_up / "3.png").write_bytes(b"no image")
    done = cli("infer", "--bundle", bundle, "--input", line_up, "--save-jsonl", tmp_path / "r.jsonl")
    assert f"{line_up / '3.png'}: is not an image" in refused(done)
    records = parsed((tmp_path / "r.jsonl").read_text(encoding="utf-8"))
    assert [Path(record["input"]).name for record in records] == ["0.png", "1.png", "2.png"]


@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_with_continue_on_error_only_the_bad_images_have_no_score(
    cli: Callable, bundle: Path, line_up: Path, batch_size: int
) -> None:
    (line_up / "0.png").write_bytes(b"no image")
    (line_up / "3.png").write_bytes((line_up / "3.png").read_bytes()[:-100])
    line = ["infer", "--bundle", bundle, "--input", line_up, "--batch-size", batch_size, "--continue-on-error"]
    done = cli(*line)
    assert done.code == 1
    assert "2 of 6 images could not be scored" in done.err
    records = parsed(done.out)
    assert [record["index"] for record in records] == [0, 1, 2, 3, 4, 5]
    assert [record.get("status") for record in records] == ["error", None, None, "error", None, None]
    for record in records:
        if "status" not in record:
            assert list(record) == SEALED_KEYS
            continue
        assert list(record) == ["index", "input", "status", "error", "bundle", "input_sha256", "time_utc"]
        assert record["error"]["type"] == "ImageError"
        assert record["error"]["message"].startswith(record["input"])
        assert record["input"] in done.err
        assert record["input_sha256"] == hashlib.sha256(Path(record["input"]).read_bytes()).hexdigest()


def test_every_kind_of_bad_image_costs_only_itself(cli: Callable, bundle: Path, line_up: Path, tmp_path: Path) -> None:
    inputs: list[object] = ["--input", line_up / "0.png"]
    kinds = [kind for kind in BAD_FILES if kind != "missing"]  # a path that is not there is refused before anything is read
    for kind in kinds:
        name, make, _ = BAD_FILES[kind]
        folder = tmp_path / kind
        folder.mkdir()
        if kind == "folder":  # given as a pattern, folders are not images
            continue
        make(folder / name)
        inputs += ["--input", folder / name]
    kinds.remove("folder")
    done = cli("infer", "--bundle", bundle, *inputs, "--input", line_up / "1.png", "--continue-on-error")
    assert done.code == 1
    assert "Traceback" not in done.err
    first, *bad, last = parsed(done.out)
    assert "score" in first
    assert "score" in last
    assert len(bad) == len(kinds)
    for kind, record in zip(kinds, bad, strict=True):
        assert (record["status"], record["error"]["type"]) == ("error", "ImageError"), kind
        assert record["error"]["message"].startswith(record["input"]), kind
        assert re.search(BAD_FILES[kind][2], record["error"]["message"]), kind


def test_an_image_that_vanishes_during_the_run_is_an_error_record(pipeline: Pipeline, line_up: Path, tmp_path: Path) -> None:
    paths = [str(line_up / "0.png"), str(line_up / "gone.png")]
    with ResultWriter(pipeline, tmp_path / "r.jsonl", audit="digest") as writer:
        for result in infer_iter(pipeline, paths, continue_on_error=True):
            writer.write(result)
    good, gone = parsed((tmp_path / "r.jsonl").read_text(encoding="utf-8"))
    assert "score" in good
    assert gone["status"] == "error"
    assert gone["input_sha256"] is None


def test_arrays_and_paths_may_be_mixed_in_python(pipeline: Pipeline, line_up: Path) -> None:
    items = [line_up / "0.png", read(line_up / "0.png"), np.zeros((4, 4), np.uint8), str(line_up / "1.png")]
    results = infer(pipeline, items, continue_on_error=True)
    assert results[0].score == results[1].score
    assert [result.error is None for result in results] == [True, True, False, True]
    assert (result_to_jsonable(results[1])["input"], results[1].name) == (None, "000001_array")
    with pytest.raises(ImageError, match="4x4 pixels is too small"):
        infer(pipeline, items)
    values = result_to_jsonable(results[0], include_anomaly_map_values=True)["anomaly_map_values"]
    assert np.shape(values) == (96, 128)
    json.dumps(values, allow_nan=False)


# Inputs


def test_inputs_are_folders_files_and_patterns_in_the_order_given(line_up: Path) -> None:
    (line_up / "deep").mkdir()
    for number in (2, 10, 1):
        shutil.copy(line_up / "0.png", line_up / "deep" / f"img{number}.png")
    (line_up / "deep" / "Thumbs.db").touch()
    (line_up / "deep" / "folder.png").mkdir()
    deep = [str(line_up / "deep" / name) for name in ("img1.png", "img2.png", "img10.png")]
    assert expand([str(line_up / "deep")]) == deep
    assert expand([str(line_up / "deep" / "*.png")]) == deep
    assert expand([str(line_up / "**" / "img*.png")]) == deep
    assert expand([str(line_up / "4.png"), str(line_up / "deep"), str(line_up / "4.png")]) == [
        str(line_up / "4.png"),
        *deep,
        str(line_up / "4.png"),
    ]
    assert len(expand([str(line_up)])) == 9


def test_a_name_that_looks_like_a_pattern_is_first_a_name(line_up: Path) -> None:
    (line_up / "0.png").rename(line_up / "a[1].png")
    assert expand([str(line_up / "a[1].png")]) == [str(line_up / "a[1].png")]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("nothing.png", "does not exist"),
        ("00.png", "did you mean 0.png?"),
        ("no/such/folder", "does not exist"),
        ("*.bmp", "no file matches"),
        ("empty", "holds no image files"),
        ("emp*", "no file matches"),
    ],
)
def test_inputs_that_lead_to_no_image_are_refused(cli: Callable, bundle: Path, line_up: Path, given: str, words: str) -> None:
    (line_up / "empty").mkdir()
    (line_up / "empty" / "notes.txt").touch()
    error = refused(cli("infer", "--bundle", bundle, "--input", line_up / given))
    assert words in error
    assert given in error


def test_infer_without_input_says_which_flag_is_missing(cli: Callable, bundle: Path) -> None:
    done = cli("infer", "--bundle", bundle)
    assert done.code == 2
    assert "--input" in done.err


# Outputs


@pytest.mark.parametrize("flag", ["--save-jsonl", "--save-maps", "--save-overlays"])
def test_results_of_an_earlier_run_are_kept_unless_overwriting_is_asked_for(
    cli: Callable, bundle: Path, line_up: Path, tmp_path: Path, flag: str
) -> None:
    line = ["infer", "--bundle", bundle, "--input", line_up, flag, tmp_path / "out"]
    assert cli(*line).code == 0
    (tmp_path / "more").write_text("precious")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    error = refused(cli(*line))
    assert str(tmp_path / "out") in error
    assert "--overwrite" in error
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    done = cli(*line, "--overwrite")
    assert done.code == 0, done.err
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before.keys()


@pytest.mark.parametrize("flag", ["--save-jsonl", "--save-maps", "--save-overlays"])
@pytest.mark.parametrize("target", ["file/below", "folder"])
def test_a_place_that_cannot_be_written_is_refused_before_scoring(
    cli: Callable, bundle: Path, line_up: Path, tmp_path: Path, flag: str, target: str
) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inside").touch()
    done = cli("infer", "--bundle", bundle, "--input", line_up, flag, tmp_path / target)
    assert str(tmp_path / target) in refused(done)
    assert done.out == ""
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="this user may write everywhere")
@pytest.mark.parametrize("flag", ["--save-jsonl", "--save-maps", "--save-overlays"])
def test_a_locked_folder_is_refused_before_scoring(
    cli: Callable, bundle: Path, line_up: Path, tmp_path: Path, flag: str
) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    done = cli("infer", "--bundle", bundle, "--input", line_up, flag, tmp_path / "locked" / "out")
    assert "Permission denied" in refused(done)
    assert done.out == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_an_error_with_a_next_step(cli: Callable, bundle: Path, line_up: Path) -> None:
    done = cli("infer", "--bundle", bundle, "--input", line_up, "--save-jsonl", "/dev/full", "--overwrite")
    assert "/dev/full cannot be written (No space left on device)" in refused(done)


@pytest.mark.skipif(os.name == "nt", reason="limits the size of files as POSIX does")
def test_a_map_that_does_not_fit_on_the_disk_is_named_and_has_no_record(
    shell: Callable, bundle: Path, line_up: Path, tmp_path: Path
) -> None:
    code = (
        "import resource, sys\nfrom pyimgano.cli.app import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\nmain(sys.argv[1:])\n"
    )
    done = shell("-c", code, "infer", "--bundle", bundle, "--input", line_up, "--save-maps", tmp_path / "maps")
    assert f"{tmp_path / 'maps' / '000000_0.npy'} cannot be written" in refused(done)
    assert done.out == ""


def test_a_closed_stream_names_the_file(pipeline: Pipeline, line_up: Path, tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    writer = ResultWriter(pipeline, maps=tmp_path / "maps")
    shutil.rmtree(tmp_path / "maps")
    with pytest.raises(OutputError, match=r"000000_0\.npy cannot be written"):
        writer.write(infer(pipeline, [str(line_up / "0.png")])[0])


# Scores


@pytest.mark.parametrize("batch_size", [0, 1, 3, 16])
def test_a_score_does_not_depend_on_batch_size_or_batch_mates(
    bundle: Path, surface_split: DatasetSplit, batch_size: int
) -> None:
    paths = [str(sample.path) for sample in surface_split.test]
    alone = [infer(Bundle.load(bundle).pipeline(Runtime(batch_size=1)), [path])[0].score for path in paths]
    mates: list[NDArray[np.uint8]] = [np.full(shape, 255, np.uint8) for shape in [(20, 900, 3), (700, 16, 3), (96, 128, 3)]]
    mixed = [item for index, path in enumerate(reversed(paths)) for item in (mates[index % 3], path)]
    pipeline = Bundle.load(bundle).pipeline(Runtime(batch_size=batch_size))
    scores = {result.item: result.score for result in infer(pipeline, mixed) if isinstance(result.item, str)}
    np.testing.assert_allclose([scores[path] for path in paths], alone, rtol=1e-5)


@pytest.mark.parametrize("distance", ["nearest", "mahalanobis"])
@pytest.mark.parametrize("value", [0, 127, 255])
def test_constant_images_score_finitely(surface_split: DatasetSplit, distance: str, value: int) -> None:
    detector = create_model("vision_filterbank", resize=(64, 64), distance=distance)
    detector.fit([str(sample.path) for sample in surface_split.train[:6]])
    scores = detector.decision_function([np.full((30, 50, 3), value, np.uint8), np.full((8, 8), value, np.uint8)])
    assert np.isfinite(scores).all()
    assert (scores > detector.decision_function([str(surface_split.train[0].path)])).all()


@pytest.mark.parametrize("distance", ["nearest", "mahalanobis"])
def test_learning_from_constant_images_works(distance: str) -> None:
    flat = [np.full((40, 40, 3), 100, np.uint8)] * 4
    scratched = flat[0].copy()
    scratched[18:21, 5:35] = 200
    same, other = (
        create_model("vision_filterbank", resize=(64, 64), distance=distance).fit(flat).decision_function([flat[0], scratched])
    )
    assert np.isfinite([same, other]).all()
    assert other > same + 1


# A plugin's detector

MOODY = """
import numpy as np
from pyimgano import AnomalyMap, Detector, ImageScore, hookimpl
from pyimgano.errors import PyimganoError
from pyimgano.specs import DetectorSpec


@hookimpl
def register_detectors():
    return [DetectorSpec(name="moody", summary="does what the grey value says", factory="{stem}:Moody")]


class Own(PyimganoError):
    def __init__(self, code):
        super().__init__(f"moody gave up with code {{code}}", "call its author")


class Moody(Detector):
    def _fit(self, images):
        self.learnt = np.array([len(images)])

    def _score(self, images):
        results = [self._one(image, int(image[0, 0, 0])) for image in images]
        return [result for result in results if result is not None]

    def _one(self, image, mood):
        if mood == 250:
            raise ValueError("moody saw 250")
        if mood == 249:
            raise Own(7)
        if mood == 248:
            return None
        score = {{251: float("nan"), 252: float("inf")}}.get(mood, float(mood))
        grid = np.full((2, 2), np.nan if mood == 247 else mood, np.float32)
        return ImageScore(score, AnomalyMap(grid, image.shape[:2]))

    def state(self):
        return {{"learnt": self.learnt}}

    def load_state(self, arrays):
        self.learnt = arrays["learnt"]
        self.mark_fitted()
"""
MOODS = {
    250: ("DetectorError", "failed: ValueError: moody saw 250"),
    249: ("Own", "moody gave up with code 7"),
    248: ("DetectorError", "returned 0 results for 1 images"),
    251: ("DetectorError", "the score nan"),
    252: ("DetectorError", "the score inf"),
    247: ("DetectorError", "an anomaly map holds NaN"),
}


def greys(folder: Path, *values: int) -> Path:
    """Write images of these grey values in this order."""
    folder.mkdir(parents=True)
    for number, value in enumerate(values):
        PillowImage.new("L", (16, 16), value).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def moody(cli: Callable, site: Path, tmp_path: Path) -> tuple[Any, ...]:
    """Give the beginning of a command line that infers with a detector whose images decide what goes wrong."""
    plugin = tmp_path / "moody_plugin.py"
    plugin.write_text(MOODY.format(stem=plugin.stem), encoding="utf-8")
    greys(tmp_path / "parts" / "train" / "good", *range(10, 20))
    target = tmp_path / "moody.bundle"
    line = ["train", "--root", tmp_path / "parts", "--model", "moody", "--export-deploy-bundle", target]
    done = cli("--plugin", plugin, *line)
    assert done.code == 0, done.err
    return ("--plugin", plugin, "infer", "--bundle", target)


@pytest.mark.parametrize("mood", MOODS)
def test_an_image_that_a_detector_fails_on_costs_only_itself(
    cli: Callable, moody: tuple[Any, ...], tmp_path: Path, mood: int
) -> None:
    kind, words = MOODS[mood]
    folder = greys(tmp_path / "line", 30, 40, mood, 50)
    done = cli(*moody, "--input", folder, "--continue-on-error")
    assert done.code == 1
    records = parsed(done.out)
    assert [record.get("score") for record in records] == [30, 40, None, 50]
    assert records[2]["error"]["type"] == kind
    assert records[2]["error"]["message"].startswith(f"{folder / '2.png'}: ")
    assert words in records[2]["error"]["message"]
    assert f"{folder / '2.png'}: " in done.err


@pytest.mark.parametrize("mood", MOODS)
def test_without_continue_on_error_such_an_image_ends_the_run_and_is_named(
    cli: Callable, moody: tuple[Any, ...], tmp_path: Path, mood: int
) -> None:
    folder = greys(tmp_path / "line", 30, 40, mood, 50)
    done = cli(*moody, "--input", folder)
    assert done.code == 2
    assert f"Error: {folder / '2.png'}: " in done.err
    assert MOODS[mood][1] in done.err
    assert [record["score"] for record in parsed(done.out)] == [30, 40]


def test_debug_shows_where_in_the_plugin_it_failed(cli: Callable, moody: tuple[Any, ...], tmp_path: Path) -> None:
    folder = greys(tmp_path / "line", 250)
    with pytest.raises(Exception, match="moody saw 250") as caught:
        cli(*moody, "--input", folder, "--debug")
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_detector_that_fails_in_training_names_the_image(cli: Callable, moody: tuple[Any, ...], tmp_path: Path) -> None:
    greys(tmp_path / "sick" / "train" / "good", *[250] * 5)
    plugin = moody[:2]
    done = cli(*plugin, "train", "--root", tmp_path / "sick", "--model", "moody", "--output", tmp_path / "run")
    error = refused(done)
    assert re.search(r"sick/train/good/\d\.png: .*moody saw 250", error)
    assert not (tmp_path / "run" / "infer_config.json").exists()


# Resources


@pytest.mark.skipif(sys.platform != "linux", reason="measures as Linux does")
def test_memory_does_not_grow_with_the_number_of_images(shell: Callable, bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    PillowImage.new("RGB", (1000, 800), (130, 130, 130)).save(path)
    code = (
        "import re, sys\nfrom pyimgano import Bundle, Runtime, infer_iter\n"
        "from pyimgano.inference.outputs import ResultWriter\nfrom pathlib import Path\n"
        "pipeline = Bundle.load(sys.argv[1]).pipeline(Runtime(batch_size=4))\n"
        "def megabytes(count):\n"
        "    with ResultWriter(pipeline, Path(f'{count}.jsonl')) as writer:\n"
        "        for result in infer_iter(pipeline, [sys.argv[2]] * count):\n"
        "            writer.write(result)\n"
        "    return int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) / 1024\n"
        "print(megabytes(30), megabytes(150))\n"
    )
    done = shell("-c", code, bundle, path)
    few, many = map(float, done.out.split())
    held = 120 * 1000 * 800 * 3 / 1e6  # what the additional images would take
    assert many - few < held / 5
    assert len((tmp_path / "150.jsonl").read_text(encoding="utf-8").splitlines()) == 150


# Too few images


@pytest.mark.parametrize(("count", "problem"), [(0, "holds no image files"), (1, "1 good training image cannot be split")])
def test_too_few_good_images_are_refused(cli: Callable, tmp_path: Path, count: int, problem: str) -> None:
    greys(tmp_path / "parts" / "train" / "good", *range(count))
    line = ["train", "--root", tmp_path / "parts", "--model", "vision_filterbank", "--export-deploy-bundle", tmp_path / "b"]
    assert problem in refused(cli(*line))
    assert not (tmp_path / "b").exists()


def test_two_good_images_are_enough_to_begin_with_and_warned_of(cli: Callable, surface_root: Path, tmp_path: Path) -> None:
    good = tmp_path / "parts" / "train" / "good"
    good.mkdir(parents=True)
    for name in ("000.png", "001.png"):
        shutil.copy(surface_root / "train" / "good" / name, good / name)
    line = ["train", "--root", tmp_path / "parts", "--model", "vision_filterbank", "--resize", 64, 64]
    done = cli(*line, "--export-deploy-bundle", tmp_path / "b")
    assert done.code == 0
    assert "1 held-out normal images are too few" in done.err
    records = parsed(cli("infer", "--bundle", tmp_path / "b", "--input", surface_root / "test").out)
    assert len(records) == 15
    assert all(record["label"] == int(record["score"] > record["threshold"]) for record in records)


def test_an_audit_of_a_loose_config_names_no_bundle(cli: Callable, surface_root: Path, tmp_path: Path) -> None:
    cli("train", "--root", surface_root, "--model", "vision_filterbank", "--output", tmp_path / "run")
    done = cli("infer", "--infer-config", tmp_path / "run" / "infer_config.json", "--input", surface_root / "test", "--audit")
    first = json.loads(done.out.splitlines()[0])
    assert first["bundle"] is None
    assert len(first["input_sha256"]) == 64


@pytest.mark.parametrize("place", ["bundle/r.jsonl", "photos/r.jsonl"])
def test_results_are_never_written_where_they_are_read_from(
    cli: Callable, bundle: Path, surface_root: Path, tmp_path: Path, place: str
) -> None:
    shutil.copytree(bundle, tmp_path / "bundle")
    shutil.copytree(surface_root / "test", tmp_path / "photos")
    line = ["infer", "--bundle", tmp_path / "bundle", "--input", tmp_path / "photos"]
    for flag, target in (("--save-jsonl", tmp_path / place), ("--save-overlays", (tmp_path / place).parent / "seen")):
        done = cli(*line, flag, target)
        assert done.code == 2
        assert "which is read from" in done.err
        assert not target.exists()
    assert cli(*line).code == 0


def test_an_image_is_never_overwritten_by_its_results(cli: Callable, bundle: Path, surface_root: Path, tmp_path: Path) -> None:
    photo = tmp_path / "part.png"
    shutil.copy(surface_root / "test" / "good" / "000.png", photo)
    before = photo.read_bytes()
    done = cli("infer", "--bundle", bundle, "--input", photo, "--save-jsonl", photo, "--overwrite")
    assert done.code == 2
    assert "is one of the images to inspect" in done.err
    assert photo.read_bytes() == before


def test_overwriting_keeps_older_results_until_there_are_new_ones(
    cli: Callable, bundle: Path, surface_root: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_text("no image", encoding="utf-8")
    outputs = ["--save-jsonl", tmp_path / "r.jsonl", "--save-overlays", tmp_path / "seen"]
    assert cli("infer", "--bundle", bundle, "--input", surface_root / "test", *outputs).code == 0
    older = (tmp_path / "r.jsonl").read_bytes()
    assert cli("infer", "--bundle", bundle, "--input", tmp_path / "bad.png", *outputs, "--overwrite").code == 2
    assert (tmp_path / "r.jsonl").read_bytes() == older
    assert len(list((tmp_path / "seen").iterdir())) == 15


def test_overwriting_leaves_no_pictures_of_an_earlier_run(
    cli: Callable, bundle: Path, surface_root: Path, tmp_path: Path
) -> None:
    outputs = ["--save-jsonl", tmp_path / "r.jsonl", "--save-overlays", tmp_path / "seen"]
    cli("infer", "--bundle", bundle, "--input", surface_root / "test", *outputs)
    (tmp_path / "seen" / "notes.txt").write_text("keep", encoding="utf-8")
    cli("infer", "--bundle", bundle, "--input", surface_root / "test" / "good" / "000.png", *outputs, "--overwrite")
    assert sorted(path.name for path in (tmp_path / "seen").iterdir()) == ["000000_000.jpg", "notes.txt"]


def test_an_empty_input_is_refused_and_not_taken_for_this_folder(cli: Callable, bundle: Path) -> None:
    done = cli("infer", "--bundle", bundle, "--input", "")
    assert done.code == 2
    assert "an input is empty" in done.err
