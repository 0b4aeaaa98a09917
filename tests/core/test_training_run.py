"""Training into a folder: what it holds, that it goes on where it stopped, and what is said before anything is learned."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image as PillowImage

from pyimgano import Bundle, TrainConfig, infer, load_dataset, run_training
from pyimgano.errors import OutputError
from pyimgano.workbench.layers import resolve

MODEL = ("--model", "vision_filterbank", "--resize", 48, 64)
RUN = {
    "categories",
    "config.json",
    "environment.json",
    "fit.json",
    "infer_config.json",
    "report.json",
    "split.json",
    "state.safetensors",
}

PLUGIN = """
import os
import signal
from pathlib import Path

import numpy as np

from pyimgano import AnomalyMap, Detector, ImageScore, hookimpl
from pyimgano.options import Options
from pyimgano.specs import DetectorSpec


@hookimpl
def register_detectors():
    home = "acme_mortal"
    return [DetectorSpec(name=home, summary="Dies while scoring", factory=f"{home}:Mortal", options=f"{home}:Settings")]


class Settings(Options):
    gain: float = 1.0


class Mortal(Detector):
    def _fit(self, images):
        folder = Path(os.environ["ACME"])
        with (folder / "fits").open("a") as log:
            log.write(f"{len(images)}\\n")
        if (folder / "die-learning").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        self.level_ = np.float64(np.mean([image.mean() for image in images]))

    def _score(self, images):
        for way in ("die", "stop"):
            if (Path(os.environ["ACME"]) / way).exists():
                os.kill(os.getpid(), signal.SIGKILL if way == "die" else signal.SIGINT)
        maps = [image.mean(axis=2, dtype=np.float32) * self.options.gain - np.float32(self.level_) for image in images]
        return [ImageScore(float(one.max()), AnomalyMap(one, one.shape)) for one in maps]

    def state(self):
        return {"level": np.array([self.level_])}

    def load_state(self, arrays):
        self.level_ = arrays["level"][0]
        self.mark_fitted()
"""


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def run(surface_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a training. Read-only."""
    folder = tmp_path_factory.mktemp("training") / "run"
    config = {"dataset": {"root": surface_root}, "model": {"name": "vision_filterbank", "options": {"resize": [48, 64]}}}
    run_training(resolve({**config, "seed": 3, "output": {"run": folder, "deploy_bundle": folder.parent / "bundle"}}))
    return folder


# What a run holds


def test_a_run_holds_reports_split_settings_and_what_inference_needs(run: Path) -> None:
    assert {path.name for path in run.iterdir()} - {"report.html"} == RUN
    assert {path.name for path in (run / "categories" / "parts").iterdir()} == {"per_image.jsonl", "report.json", "worst"}
    assert len((run / "categories" / "parts" / "per_image.jsonl").read_text(encoding="utf-8").splitlines()) == 15


@pytest.mark.extras
def test_a_run_has_a_page_to_read(run: Path) -> None:
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    assert "vision_filterbank" in (run / "report.html").read_text(encoding="utf-8")


def test_the_report_of_a_run_has_the_benchmarks_numbers(run: Path, cli: Callable, surface_root: Path, tmp_path: Path) -> None:
    done = cli("benchmark", "--root", surface_root, *MODEL, "--seed", 3, "--output", tmp_path / "report.json")
    assert done.code == 0, done.err
    report, benchmark = read(run / "report.json"), read(tmp_path / "report.json")
    for key in ("results", "thresholds", "images", "options", "dataset", "model", "data_sha256", "defect_types", "worst"):
        assert report[key] == benchmark[key]
    assert report["results"]["auroc"] > 0.9
    assert {"fit_s", "calibrate_s", "score_s", "ms_per_image"} <= report["timing"].keys()
    assert report["environment"]["pyimgano"] == read(run / "environment.json")["pyimgano"]


def test_the_split_names_every_image_with_its_role_and_digest(run: Path, surface_root: Path) -> None:
    split = read(run / "split.json")
    assert (split["seed"], split["calibration_fraction"]) == (3, 0.2)
    by_role: dict[str, list[str]] = {}
    for row in split["images"]:
        data = (surface_root / row["input"]).read_bytes()
        assert row["sha256"] == hashlib.sha256(data).hexdigest()
        by_role.setdefault(row["role"], []).append(row["input"])
    whole = load_dataset("folder", surface_root).load().with_calibration(0.2, 3)
    for role in ("train", "calibration", "test"):
        assert by_role[role] == [sample.path.relative_to(surface_root).as_posix() for sample in getattr(whole, role)]
        assert split["digests"][role]["images"] == len(by_role[role])
    assert read(run / "report.json")["split"] == split["digests"]


