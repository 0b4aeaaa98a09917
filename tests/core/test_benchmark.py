"""Benchmarks run: what they report on every layout, how they go on after a stop, and what a failure costs."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import layouts
import numpy as np
import pytest
from PIL import Image as PillowImage

from pyimgano.errors import DatasetError, DetectorError, OutputError, PluginError, PyimganoError
from pyimgano.evaluation import BenchmarkConfig, run_benchmark
from pyimgano.evaluation.merge import merge_results
from pyimgano.registry import create_model, load_dataset

ACME = '''
from pathlib import Path

import numpy as np
from pydantic import Field

from pyimgano import AnomalyMap, Detector, ImageScore, hookimpl
from pyimgano.contracts import Metric, Postprocessor
from pyimgano.errors import DatasetError
from pyimgano.options import Options
from pyimgano.specs import DetectorSpec, MetricSpec, PostprocessorSpec

FITS, ORDER = Path(__file__).with_name("fits.txt"), Path(__file__).with_name("order.txt")


class MeanOptions(Options):
    gain: float = Field(1.0, gt=0, description="Factor of the scores.")


class Mean(Detector):
    """The distance to the mean image; every fit is counted, and one of them can be ordered to be the last."""

    maps = True

    def _fit(self, images):
        with FITS.open("a") as file:
            file.write(f"{len(images)}\\n")
        if ORDER.exists() and ORDER.read_text() == str(len(FITS.read_text().split())):
            raise KeyboardInterrupt
        self.mean_ = np.mean([image.mean(axis=2) for image in images], axis=0)

    def _score(self, images):
        grids = [self.options.gain * abs(image.mean(axis=2) - self.mean_) for image in images]
        return [ImageScore(float(grid.max()), AnomalyMap(grid, grid.shape) if self.maps else None) for grid in grids]

    def state(self):
        return {"mean": self.mean_}

    def load_state(self, arrays):
        self.mean_ = arrays["mean"]
        self.mark_fitted()


class Flat(Mean):
    maps = False


class Broken(Mean):
    def _fit(self, images):
        raise ValueError("no light")


class Double(Postprocessor):
    def apply(self, result):
        return ImageScore(2 * result.score, result.anomaly_map)


class Stumble(Postprocessor):
    def apply(self, result):
        raise ValueError("no floor")


class GapOptions(Options):
    unit: float = Field(1.0, description="What the gap is measured in.")


class Gap(Metric):
    def compute(self, evidence):
        bad = evidence.labels == 1
        return (evidence.scores[bad].mean() - evidence.scores[~bad].mean()) / self.options.unit


class Raises(Metric):
    def compute(self, evidence):
        raise {"acme_raises": KeyError("away"), "acme_refuses": DatasetError("no file", "copy it")}[self.name]


def raises(options):
    metric = Raises(options)
    metric.name = "acme_raises"
    return metric


def refuses(options):
    metric = Raises(options)
    metric.name = "acme_refuses"
    return metric


class Nan(Metric):
    def compute(self, evidence):
        return float("nan")


@hookimpl
def register_detectors():
    options = "acme_lab:MeanOptions"
    return [
        DetectorSpec(name="acme_mean", summary="", factory="acme_lab:Mean", options=options),
        DetectorSpec(name="acme_flat", summary="", factory="acme_lab:Flat", options=options, maps=False),
        DetectorSpec(name="acme_mapless", summary="", factory="acme_lab:Flat", options=options),
        DetectorSpec(name="acme_broken", summary="", factory="acme_lab:Broken"),
        DetectorSpec(name="acme_absent", summary="", factory="acme_nowhere:Absent"),
    ]


@hookimpl
def register_postprocessors():
    return [
        PostprocessorSpec(name="acme_double", summary="", factory="acme_lab:Double", acts_on="score"),
        PostprocessorSpec(name="acme_stumble", summary="", factory="acme_lab:Stumble", acts_on="score"),
    ]


@hookimpl
def register_metrics():
    return [
        MetricSpec(name="acme_gap", summary="", factory="acme_lab:Gap", options="acme_lab:GapOptions"),
        MetricSpec(name="acme_raises", summary="", factory="acme_lab:raises"),
        MetricSpec(name="acme_refuses", summary="", factory="acme_lab:refuses"),
        MetricSpec(name="acme_nan", summary="", factory="acme_lab:Nan"),
    ]
'''

REPORT = {
    *("schema_version", "dataset", "category", "model", "preset", "device", "seed", "resize", "results", "thresholds"),
    *("timing", "environment", "warnings"),
}
RESULTS = {"auroc", "average_precision", "threshold", "metrics", "pixel_metrics", "extra_metrics", "oracle"}
METRICS = {"precision", "recall", "f1", "specificity", "accuracy", "tp", "tn", "fp", "fn"}
PIXEL_METRICS = {"pixel_auroc", "pixel_average_precision", "aupro", "pixel_threshold", "pixel_segf1", "bg_fpr"}


@dataclass
class Lab:
    """A third-party distribution whose detector counts its fits."""

    folder: Path
    said: list[str] = field(default_factory=list)

    def run(self, folder: Path | None = None, *, overwrite: bool = False, **values: Any) -> dict[str, Any]:
        """Run a benchmark of ``acme_mean`` and keep what was said."""
        self.said = []
        config = BenchmarkConfig(**{"dataset": "mvtec", "category": "all", "models": ["acme_mean"], **values})
        return run_benchmark(config, folder, overwrite=overwrite, say=self.said.append)

    @property
    def fits(self) -> int:
        """Return how often the detector was fitted."""
        file = self.folder / "fits.txt"
        return len(file.read_text(encoding="utf-8").split()) if file.exists() else 0

    def interrupt(self, number: int) -> None:
        """Stop the program in a fit that is to come."""
        (self.folder / "order.txt").write_text(str(self.fits + number), encoding="utf-8")


@pytest.fixture
def lab(distribution: Callable, site: Path) -> Lab:
    """Install the distribution."""
    distribution("acme-lab", ACME)
    return Lab(site)


def part(path: Path, defect: bool = False) -> None:
    """Write a bitmap, so that all files of one size have one length; its last two folders and its name decide its noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = [ord(sign) for sign in "/".join(path.parts[-4:])]
    pixels = np.random.default_rng(seed).integers(100, 140, (*layouts.SIZE[::-1], 3), dtype=np.uint8)
    if defect:
        pixels[layouts.SPOT] = 250
    PillowImage.fromarray(pixels).save(path)


