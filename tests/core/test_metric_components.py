"""Metrics as components: each is found by name, equals its definition, says why it has no value, and is what its spec says."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import LOCO_DEFECTS, SIZE, image, loco, mask, mvtec, spot
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pyimgano import evaluate_split, load_dataset
from pyimgano.contracts import DatasetSplit, Detector, Evidence, ImageScore, Metric, Runtime
from pyimgano.datasets.masks import read_mask
from pyimgano.datasets.splits import sample_evenly
from pyimgano.errors import OptionsError, UndefinedMetricError
from pyimgano.images import ImageSource
from pyimgano.maps import AnomalyMap
from pyimgano.metrics import curve
from pyimgano.metrics.curve import ThresholdCurve
from pyimgano.metrics.pixel import PixelTruth
from pyimgano.plugin import register_metrics
from pyimgano.registry import build_component, find
from pyimgano.specs import MetricSpec

SPECS = {spec.name: spec for spec in register_metrics()}
OF_IMAGES = sorted(name for name, spec in SPECS.items() if spec.level == "image")
OF_PIXELS = sorted(SPECS.keys() - set(OF_IMAGES) - {"spro"})

ONE_CLASS = "the test images are all good or all defective"
ONE_KIND = "the masks are all empty or all full"
NO_DEFECTIVE, NO_GOOD, NO_IMAGES = "no test image is defective", "no test image is good", "there are no test images"
NOTHING = "nothing is defective and nothing was called so"
NO_MASKS = "there are no masks or no anomaly maps"

Region = set[tuple[int, int]]


def metric(name: str, **options: Any) -> Metric:
    built = build_component(find("metric", name), options)
    assert isinstance(built, Metric)
    return built


def value(name: str, evidence: Evidence, **options: Any) -> float:
    return metric(name, **options).compute(evidence)


def some_evidence(seed: int = 0) -> Evidence:
    """Return 9 images of two sizes, 5 of them defective, with ties; good ones may have empty masks, regions meet at corners."""
    rng = np.random.default_rng(seed)
    labels = np.array([0, 1, 0, 1, 1, 0, 1, 0, 1])
    truths = []
    for place, label in enumerate(labels):
        shape = ((12, 10), (8, 15))[place % 2]
        marked = np.zeros(shape, bool)
        if label:
            marked[2:4, 3:7], marked[6, 1] = True, True
            marked[range(4, 7), range(7, 10)] = True
        noise = rng.integers(0, 12, shape) / (6 if place == 5 else 4)
        truths.append(
            PixelTruth((noise + marked * rng.integers(0, 8, shape) / 4).astype(np.float32), marked if place else None)
        )
    scores = (labels * 1.5 + rng.integers(0, 12, labels.size)) / 4
    return Evidence(labels, scores, 1.5, 2.6, truths)


def regions(marked: NDArray[np.bool_]) -> list[Region]:
    """Return the 8-connected regions of a mask by a flood fill."""
    left = {(int(row), int(column)) for row, column in np.argwhere(marked)}
    found = []
    while left:
        region: Region = set()
        frontier = {left.pop()}
        while frontier:
            row, column = frontier.pop()
            region.add((row, column))
            near = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            frontier |= near
        found.append(region)
    return found


# Definitions, worked out one value at a time


def images_of(evidence: Evidence) -> list[tuple[NDArray[Any], NDArray[np.bool_]]]:
    pairs = (truth.load() for truth in evidence.truths or ())
    return [(values, np.zeros(values.shape, bool) if marked is None else marked) for values, marked in pairs]


def pixels_of(evidence: Evidence) -> tuple[list[bool], list[float]]:
    pairs = [
        (bool(m), float(v)) for values, marked in images_of(evidence) for v, m in zip(values.flat, marked.flat, strict=True)
    ]
    return [label for label, _ in pairs], [one for _, one in pairs]


def pair_share(labels: Sequence[Any], scores: Sequence[float]) -> float:
    """Return the share of (defective, good) pairs in the right order, ties counted half."""
    bad, good = (
        np.array([s for label, s in zip(labels, scores, strict=True) if bool(label) is kind]) for kind in (True, False)
    )
    gaps = bad[:, None] - good[None]
    return float(((gaps > 0) + 0.5 * (gaps == 0)).mean())


def precision_sum(labels: Sequence[Any], scores: Sequence[float]) -> float:
    """Return the sum over thresholds of the precision times the gain in recall."""
    truth, values = np.array(labels, bool), np.array(scores)
    total, before = 0.0, 0
    for level in sorted(set(scores), reverse=True):
        hits = int((truth & (values >= level)).sum())
        total += (hits - before) / truth.sum() * hits / (values >= level).sum()
        before = hits
    return total


def table(labels: Sequence[Any], scores: Sequence[float], threshold: float | None) -> dict[str, int]:
    """Return how often each of tp, fp, fn and tn occurs."""
    assert threshold is not None
    names = {(True, True): "tp", (False, True): "fp", (True, False): "fn", (False, False): "tn"}
    calls = [names[bool(label), score > threshold] for label, score in zip(labels, scores, strict=True)]
    return {name: calls.count(name) for name in names.values()}


def of_images(read: Callable[[dict[str, int]], float]) -> Callable[[Evidence], float]:
    return lambda evidence: read(table(evidence.labels.tolist(), evidence.scores.tolist(), evidence.threshold))


def of_pixels(read: Callable[[dict[str, int]], float]) -> Callable[[Evidence], float]:
    return lambda evidence: read(table(*pixels_of(evidence), evidence.pixel_threshold))


def f1_of(counts: dict[str, int]) -> float:
    return 2 * counts["tp"] / (2 * counts["tp"] + counts["fp"] + counts["fn"])


def called(evidence: Evidence) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Return what is called abnormal, and what is marked, per image."""
    return [(values > evidence.pixel_threshold, marked) for values, marked in images_of(evidence)]


