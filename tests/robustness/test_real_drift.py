"""Real drift: learn and calibrate on one condition, test on each at the same thresholds."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest

from pyimgano import create_model, evaluate_split, load_dataset
from pyimgano.augmentation import brightness
from pyimgano.calibration import CalibrationSettings
from pyimgano.contracts import DatasetSplit, Sample
from pyimgano.errors import DatasetError, OptionsError
from pyimgano.pipeline import Pipeline
from pyimgano_robustness import run_robustness_benchmark
from pyimgano_robustness.conditions import Conditions
from pyimgano_robustness.drift import RealDrift
from pyimgano_robustness.strips import write_strips

LIGHTS = {"regular": 0.0, "overexposed": 0.35, "shift_1": 0.05}


def relit(image: Path, target: Path, light: str) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(target), brightness(cv2.imread(str(image)), LIGHTS[light]))
    return target


@pytest.fixture(scope="module")
def ad2(surface_split: DatasetSplit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give MVTec AD 2's layout: every test part under three lights, training and validation under the regular one."""
    base = tmp_path_factory.mktemp("ad2") / "can"
    for number, sample in enumerate(surface_split.train):
        role = "validation" if number % 5 == 0 else "train"
        relit(sample.path, base / role / "good" / f"{number:03d}_regular.png", "regular")
    for number, sample in enumerate(surface_split.test):
        for light in LIGHTS:
            name = f"{number:03d}_{light}"
            relit(sample.path, base / "test_public" / ("bad" if sample.label else "good") / f"{name}.png", light)
            if sample.mask_path is not None:
                mask = base / "test_public" / "ground_truth" / "bad" / f"{name}_mask.png"
                mask.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(sample.mask_path, mask)
    return base.parent


@pytest.fixture(scope="module")
def split(ad2: Path) -> DatasetSplit:
    return load_dataset("mvtec_ad2", ad2).load()


def filterbank() -> Any:
    return create_model("vision_filterbank", resize=[64, 64])


def run(split: DatasetSplit, **settings: Any) -> dict[str, Any]:
    return run_robustness_benchmark(filterbank(), split, **{"condition_key": "lighting", **settings})


@pytest.fixture(scope="module")
def report(split: DatasetSplit) -> dict[str, Any]:
    return run(split)


def without_times(report: Any) -> Any:
    if isinstance(report, dict):
        return {key: without_times(value) for key, value in report.items() if not key.endswith(("ms_per_image", "_s"))}
    return [without_times(one) for one in report] if isinstance(report, list) else report


def only(split: DatasetSplit, light: str) -> DatasetSplit:
    return replace(split, test=tuple(sample for sample in split.test if sample.meta["lighting"] == light))


def test_every_other_condition_of_the_test_images_is_tested_at_the_thresholds_of_the_reference(
    report: dict[str, Any], split: DatasetSplit
) -> None:
    robustness = report["robustness"]
    assert (robustness["condition_key"], robustness["reference_condition"]) == ("lighting", "regular")
    assert robustness["corruptions"] == {}
    assert list(robustness["conditions"]) == ["overexposed", "shift_1"]
    for light, record in {"regular": robustness["clean"], **robustness["conditions"]}.items():
        expected = evaluate_split(filterbank(), only(split, light))
        for key in ("auroc", "threshold", "metrics", "pixel_metrics", "oracle"):
            assert record["results"][key] == expected[key]
        assert record["images"] == 15
    assert robustness["conditions"]["overexposed"]["results"]["metrics"]["false_alarm_rate"] == 1


def test_the_summary_tells_of_conditions_as_it_does_of_corruptions(report: dict[str, Any]) -> None:
    summary, conditions = report["robustness_summary"], report["robustness"]["conditions"]
    values = [record["results"]["pixel_metrics"]["pixel_segf1"] for record in conditions.values()]
    clean = summary["clean_pixel_segf1"]
    assert summary["mean_condition_pixel_segf1"] == pytest.approx(sum(values) / 2)
    assert summary["worst_condition_drop_pixel_segf1"] == pytest.approx(clean - min(values))
    assert summary["mean_corruption_pixel_segf1"] is None
    assert summary["sentence"] == f"FilterBank loses most under lighting=overexposed: SegF1 {clean:.3f} -> {min(values):.3f}"


def test_corruptions_that_are_named_are_applied_to_the_reference(report: dict[str, Any], split: DatasetSplit) -> None:
    both = run(split, corruptions=["jpeg"], severities=[4])["robustness"]
    assert without_times(both["conditions"]) == without_times(report["robustness"]["conditions"])
    alone = run_robustness_benchmark(filterbank(), only(split, "regular"), ["jpeg"], [4])["robustness"]
    assert without_times(both["corruptions"]) == without_times(alone["corruptions"])