def test_a_bundle_holds_the_digests_of_the_split_and_no_path_of_this_machine(run: Path, surface_root: Path) -> None:
    files = contents(run.parent / "bundle")
    report = json.loads(files["report.json"])
    assert report["split"] == read(run / "split.json")["digests"]
    assert not {"timing", "environment", "created_utc", "results"} & report.keys()
    for data in files.values():
        assert str(surface_root).encode() not in data
        assert str(run.parent).encode() not in data


def test_the_settings_of_a_run_make_the_same_run_again(run: Path, cli: Callable, tmp_path: Path) -> None:
    done = cli(
        "train", "--config", run / "config.json", "--output", tmp_path / "again", "--export-deploy-bundle", tmp_path / "b"
    )
    assert done.code == 0, done.err
    assert (tmp_path / "again" / "state.safetensors").read_bytes() == (run / "state.safetensors").read_bytes()
    first, second = read(run / "report.json"), read(tmp_path / "again" / "report.json")
    for key in ("results", "thresholds", "split", "seed"):
        assert first[key] == second[key]


def test_infer_lists_defects_with_what_a_run_and_its_exports_hold(cli: Callable, surface_root: Path, tmp_path: Path) -> None:
    line = ["train", "--root", surface_root, *MODEL, "--defects", "--defects-preset", "industrial-defects-fp40"]
    places = {
        "--output": tmp_path / "run",
        "--export-infer-config": tmp_path / "loose",
        "--export-deploy-bundle": tmp_path / "b",
    }
    done = cli(*line, *[word for pair in places.items() for word in pair], "--reject-confidence-below", 0.4)
    assert done.code == 0, done.err
    sources = (
        ["--bundle", tmp_path / "b"],
        *(["--infer-config", tmp_path / name / "infer_config.json"] for name in ("run", "loose")),
    )
    outputs = []
    for source in sources:
        inferred = cli("infer", *source, "--input", surface_root / "test", "--no-audit")
        assert inferred.code == 0, inferred.err
        outputs.append(inferred.out)
    assert outputs[0] == outputs[1] == outputs[2]
    records = [json.loads(text) for text in outputs[0].splitlines()]
    assert all(record["defects"]["pixel_threshold_provenance"]["source"] == "calibration" for record in records)
    assert any(record["defects"]["regions"] for record in records)


def test_a_trained_pipeline_and_its_run_give_the_same_scores(surface_root: Path, tmp_path: Path) -> None:
    config = TrainConfig.model_validate(
        {"dataset": {"root": surface_root}, "model": {"name": "vision_filterbank"}, "output": {"run": tmp_path / "run"}}
    )
    made = run_training(config)
    files = [str(sample.path) for sample in made.split.test]
    loaded = Bundle.load_config(tmp_path / "run" / "infer_config.json").pipeline()
    pairs = zip(infer(made.pipeline, files), infer(loaded, files), strict=True)
    for first, second in pairs:
        assert (first.score, first.label) == (second.score, second.label)
        assert first.anomaly_map is not None
        assert second.anomaly_map is not None
        np.testing.assert_array_equal(first.anomaly_map.render(), second.anomaly_map.render())


@pytest.mark.parametrize("how", ["no labels", "not wanted"])
def test_without_labels_or_when_not_wanted_nothing_is_tested(
    how: str, cli: Callable, surface_root: Path, tmp_path: Path
) -> None:
    root, more = surface_root, ["--no-evaluate"]
    if how == "no labels":
        root, more = tmp_path / "parts", []
        (root / "train").mkdir(parents=True)
        (root / "train" / "good").symlink_to(surface_root / "train" / "good")
    done = cli("train", "--root", root, *MODEL, "--output", tmp_path / "run", *more)
    assert done.code == 0, done.err
    assert {path.name for path in (tmp_path / "run").iterdir()} == RUN - {"categories"}
    report = read(tmp_path / "run" / "report.json")
    assert "results" not in report
    assert report["thresholds"]["pixel"]["value"] > 0
    assert ("no test images" in done.err) == (how == "no labels")