def good_alarms(evidence: Evidence) -> list[bool]:
    return [bool(alarm.any()) for alarm, marked in called(evidence) if not marked.any()]


def good_share(evidence: Evidence) -> float:
    good = [alarm for alarm, marked in called(evidence) if not marked.any()]
    return sum(int(alarm.sum()) for alarm in good) / sum(alarm.size for alarm in good)


def found_regions(evidence: Evidence) -> float:
    hits = [any(alarm[place] for place in region) for alarm, marked in called(evidence) for region in regions(marked)]
    return sum(hits) / len(hits)


def false_regions(evidence: Evidence) -> float:
    misses = [not any(marked[place] for place in region) for alarm, marked in called(evidence) for region in regions(alarm)]
    return sum(misses) / len(evidence.labels)


def overlap_area(evidence: Evidence, limit: float) -> float:
    """Return the area under mean region overlap against the false-positive rate up to a limit, over the limit."""
    images = images_of(evidence)
    clean = np.concatenate([values[~marked] for values, marked in images])
    parts = [np.array([values[place] for place in region]) for values, marked in images for region in regions(marked)]
    points = [(0.0, 0.0)]
    for level in np.unique(np.concatenate([values.ravel() for values, _ in images]))[::-1]:
        points.append((float((clean >= level).mean()), float(np.mean([(part >= level).mean() for part in parts]))))
    return trapezoid(points, limit)


def trapezoid(points: Sequence[tuple[float, float]], limit: float) -> float:
    area = 0.0
    for (a, c), (b, d) in pairwise(points):
        if a < limit and b > a:
            end = min(b, limit)
            area += (end - a) * (c + c + (d - c) * (end - a) / (b - a)) / 2
    return area / limit


