"""The robustness benchmark: frozen thresholds, the same numbers whatever else runs, and all the keys that were promised."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from pyimgano import ImageScore, create_model, evaluate_split
from pyimgano.contracts import DatasetSplit, Detector, Runtime, Sample
from pyimgano.contracts.adapter import adapt
from pyimgano.errors import DetectorError, OptionsError, PluginError, UnknownComponentError
from pyimgano.images import read
from pyimgano.maps import AnomalyMap
from pyimgano.pipeline import Pipeline
from pyimgano.specs import DetectorSpec
from pyimgano_robustness import run_robustness_benchmark
from pyimgano_robustness.summary import METRICS


class Brightness(Detector):
    """Scores by the mean grey value, with the grey image as its map."""

    MAPS = True

    def __init__(self) -> None:
        super().__init__(None, Runtime(batch_size=4))

    def _fit(self, images: Any) -> None:
        self.level = float(np.mean([image.mean() for image in images]))

    def _score(self, images: Any) -> list[ImageScore]:
        found = []
        for image in images:
            grey = image.mean(axis=2, dtype=np.float32)
            one = AnomalyMap(grey, grey.shape) if self.MAPS else None
            found.append(ImageScore(abs(float(grey.mean()) - self.level), one))
        return found

    def state(self) -> dict[str, np.ndarray]:
        return {}

    def load_state(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.mark_fitted()


class Mapless(Brightness):
    MAPS = False


def filterbank() -> Detector:
    return create_model("vision_filterbank", resize=[64, 64])


def run(split: DatasetSplit, detector: Detector | None = None, **settings: Any) -> dict[str, Any]:
    settings = {"corruptions": ["lighting", "geo_jitter"], "severities": [1, 5], **settings}
    return run_robustness_benchmark(detector or filterbank(), split, **settings)


def without_times(report: Any) -> Any:
    if isinstance(report, dict):
        return {key: without_times(value) for key, value in report.items() if "ms_per_image" not in key}
    return report


@pytest.fixture(scope="module")
def report(surface_split: DatasetSplit) -> dict[str, Any]:
    return run(surface_split)


def test_the_report_has_every_key_that_was_promised(report: dict[str, Any]) -> None:
    json.dumps(report, allow_nan=False)
    robustness, summary = report["robustness"], report["robustness_summary"]
    assert robustness["pixel_threshold_strategy"] == "normal_pixel_quantile"
    assert robustness["pixel_normal_quantile"] == 0.999
    conditions = [robustness["clean"]]
    for name in ("lighting", "geo_jitter"):
        assert list(robustness["corruptions"][name]) == ["severity_1", "severity_5"]
        conditions += robustness["corruptions"][name].values()
    for condition in conditions:
        assert condition["latency_ms_per_image"] > 0
        assert {"auroc", "average_precision", "metrics", "pixel_metrics", "oracle"} <= condition["results"].keys()
    for name in METRICS:
        kinds = ("clean", "mean_corruption", "worst_corruption", "mean_corruption_drop", "worst_corruption_drop")
        assert all(isinstance(summary[f"{kind}_{name}"], float) for kind in kinds)


def test_the_clean_condition_is_what_a_plain_evaluation_gives(report: dict[str, Any], surface_split: DatasetSplit) -> None:
    plain = evaluate_split(filterbank(), surface_split)
    clean = report["robustness"]["clean"]["results"]
    for key in ("auroc", "average_precision", "threshold", "metrics", "pixel_metrics", "oracle"):
        assert clean[key] == plain[key]


def test_fault_1_both_thresholds_are_frozen_and_what_the_labels_would_choose_is_called_oracle(
    surface_split: DatasetSplit,
) -> None:
    report = run(surface_split, corruptions=["lighting"], severities=[1, 3, 5])
    image, pixel = (report["thresholds"][level]["value"] for level in ("image", "pixel"))
    conditions = [report["robustness"]["clean"], *report["robustness"]["corruptions"]["lighting"].values()]
    for condition in conditions:
        results = condition["results"]
        assert results["threshold"] == image
        assert results["pixel_metrics"]["pixel_threshold"] == pixel
    clean, worst = conditions[0]["results"], conditions[-1]["results"]
    assert worst["metrics"]["false_alarm_rate"] > clean["metrics"]["false_alarm_rate"]
    assert worst["pixel_metrics"]["bg_fpr"] > clean["pixel_metrics"]["bg_fpr"]
    assert worst["oracle"]["threshold"] != image
    assert worst["oracle"]["f1"] >= worst["metrics"]["f1"]


def test_numbers_do_not_depend_on_jobs_order_or_other_conditions(report: dict[str, Any], surface_split: DatasetSplit) -> None:
    again = run(surface_split, corruptions=["geo_jitter", "lighting"], severities=[5, 1], jobs=3)
    assert without_times(again["robustness"]) == without_times(report["robustness"])
    alone = run(surface_split, corruptions=["lighting"], severities=[5])
    expected = report["robustness"]["corruptions"]["lighting"]["severity_5"]
    assert without_times(alone["robustness"]["corruptions"]["lighting"]["severity_5"]) == without_times(expected)


def test_a_subset_of_the_images_is_corrupted_as_in_the_whole(surface_split: DatasetSplit) -> None:
    def seen(test: tuple[Sample, ...]) -> set[bytes]:
        class Witness(Brightness):
            images: ClassVar[set[bytes]] = set()

            def _score(self, images: Any) -> list[ImageScore]:
                self.images.update(image.tobytes() for image in images)
                return super()._score(images)

        run(replace(surface_split, test=test), Witness(), corruptions=["glare"], severities=[3])
        return Witness.images

    assert seen(surface_split.test[::-2]) < seen(surface_split.test)


def test_masks_move_with_what_they_mark(surface_split: DatasetSplit) -> None:
    """A detector whose map is the mask's own brightness finds a moved defect where it moved to."""
    report = run(surface_split, Brightness(), corruptions=["geo_jitter"], severities=[5])
    clean = report["robustness"]["clean"]["results"]["pixel_metrics"]["pixel_auroc"]
    moved = report["robustness"]["corruptions"]["geo_jitter"]["severity_5"]["results"]["pixel_metrics"]["pixel_auroc"]
    assert abs(clean - moved) < 0.1


