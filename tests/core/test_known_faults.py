"""What evaluations of anomaly detectors are known to get wrong, each the right way, from image files to the report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import layouts
import numpy as np
import pytest
from layouts import SIZE, SPOT
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pyimgano import evaluate_detector, evaluate_split, infer, load_dataset
from pyimgano.calibration import CalibrationSettings
from pyimgano.choice import Choice
from pyimgano.contracts import DatasetSplit, Detector, Evidence, ImageScore, Metric, Runtime, Sample
from pyimgano.datasets.masks import read_mask
from pyimgano.defects.overlays import RED, draw_overlay
from pyimgano.errors import DatasetError, DetectorError
from pyimgano.images import ImageSource
from pyimgano.inference import result_to_jsonable
from pyimgano.maps import AnomalyMap, MapRecipe
from pyimgano.pipeline import Pipeline, PostprocessStep
from pyimgano.registry import load_benchmark_split
from pyimgano.reporting.strict_json import document, line

Pixels = NDArray[np.uint8]


class Grey(Detector):
    """Gives ``offset + scale * grey`` as the map and its largest value as the score; what it was fitted on scores 0 if asked.

    Parameters
    ----------
    cells
        Rows and columns of the grid; None for one value per pixel.
    """

    def __init__(
        self,
        scale: float = 1,
        offset: float = 0,
        cells: tuple[int, int] | None = None,
        batch_size: int = 16,
        remembers: bool = False,
    ) -> None:
        super().__init__(None, Runtime(batch_size=batch_size))
        self.scale, self.offset, self.cells, self.remembers = scale, offset, cells, remembers
        self.seen: set[bytes] = set()
        self.scored: list[bytes] = []

    def _fit(self, images: ImageSource) -> None:
        self.seen = {image.tobytes() for image in images}

    def _score(self, images: Sequence[Pixels]) -> list[ImageScore]:
        self.scored += [image.tobytes() for image in images]
        return [self._one(image) for image in images]

    def _one(self, image: Pixels) -> ImageScore:
        grid = self.offset + self.scale * image[:, :, 0].astype(np.float32)
        if self.remembers and image.tobytes() in self.seen:
            grid *= 0
        if self.cells is not None:
            grid = cv2.resize(grid, self.cells[::-1], interpolation=cv2.INTER_AREA)
        recipe = MapRecipe() if self.cells is None else MapRecipe((20, 20), 1.0)
        return ImageScore(float(grid.max()), AnomalyMap(grid, (image.shape[0], image.shape[1]), recipe))

    def state(self) -> dict[str, NDArray[Any]]:
        return {}

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.mark_fitted()


def write(path: Path, pixels: NDArray[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def surface(seed: int, low: int, high: int, size: tuple[int, int] = (20, 24)) -> Pixels:
    return np.random.default_rng(seed).integers(low, high, size, dtype=np.uint8)


def marked(size: tuple[int, int] = (20, 24)) -> NDArray[np.bool_]:
    """Return where the defects of all parts are: a large region and a small one."""
    mask = np.zeros(size, bool)
    mask[3:9, 4:11], mask[14:16, 15:17] = True, True
    return mask


def defective(part: Pixels, level: int) -> Pixels:
    return np.where(marked(part.shape), np.uint8(level), part).astype(np.uint8)


def parts(root: Path, train: Sequence[Pixels], good: Sequence[Pixels], bad: Sequence[Pixels]) -> DatasetSplit:
    """Write a folder dataset and return its split."""
    for place, part in enumerate(train):
        write(root / f"train/good/{place}.png", part)
    for place, part in enumerate(good):
        write(root / f"test/good/{place}.png", part)
    for place, part in enumerate(bad):
        write(root / f"test/dent/{place}.png", part)
        write(root / f"ground_truth/dent/{place}_mask.png", marked(part.shape) * 255)
    return load_dataset("folder", root).load()


@pytest.fixture
def split(tmp_path: Path) -> DatasetSplit:
    """Give 25 good parts to learn from, with grey values from 40 to 60, 4 good ones and 4 with defects at 120 to test on."""
    train, good = ([surface(seed, 40, 60) for seed in range(start, start + count)] for start, count in ((0, 25), (100, 4)))
    return parts(tmp_path / "parts", train, good, [defective(surface(seed, 40, 60), 120) for seed in range(200, 204)])


def paths(samples: Sequence[Sample]) -> list[str]:
    return [str(sample.path) for sample in samples]


def maps_of(pipeline: Pipeline, samples: Sequence[Sample]) -> list[NDArray[np.float32]]:
    maps = [result.anomaly_map for result in infer(pipeline, paths(samples))]
    return [one.render() for one in maps if one is not None]


def pixels_of(pipeline: Pipeline, samples: Sequence[Sample]) -> NDArray[np.float64]:
    return np.concatenate([one.ravel() for one in maps_of(pipeline, samples)]).astype(np.float64)


def with_steps(detector: Detector, **options: Any) -> Pipeline:
    """Return a pipeline with ``anomaly_map`` behind a detector."""
    pipeline = Pipeline.around(detector)
    pipeline.postprocess = [PostprocessStep.create(Choice(name="anomaly_map", options=options))]
    return pipeline


def test_a_camera_that_drifts_is_judged_at_the_old_thresholds_and_only_the_oracle_follows_it(
    split: DatasetSplit, tmp_path: Path
) -> None:
    drifted_test = []
    for sample in split.test:
        brighter = np.asarray(PillowImage.open(sample.path)) + 50
        path = write(tmp_path / "drifted" / sample.defect_type / sample.path.name, brighter)
        drifted_test.append(Sample(path, sample.label, sample.mask_path, sample.defect_type))
    clean = evaluate_split(Grey(), split)
    drifted = evaluate_split(Grey(), DatasetSplit(split.train, test=tuple(drifted_test)))
    assert drifted["thresholds"] == clean["thresholds"]
    assert drifted["threshold"] == clean["threshold"]
    assert drifted["pixel_metrics"]["pixel_threshold"] == clean["pixel_metrics"]["pixel_threshold"]
    assert (clean["metrics"]["f1"], clean["metrics"]["false_alarm_rate"]) == (1.0, 0.0)
    assert (drifted["metrics"]["f1"], drifted["metrics"]["false_alarm_rate"]) == (pytest.approx(2 / 3), 1.0)
    assert clean["pixel_metrics"]["bg_fpr"] < 0.01
    assert drifted["pixel_metrics"]["bg_fpr"] == 1.0
    for results in (clean, drifted):
        assert (results["oracle"]["f1"], results["oracle"]["pixel_segf1"]) == (1.0, 1.0)
    assert drifted["oracle"]["threshold"] > clean["oracle"]["threshold"] + 30


def test_parts_that_were_learned_from_never_set_a_threshold(split: DatasetSplit) -> None:
    detector = Grey(remembers=True)
    results = evaluate_split(detector, split)
    learned = split.with_calibration(0.2, 0)
    assert {image.tobytes() for image in ImageSource(paths(learned.train))} == detector.seen
    assert not detector.seen & set(detector.scored)
    assert results["threshold"] >= 40
    assert results["thresholds"]["pixel"].value >= 40
    assert results["metrics"]["false_alarm_rate"] < 1
    assert results["pixel_metrics"]["bg_fpr"] < 0.01


def test_a_perfect_map_of_zeros_and_ones_is_judged_perfect_by_metrics_labels_and_outlines(tmp_path: Path) -> None:
    flat = [np.zeros((20, 24), np.uint8)] * 4
    split = parts(tmp_path, flat, flat, [defective(part, 1) for part in flat])
    pipeline = Pipeline.around(Grey())
    results = evaluate_split(pipeline, split)
    pixel = results["pixel_metrics"]
    assert (results["threshold"], pixel["pixel_threshold"]) == (0.0, 0.0)
    assert (results["metrics"]["f1"], pixel["pixel_segf1"], pixel["bg_fpr"], pixel["region_recall"]) == (1.0, 1.0, 0.0, 1.0)
    scored = infer(pipeline, paths(split.test))
    labels = [sample.label for sample in split.test]
    assert [result.label for result in scored] == pipeline.detector.predict(paths(split.test)).tolist() == labels
    for result in scored:
        assert result.anomaly_map is not None
        overlay = draw_overlay(result, result.anomaly_map.render(), pipeline.pixel_threshold)
        outlined = (overlay[80:, overlay.shape[1] // 2 :] == RED).all(axis=2).any()
        assert outlined == bool(result.label)
    masks = [marked() if label else np.zeros((20, 24), bool) for label in labels]
    again = evaluate_detector(
        labels,
        [result.score for result in scored],
        threshold=results["oracle"]["threshold"],
        pixel_labels=masks,
        pixel_scores=maps_of(pipeline, split.test),
        pixel_threshold=results["oracle"]["pixel_threshold"],
    )
    assert (again["metrics"]["f1"], again["pixel_metrics"]["pixel_segf1"]) == (1.0, 1.0)


@pytest.mark.parametrize("method", ["minmax", "percentile"])
def test_a_good_part_gets_no_pixel_at_one_however_faint_it_is(tmp_path: Path, method: str) -> None:
    train = [surface(seed, 40, 60) for seed in range(25)]
    faint = [surface(seed, 20 + seed, 22 + seed) for seed in range(6)]
    split = parts(tmp_path, train, faint, [defective(part, 120) for part in faint])
    pipeline = with_steps(Grey(), normalize_method=method)
    results = evaluate_split(pipeline, split)
    good, bad = ([sample for sample in split.test if sample.label == label] for label in (0, 1))
    assert max(one.max() for one in maps_of(pipeline, good)) < 0
    assert min(one.max() for one in maps_of(pipeline, bad)) > 1
    pixel = results["pixel_metrics"]
    assert (pixel["good_image_alarm_rate"], pixel["bg_fpr"], pixel["pixel_segf1"], pixel["aupro"]) == (0.0, 0.0, 1.0, 1.0)


def test_scores_and_maps_beyond_one_are_ranked_as_they_are(tmp_path: Path) -> None:
    train = [surface(seed, 10, 20) for seed in range(25)]
    good = [surface(seed, 100, 120) for seed in range(4)]
    split = parts(tmp_path, train, good, [defective(part, 121) for part in good])
    for model in (Grey(), with_steps(Grey(), normalize_method="minmax")):
        results = evaluate_split(model, split)
        assert (results["auroc"], results["average_precision"]) == (1.0, 1.0)
        pixel = results["pixel_metrics"]
        assert (pixel["pixel_auroc"], pixel["pixel_average_precision"], pixel["aupro"]) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("limit", [0.05, 0.3])
def test_region_overlap_is_exact_at_any_offset_and_a_constant_map_has_half_the_limit(tmp_path: Path, limit: float) -> None:
    flat = [np.zeros((20, 24), np.uint8)] * 4
    split = parts(tmp_path, flat, flat, [defective(part, 1) for part in flat])

    def aupro(scale: float, offset: float) -> Any:
        return evaluate_split(Grey(scale, offset), split, aupro_limit=limit)["pixel_metrics"]["aupro"]

    for scale, offset in [(1e5, 1e5), (1e-6, 0), (1e-3, -50), (1, 1e6)]:
        assert aupro(scale, offset) == 1.0
    for offset in (0, 1e5, -3):
        assert aupro(0, offset) == pytest.approx(limit / 2, abs=1e-12)


def test_maps_are_calibrated_at_the_size_at_which_they_are_judged_and_never_overshoot(tmp_path: Path) -> None:
    sizes = [(40, 60), (33, 21), (64, 30)]
    train = [surface(seed, 40, 200, sizes[seed % 3]) for seed in range(15)]
    good = [surface(seed, 40, 200, sizes[seed % 3]) for seed in range(100, 103)]
    split = parts(tmp_path, train, good, [defective(part, 250) for part in good]).with_calibration(0.4, 0)
    pipeline = Pipeline.around(Grey(cells=(5, 4)))
    results = evaluate_split(pipeline, split, pixel_normal_quantile=0.95)
    value = results["thresholds"]["pixel"].value
    held_out = pipeline.detector.predict_anomaly_map(paths(split.calibration))
    assert [one.shape for one in held_out] == [tuple(read.shape[:2]) for read in ImageSource(paths(split.calibration))]
    pixels = np.concatenate([one.ravel() for one in held_out]).astype(np.float64)
    assert value == pytest.approx(np.quantile(pixels, 0.95), rel=1e-9)
    assert results["thresholds"]["pixel"].calibration_pixel_count == pixels.size
    scored = infer(pipeline, paths(split.test))
    background = []
    for sample, result in zip(split.test, scored, strict=True):
        assert result.anomaly_map is not None
        rendered, grid = result.anomaly_map.render(), result.anomaly_map.grid
        assert grid.min() - 1e-3 <= rendered.min() <= rendered.max() <= grid.max() + 1e-3
        clean = ~marked(rendered.shape) if sample.label else np.ones(rendered.shape, bool)
        background.append(rendered[clean])
    assert results["pixel_metrics"]["bg_fpr"] == (np.concatenate(background) > value).mean()


@pytest.mark.parametrize(
    "options",
    [
        {"gaussian_sigma": 2.0},
        {"normalize_method": "percentile", "gaussian_sigma": 1.0, "open_ksize": 3},
        {"component_threshold": 57.0, "min_component_area": 6},
    ],
)
def test_thresholds_come_through_the_chain_that_they_are_used_in(split: DatasetSplit, options: dict[str, Any]) -> None:
    split = split.with_calibration(0.2, 0)
    pipeline = with_steps(Grey(), **options)
    results = evaluate_split(pipeline, split, pixel_normal_quantile=0.99)
    record, pixels = results["thresholds"]["pixel"], pixels_of(pipeline, split.calibration)
    assert record.value == pytest.approx(np.quantile(pixels, 0.99), rel=1e-6)
    assert (pixels > record.value).mean() <= 0.01
    raw = np.quantile(pixels_of(Pipeline.around(pipeline.detector), split.calibration), 0.99)
    assert record.value != pytest.approx(raw, rel=1e-3)
    background = [
        one[~marked()] if sample.label else one.ravel()
        for one, sample in zip(maps_of(pipeline, split.test), split.test, strict=True)
    ]
    assert results["pixel_metrics"]["bg_fpr"] == pytest.approx((np.concatenate(background) > record.value).mean())
    assert record.chain == results["thresholds"]["image"].chain == pipeline.fingerprint()


class Pair(Grey):
    """Returns scores and maps side by side, as some libraries do."""

    def _score(self, images: Sequence[Pixels]) -> Any:
        results = super()._score(images)
        return np.array([result.score for result in results]), [result.anomaly_map for result in results]


def test_two_images_in_a_batch_are_two_results(split: DatasetSplit) -> None:
    whole = evaluate_split(Grey(batch_size=16), split)
    for size in (1, 2, 3):
        assert evaluate_split(Grey(batch_size=size), split) == whole
    detector = Grey(batch_size=2).fit(paths(split.train))
    images = paths(split.test)
    assert [result.score for result in detector.score_images(images[:2])] == detector.decision_function(images)[:2].tolist()
    assert [one.shape for one in detector.predict_anomaly_map(images[:2])] == [(20, 24)] * 2
    for count in (1, 2, 3):
        with pytest.raises(DetectorError, match="Pair"):
            Pair().fit(paths(split.train)).score_images(images[:count])


class Nowhere(Metric):
    """Has no finite value."""

    def compute(self, evidence: Evidence) -> float:
        return float("nan")


def refuse(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def test_what_has_no_number_is_null_in_reports_and_records_and_never_nan(split: DatasetSplit) -> None:
    good = DatasetSplit(split.train, test=tuple(sample for sample in split.test if not sample.label))
    pipeline = Pipeline.around(Grey())
    results = evaluate_split(pipeline, good, extra_metrics={"nowhere": Nowhere(None)})
    report = json.loads(document(results), parse_constant=refuse)
    assert (report["auroc"], report["metrics"]["recall"], report["pixel_metrics"]["aupro"]) == (None, None, None)
    assert report["extra_metrics"] == {"nowhere": None}
    assert any(sentence.startswith("nowhere is undefined") for sentence in report["warnings"])
    for result in infer(pipeline, paths(good.test)):
        record = json.loads(line(result_to_jsonable(result, include_anomaly_map_values=True)), parse_constant=refuse)
        assert record["score"] == result.score
    bare = {"mean": float("nan"), "rows": [np.float32("inf"), 1.5, np.array([-np.inf, 2])]}
    for text in (document(bare), line(bare)):
        assert json.loads(text, parse_constant=refuse) == {"mean": None, "rows": [None, 1.5, [None, 2.0]]}


def painted(root: Path, name: str, write_layout: Callable[[Path], Path], **options: Any) -> DatasetSplit:
    """Write a layout and return its split, its images black but where its masks mark a defect."""
    split = load_dataset(name, write_layout(root), **options).load()
    for sample in (*split.train, *split.calibration, *split.test):
        pixels = np.zeros((*SIZE[::-1], 3), np.uint8)
        if sample.label:
            pixels[SPOT] = 255
            if sample.path.match("logical_anomalies/000.png"):
                pixels[12:, :3] = 255
        PillowImage.fromarray(pixels).save(sample.path, quality=95)
    return split


@pytest.mark.parametrize(
    ("name", "write_layout", "options", "counts", "gone"),
    [
        ("mvtec", layouts.mvtec, {"category": "bottle"}, (12, 0, 5), "bottle/ground_truth/contamination/001_mask.png"),
        ("visa", layouts.visa_raw, {"category": "candle"}, (3, 0, 3), "candle/Data/Masks/Anomaly/001.png"),
        ("visa", layouts.visa_prepared, {}, (3, 0, 3), "1cls/candle/ground_truth/bad/001.png"),
        ("btad", layouts.btad, {"category": "01"}, (3, 0, 2), "01/ground_truth/ko/0001.png"),
        ("btad", layouts.btad, {"category": "03"}, (3, 0, 2), "03/ground_truth/ko/0001.bmp"),
        ("mvtec_loco", layouts.loco, {}, (3, 2, 3), "pushpins/ground_truth/structural_anomalies/000"),
        ("mvtec_ad2", layouts.ad2, {}, (3, 1, 8), "can/test_public/ground_truth/bad/000_shift_1_mask.png"),
    ],
    ids=["mvtec", "visa raw", "visa prepared", "btad bmp and png", "btad bmp", "loco", "ad2"],
)
def test_public_datasets_are_read_whole_with_every_defect_that_their_masks_mark(
    tmp_path: Path, name: str, write_layout: Callable[[Path], Path], options: dict[str, str], counts: tuple[int, ...], gone: str
) -> None:
    split = painted(tmp_path, name, write_layout, **options)
    assert (len(split.train), len(split.calibration), len(split.test)) == counts
    results = evaluate_split(Grey(), split)
    pixel = results["pixel_metrics"]
    assert (results["auroc"], pixel["pixel_auroc"], pixel["region_recall"], pixel["aupro"]) == (1.0, 1.0, 1.0, 1.0)
    for sample in split.test:
        assert (sample.mask_path is not None) == bool(sample.label)
        assert sample.mask_path is None or read_mask(sample.mask_path, SIZE[::-1])[SPOT].all()
    mask = tmp_path / gone
    shutil.rmtree(mask) if mask.is_dir() else mask.unlink()
    with pytest.raises(DatasetError, match="mask"):
        load_dataset(name, tmp_path, **options).load()
    bare = tuple(Sample(sample.path, sample.label) for sample in split.test)
    unmasked = evaluate_split(Grey(), DatasetSplit(split.train, split.calibration, bare))
    assert unmasked["pixel_metrics"] is None
    assert any("defective images have no mask" in sentence for sentence in unmasked["warnings"])


def test_images_of_mixed_sizes_have_pixel_metrics_over_all_their_pixels(tmp_path: Path) -> None:
    sizes = [(20, 24), (31, 18), (17, 40)]
    train, good, bad = ([surface(seed, 40, 90, sizes[seed % 3]) for seed in range(start, start + 6)] for start in (0, 100, 200))
    bad = [np.where(marked(part.shape), part + 25, part).astype(np.uint8) for part in bad]
    split = parts(tmp_path, train, good, bad)
    results = evaluate_split(Grey(), split, pixel_normal_quantile=0.9)
    assert not any("pixel" in sentence and "because" in sentence for sentence in results["warnings"])
    values = np.concatenate([part.ravel() for part in (*good, *bad)]).astype(int)
    truth = np.concatenate([np.zeros(part.size, bool) for part in good] + [marked(part.shape).ravel() for part in bad])
    gaps = values[truth][:, None] - values[~truth][None]
    pixel = results["pixel_metrics"]
    assert pixel["pixel_auroc"] == pytest.approx(((gaps > 0) + 0.5 * (gaps == 0)).mean(), abs=1e-12)
    called = values > pixel["pixel_threshold"]
    assert pixel["pixel_segf1"] == pytest.approx(2 * (called & truth).sum() / (called.sum() + truth.sum()))
    assert pixel["bg_fpr"] == pytest.approx(called[~truth].mean())
    assert None not in pixel.values()


def test_masks_belong_to_their_images_by_name_and_are_never_resized(tmp_path: Path) -> None:
    split = parts(tmp_path, [surface(seed, 10, 20) for seed in range(6)], [surface(9, 10, 20)], [])
    names = ["1", "2", "10", "scratch_3", "a.b"]
    for place, name in enumerate(names):
        mask = np.zeros((20, 24), np.uint8)
        mask[2 * place : 2 * place + 2, 3:9] = 255
        write(tmp_path / f"test/dent/{name}.png", np.maximum(mask, surface(place, 10, 20)))
        write(tmp_path / f"ground_truth/dent/{name}_mask.png", mask)
    split = load_dataset("folder", tmp_path).load()
    for sample in split.test:
        assert sample.mask_path is None or sample.mask_path.name == f"{sample.path.stem}_mask.png"
    pixel = evaluate_split(Grey(), split)["pixel_metrics"]
    assert (pixel["pixel_auroc"], pixel["aupro"], pixel["region_recall"]) == (1.0, 1.0, 1.0)
    enlarged = np.zeros((40, 48), np.uint8)
    enlarged[4:8, 6:18] = 255
    path = write(tmp_path / "ground_truth/dent/2_mask.png", enlarged)
    with pytest.raises(DatasetError, match=r"2_mask\.png is 48x40 pixels but its image is 24x20"):
        load_dataset("folder", tmp_path).load()
    with pytest.raises(DatasetError, match=r"2_mask\.png is 48x40 pixels but its image is 24x20"):
        evaluate_split(Grey(), split)
    with pytest.raises(DatasetError, match="48x40"):
        read_mask(path, (20, 24))


def test_thresholds_come_from_training_parts_and_never_from_the_test(tmp_path: Path) -> None:
    train = [surface(seed, 40, 60) for seed in range(20)]
    good = [surface(seed, 70, 80) for seed in range(100, 104)]
    split = parts(tmp_path, train, good, [defective(part, 120) for part in good])
    detector = Grey()
    results = evaluate_split(detector, split)
    held_out = load_benchmark_split("folder", tmp_path, calibration_fraction=0.2, seed=0)
    assert len(held_out.calibration) == 4
    assert {*held_out.train, *held_out.calibration} == set(split.train)
    assert not {*held_out.train, *held_out.calibration} & set(split.test)
    images = [image.tobytes() for image in ImageSource(paths(held_out.calibration))]
    assert detector.scored[:4] == images
    assert {image.tobytes() for image in ImageSource(paths(split.test))} == set(detector.scored[4:])
    record = results["thresholds"]["image"]
    assert (record.split, record.calibration_count, record.value) == ("calibration", 4, 59.0)
    assert results["thresholds"]["pixel"].value < 60
    assert (results["metrics"]["false_alarm_rate"], results["metrics"]["f1"]) == (1.0, pytest.approx(2 / 3))
    assert results["oracle"]["f1"] == 1.0
    pipeline = Pipeline.around(Grey())
    used, _ = pipeline.learn(split, CalibrationSettings(), 0)
    assert used == held_out