DEFINITIONS: dict[str, Callable[[Evidence], float]] = {
    "auroc": lambda evidence: pair_share(evidence.labels.tolist(), evidence.scores.tolist()),
    "average_precision": lambda evidence: precision_sum(evidence.labels.tolist(), evidence.scores.tolist()),
    "precision": of_images(lambda n: n["tp"] / (n["tp"] + n["fp"])),
    "recall": of_images(lambda n: n["tp"] / (n["tp"] + n["fn"])),
    "f1": of_images(f1_of),
    "specificity": of_images(lambda n: n["tn"] / (n["tn"] + n["fp"])),
    "accuracy": of_images(lambda n: (n["tp"] + n["tn"]) / sum(n.values())),
    "false_alarm_rate": of_images(lambda n: n["fp"] / (n["tn"] + n["fp"])),
    "pixel_auroc": lambda evidence: pair_share(*pixels_of(evidence)),
    "pixel_average_precision": lambda evidence: precision_sum(*pixels_of(evidence)),
    "pixel_segf1": of_pixels(f1_of),
    "bg_fpr": of_pixels(lambda n: n["fp"] / (n["fp"] + n["tn"])),
    "good_image_bg_fpr": good_share,
    "good_image_alarm_rate": lambda evidence: float(np.mean(good_alarms(evidence))),
    "region_recall": found_regions,
    "false_regions_per_image": false_regions,
    "aupro": lambda evidence: overlap_area(evidence, 0.3),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", sorted(SPECS.keys() - {"spro"}))
def test_a_metric_equals_its_definition(name: str, seed: int) -> None:
    evidence = some_evidence(seed)
    measured = value(name, evidence)
    assert isinstance(measured, float)
    assert measured == pytest.approx(DEFINITIONS[name](evidence), abs=1e-12)


def test_the_examples_are_neither_perfect_nor_hopeless() -> None:
    for name in SPECS.keys() - {"spro"}:
        values = {round(value(name, some_evidence(seed)), 9) for seed in range(3)}
        assert not values <= {0.0, 1.0}, name


@pytest.mark.parametrize("limit", [0.01, 0.05, 0.3, 1.0])
def test_the_limit_of_aupro_is_an_option(limit: float) -> None:
    evidence = some_evidence()
    assert value("aupro", evidence, limit=limit) == pytest.approx(overlap_area(evidence, limit), abs=1e-12)


@pytest.mark.parametrize("name", ["aupro", "spro"])
@pytest.mark.parametrize("limit", [0, -0.1, 1.1, float("nan")])
def test_a_limit_that_is_no_rate_is_refused(name: str, limit: float) -> None:
    with pytest.raises(OptionsError, match=rf"{name}\.limit: must be"):
        metric(name, limit=limit)


@pytest.mark.parametrize("name", sorted(SPECS))
def test_an_option_that_a_metric_does_not_have_is_refused(name: str) -> None:
    with pytest.raises(OptionsError, match=rf"{name}\.treshold: unknown option"):
        metric(name, treshold=1)


@pytest.mark.extras
@pytest.mark.parametrize("seed", range(3))
def test_metrics_that_scikit_learn_has_agree_with_it(seed: int) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    evidence = some_evidence(seed)
    labels, scores = evidence.labels, evidence.scores
    marked, levels = (np.array(one) for one in pixels_of(evidence))
    calls, alarms = scores > evidence.threshold, levels > evidence.pixel_threshold
    expected = {
        "auroc": sklearn.roc_auc_score(labels, scores),
        "average_precision": sklearn.average_precision_score(labels, scores),
        "precision": sklearn.precision_score(labels, calls),
        "recall": sklearn.recall_score(labels, calls),
        "f1": sklearn.f1_score(labels, calls),
        "specificity": sklearn.recall_score(labels, calls, pos_label=0),
        "accuracy": sklearn.accuracy_score(labels, calls),
        "false_alarm_rate": 1 - sklearn.recall_score(labels, calls, pos_label=0),
        "pixel_auroc": sklearn.roc_auc_score(marked, levels),
        "pixel_average_precision": sklearn.average_precision_score(marked, levels),
        "pixel_segf1": sklearn.f1_score(marked, alarms),
        "bg_fpr": 1 - sklearn.recall_score(marked, alarms, pos_label=0),
    }
    assert {name: value(name, evidence) for name in expected} == pytest.approx(expected, abs=1e-9)


# No value, and why


def why(name: str, evidence: Evidence, **options: Any) -> str:
    with pytest.raises(UndefinedMetricError) as caught:
        value(name, evidence, **options)
    return caught.value.problem


def only(evidence: Evidence, label: int) -> Evidence:
    """Return the part of the evidence with one label."""
    chosen = np.flatnonzero(evidence.labels == label)
    truths = [evidence.truths[place] for place in chosen] if evidence.truths is not None else None
    return replace(evidence, labels=evidence.labels[chosen], scores=evidence.scores[chosen], truths=truths)


GOOD, BAD = only(some_evidence(), 0), only(some_evidence(), 1)
QUIET = replace(GOOD, threshold=99.0, pixel_threshold=99.0)
FULL = replace(BAD, truths=[PixelTruth(np.eye(4), np.ones((4, 4), bool))] * 5)
NO_ONE = Evidence(np.array([], int), np.array([]), 1.0, 1.0, [])


@pytest.mark.parametrize(
    ("name", "evidence", "reason"),
    [
        *((name, one, ONE_CLASS) for name in ("auroc", "average_precision") for one in (GOOD, BAD, NO_ONE)),
        ("precision", QUIET, "nothing was called defective"),
        ("recall", GOOD, NO_DEFECTIVE),
        ("f1", QUIET, NOTHING),
        ("specificity", BAD, NO_GOOD),
        ("false_alarm_rate", BAD, NO_GOOD),
        ("accuracy", NO_ONE, NO_IMAGES),
        *(
            (name, one, ONE_KIND)
            for name in ("pixel_auroc", "pixel_average_precision", "aupro")
            for one in (GOOD, FULL, NO_ONE)
        ),
        ("pixel_segf1", QUIET, NOTHING),
        ("bg_fpr", FULL, "no pixel is free of defects"),
        ("good_image_bg_fpr", BAD, NO_GOOD),
        ("good_image_alarm_rate", BAD, NO_GOOD),
        ("region_recall", GOOD, "no test image has a defect in its mask"),
        ("false_regions_per_image", NO_ONE, NO_IMAGES),
    ],
)
def test_what_has_no_value_says_why(name: str, evidence: Evidence, reason: str) -> None:
    assert why(name, evidence) == reason


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("f1", 0.0),
        ("precision", 0.0),
        ("accuracy", 0.0),
        ("specificity", 0.0),
        ("pixel_segf1", 0.0),
        ("good_image_alarm_rate", 1.0),
    ],
)
def test_only_good_images_that_are_all_called_defective_have_a_value(name: str, expected: float) -> None:
    assert value(name, replace(GOOD, threshold=-1.0, pixel_threshold=-1.0)) == expected


