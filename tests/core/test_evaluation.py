"""Evaluation: thresholds fixed before the test images, oracle values apart, and what is undefined said in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from pyimgano import evaluate_detector, evaluate_split, load_dataset
from pyimgano.contracts import DatasetSplit, Detector, ImageScore, Runtime, Sample
from pyimgano.errors import DatasetError, MetricError
from pyimgano.images import ImageSource
from pyimgano.maps import AnomalyMap
from pyimgano.pipeline import Pipeline
from pyimgano.registry import create_model

RESULTS = {"auroc", "average_precision", "threshold", "metrics", "pixel_metrics", "extra_metrics", "oracle", "warnings"}


class Memory(Detector):
    """Scores 0 what it was fitted on, as every memory bank does, and the largest grey value of anything else."""

    def __init__(self, maps: bool = True) -> None:
        super().__init__(None, Runtime(batch_size=4))
        self.maps = maps
        self.seen: set[bytes] = set()

    def _fit(self, images: ImageSource) -> None:
        self.seen = {image.tobytes() for image in images}

    def _score(self, images: Sequence[np.ndarray]) -> list[ImageScore]:
        return [self._one(image) for image in images]

    def _one(self, image: np.ndarray) -> ImageScore:
        grid = np.zeros(image.shape[:2], np.float32) if image.tobytes() in self.seen else image[:, :, 0].astype(np.float32)
        size = (image.shape[0], image.shape[1])
        return ImageScore(float(grid.max()), AnomalyMap(grid, size) if self.maps else None)

    def state(self) -> dict[str, np.ndarray]:
        return {}

    def load_state(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.mark_fitted()


def test_thresholds_are_used_as_given_and_the_labels_own_choice_stands_apart() -> None:
    labels, scores = [0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4]
    results = evaluate_detector(labels, scores, threshold=0.35)
    assert set(results) == RESULTS
    assert (results["threshold"], results["metrics"]["recall"], results["metrics"]["f1"]) == (0.35, 0.5, pytest.approx(2 / 3))
    assert results["oracle"]["f1"] == 1.0
    assert 0.2 <= results["oracle"]["threshold"] < 0.3


def test_worse_scores_at_the_same_threshold_give_a_worse_f1() -> None:
    labels = [0, 0, 1, 1]
    clean = evaluate_detector(labels, [1, 2, 5, 6], threshold=3)["metrics"]
    drifted = evaluate_detector(labels, [11, 12, 15, 16], threshold=3)["metrics"]
    assert (clean["f1"], clean["false_alarm_rate"]) == (1.0, 0.0)
    assert (drifted["f1"], drifted["false_alarm_rate"]) == (pytest.approx(2 / 3), 1.0)


def test_without_a_threshold_nothing_is_tuned() -> None:
    results = evaluate_detector([0, 1], [0.1, 0.9])
    assert results["metrics"] is None
    assert any("no image threshold" in sentence for sentence in results["warnings"])


def test_ranks_come_from_raw_scores() -> None:
    labels, scores = np.array([0, 0, 1, 1]), np.array([1.1, 1.2, 1.3, 1.4])
    assert evaluate_detector(labels, scores)["auroc"] == 1.0
    assert evaluate_detector(labels, np.clip(scores, 0, 1))["auroc"] == 0.5


def test_one_class_only_is_null_with_a_reason() -> None:
    results = evaluate_detector([0, 0], [0.1, 0.2], threshold=0.5)
    assert (results["auroc"], results["average_precision"]) == (None, None)
    assert any("all good or all defective" in sentence for sentence in results["warnings"])


def test_pixel_metrics_use_the_same_comparison_as_masks() -> None:
    mask = np.array([[0, 1], [1, 0]])
    results = evaluate_detector([1], [1.0], threshold=0.5, pixel_labels=[mask], pixel_scores=[mask * 1.0], pixel_threshold=0.0)
    assert (results["pixel_metrics"]["pixel_segf1"], results["pixel_metrics"]["bg_fpr"]) == (1.0, 0.0)
    at_the_top = evaluate_detector([1], [1.0], pixel_labels=[mask], pixel_scores=[mask * 1.0], pixel_threshold=1.0)
    assert at_the_top["pixel_metrics"]["pixel_segf1"] == 0.0


def test_images_of_mixed_sizes_are_evaluated() -> None:
    masks = [np.eye(4), np.zeros((6, 3)), np.eye(5)]
    results = evaluate_detector([1, 0, 1], [1, 0, 1], pixel_labels=masks, pixel_scores=[mask + 0.5 for mask in masks])
    assert results["pixel_metrics"]["pixel_auroc"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y_true": [0, 1], "y_scores": [0.1]}, "must both be"),
        ({"y_true": [0], "y_scores": [float("nan")]}, "NaN or infinite"),
        ({"y_true": [0], "y_scores": [0.1], "pixel_labels": [np.eye(2)]}, "belong together"),
        ({"y_true": [0], "y_scores": [0.1], "pixel_labels": [np.eye(2)], "pixel_scores": []}, "1 masks and 0 maps"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(MetricError, match=message):
        evaluate_detector(**arguments)


def test_a_split_is_evaluated_at_thresholds_from_held_out_normals(surface_split: DatasetSplit) -> None:
    results = evaluate_split(create_model("vision_filterbank", resize=(96, 128)), surface_split)
    assert set(results) == RESULTS | {"thresholds"}
    assert results["auroc"] == 1.0
    assert results["pixel_metrics"]["pixel_auroc"] > 0.9
    assert 0 < results["pixel_metrics"]["pixel_segf1"] <= results["oracle"]["pixel_segf1"]
    image, pixel = results["thresholds"]["image"], results["thresholds"]["pixel"]
    assert (image.value, image.calibration_count, image.split) == (results["threshold"], 5, "calibration")
    assert (pixel.value, pixel.q) == (results["pixel_metrics"]["pixel_threshold"], 0.999)
    assert any("19 are needed" in sentence for sentence in results["warnings"])


def test_images_that_were_fitted_on_never_calibrate(surface_split: DatasetSplit) -> None:
    results = evaluate_split(Memory(), surface_split)
    assert results["threshold"] > 0
    assert results["thresholds"]["pixel"].value > 0


def test_the_pixel_threshold_can_be_left_out(surface_split: DatasetSplit) -> None:
    results = evaluate_split(Memory(), surface_split, pixel_threshold_strategy="none")
    assert (results["pixel_metrics"]["pixel_segf1"], results["thresholds"]["pixel"]) == (None, None)
    assert results["pixel_metrics"]["pixel_auroc"] is not None
    assert any("no pixel threshold" in sentence for sentence in results["warnings"])


def test_a_missing_mask_is_said_and_never_taken_for_background(surface_split: DatasetSplit) -> None:
    bare = tuple(Sample(sample.path, sample.label) for sample in surface_split.test)
    results = evaluate_split(Memory(), DatasetSplit(surface_split.train, test=bare))
    assert results["pixel_metrics"] is None
    assert "no pixel metrics, because 9 defective images have no mask" in results["warnings"]


def test_a_detector_without_maps_gets_image_metrics_only(surface_split: DatasetSplit) -> None:
    results = evaluate_split(Memory(maps=False), surface_split)
    assert results["auroc"] is not None
    assert "no pixel metrics, because the detector makes no anomaly maps" in results["warnings"]


def test_equal_seeds_give_equal_results(surface_split: DatasetSplit) -> None:
    first, again = (evaluate_split(create_model("vision_filterbank"), surface_split, calibration_seed=3) for _ in range(2))
    assert first == again


def test_a_split_without_test_images_is_refused(surface_split: DatasetSplit) -> None:
    with pytest.raises(DatasetError, match="no test images"):
        evaluate_split(Memory(), DatasetSplit(surface_split.train))


def test_a_defective_image_is_never_learned_from_or_calibrated_on(surface_split: DatasetSplit) -> None:
    bad = tuple(sample for sample in surface_split.test if sample.label)
    for arguments in ({"train": bad}, {"train": surface_split.train, "calibration": bad}):
        with pytest.raises(DatasetError, match=r"000\.png is defective but in the training set"):
            DatasetSplit(**arguments)


def test_samples_without_a_label_are_refused(surface_split: DatasetSplit) -> None:
    unknown = tuple(Sample(sample.path, None) for sample in surface_split.test)
    with pytest.raises(DatasetError, match="15 test images have no label"):
        evaluate_split(Memory(), DatasetSplit(surface_split.train, test=unknown))


def test_a_pipeline_keeps_the_thresholds_it_was_evaluated_at(surface_root: Path) -> None:
    pipeline = Pipeline.create("vision_filterbank", {"resize": [96, 128]}, Runtime())
    results = evaluate_split(pipeline, load_dataset("folder", surface_root).load())
    assert pipeline.score_threshold == results["thresholds"]["image"]