def test_a_test_image_that_cannot_be_scored_does_not_cost_the_training(
    cli: Callable, surface_root: Path, tmp_path: Path
) -> None:
    root = tmp_path / "parts"
    (root / "train").mkdir(parents=True)
    (root / "train" / "good").symlink_to(surface_root / "train" / "good")
    (root / "test" / "good").mkdir(parents=True)
    (root / "test" / "good" / "0.png").write_bytes(b"no image")
    done = cli("train", "--root", root, *MODEL, "--output", tmp_path / "run")
    assert done.code == 0
    assert "the test images could not be scored" in done.err
    assert "0.png" in read(tmp_path / "run" / "report.json")["failed"]["parts"]
    assert (tmp_path / "run" / "infer_config.json").exists()


# Where it is written


def test_a_finished_run_is_replaced_only_when_asked_and_by_nothing_else(
    cli: Callable, surface_root: Path, tmp_path: Path
) -> None:
    line = ["train", "--root", surface_root, *MODEL, "--no-evaluate", "--output", tmp_path / "run"]
    assert cli(*line).code == 0
    before = contents(tmp_path / "run")
    done = cli(*line, "--seed", 4)
    assert done.code == 2
    assert f"{tmp_path / 'run'} exists already" in done.err
    assert "--overwrite" in done.err
    assert contents(tmp_path / "run") == before
    assert cli(*line, "--seed", 4, "--overwrite").code == 0
    assert read(tmp_path / "run" / "report.json")["seed"] == 4
    (tmp_path / "run" / "notes.txt").write_text("a night's work", encoding="utf-8")
    done = cli(*line, "--overwrite")
    assert done.code == 2
    assert "notes.txt was not written by pyimgano" in done.err
    assert (tmp_path / "run" / "notes.txt").exists()


def test_a_folder_of_a_benchmark_or_of_somebody_else_is_no_unfinished_training(
    cli: Callable, surface_root: Path, tmp_path: Path
) -> None:
    assert cli("benchmark", "--root", surface_root, *MODEL, "--save-run", tmp_path / "compared").code == 0
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work", encoding="utf-8")
    for folder in ("compared", "thesis"):
        before = contents(tmp_path / folder)
        done = cli("train", "--root", surface_root, *MODEL, "--output", tmp_path / folder)
        assert done.code == 2
        assert "exists already" in done.err
        assert contents(tmp_path / folder) == before


def test_outputs_inside_one_another_are_refused(cli: Callable, surface_root: Path, tmp_path: Path) -> None:
    line = ["train", "--root", surface_root, *MODEL, "--output", tmp_path / "run"]
    done = cli(*line, "--export-deploy-bundle", tmp_path / "run" / "bundle")
    assert done.code == 2
    assert "lies inside another folder" in done.err
    assert not (tmp_path / "run").exists()