AT_THE_THRESHOLD = ["accuracy", "f1", "false_alarm_rate", "precision", "recall", "specificity"]
AT_THE_PIXEL_THRESHOLD = sorted(set(OF_PIXELS) - {"aupro", "pixel_auroc", "pixel_average_precision"})


@pytest.mark.parametrize("name", sorted(SPECS.keys() - {"spro"}))
def test_metrics_at_a_threshold_need_one_and_the_others_do_not(name: str) -> None:
    evidence = replace(some_evidence(), threshold=None, pixel_threshold=None)
    reasons = {**dict.fromkeys(AT_THE_THRESHOLD, "there is no image threshold")}
    reasons |= dict.fromkeys(AT_THE_PIXEL_THRESHOLD, "there is no pixel threshold")
    if name in reasons:
        assert why(name, evidence) == reasons[name]
    else:
        assert value(name, evidence) == value(name, some_evidence())


# Specs


def test_every_metric_that_is_registered_is_found_and_tested_here() -> None:
    assert DEFINITIONS.keys() | {"spro"} == SPECS.keys()
    for name, spec in SPECS.items():
        entry = find("metric", name)
        assert (entry.spec, entry.full_name) == (spec, f"pyimgano-core:{name}")
        assert (spec.options is None) == (not entry.options_model().model_fields)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_what_needs_masks_is_undefined_without_and_the_rest_is_not(spec: MetricSpec) -> None:
    evidence = replace(some_evidence(), truths=None)
    assert spec.needs_masks == (spec.level != "image")
    if spec.needs_masks:
        assert why(spec.name, evidence) == NO_MASKS
    else:
        assert value(spec.name, evidence) == value(spec.name, some_evidence())