def parts(root: Path, *categories: str, train: int = 10, good: int = 3, bad: int = 3, masks: bool = True) -> Path:
    """Write categories in the layout of MVTec AD, whose defects no detector could miss."""
    for category in categories or ("bolt", "nut"):
        for number in range(train):
            part(root / category / f"train/good/{number:03d}.bmp")
        for number in range(good):
            part(root / category / f"test/good/{number:03d}.bmp")
        for number in range(bad):
            part(root / category / f"test/{'crack' if number % 2 else 'dent'}/{number:03d}.bmp", defect=True)
            if masks:
                layouts.mask(root / category / f"ground_truth/{'crack' if number % 2 else 'dent'}/{number:03d}_mask.bmp")
    return root


def strict(path: Path) -> Any:
    """Read JSON that holds no NaN and no infinity."""
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)


def records(folder: Path, category: str) -> list[dict[str, Any]]:
    lines = (folder / "categories" / category / "per_image.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line, parse_constant=pytest.fail) for line in lines]


def untimed(value: Any) -> Any:
    """Return a report without what takes time."""
    if isinstance(value, dict):
        return {key: untimed(item) for key, item in value.items() if key != "timing"}
    return [untimed(item) for item in value] if isinstance(value, list) else value


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Every layout


def manifest(root: Path) -> Path:
    rows = []
    for category in ("left", "right"):
        for number in range(4):
            layouts.image(root / category / f"{number}.png")
            split = {"split": "train" if number < 3 else "test"}
            rows.append({"image_path": f"{category}/{number}.png", "category": category, "label": 0, **split})
        layouts.image(root / category / "bad.png")
        layouts.mask(root / category / "truth.png")
        truth = {"label": 1, "mask_path": f"{category}/truth.png"}
        rows.append({"image_path": f"{category}/bad.png", "category": category, **truth})
    (root / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return root


SURFACE = {"train": 6, "test_good": 2, "test_defective": 4, "height": 64, "width": 64}
MVTEC = {"good": 1, "broken_large": 2, "contamination": 2}
LOCO = {"good": 1, "logical_anomalies": 1, "structural_anomalies": 1}
LAYOUTS = {
    "mvtec": ("mvtec", layouts.mvtec, {"bottle": (10, 2, MVTEC), "grid": (10, 2, MVTEC)}),
    "visa raw": ("visa", layouts.visa_raw, dict.fromkeys(("candle", "pcb1"), (2, 1, {"good": 1, "bad": 2}))),
    "visa prepared": ("visa", layouts.visa_prepared, {"candle": (2, 1, {"good": 1, "bad": 2})}),
    "btad": ("btad", layouts.btad, dict.fromkeys(("01", "02", "03"), (2, 1, {"good": 1, "ko": 1}))),
    "loco": ("mvtec_loco", layouts.loco, {"pushpins": (3, 2, LOCO)}),
    "ad2": ("mvtec_ad2", layouts.ad2, {"can": (3, 1, {"good": 4, "bad": 4})}),
    "folder": ("folder", lambda root: layouts.mvtec(root, "grid") / "grid", {"grid": (10, 2, MVTEC)}),
    "manifest": ("manifest", manifest, dict.fromkeys(("left", "right"), (2, 1, {"good": 1, "defective": 1}))),
    "surface": ("surface", lambda root: root, {"data": (5, 1, {"good": 2, "dent": 2, "scratch": 1, "stain": 1})}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_reported_in_full(lab: Lab, tmp_path: Path, layout: str) -> None:
    dataset, write, expected = LAYOUTS[layout]
    root, run = write(tmp_path / "data"), tmp_path / "run"
    more = {"loco": {"metrics": ["spro"]}, "surface": {"dataset_options": SURFACE}}.get(layout, {})
    report = lab.run(run, dataset=dataset, root=root, **more)
    assert strict(run / "report.json") == report
    assert report.keys() >= REPORT | {"categories", "failed"}
    assert (report["dataset"], report["model"]) == (f"pyimgano-core:{dataset}", "acme-lab:acme_mean")
    assert report["category"] == ("all" if len(expected) > 1 else next(iter(expected)))
    assert (report["categories"], report["failed"], report["preset"]) == (list(expected), {}, None)
    for category, (train, calibration, types) in expected.items():
        one = strict(run / "categories" / category / "report.json")
        assert one.keys() >= REPORT
        assert one["category"] == category
        results = one["results"]
        assert results.keys() == RESULTS
        assert (results["metrics"].keys() >= METRICS, results["pixel_metrics"].keys() >= PIXEL_METRICS) == (True, True)
        images = one["images"]
        assert (images["train"], images["calibration"], images["test"]) == (train, calibration, sum(types.values()))
        assert (images["good"], images["defective"]) == (types["good"], images["test"] - types["good"])
        rows = records(run, category)
        assert [row["index"] for row in rows] == list(range(images["test"]))
        assert Counter(row["defect_type"] for row in rows) == types
        assert all(row["truth"] == (row["defect_type"] != "good") for row in rows)
        assert all(row["label"] == (row["score"] > row["threshold"]) for row in rows)
        assert all((root / row["input"]).is_file() and not Path(row["input"]).is_absolute() for row in rows)
        assert len({row["input"] for row in rows}) == images["test"]
        assert {row["type"]: row["images"] for row in one["defect_types"]} == {k: n for k, n in types.items() if k != "good"}
        for row in one["defect_types"]:
            assert row.keys() >= {"auroc", "recall", "mean_score", "region_recall", "pixel_segf1"}
    assert (report["results"]["extra_metrics"].get("spro") is not None) is (layout == "loco")
    assert {path.name for path in run.iterdir()} == {"report.json", "config.json", "environment.json", "categories"}


def test_a_dataset_that_keeps_its_own_folder_tells_nothing_of_the_machine(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    lab.run(tmp_path / "run", dataset="surface", dataset_options=SURFACE)
    assert records(tmp_path / "run", "all")[0]["input"] == "test/dent/000.png"
    assert not any(str(tmp_path).encode() in content for content in files(tmp_path / "run").values())


def test_rows_per_type_of_defect_are_each_against_all_good_images(lab: Lab, tmp_path: Path) -> None:
    root = parts(tmp_path / "data", "bolt")
    part(root / "bolt/test/crack/001.bmp")
    one = lab.run(tmp_path / "run", root=root)
    rows = {row["type"]: row for row in one["defect_types"]}
    good = [row["score"] for row in records(tmp_path / "run", "bolt") if not row["truth"]]
    (missed,) = [row["score"] for row in records(tmp_path / "run", "bolt") if row["defect_type"] == "crack"]
    assert (rows["dent"]["auroc"], rows["dent"]["recall"], rows["dent"]["images"]) == (1.0, 1.0, 2)
    assert rows["crack"]["auroc"] == pytest.approx(np.mean([missed > score for score in good]))
    assert rows["crack"]["recall"] == float(missed > one["results"]["threshold"])
    assert rows["crack"]["mean_score"] == missed


# Going on after a stop


def test_an_interrupted_run_goes_on_where_it_stopped(lab: Lab, tmp_path: Path) -> None:
    root, run = parts(tmp_path / "data", "a", "b", "c"), tmp_path / "run"
    whole = lab.run(tmp_path / "whole", root=root)
    lab.interrupt(2)
    with pytest.raises(KeyboardInterrupt):
        lab.run(run, root=root)
    assert not (run / "report.json").exists()
    before, fits = (run / "categories/a/report.json").stat().st_mtime_ns, lab.fits
    assert not (run / "categories/b").exists()
    report = lab.run(run, root=root)
    assert lab.fits - fits == 2
    assert (run / "categories/a/report.json").stat().st_mtime_ns == before
    assert lab.said[0] == "[1/3] a acme_mean: done before"
    assert "done before" not in lab.said[1] + lab.said[2]
    assert untimed(report) == untimed(whole) == untimed(strict(run / "report.json"))
    for name, content in files(tmp_path / "whole").items():
        if not name.endswith("report.json"):
            assert (run / name).read_bytes() == content, name


def test_a_finished_run_is_not_done_again(lab: Lab, tmp_path: Path) -> None:
    root = parts(tmp_path / "data")
    first = lab.run(tmp_path / "run", root=root)
    fits = lab.fits
    assert lab.run(tmp_path / "run", root=root) == first
    assert lab.fits == fits


def changed(path: Path) -> None:
    with PillowImage.open(path) as image:
        pixels = 255 - np.asarray(image)
    PillowImage.fromarray(pixels).save(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda nut: changed(nut / "train/good/003.bmp"),
        lambda nut: changed(nut / "test/dent/002.bmp"),
        lambda nut: changed(nut / "ground_truth/dent/002_mask.bmp"),
        lambda nut: (nut / "train/good/003.bmp").rename(nut / "train/good/030.bmp"),
        lambda nut: (nut / "test/good/001.bmp").unlink(),
        lambda nut: part(nut / "test/good/099.bmp"),
        lambda nut: [(nut / place / "crack").rename(nut / place / "chip") for place in ("test", "ground_truth")],
    ],
    ids=["train", "test", "mask", "name", "fewer", "more", "type"],
)
def test_a_category_whose_data_changed_is_done_again(lab: Lab, tmp_path: Path, change: Callable[[Path], Any]) -> None:
    root = parts(tmp_path / "data")
    lab.run(tmp_path / "run", root=root)
    fits = lab.fits
    change(root / "nut")
    again = lab.run(tmp_path / "run", root=root)
    assert lab.fits - fits == 1
    assert ["done before" in line for line in lab.said] == [True, False]
    assert untimed(again) == untimed(lab.run(root=root))


def test_a_category_whose_labels_changed_is_done_again(lab: Lab, tmp_path: Path) -> None:
    root = manifest(tmp_path / "data")
    lab.run(tmp_path / "run", dataset="manifest", root=root)
    lines = (root / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    lines[3] = lines[3].replace('"label": 0', '"label": 1, "mask_path": "left/truth.png"')
    (root / "manifest.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    again = lab.run(tmp_path / "run", dataset="manifest", root=root)
    assert ["done before" in line for line in lab.said] == [False, True]
    assert again["per_category"]["left"]["images"]["defective"] == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "report.json").unlink(),
        lambda folder: (folder / "report.json").write_bytes((folder / "report.json").read_bytes()[:200]),
        lambda folder: (folder / "report.json").write_text("[]", encoding="utf-8"),
        lambda folder: (folder / "report.json").write_bytes(b"\xff\xfe"),
    ],
    ids=["absent", "truncated", "list", "binary"],
)
def test_a_half_written_category_is_done_again(lab: Lab, tmp_path: Path, damage: Callable[[Path], Any]) -> None:
    root = parts(tmp_path / "data")
    first = lab.run(tmp_path / "run", root=root)
    place = tmp_path / "run/categories/nut"
    damage(place)
    (place / "per_image.jsonl").write_text("{", encoding="utf-8")
    (place / "worst/left_over.jpg").touch()
    fits = lab.fits
    assert untimed(lab.run(tmp_path / "run", root=root)) == untimed(first)
    assert lab.fits - fits == 1
    assert len(records(tmp_path / "run", "nut")) == 6
    assert not (place / "worst/left_over.jpg").exists()


@pytest.mark.parametrize(
    ("values", "keys"),
    [
        ({"seed": 1}, "settings.seed"),
        (
            {"calibration": {"false_alarm_rate": 0.1}, "limit_test": 4},
            "settings.calibration.false_alarm_rate, settings.limit_test",
        ),
        ({"models": ["acme_mean,gain=2"]}, "models.0.options.gain"),
        ({"models": ["acme_flat"]}, "models.0.name"),
        ({"models": ["acme_mean", "acme_flat"]}, "models"),
        ({"metrics": ["acme_gap"]}, "metrics"),
        ({"postprocess": ["acme_double"]}, "postprocess"),
        ({"tiling": {"tile_size": 16, "fit_on": "tiles"}}, "settings.tiling.fit_on, settings.tiling.tile_size"),
        ({"preprocessing": {"gamma": 2}}, "settings.preprocessing.gamma"),
    ],
)
def test_a_run_of_another_config_is_refused_with_what_differs(
    lab: Lab, tmp_path: Path, values: dict[str, Any], keys: str
) -> None:
    root, run = parts(tmp_path / "data"), tmp_path / "run"
    lab.run(run, root=root)
    before, fits = files(run), lab.fits
    with pytest.raises(OutputError) as caught:
        lab.run(run, root=root, **values)
    assert caught.value.problem == f"{run} holds a run that differs in {keys}"
    assert "--overwrite" in caught.value.next_step
    assert (files(run), lab.fits) == (before, fits)
    again = lab.run(run, overwrite=True, root=root, **values)
    assert strict(run / "report.json") == again
    assert lab.fits > fits


def test_what_stands_around_every_detector_reaches_it_and_the_report(lab: Lab, tmp_path: Path) -> None:
    root = parts(tmp_path / "data")
    plain = lab.run(root=root, category="bolt")
    assert (plain["tiling"]["tile_size"], plain["preprocessing"]["gamma"]) == (None, 1.0)
    for around in ({"tiling": {"tile_size": 16, "fit_on": "tiles"}}, {"preprocessing": {"gamma": 2}}):
        report = lab.run(root=root, category="bolt", **around)
        ((name, values),) = around.items()
        assert {key: report[name][key] for key in values} == values
        assert report["thresholds"]["image"]["chain"] != plain["thresholds"]["image"]["chain"]
        assert report["results"]["threshold"] != plain["results"]["threshold"]


def test_replacing_a_run_leaves_nothing_of_it(lab: Lab, tmp_path: Path) -> None:
    root, run = parts(tmp_path / "data"), tmp_path / "run"
    lab.run(run, root=root, models=["acme_mean", "acme_mean,gain=2"])
    (run / ".report.json.part").touch()
    lab.run(run, overwrite=True, root=root, category="nut")
    assert {name.split("/worst")[0] for name in files(run)} == {
        *("report.json", "config.json", "environment.json", "categories/nut"),
        *("categories/nut/report.json", "categories/nut/per_image.jsonl"),
    }


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "foreign",
    [{"thesis.txt": "x"}, {"config.json": '{"architectures": []}', "weights.bin": "x"}, {"config.json": "null"}, {".x/y": "x"}],
    ids=["file", "config", "null", "folder"],
)
def test_a_folder_that_holds_no_run_is_left_alone(lab: Lab, tmp_path: Path, foreign: dict[str, str], overwrite: bool) -> None:
    run = tmp_path / "run"
    for name, text in foreign.items():
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(text, encoding="utf-8")
    before = files(run)
    with pytest.raises(OutputError, match="holds files that are no run"):
        lab.run(run, overwrite=overwrite, root=parts(tmp_path / "data"))
    assert (files(run), lab.fits) == (before, 0)


@pytest.mark.parametrize("place", ["notes.txt", "acme_mean-2/notes.txt", "my_folder/notes.txt"])
def test_replacing_a_run_never_removes_what_it_did_not_write(lab: Lab, tmp_path: Path, place: str) -> None:
    root, run = parts(tmp_path / "data"), tmp_path / "run"
    lab.run(run, root=root, models=["acme_mean", "acme_mean,gain=2"])
    (run / place).parent.mkdir(exist_ok=True)
    (run / place).touch()
    before = files(run)
    with pytest.raises(OutputError, match="was not written by pyimgano"):
        lab.run(run, overwrite=True, root=root, seed=1)
    assert files(run) == before


@pytest.mark.parametrize("text", ["", '{"models": [', "\x00"])
def test_a_damaged_config_of_a_run_is_named(lab: Lab, tmp_path: Path, text: str) -> None:
    root, run = parts(tmp_path / "data", "bolt"), tmp_path / "run"
    lab.run(run, root=root)
    (run / "config.json").write_text(text, encoding="utf-8")
    before = files(run)
    with pytest.raises(OutputError, match=r"config\.json is not valid JSON"):
        lab.run(run, root=root)
    assert files(run) == before


def test_a_file_is_no_folder_for_a_run(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(OutputError, match="run is not a folder"):
        lab.run(tmp_path / "run", root=parts(tmp_path / "data"))
    assert lab.fits == 0


# Failures


def test_a_category_that_fails_costs_itself_and_is_tried_again(lab: Lab, tmp_path: Path) -> None:
    root, run = parts(tmp_path / "data", "a", "b", "c"), tmp_path / "run"
    whole = lab.run(root=root)
    (root / "b/test/good/001.bmp").write_bytes(b"broken")
    report = lab.run(run, root=root)
    assert report["categories"] == ["a", "c"]
    assert list(report["failed"]) == ["b"]
    assert "001.bmp" in report["failed"]["b"]
    assert lab.said[1].startswith("[2/3] b acme_mean: FAILED: ")
    assert not (run / "categories/b").exists()
    part(root / "b/test/good/001.bmp")
    fits = lab.fits
    mended = lab.run(run, root=root)
    assert lab.fits - fits == 1
    assert ["done before" in line for line in lab.said] == [True, False, True]
    assert untimed(mended) == untimed(whole)


def test_a_run_of_which_everything_fails_raises_the_first_reason(lab: Lab, tmp_path: Path) -> None:
    root = parts(tmp_path / "data")
    with pytest.raises(DetectorError, match="acme-lab:acme_broken failed: ValueError: no light"):
        lab.run(tmp_path / "run", root=root, models=["acme_broken"])
    with pytest.raises(PluginError, match="acme-lab:acme_absent: acme_nowhere:Absent cannot be imported"):
        lab.run(tmp_path / "other", root=root, models=["acme_absent", "acme_broken"])


def test_a_fault_of_the_dataset_shows_before_anything_is_fitted(lab: Lab, tmp_path: Path) -> None:
    root = parts(tmp_path / "data", "a", "b")
    layouts.mask(root / "b/ground_truth/dent/002_mask.bmp", np.zeros((5, 6), np.uint8))
    with pytest.raises(DatasetError, match=r"002_mask\.bmp is 6x5 pixels but its image is 24x16"):
        lab.run(tmp_path / "run", root=root)
    assert (lab.fits, (tmp_path / "run").exists()) == (0, False)


@pytest.mark.parametrize(
    ("split", "problem"), [("test_private", "2 test images have no label"), ("test_public", "the split has no test images")]
)
def test_test_images_that_nothing_can_be_said_about_are_refused(lab: Lab, tmp_path: Path, split: str, problem: str) -> None:
    root = layouts.ad2(tmp_path / "data")
    for folder in ("good", "bad", "ground_truth"):
        shutil.rmtree(root / "can/test_public" / folder)
    with pytest.raises(DatasetError, match=problem):
        lab.run(dataset="mvtec_ad2", root=root, dataset_options={"split": split})
    assert lab.fits == 0


@pytest.mark.parametrize(
    ("values", "problem", "advice"),
    [
        ({"root": "away"}, "dataset root away does not exist", "check the path"),
        ({"root": "data/bolt"}, "data/bolt holds no category with a folder train/good", "category=bolt"),
        ({"root": "data", "category": "bold"}, "data has no category 'bold'", "did you mean bolt?"),
        (
            {"root": "data", "category": None},
            "data holds 2 categories, and none was chosen",
            "--category all, or one of: bolt, nut",
        ),
        ({"root": "data", "dataset": "folder"}, "data has no folder train/good", "bolt has one"),
        ({"root": "data/bolt", "dataset": "manifest"}, "data/bolt is no manifest and holds none", "manifest.jsonl"),
    ],
)
def test_a_wrong_root_or_category_is_answered_with_the_right_one(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], problem: str, advice: str
) -> None:
    monkeypatch.chdir(tmp_path)
    parts(Path("data"))
    with pytest.raises(PyimganoError) as caught:
        lab.run(**values)
    assert (caught.value.problem, advice in caught.value.next_step) == (problem, True)
    assert lab.fits == 0


def test_one_category_is_chosen_by_name_or_by_being_alone(lab: Lab, tmp_path: Path) -> None:
    root = parts(tmp_path / "data")
    chosen = [lab.run(root=root, category="nut"), lab.run(root=root, category=None, dataset_options={"category": "nut"})]
    alone = lab.run(root=parts(tmp_path / "alone", "nut"), category=None)
    assert [report["category"] for report in (*chosen, alone)] == ["nut"] * 3
    assert "per_category" not in chosen[0]


def test_categories_whose_folders_would_be_one_are_refused(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="two categories have names that make the same folder"):
        lab.run(tmp_path / "run", root=parts(tmp_path / "data", "a b", "a_b"))
    assert lab.fits == 0


# Several models


def test_several_models_are_compared_each_in_a_folder_of_its_own(lab: Lab, tmp_path: Path) -> None:
    root, run = parts(tmp_path / "data"), tmp_path / "run"
    models = ["acme_mean", "acme_flat", "acme_mean,gain=2"]
    report = lab.run(run, root=root, models=models)
    assert strict(run / "report.json") == report
    assert [(one["folder"], one["label"]) for one in report["runs"]] == [
        ("acme_mean", "acme_mean"),
        ("acme_flat", "acme_flat"),
        ("acme_mean-2", "acme_mean,gain=2"),
    ]
    for one, text in zip(report["runs"], models, strict=True):
        own = strict(run / one["folder"] / "report.json")
        assert one["results"] == own["results"]
        assert untimed(own) == untimed(lab.run(root=root, models=[text]))
        assert (run / one["folder"] / "categories/nut/per_image.jsonl").is_file()
    first, _, doubled = (one["results"] for one in report["runs"])
    assert first["auroc"] == doubled["auroc"]
    assert records(run / "acme_mean-2", "nut")[0]["score"] == 2 * records(run / "acme_mean", "nut")[0]["score"]


def test_a_comparison_goes_on_where_it_stopped(lab: Lab, tmp_path: Path) -> None:
    root, run, models = parts(tmp_path / "data"), tmp_path / "run", ["acme_mean", "acme_mean,gain=2"]
    whole = lab.run(tmp_path / "whole", root=root, models=models)
    lab.interrupt(4)
    with pytest.raises(KeyboardInterrupt):
        lab.run(run, root=root, models=models)
    fits = lab.fits
    assert untimed(lab.run(run, root=root, models=models)) == untimed(whole)
    assert lab.fits - fits == 1


def test_a_model_that_fails_everywhere_costs_the_others_nothing(lab: Lab, tmp_path: Path) -> None:
    root, models = parts(tmp_path / "data"), ["acme_broken", "acme_mean"]
    report = lab.run(tmp_path / "run", root=root, models=models)
    assert list(report["failed"]) == ["acme_broken"]
    assert "no light" in report["failed"]["acme_broken"]
    assert [one["label"] for one in report["runs"]] == ["acme_mean"]
    assert report["runs"][0]["failed"] == {}
    with pytest.raises(DetectorError, match="no light"):
        lab.run(root=root, models=["acme_broken", "acme_broken"])


# Limits, seeds and what is left out


def test_limits_cut_in_proportion_and_are_said(lab: Lab, tmp_path: Path) -> None:
    root = parts(tmp_path / "data", "bolt", train=20, good=9, bad=18)
    report = lab.run(root=root, limit_train=10, limit_test=9)
    assert report["images"] == {"train": 8, "calibration": 2, "test": 9, "good": 3, "defective": 6}
    assert [text for text in report["warnings"] if "limited" in text] == [
        "limited to 10 train images: not comparable with full runs",
        "limited to 9 test images: not comparable with full runs",
    ]
    for limit in (3, 6, 12, 18):
        images = lab.run(tmp_path / f"run{limit}", root=root, limit_test=limit)["images"]
        assert (images["good"], images["defective"]) == (limit // 3, 2 * limit // 3)
    lab.run(tmp_path / "other", root=root, limit_test=12, seed=1)
    chosen = [{row["input"] for row in records(tmp_path / name, "bolt")} for name in ("run12", "other")]
    assert chosen[0] != chosen[1]


def test_a_limit_that_cuts_nothing_is_not_said(lab: Lab, tmp_path: Path) -> None:
    root = parts(tmp_path / "data", "bolt")
    whole, report = lab.run(root=root), lab.run(root=root, limit_train=10, limit_test=100)
    assert untimed(report) == untimed(whole)


def test_equal_seeds_give_equal_reports(lab: Lab, tmp_path: Path) -> None:
    root, values = parts(tmp_path / "data", train=20), {"limit_train": 12, "limit_test": 4, "models": ["vision_filterbank"]}
    values["resize"] = (32, 48)
    first, again, other = (lab.run(root=root, seed=seed, **values) for seed in (3, 3, 4))
    assert untimed(first) == untimed(again)
    assert (first["seed"], other["seed"]) == (3, 4)
    thresholds = [report["per_category"]["bolt"]["thresholds"]["image"]["value"] for report in (first, other)]
    assert thresholds[0] != thresholds[1]


def test_the_seed_reaches_the_detector(lab: Lab, tmp_path: Path) -> None:
    root = layouts.loco(tmp_path / "data")  # which brings its own images for the thresholds
    values = {"dataset": "mvtec_loco", "root": root, "models": ["vision_filterbank,bank_size=1,resize=[32,48]"]}
    scores = []
    for number, seed in enumerate((3, 3, 4)):
        lab.run(tmp_path / str(number), seed=seed, **values)
        scores.append([row["score"] for row in records(tmp_path / str(number), "pushpins")])
    assert scores[0] == scores[1] != scores[2]


@pytest.mark.parametrize(
    ("masks", "values", "sentence"),
    [
        (False, {}, "no pixel metrics, because 3 defective images have no mask"),
        (True, {"models": ["acme_mapless"]}, "no pixel metrics, because the detector makes no anomaly maps"),
        (True, {"models": ["acme_flat"]}, "no pixel metrics, because the detector makes no anomaly maps"),
        (True, {"pixel": False}, None),
    ],
    ids=["no masks", "no maps", "a spec without maps", "not asked for"],
)
def test_where_there_can_be_no_pixel_metrics_images_are_rated_and_one_sentence_says_why(
    lab: Lab, tmp_path: Path, masks: bool, values: dict[str, Any], sentence: str | None
) -> None:
    report = lab.run(tmp_path / "run", root=parts(tmp_path / "data", "bolt", masks=masks), **values)
    assert (report["results"]["auroc"], report["results"]["pixel_metrics"]) == (1.0, None)
    assert report["results"]["oracle"].keys() == {"f1", "threshold"}
    assert [text for text in report["warnings"] if "pixel metric" in text] == ([sentence] if sentence else [])
    assert not any("undefined" in text for text in report["warnings"])
    assert report["curves"] == {"pro": None}
    assert all("pixel" not in row for row in records(tmp_path / "run", "bolt"))
    assert all("region_recall" not in row for row in report["defect_types"])


def test_without_a_pixel_threshold_only_what_needs_it_is_null(lab: Lab, tmp_path: Path) -> None:
    report = lab.run(root=parts(tmp_path / "data", "bolt"), pixel_segf1=False)
    pixel = report["results"]["pixel_metrics"]
    assert report["thresholds"]["pixel"] is pixel["pixel_threshold"] is pixel["pixel_segf1"] is pixel["bg_fpr"] is None
    assert (pixel["pixel_auroc"], pixel["aupro"]) == (1.0, pytest.approx(1.0))
    assert any("pixel_segf1, bg_fpr" in text and "there is no pixel threshold" in text for text in report["warnings"])


# Several categories as one


def test_a_mean_over_categories_is_unweighted_and_counts_are_summed() -> None:
    counts = {"tp": 1, "tn": 2, "fp": 3, "fn": 4}
    blocks = [
        {"auroc": value, "threshold": 9.0, "metrics": {"f1": value, **counts}, "oracle": {"f1": 1.0, "threshold": 2.0}}
        for value in (0.5, 1.0, 0.9)
    ]
    merged, partial = merge_results(blocks)
    assert merged == {
        "auroc": pytest.approx(0.8),
        "threshold": None,
        "metrics": {"f1": pytest.approx(0.8), "tp": 3, "tn": 6, "fp": 9, "fn": 12},
        "oracle": {"f1": 1.0, "threshold": None},
    }
    assert partial == []


def test_a_mean_over_some_of_the_categories_says_over_how_many() -> None:
    pixel = {"pixel_auroc": 0.75, "pixel_threshold": 1.0, "aupro_limit": 0.3}
    other = {**pixel, "pixel_auroc": 0.25}
    blocks = [
        {"auroc": 1.0, "metrics": {"f1": 1.0}, "pixel_metrics": pixel, "oracle": {"f1": 1.0}, "extra_metrics": {"gap": None}},
        {"auroc": None, "metrics": {"f1": 0.5}, "pixel_metrics": None, "oracle": {"f1": None}, "extra_metrics": {"gap": None}},
        {"auroc": 0.5, "metrics": {"f1": 0.0}, "pixel_metrics": other, "oracle": {"f1": 0.5}, "extra_metrics": {"gap": 4.0}},
    ]
    merged, partial = merge_results(blocks)
    assert merged == {
        "auroc": 0.75,
        "metrics": {"f1": 0.5},
        "pixel_metrics": {"pixel_auroc": 0.5, "pixel_threshold": None, "aupro_limit": 0.3},
        "oracle": {"f1": 0.75},
        "extra_metrics": {"gap": 4.0},
    }
    assert partial == [
        "auroc is the mean of 2 of 3 categories",
        "pixel_auroc is the mean of 2 of 3 categories",
        "oracle f1 is the mean of 2 of 3 categories",
        "gap is the mean of 1 of 3 categories",
    ]
    assert merge_results([{"pixel_metrics": None}] * 2) == ({"pixel_metrics": None}, [])


def test_the_report_over_categories_is_made_of_theirs(lab: Lab, tmp_path: Path) -> None:
    root = parts(tmp_path / "data", "bolt", "nut")
    part(root / "nut/test/dent/000.bmp")
    layouts.mask(root / "nut/ground_truth/dent/000_mask.bmp")
    report = lab.run(root=root)
    one, two = (report["per_category"][name] for name in ("bolt", "nut"))
    assert one["results"]["auroc"] == 1.0 > two["results"]["auroc"]
    assert report["results"]["auroc"] == pytest.approx((1.0 + two["results"]["auroc"]) / 2)
    assert report["results"]["metrics"]["tp"] == one["results"]["metrics"]["tp"] + two["results"]["metrics"]["tp"]
    assert report["thresholds"] == {"image": None, "pixel": None}
    assert report["options"] == {"gain": 1.0}
    assert report["timing"]["fit_s"] == pytest.approx(one["timing"]["fit_s"] + two["timing"]["fit_s"], abs=1e-3)
    assert report["timing"]["ms_per_image"] == pytest.approx(1000 * report["timing"]["score_s"] / 12, abs=1e-2)
    assert any(text.startswith("bolt: 2 held-out normal images are too few") for text in report["warnings"])


# Thresholds


def test_thresholds_are_those_of_held_out_good_images(lab: Lab, tmp_path: Path) -> None:
    root, seed = parts(tmp_path / "data", "bolt", train=20), 5
    split = load_dataset("mvtec", root).load().with_calibration(0.2, seed)
    detector = create_model("acme_mean").fit([sample.path for sample in split.train])
    held_out = detector.decision_function([sample.path for sample in split.calibration])
    limit = split.calibration[int(held_out.argmax())].path
    shutil.copy(limit, root / "bolt/test/good/003.bmp")
    report = lab.run(tmp_path / "run", root=root, seed=seed)
    pixels = np.stack(detector.predict_anomaly_map([sample.path for sample in split.calibration]))
    results, thresholds = report["results"], report["thresholds"]
    assert thresholds["image"]["value"] == results["threshold"] == held_out.max()
    assert (thresholds["image"]["calibration_count"], thresholds["image"]["split"]) == (4, "calibration")
    assert thresholds["pixel"]["value"] == results["pixel_metrics"]["pixel_threshold"]
    assert thresholds["pixel"]["value"] == pytest.approx(np.quantile(pixels, 0.999))
    scores = detector.decision_function([root / row["input"] for row in records(tmp_path / "run", "bolt")])
    rows = records(tmp_path / "run", "bolt")
    assert [row["score"] for row in rows] == scores.tolist()
    assert [row["threshold"] for row in rows] == [held_out.max()] * 7
    assert [row["label"] for row in rows if row["score"] == held_out.max()] == [0], "abnormal is above the threshold"
    assert results["metrics"]["fp"] == sum(scores[row["index"]] > held_out.max() for row in rows if not row["truth"])


def test_what_only_the_labels_could_choose_stands_apart(lab: Lab, tmp_path: Path) -> None:
    report = lab.run(root=parts(tmp_path / "data", "bolt", good=20))
    results = report["results"]
    assert results["metrics"]["false_alarm_rate"] > 0, "two held-out images are too few"
    assert results["oracle"]["f1"] == 1.0 > results["metrics"]["f1"]
    assert results["oracle"]["threshold"] > results["threshold"]
    assert results["oracle"]["pixel_segf1"] > results["pixel_metrics"]["pixel_segf1"]


# Metrics and postprocessors of a third party


def test_a_metric_of_a_plugin_is_used_by_name(lab: Lab, tmp_path: Path) -> None:
    metrics = ["acme_gap", "acme-lab:acme_gap,unit=2"]
    report = lab.run(tmp_path / "run", root=parts(tmp_path / "data", "bolt"), metrics=metrics)
    rows = records(tmp_path / "run", "bolt")
    bad, good = (np.mean([row["score"] for row in rows if row["truth"] == truth]) for truth in (1, 0))
    assert report["results"]["extra_metrics"] == {
        "acme_gap": pytest.approx(bad - good),
        "acme-lab:acme_gap,unit=2": pytest.approx((bad - good) / 2),
    }


def test_a_metric_without_a_value_is_null_with_a_reason_and_costs_nothing_else(lab: Lab, tmp_path: Path) -> None:
    root = parts(tmp_path / "data", "bolt")
    plain = lab.run(root=root, metrics=["acme_gap"])
    report = lab.run(root=root, metrics=["acme_raises", "acme_nan", "acme_gap", "acme_refuses", "spro"])
    extra = report["results"].pop("extra_metrics")
    assert list(extra) == ["acme_raises", "acme_nan", "acme_gap", "acme_refuses", "spro"]
    assert {name for name, value in extra.items() if value is None} == {"acme_raises", "acme_nan", "acme_refuses", "spro"}
    assert {"acme_gap": extra["acme_gap"]} == plain["results"].pop("extra_metrics")
    assert report["results"] == plain["results"]
    assert [text for text in report["warnings"] if text not in plain["warnings"]] == [
        "acme_raises is undefined: it failed with KeyError: 'away' (site/acme_lab.py, line 75)",
        "acme_nan is undefined: it gave nan",
        "acme_refuses is undefined: it failed: no file",
        "spro is undefined: only mvtec_loco rates its defects in a defects_config.json",
    ]


def test_a_metric_that_lacked_a_file_is_computed_once_it_is_there(lab: Lab, tmp_path: Path) -> None:
    root, values = layouts.loco(tmp_path / "data"), {"dataset": "mvtec_loco", "metrics": ["spro"]}
    config = root / "pushpins/defects_config.json"
    text = config.read_bytes()
    config.unlink()
    report = lab.run(tmp_path / "run", root=root, **values)
    assert report["results"]["extra_metrics"] == {"spro": None}
    assert any("defects_config.json cannot be read" in sentence for sentence in report["warnings"])
    config.write_bytes(text)
    assert lab.run(tmp_path / "run", root=root, **values)["results"]["extra_metrics"]["spro"] is not None


def test_a_postprocessor_of_a_plugin_stands_before_the_thresholds(lab: Lab, tmp_path: Path) -> None:
    root = parts(tmp_path / "data", "bolt")
    plain, doubled = lab.run(root=root), lab.run(tmp_path / "run", root=root, postprocess=["acme-lab:acme_double"])
    assert doubled["results"]["threshold"] == 2 * plain["results"]["threshold"]
    assert doubled["results"]["metrics"] == plain["results"]["metrics"]
    assert doubled["postprocess"] == [{"name": "acme-lab:acme_double", "options": {}}]


def test_a_postprocessor_that_raises_is_named(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match="acme-lab:acme_stumble failed: ValueError: no floor"):
        lab.run(root=parts(tmp_path / "data", "bolt"), postprocess=["acme_double", "acme_stumble"])