def test_without_a_place_to_write_python_returns_the_run_and_the_command_refuses(
    cli: Callable, surface_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = run_training(resolve({"dataset": {"root": surface_root}, "model": "vision_filterbank"}))
    assert made.pipeline.pixel_threshold is not None
    assert cli("train", "--root", surface_root, *MODEL).code == 2
    assert list(tmp_path.iterdir()) == []


# Interrupted


@pytest.fixture
def mortal(shell: Callable, tmp_path: Path, surface_root: Path) -> Callable[..., Any]:
    """Train the detector that dies as files beside its plugin tell it to; return the outcome."""
    (tmp_path / "acme_mortal.py").write_text(PLUGIN, encoding="utf-8")

    def train(*more: object, root: Path = surface_root) -> Any:
        line = ["-m", "pyimgano", "--plugin", tmp_path / "acme_mortal.py", "train", "--root", root, "--model", "acme_mortal"]
        return shell(*line, "--output", tmp_path / "run", *more, ACME=str(tmp_path))

    return train


def fits(folder: Path) -> int:
    return len((folder / "fits").read_text(encoding="utf-8").splitlines())


def test_a_training_that_was_killed_goes_on_after_learning(mortal: Callable, tmp_path: Path) -> None:
    (tmp_path / "die").touch()
    assert mortal().code == -signal.SIGKILL
    assert fits(tmp_path) == 1
    assert not (tmp_path / "run" / "infer_config.json").exists()
    (tmp_path / "die").unlink()
    state = (tmp_path / "run" / "state.safetensors").read_bytes()
    done = mortal()
    assert done.code == 0, done.err
    assert fits(tmp_path) == 1
    assert "before it was interrupted" in done.out
    assert (tmp_path / "run" / "state.safetensors").read_bytes() == state
    report = read(tmp_path / "run" / "report.json")
    assert report["resumed"] is True
    assert mortal("--overwrite").code == 0
    assert fits(tmp_path) == 2
    again = read(tmp_path / "run" / "report.json")
    assert again["resumed"] is False
    assert (again["thresholds"], again["results"]) == (report["thresholds"], report["results"])


def test_other_thresholds_go_on_too_but_other_settings_or_images_are_learned_again(
    mortal: Callable, tmp_path: Path, surface_root: Path
) -> None:
    (tmp_path / "die").touch()
    mortal()
    mortal("--false-alarm-rate", 0.2, "--batch-size", 2, "--defects", "--defect-min-area", 5)
    assert fits(tmp_path) == 1
    done = mortal("-o", "gain=2")
    assert "it is learned again" in done.err
    assert fits(tmp_path) == 2
    mortal("-o", "gain=2", "--seed", 1)
    mortal("-o", "gain=2", "--seed", 1, "--augment-preset", "industrial-drift")
    assert fits(tmp_path) == 4
    root = tmp_path / "other"
    good = root / "train" / "good"
    good.mkdir(parents=True)
    for path in (surface_root / "train" / "good").iterdir():
        (good / path.name).write_bytes(path.read_bytes())
    mortal("-o", "gain=2", "--seed", 1, "--augment-preset", "industrial-drift", root=root)
    assert fits(tmp_path) == 4
    used = next(row["input"] for row in read(tmp_path / "run" / "split.json")["images"] if row["role"] == "train")
    unused = next(path for path in sorted(good.iterdir()) if path.name != Path(used).name)
    (root / used).write_bytes(unused.read_bytes())
    done = mortal("-o", "gain=2", "--seed", 1, "--augment-preset", "industrial-drift", root=root)
    assert "comes from other settings or images" in done.err
    assert fits(tmp_path) == 5


def test_a_training_that_was_killed_while_learning_starts_again(mortal: Callable, tmp_path: Path) -> None:
    (tmp_path / "die-learning").touch()
    mortal()
    (tmp_path / "die-learning").unlink()
    done = mortal()
    assert done.code == 0, done.err
    assert fits(tmp_path) == 2


def test_replacing_a_run_leaves_it_as_it_was_until_the_new_one_is_learned(mortal: Callable, tmp_path: Path) -> None:
    assert mortal().code == 0
    before = contents(tmp_path / "run")
    (tmp_path / "die-learning").touch()
    assert mortal("--overwrite", "--seed", 5).code == -signal.SIGKILL
    assert contents(tmp_path / "run") == before


def test_a_training_that_fails_while_learning_leaves_no_folder(cli: Callable, surface_root: Path, tmp_path: Path) -> None:
    good = tmp_path / "parts" / "train" / "good"
    good.mkdir(parents=True)
    for path in (surface_root / "train" / "good").iterdir():
        (good / path.name).write_bytes(path.read_bytes()[:-300])
    done = cli("train", "--root", tmp_path / "parts", *MODEL, "--output", tmp_path / "run")
    assert done.code == 2
    assert "damaged or truncated" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["parts"]


@pytest.mark.parametrize("damage", ["state", "note"])
def test_what_was_kept_and_is_damaged_is_learned_again(damage: str, mortal: Callable, tmp_path: Path) -> None:
    (tmp_path / "die").touch()
    mortal()
    (tmp_path / "die").unlink()
    path = tmp_path / "run" / {"state": "state.safetensors", "note": "fit.json"}[damage]
    path.write_bytes(path.read_bytes()[:-9])
    done = mortal()
    assert done.code == 0, done.err
    assert "it is learned again" in done.err
    assert fits(tmp_path) == 2


@pytest.mark.skipif(os.name == "nt", reason="interrupts as POSIX does")
def test_whoever_interrupts_a_training_is_told_how_to_go_on(mortal: Callable, tmp_path: Path) -> None:
    (tmp_path / "stop").touch()
    done = mortal()
    assert done.code != 0
    assert f"what was learned is in {tmp_path / 'run'}, and the same command goes on from there" in done.err


# Before anything is learned


def test_a_dry_run_prints_components_and_settings_and_writes_nothing(cli: Callable, surface_root: Path, tmp_path: Path) -> None:
    line = ["train", "--recipe", "industrial-camera-drift", "--root", surface_root, *MODEL, "--output", tmp_path / "run"]
    done = cli(*line, "--dry-run")
    assert done.code == 0
    assert "pyimgano-core:vision_filterbank" in done.out
    _, _, settings = done.out.partition("\n\n")
    assert resolve(yaml.safe_load(settings)).preprocessing.white_balance == "gray_world"
    found = json.loads(cli(*line, "--dry-run", "--json").out)
    assert [part["kind"] for part in found["parts"]] == ["dataset", "detector"]
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_loads_no_detector(shell: Callable, surface_root: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pyimgano.cli.app import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "assert 'torch' not in sys.modules\nassert 'pyimgano.detectors.filterbank' not in sys.modules\n"
    )
    line = ["train", "--root", tmp_path / "nowhere", "--model", "vision_filterbank", "--dry-run"]
    done = shell("-c", code, *line)
    assert done.code == 0, done.err


def test_a_preflight_counts_images_and_says_what_it_would_take(cli: Callable, surface_root: Path, tmp_path: Path) -> None:
    line = ["train", "--root", surface_root, *MODEL, "--output", tmp_path / "run", "--preflight"]
    done = cli(*line)
    assert done.code == 0, done.err
    for words in (
        "20 good images, calibrate on 5 held out",
        "15 images, 9 defective, 9 with masks",
        "40 of 128x96",
        "none needed",
        "to learn",
        "while learning",
        "takes 19 held-out images, and there are 5",
    ):
        assert words in done.out
    found = json.loads(cli(*line, "--json").out)
    assert found["images"]["train"] == 20
    assert found["estimate"]["fit_s"] > 0
    assert found["problems"] == []
    assert list(tmp_path.iterdir()) == []


def test_a_preflight_of_few_images_is_of_all_of_them(cli: Callable, surface_root: Path, tmp_path: Path) -> None:
    good = tmp_path / "parts" / "train" / "good"
    good.mkdir(parents=True)
    for path in sorted((surface_root / "train" / "good").iterdir())[:3]:
        (good / path.name).symlink_to(path)
    done = cli("train", "--root", tmp_path / "parts", *MODEL, "--preflight", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["estimate"]["trial_images"] == 2


def test_a_preflight_finds_what_a_training_would_fail_of(cli: Callable, surface_root: Path, tmp_path: Path) -> None:
    good = tmp_path / "parts" / "train" / "good"
    good.mkdir(parents=True)
    for path in (surface_root / "train" / "good").iterdir():
        cut = good / f"{path.stem}.jpg"
        PillowImage.open(path).save(cut)
        cut.write_bytes(cut.read_bytes()[:-1500])
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "chapter.tex").touch()
    done = cli("train", "--root", tmp_path / "parts", *MODEL, "--output", tmp_path / "run", "--preflight")
    assert done.code == 1
    assert "exists already" in done.out
    assert "damaged or truncated" in done.out


def test_a_preflight_looks_for_weights_and_downloads_none(
    cli: Callable, surface_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME", str(tmp_path))
    plugin = tmp_path / "acme_mortal.py"
    plugin.write_text(
        PLUGIN.replace(':Settings")', ':Settings", weights="download", weights_at=f"{home}:place")')
        + "\n\ndef place(options):\n    from pyimgano.specs import WeightsPlace\n"
        "    return WeightsPlace('net', None if options.gain > 1 else 'in the cupboard', 'carry it here')\n",
        encoding="utf-8",
    )
    line = ["--plugin", plugin, "train", "--root", surface_root, "--model", "acme_mortal", "--preflight"]
    there, missing = cli(*line), cli(*line, "-o", "gain=2")
    assert there.code == 0, there.err
    assert "net is here, in the cupboard" in there.out
    assert missing.code == 1
    assert "the weights of net are not on this machine" in missing.out
    assert "carry it here" in missing.out


def test_the_folder_of_a_run_is_checked_before_images_are_read(surface_root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious", encoding="utf-8")
    config = {"dataset": {"root": surface_root}, "model": "vision_filterbank", "output": {"run": tmp_path / "file"}}
    with pytest.raises(OutputError, match="is a file"):
        run_training(resolve(config))
    assert (tmp_path / "file").read_text(encoding="utf-8") == "precious"