@pytest.mark.parametrize("name", OF_PIXELS)
def test_metrics_of_pixels_and_regions_do_not_see_image_scores(name: str) -> None:
    evidence = some_evidence()
    assert value(name, replace(evidence, scores=-evidence.scores, threshold=None)) == value(name, evidence)


LARGE, SMALL = (slice(2, 8), slice(2, 8)), (slice(12, 14), slice(12, 14))


def one_of_two(place: Any, defects: bool) -> Evidence:
    """Return an image with a large and a small defect, or a good one, of which one place is called abnormal."""
    marked, values = np.zeros((20, 20), bool), np.zeros((20, 20))
    marked[LARGE] = marked[SMALL] = True
    values[place] = 1
    return Evidence(np.array([int(defects)]), np.array([1.0]), 0.5, 0.5, [PixelTruth(values, marked if defects else None)])


@pytest.mark.parametrize(
    ("name", "defects"),
    [
        ("pixel_auroc", True),
        ("pixel_average_precision", True),
        ("pixel_segf1", True),
        ("region_recall", True),
        ("aupro", True),
        ("bg_fpr", False),
        ("good_image_bg_fpr", False),
        ("false_regions_per_image", False),
    ],
)
def test_a_small_region_weighs_as_much_as_a_large_one_at_the_level_of_regions_only(name: str, defects: bool) -> None:
    large, small = (value(name, one_of_two(place, defects)) for place in (LARGE, SMALL))
    assert (large == pytest.approx(small)) == (SPECS[name].level == "region")


def graded(worse: bool) -> Evidence:
    """Return a good and a defective image that are judged right, or one of each more that is judged wrong."""
    marked = np.zeros((12, 12), bool)
    marked[2:5, 2:5] = marked[8, 8] = True
    right = [(0, 0.1, np.zeros((12, 12)), None), (1, 0.9, marked * 1.0, marked)]
    missed, alarmed = marked * 0.0, np.zeros((12, 12))
    missed[0, 10] = alarmed[6, 6] = 0.9
    wrong = [(0, 0.8, alarmed, None), (1, 0.2, missed, marked)]
    labels, scores, maps, masks = zip(*(right + wrong if worse else right + right), strict=True)
    truths = [PixelTruth(one, truth) for one, truth in zip(maps, masks, strict=True)]
    return Evidence(np.array(labels), np.array(scores), 0.5, 0.5, truths)


@pytest.mark.parametrize("name", sorted(SPECS.keys() - {"spro"}))
def test_worse_predictions_move_a_metric_the_way_its_spec_says(name: str) -> None:
    best, worse = value(name, graded(worse=False)), value(name, graded(worse=True))
    assert best == (1.0 if SPECS[name].higher_is_better else 0.0)
    assert worse < best if SPECS[name].higher_is_better else worse > best


# MVTec LOCO