def test_a_pipeline_with_thresholds_keeps_those_it_was_shipped_with(surface_split: DatasetSplit) -> None:
    pipeline = Pipeline.around(Brightness())
    run(surface_split, pipeline, corruptions=["lighting"], severities=[1])
    image, pixel = pipeline.score_threshold, pipeline.pixel_threshold
    second = run(replace(surface_split, train=()), pipeline, corruptions=["lighting"], severities=[1], calibration_fraction=0.5)
    assert second["thresholds"]["image"]["value"] == image.value
    assert second["thresholds"]["pixel"]["value"] == pixel.value


def test_a_detector_without_maps_has_image_metrics_only_and_says_so(surface_split: DatasetSplit) -> None:
    report = run(surface_split, Mapless(), corruptions=["lighting"], severities=[1])
    assert report["robustness"]["clean"]["results"]["pixel_metrics"] is None
    assert report["robustness_summary"]["clean_pixel_segf1"] is None
    assert report["robustness_summary"]["clean_f1"] is not None
    assert "no pixel metrics, because the detector makes no anomaly maps" in report["warnings"]


def test_so_has_a_dataset_without_masks(surface_split: DatasetSplit) -> None:
    test = tuple(replace(sample, mask_path=None) for sample in surface_split.test)
    report = run(replace(surface_split, test=test), corruptions=["blur"], severities=[1])
    assert report["robustness"]["clean"]["results"]["pixel_metrics"] is None
    assert any("have no mask" in sentence for sentence in report["warnings"])


def test_the_sentence_says_where_most_is_lost(report: dict[str, Any]) -> None:
    told = report["robustness_summary"]["sentence"]
    assert told.startswith("FilterBank loses most under ")
    assert "SegF1" in told
    assert "at severity 5" in told


def test_an_unknown_corruption_is_refused_with_a_suggestion_and_the_list(surface_split: DatasetSplit) -> None:
    with pytest.raises(UnknownComponentError, match="did you mean glare") as caught:
        run(surface_split, corruptions=["glair"])
    assert "lighting" in caught.value.next_step


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"severities": [6]}, "severities 1 to 5"),
        ({"severities": [0]}, "severity 0 is the clean condition"),
        ({"severities": [1, 1]}, "severity 1 is given twice"),
        ({"corruptions": ["blur", "blur"]}, "corruption blur is given twice"),
    ],
)
def test_impossible_conditions_are_refused_before_anything_is_fitted(
    surface_split: DatasetSplit, settings: dict[str, Any], message: str
) -> None:
    detector = filterbank()
    with pytest.raises(OptionsError, match=message):
        run(surface_split, detector, **settings)
    assert not detector._fitted


class GreyLevel:
    """A detector of another library, which takes images however its spec says."""

    def fit(self, given: Any) -> None:
        self.level = np.mean([image.mean() for image in self._images(given)])

    def decision_function(self, given: Any) -> list[float]:
        return [abs(image.mean() - self.level) for image in self._images(given)]

    def predict_anomaly_map(self, given: Any) -> list[np.ndarray]:
        return [image.mean(axis=2) for image in self._images(given)]

    def _images(self, given: Any) -> list[np.ndarray]:
        return [read(one) if isinstance(one, str) else one for one in given]


def test_detectors_of_every_input_mode_see_the_same_images(surface_split: DatasetSplit) -> None:
    found = []
    for inputs in ("arrays", "batch", "paths"):
        spec = DetectorSpec(name="vision_grey", summary="", factory="", learning="fit", maps=True, inputs=inputs)
        detector = adapt(GreyLevel(), spec, None, Runtime(batch_size=4))
        found.append(without_times(run(surface_split, detector, severities=[3])["robustness"]))
    assert found[0] == found[1] == found[2]


def test_an_image_that_cannot_be_scored_is_named_with_its_condition(surface_split: DatasetSplit) -> None:
    class Picky(Brightness):
        def _score(self, images: Any) -> list[ImageScore]:
            if any(image.std() < 6 for image in images):
                raise ValueError("too even")
            return super()._score(images)

    with pytest.raises(DetectorError, match=r"\.png, low_contrast_5: .*too even"):
        run(surface_split, Picky(), corruptions=["low_contrast"], severities=[5])


def test_a_corruption_that_breaks_its_word_is_named_with_the_image(
    surface_split: DatasetSplit, distribution: Callable[..., Path]
) -> None:
    code = (
        "from pyimgano import hookimpl\n"
        "from pyimgano.contracts import Corruption\n"
        "from pyimgano.specs import CorruptionSpec\n"
        "class Halved(Corruption):\n"
        "    def draw(self, rng, shape):\n"
        "        return None\n"
        "    def apply(self, image, params, severity):\n"
        "        return image[::2]\n"
        "@hookimpl\n"
        "def register_corruptions():\n"
        '    return [CorruptionSpec(name="halved", summary="", factory="acme_half:Halved")]\n'
    )
    distribution("acme-half", code)
    with pytest.raises(PluginError, match=r"\.png: acme-half:halved returned an image of dtype uint8 and shape \(48, 128, 3\)"):
        run(surface_split, Brightness(), corruptions=["halved"], severities=[1])