def mixed(split: DatasetSplit) -> DatasetSplit:
    """Return the split with training and calibration images of another light too, which are test images here."""
    other = [sample for sample in split.test if sample.meta["lighting"] == "overexposed" and not sample.label]
    return replace(split, train=(*other[:3], *split.train), calibration=(*split.calibration, *other[3:]))


def test_nothing_is_learned_from_or_calibrated_on_another_condition(report: dict[str, Any], split: DatasetSplit) -> None:
    again = run(mixed(split), calibrate_on="regular")
    assert again["thresholds"] == report["thresholds"]
    assert without_times(again["robustness"]) == without_times(report["robustness"])


def test_where_training_images_have_several_conditions_one_has_to_be_chosen(split: DatasetSplit) -> None:
    with pytest.raises(OptionsError, match="2 conditions, and none was chosen") as caught:
        run(mixed(split))
    assert caught.value.next_step == (
        "choose one with --calibrate-on; lighting of the training images: overexposed, regular; "
        "of the test images: overexposed, regular, shift_1"
    )


def test_a_pipeline_with_thresholds_needs_no_training_images_but_the_name_of_its_reference(
    report: dict[str, Any], split: DatasetSplit
) -> None:
    shipped = Pipeline.around(filterbank())
    shipped.learn(split, CalibrationSettings(), 0)
    tested = replace(split, train=(), calibration=())
    again = run_robustness_benchmark(shipped, tested, condition_key="lighting", calibrate_on="regular")
    assert without_times(again["robustness"]) == without_times(report["robustness"])
    with pytest.raises(OptionsError, match="taken under no conditions, and none was chosen"):
        run_robustness_benchmark(shipped, tested, condition_key="lighting")
    with pytest.raises(OptionsError, match="not what tells conditions apart"):
        run_robustness_benchmark(shipped, tested, calibrate_on="regular")


def test_an_unknown_reference_is_refused_with_the_conditions_that_there_are(split: DatasetSplit) -> None:
    with pytest.raises(DatasetError, match="no training image has the lighting 'reglar'") as caught:
        run(split, calibrate_on="reglar")
    assert caught.value.next_step.startswith(
        "did you mean regular? lighting of the training images: regular; of the test images:"
    )


def test_a_reference_without_test_images_and_one_without_others_are_refused(split: DatasetSplit) -> None:
    with pytest.raises(DatasetError, match="no test image has the lighting 'regular'"):
        run(only(split, "shift_1"))
    with pytest.raises(DatasetError, match="every test image has the lighting 'regular'"):
        run(only(split, "regular"))


def test_images_of_which_nobody_knows_the_condition_are_named(split: DatasetSplit, surface_split: DatasetSplit) -> None:
    with pytest.raises(DatasetError, match=r"70 of 70 images have no 'lightning', the first is .*001_regular\.png") as caught:
        run(split, condition_key="lightning")
    assert caught.value.next_step.startswith("did you mean lighting? what is known of images: lighting")
    with pytest.raises(DatasetError, match="nothing is known of any image") as caught:
        run(surface_split)


def manifest(split: DatasetSplit, folder: Path, conditions: dict[str, str]) -> Path:
    """Write the samples of a split as a table, each with the condition that its lighting stands for."""
    lines = ["image_path,label,split,mask_path,condition"]
    for role in ("train", "calibration", "test"):
        samples: tuple[Sample, ...] = getattr(split, role)
        lines += [f"{one.path},{one.label},{role},{one.mask_path or ''},{conditions[one.meta['lighting']]}" for one in samples]
    folder.mkdir(exist_ok=True)
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


CAMERAS = {"regular": "camera 1", "overexposed": "camera 2", "shift_1": "camera 10"}


def line(root: Path, *words: Any) -> list[Any]:
    place = ["robust-benchmark", "--dataset", "manifest", "--root", root, "--model", "vision_filterbank"]
    return [*place, "-o", "resize=[64,64]", "--condition-key", "condition", *words]