def loco_evidence(root: Path, quality: float | None = None) -> Evidence:
    """Return the test images of a small tree with random maps, or with maps of what is marked that are so good."""
    loco(root)
    image(root / "pushpins/test/good/001.png")
    image(root / "pushpins/test/logical_anomalies/001.png")
    mask(root / "pushpins/ground_truth/logical_anomalies/001/000.png", spot(255)[::-1].copy())
    mask(root / "pushpins/ground_truth/logical_anomalies/001/001.png", spot(7))
    samples = load_dataset("mvtec_loco", root).load().test
    rng = np.random.default_rng(3)
    truths = []
    for sample in samples:
        values = rng.integers(0, 9, SIZE[::-1]).astype(np.float32)
        if quality is not None:
            marked = read_mask(sample.mask_path, SIZE[::-1]) if sample.mask_path else np.zeros(SIZE[::-1], bool)
            values = marked * np.float32(quality)
            values[0, 0] = 1
        truths.append(
            PixelTruth(AnomalyMap(values, SIZE[::-1]), sample.mask_path and partial(read_mask, sample.mask_path, SIZE[::-1]))
        )
    labels = np.array([sample.label for sample in samples])
    return Evidence(labels, labels * 1.0, 0.5, 0.5, truths, samples)


def saturated_area(images: Sequence[tuple[NDArray[Any], Path | None]], limit: float) -> float:
    """Return the area under the saturated overlap, read from the mask files and the configuration of defects."""
    rated = {row["pixel_value"]: row for row in LOCO_DEFECTS}
    channels: list[tuple[NDArray[Any], NDArray[np.bool_], float]] = []
    clean = []
    for values, folder in images:
        free = np.ones(values.shape, bool)
        for file in sorted(folder.glob("0*.png")) if folder is not None else ():
            stored = np.asarray(PillowImage.open(file))
            marked = stored > 0
            row = rated[int(stored.max())]
            threshold: Any = row["saturation_threshold"]
            wanted = int(threshold * marked.sum()) if row["relative_saturation"] else min(threshold, marked.sum())
            channels.append((values, marked, wanted))
            free &= ~marked
        clean.append(values[free])
    background = np.concatenate(clean)
    points = [(0.0, 0.0)]
    for level in np.unique(np.concatenate([values.ravel() for values, _ in images]))[::-1]:
        found = [min((values[marked] >= level).sum() / wanted, 1.0) for values, marked, wanted in channels]
        points.append((float((background >= level).mean()), float(np.mean(found))))
    return trapezoid(points, limit)


@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
def test_spro_is_the_mean_over_both_types_each_with_all_good_images(tmp_path: Path, limit: float) -> None:
    evidence = loco_evidence(tmp_path)
    assert evidence.samples is not None
    areas = []
    for kind in ("logical_anomalies", "structural_anomalies"):
        chosen = [
            (truth.load()[0], sample.mask_path)
            for sample, truth in zip(evidence.samples, evidence.truths or (), strict=True)
            if sample.defect_type in ("good", kind)
        ]
        assert len(chosen) == (4 if kind == "logical_anomalies" else 3)
        areas.append(saturated_area(chosen, limit))
    assert areas[0] != pytest.approx(areas[1])
    assert value("spro", evidence, limit=limit) == pytest.approx(sum(areas) / 2, abs=1e-12)


def test_spro_integrates_to_5_percent_and_higher_is_better(tmp_path: Path) -> None:
    evidence = loco_evidence(tmp_path / "a")
    assert value("spro", evidence) == value("spro", evidence, limit=0.05)
    assert value("spro", loco_evidence(tmp_path / "b", quality=2)) == 1.0
    assert value("spro", loco_evidence(tmp_path / "c", quality=0)) < 1.0
    assert SPECS["spro"].higher_is_better


def test_spro_sees_neither_image_scores_nor_thresholds(tmp_path: Path) -> None:
    evidence = loco_evidence(tmp_path)
    changed = replace(evidence, scores=-evidence.scores, threshold=None, pixel_threshold=None)
    assert value("spro", changed) == value("spro", evidence)


def test_spro_says_why_it_has_no_value(tmp_path: Path) -> None:
    evidence = loco_evidence(tmp_path / "loco")
    assert evidence.samples is not None
    assert evidence.truths is not None
    assert why("spro", replace(evidence, truths=None)) == NO_MASKS
    good = [place for place, sample in enumerate(evidence.samples) if not sample.label]
    of_good = replace(evidence, samples=[evidence.samples[i] for i in good], truths=[evidence.truths[i] for i in good])
    assert why("spro", of_good) == NO_DEFECTIVE
    samples = load_dataset("mvtec", mvtec(tmp_path / "mvtec"), category="bottle").load().test
    truths = [PixelTruth(AnomalyMap(np.ones(SIZE[::-1], np.float32), SIZE[::-1])) for _ in samples]
    elsewhere = replace(evidence, samples=samples, truths=truths, labels=np.ones(5, int), scores=np.ones(5))
    only_loco = "only mvtec_loco rates its defects in a defects_config.json"
    assert why("spro", elsewhere) == only_loco
    assert why("spro", some_evidence()) == only_loco


# In a report


class Blue(Detector):
    """Gives the blue channel as the map, and its largest value as the score."""

    def __init__(self) -> None:
        super().__init__(None, Runtime())

    def _fit(self, images: ImageSource) -> None:
        """Learn nothing."""

    def _score(self, images: Sequence[NDArray[np.uint8]]) -> list[ImageScore]:
        grids = [image[:, :, 2].astype(np.float32) for image in images]
        return [ImageScore(float(grid.max()), AnomalyMap(grid, (grid.shape[0], grid.shape[1]))) for grid in grids]

    def state(self) -> dict[str, NDArray[Any]]:
        return {}

    def load_state(self, arrays: Any) -> None:
        self.mark_fitted()


class Constant(Metric):
    """Gives what it is made with, or raises it."""

    def compute(self, evidence: Evidence) -> float:
        if isinstance(self.options, Exception):
            raise self.options
        return float(self.options)


def test_chosen_metrics_stand_in_the_report_by_name(surface_split: DatasetSplit) -> None:
    chosen = {"aupro,limit=0.05": metric("aupro", limit=0.05), "aupro": metric("aupro"), "spro": metric("spro")}
    results = evaluate_split(Blue(), surface_split, extra_metrics=chosen)
    assert results["extra_metrics"]["aupro"] == results["pixel_metrics"]["aupro"]
    assert 0 <= results["extra_metrics"]["aupro,limit=0.05"] <= 1
    assert results["extra_metrics"]["spro"] is None
    assert "spro is undefined: only mvtec_loco rates its defects in a defects_config.json" in results["warnings"]


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (math.nan, "it gave nan"),
        (math.inf, "it gave inf"),
        (ZeroDivisionError("division by zero"), "it failed with ZeroDivisionError: division by zero"),
        (UndefinedMetricError("the moon is full"), "the moon is full"),
    ],
)
def test_a_metric_that_fails_costs_its_own_value_alone(outcome: Any, reason: str, surface_split: DatasetSplit) -> None:
    results = evaluate_split(Blue(), surface_split, extra_metrics={"acme": Constant(outcome), "half": Constant(0.5)})
    assert results["extra_metrics"] == {"acme": None, "half": 0.5}
    assert any(warning.startswith(f"acme is undefined: {reason}") for warning in results["warnings"])
    assert results["auroc"] is not None


# Points of a curve


def polyline(positives: Sequence[float], weights: Sequence[float], negatives: Sequence[float]) -> list[tuple[float, float]]:
    points = [(0.0, 0.0)]
    for level in sorted({*positives, *negatives}, reverse=True):
        rise = sum(weight for one, weight in zip(positives, weights, strict=True) if one >= level) / sum(weights)
        points.append((sum(one >= level for one in negatives) / len(negatives), rise))
    return points