def test_a_manifest_with_a_column_of_conditions_gives_rows_page_and_strip(
    cli: Callable, split: DatasetSplit, report: dict[str, Any], tmp_path: Path
) -> None:
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    root = manifest(split, tmp_path / "data", CAMERAS)
    words = line(root, "--calibrate-on", "camera 1", "--save-run", tmp_path / "run")
    done = cli(*words)
    assert done.code == 0, done.err
    place = tmp_path / "run" / "categories" / "data"
    with (place / "conditions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = [(row["condition"], row["severity"], row["images"]) for row in rows]
    assert found == [("clean", "0", "15"), ("condition=camera 2", "", "15"), ("condition=camera 10", "", "15")]
    expected = report["robustness"]["conditions"]["shift_1"]["results"]["auroc"]
    assert float(rows[2]["auroc"]) == expected
    strip = cv2.imread(str(place / "strips" / "real-drift.jpg"))
    assert strip.shape[1] > 2.9 * strip.shape[0] / 2
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "camera 1 (reference)" in page
    assert page.count('src="data:image/jpeg;base64,') == 1
    assert "loses most under condition=camera 2" in page
    assert "condition=camera 2" in done.out


def test_a_strip_shows_the_same_part_under_every_condition(split: DatasetSplit, tmp_path: Path) -> None:
    pipeline = Pipeline.around(filterbank())
    drift = RealDrift.of(split, "lighting", "regular")
    conditions = Conditions.of([], [], 0, None, drift)
    pipeline.learn(drift.select(split), CalibrationSettings(), 0)
    others = tuple(sample for sample in split.test if sample.meta["lighting"] != "regular")
    for name, test in (
        ("there", (*only(split, "regular").test, *others)),
        ("back", (*only(split, "regular").test, *others[::-1])),
    ):
        write_strips(tmp_path / name, test, conditions, pipeline)
    there, back = ((tmp_path / name / "strips" / "real-drift.jpg").read_bytes() for name in ("there", "back"))
    assert there == back


def test_an_interrupted_run_goes_on_unless_a_condition_has_changed(cli: Callable, split: DatasetSplit, tmp_path: Path) -> None:
    root = manifest(split, tmp_path / "data", CAMERAS)
    words = line(root, "--save-run", tmp_path / "run")
    assert cli(*words).code == 0
    place = tmp_path / "run" / "categories" / "data"
    (place / "report.json").unlink()
    (place / "conditions" / "condition_camera_10.json").unlink()
    again = cli(*words)
    assert "condition=camera 2: done before" in again.err
    assert "condition=camera 10: done before" not in again.err
    manifest(split, root, CAMERAS | {"shift_1": "camera 2"})
    changed = cli(*words)
    assert "done before" not in changed.err
    report = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))
    assert report["robustness"]["conditions"]["camera 2"]["images"] == 30


def test_the_limit_of_test_images_is_one_of_each_condition(cli: Callable, ad2: Path) -> None:
    words = ["robust-benchmark", "--dataset", "mvtec_ad2", "--root", ad2, "--category", "can", "--model", "vision_filterbank"]
    limits = ["-o", "resize=[64,64]", "--limit-test", "6", "--limit-train", "10"]
    done = cli(*words, *limits, "--condition-key", "lighting", "--calibrate-on", "regular")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    records = [report["robustness"]["clean"], *report["robustness"]["conditions"].values()]
    assert [record["images"] for record in records] == [6, 6, 6]
    assert (report["images"]["train"], report["images"]["test"]) == (10, 18)
    assert any("limited to 18 test images" in sentence for sentence in report["warnings"])


def test_a_folder_per_condition_is_a_dataset(split: DatasetSplit, tmp_path: Path) -> None:
    for role in ("train", "calibration", "test"):
        for sample in getattr(split, role):
            name, kind = sample.path.name.partition("_")[0] + ".png", "bad" if sample.label else "good"
            place = tmp_path / sample.meta["lighting"]
            relit(sample.path, place / ("test" if role == "test" else "train") / kind / name, "regular")
            if sample.mask_path is not None:
                relit(sample.mask_path, place / "ground_truth" / kind / name, "regular")
    loaded = load_dataset("conditions", tmp_path).load()
    assert {sample.meta["condition"] for sample in loaded.train} == {"regular"}
    first = next(sample for sample in loaded.test if sample.label)
    parts = [sample for sample in loaded.test if sample.group == first.group]
    assert sorted(sample.meta["condition"] for sample in parts) == sorted(LIGHTS)
    found = run(loaded, condition_key="condition")["robustness"]
    assert (found["reference_condition"], list(found["conditions"])) == ("regular", ["overexposed", "shift_1"])
    assert found["conditions"]["shift_1"]["images"] == 15


def test_a_folder_without_conditions_says_where_good_parts_go(tmp_path: Path) -> None:
    (tmp_path / "day" / "test" / "good").mkdir(parents=True)
    with pytest.raises(DatasetError, match="has train/good") as caught:
        load_dataset("conditions", tmp_path).load()
    assert "CONDITION/train/good" in Path(caught.value.next_step.removeprefix("put good parts in ")).as_posix()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--calibrate-on", "regular"], "condition_key has to say what tells conditions apart"),
        (["--corruptions", ""], "neither corruptions nor a condition_key"),
        (["--condition-key", "lightning"], "did you mean lighting?"),
        (["--condition-key", "lighting", "--calibrate-on", "shift_1"], "of the test images: overexposed, regular, shift_1"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_sentence(cli: Callable, ad2: Path, words: list[str], message: str) -> None:
    done = cli("robust-benchmark", "--dataset", "mvtec_ad2", "--root", ad2, "--model", "vision_filterbank", *words)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err