def height_at(points: Sequence[tuple[float, float]], rate: float) -> float:
    """Return the height of a rising line at a rate, its upper end where it is upright."""
    best = 0.0
    for (a, c), (b, d) in pairwise(points):
        if a <= rate <= b:
            best = max(best, d if b == a else c + (d - c) * (rate - a) / (b - a))
    return best


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**6), levels=st.sampled_from([1, 3, 12, 10**6]), chunk=st.sampled_from([1, 2, 5, 1 << 18]))
def test_heights_are_those_of_the_curve(seed: int, levels: int, chunk: int) -> None:
    rng = np.random.default_rng(seed)
    positives, negatives = (rng.integers(0, levels, rng.integers(1, 12)).astype(float) for _ in range(2))
    weights = rng.integers(1, 5, positives.size).astype(float)
    one = ThresholdCurve(positives, weights)
    one.add_negatives(negatives)
    rates = np.r_[0.0, 1.0, np.arange(negatives.size + 1) / negatives.size, rng.random(6)]
    points = polyline(positives.tolist(), weights.tolist(), negatives.tolist())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curve, "_CHUNK", chunk)
        heights = one.heights(rates)
    assert heights.tolist() == pytest.approx([height_at(points, rate) for rate in rates.tolist()], abs=1e-9)


def test_heights_by_hand() -> None:
    one = ThresholdCurve(np.array([5.0, 3.0, 3.0, 1.0]))
    one.add_negatives(np.array([4.0, 3.0, 0.0, 0.0]))
    assert one.heights(np.array([0.0, 0.125, 0.25, 0.375, 0.5, 0.75, 1.0])).tolist() == [0.25, 0.25, 0.25, 0.5, 1.0, 1.0, 1.0]
    tied = ThresholdCurve(np.array([2.0, 2.0]))
    tied.add_negatives(np.array([2.0, 2.0, 2.0]))
    assert tied.heights(np.array([0.0, 0.3, 1.0])).tolist() == pytest.approx([0.0, 0.3, 1.0])


# A sample in proportion


@settings(max_examples=150, deadline=None)
@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    limit=st.integers(4, 80),
    seed=st.integers(0, 2**31),
)
def test_a_sample_keeps_order_and_every_class_in_proportion(counts: list[int], limit: int, seed: int) -> None:
    classes = [kind for kind, count in enumerate(counts) for _ in range(count)]
    classes = np.random.default_rng(seed).permutation(classes).tolist()
    items = [f"{place}.png" for place in range(len(classes))]
    chosen = sample_evenly(items, classes, limit, seed)
    assert len(chosen) == min(limit, len(items))
    assert chosen == sorted(set(chosen), key=items.index)
    assert chosen == sample_evenly(items, classes, limit, seed)
    kinds = [classes[items.index(item)] for item in chosen]
    for kind, count in enumerate(counts):
        assert kinds.count(kind) >= 1
        assert abs(kinds.count(kind) - count * len(chosen) / len(items)) <= len(counts)


def test_a_sample_halves_every_class() -> None:
    classes = ["good"] * 40 + ["bad"] * 20
    chosen = sample_evenly(range(60), classes, 30)
    assert [sum(place < 40 for place in chosen), sum(place >= 40 for place in chosen)] == [20, 10]


def test_all_items_are_returned_where_they_fit() -> None:
    items = ["b", "a", "c"]
    assert sample_evenly(items, [0, 1, 0], 3) == items
    assert sample_evenly([], [], 2) == []


def test_other_seeds_give_other_samples_and_the_global_generator_is_left_alone() -> None:
    np.random.seed(0)
    before = np.random.get_state()
    chosen = {tuple(sample_evenly(range(100), [None] * 100, 10, seed)) for seed in range(20)}
    assert len(chosen) == 20
    after = np.random.get_state()
    assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))


def test_samples_of_every_seed_reach_every_item() -> None:
    counts = np.zeros(30)
    for seed in range(300):
        counts[sample_evenly(range(30), [0] * 10 + [1] * 20, 6, seed)] += 1
    assert counts.min() > 30
    assert counts.max() < 90
