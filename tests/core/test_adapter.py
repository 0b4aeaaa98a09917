"""Detectors without our base class: what they are handed is what their spec declares, and nothing is tried."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pyimgano import Detector, Pipeline, Runtime, TiledDetector, create_model
from pyimgano.contracts.adapter import AdaptedDetector, adapt
from pyimgano.errors import BundleError, DetectorError, PluginError
from pyimgano.options import NoOptions
from pyimgano.preprocessing import IlluminationOptions
from pyimgano.specs import DetectorSpec

Pixels = NDArray[np.uint8]
SIZES = [(20, 30), (16, 16), (20, 30), (16, 16), (20, 30)]


def photographs(sizes: Sequence[tuple[int, int]] = SIZES) -> list[Pixels]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


class Classic:
    """Knows images by their mean, whatever it is handed, and keeps what that was."""

    def __init__(self) -> None:
        self.fitted: list[Any] = []
        self.scored: list[Any] = []

    def fit(self, given: Any) -> None:
        self.fitted.append(self._seen(given))
        self.level = float(np.mean([self._pixels(one).mean() for one in given]))

    def decision_function(self, given: Any) -> list[float]:
        self.scored.append(self._seen(given))
        return [abs(float(self._pixels(one).mean()) - self.level) for one in given]

    def predict_anomaly_map(self, given: Any) -> list[Pixels]:
        return [abs(self._pixels(one).mean(axis=2) - self.level)[::2, ::2] for one in given]

    def _pixels(self, one: Any) -> Pixels:
        return cv2.imread(one)[:, :, ::-1] if isinstance(one, str) else one

    def _seen(self, given: Any) -> Any:
        return given.shape if isinstance(given, np.ndarray) else [one if isinstance(one, str) else one.shape for one in given]


class Saving(Classic):
    def state(self) -> dict[str, Any]:
        return {"level": [self.level]}

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.level = float(arrays["level"][0])


class Single(Classic):
    """Makes the map of one image."""

    predict_anomaly_map = None  # type: ignore[assignment]

    def get_anomaly_map(self, one: Any) -> Pixels:
        return abs(self._pixels(one).mean(axis=2) - self.level)[::2, ::2]


def spec(inputs: Literal["arrays", "batch", "paths"] = "arrays", **more: Any) -> DetectorSpec:
    return DetectorSpec(name="acme", summary="", factory="acme:Acme", inputs=inputs, **more)


def adapted(model: Any, inputs: Literal["arrays", "batch", "paths"] = "arrays", **more: Any) -> Detector:
    return adapt(model, spec(inputs, **more), NoOptions(), Runtime(batch_size=4))


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Give the files of `photographs`."""
    paths = [str(tmp_path / f"{number}.png") for number in range(len(SIZES))]
    for path, image in zip(paths, photographs(), strict=True):
        cv2.imwrite(path, image[:, :, ::-1])
    return paths


# What is handed over


@pytest.mark.parametrize("kind", [Classic, Single])
@pytest.mark.parametrize("inputs", ["arrays", "batch", "paths"])
def test_scores_and_maps_are_the_same_in_every_form(inputs: Any, kind: type[Classic], files: list[str]) -> None:
    images = photographs()
    detector = adapted(kind(), inputs).fit([images[0], images[2]])
    level = np.mean([images[0].mean(), images[2].mean()])
    for given in (images, files):
        scores = detector.decision_function(given)
        np.testing.assert_allclose(scores, [abs(image.mean() - level) for image in images], rtol=1e-12)
        for image, found in zip(images, detector.score_images(given), strict=True):
            assert found.anomaly_map is not None
            assert found.anomaly_map.source == image.shape[:2]
            expected = abs(image.mean(axis=2) - level)[::2, ::2]
            np.testing.assert_allclose(found.anomaly_map.grid, expected, rtol=1e-6)


def test_arrays_are_lists_of_any_sizes() -> None:
    model = Classic()
    adapted(model).fit(photographs()).score_images(photographs())
    assert model.fitted == model.scored == [[(*size, 3) for size in SIZES]]


def test_a_batch_is_one_array_for_each_size() -> None:
    model = Classic()
    detector = adapted(model, "batch").fit(photographs([(16, 16)] * 3))
    assert model.fitted == [(3, 16, 16, 3)]
    detector.score_images(photographs())
    assert model.scored == [(3, 20, 30, 3), (2, 16, 16, 3)]


def test_training_images_of_several_sizes_are_no_batch() -> None:
    with pytest.raises(DetectorError, match="acme learns from one stacked batch, but the training images have 2 sizes"):
        adapted(Classic(), "batch").fit(photographs())


def test_paths_are_passed_through_and_arrays_are_files_for_as_long_as_the_call(files: list[str]) -> None:
    model = Classic()
    detector = adapted(model, "paths").fit(files)
    assert model.fitted == [files]
    detector.decision_function(files)
    assert model.scored == [files[:4], files[4:]]
    detector.score_images([files[0], photographs()[1]])
    first, second = model.scored[-1]
    assert first == files[0]
    assert second.endswith(".png")
    assert not Path(second).exists()


def test_a_pipeline_passes_paths_through_only_where_nothing_is_done_to_the_image(files: list[str]) -> None:
    for preprocessing, through in ((IlluminationOptions(), True), (IlluminationOptions(gamma=2.0), False)):
        model = Classic()
        pipeline = Pipeline.around(adapted(model, "paths"))
        pipeline.preprocessing = preprocessing
        assert [scored.image.shape for scored in pipeline.fit(files).score(files) if scored.image is not None] == [
            (*size, 3) for size in SIZES
        ]
        assert (model.fitted == [files], model.scored == [files[:4], files[4:]]) == (through, through)
        assert [Path(file).suffix for call in model.scored for file in call] == [".png"] * 5


def test_tiles_reach_a_detector_of_files_as_files(files: list[str]) -> None:
    model = Classic()
    TiledDetector(adapted(model, "paths"), 8, fit_on="tiles").fit(files[:1]).score_images(files[:1])
    assert len(model.fitted[0]) == 3 * 4
    assert not set(model.fitted[0]) & set(files)


# What is refused


def test_a_method_that_is_promised_and_not_there_is_named() -> None:
    class Half:
        def fit(self, given: Any) -> None: ...

    with pytest.raises(PluginError, match="acme: Half has no method decision_function"):
        adapted(Half())

    class Mapless(Half):
        def decision_function(self, given: Any) -> list[float]:
            return [1.0 for _ in given]

    with pytest.raises(PluginError, match="Mapless has neither predict_anomaly_map nor get_anomaly_map") as caught:
        adapted(Mapless())
    assert "maps=False" in caught.value.next_step
    results = adapted(Mapless(), maps=False).fit(photographs()).score_images(photographs())
    assert [(result.score, result.anomaly_map) for result in results] == [(1.0, None)] * 5


def test_a_detector_of_ours_stays_itself_and_declares_no_inputs() -> None:
    detector = create_model("vision_filterbank")
    assert adapt(detector, spec(), None, Runtime()) is detector
    with pytest.raises(PluginError, match="acme declares inputs='batch'"):
        adapt(detector, spec("batch"), None, Runtime())


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        ([[1.0], [2.0]], r"scores of shape \(2, 1\) for 2 images"),
        ([1.0], r"scores of shape \(1,\) for 2 images"),
        (1.0, r"scores of shape \(\) for 2 images"),
        ([1.0, float("nan")], "image 1 of the batch the score nan"),
    ],
)
def test_scores_that_are_not_one_number_for_each_image_are_an_error(scores: Any, says: str) -> None:
    class Odd(Classic):
        def decision_function(self, given: Any) -> Any:
            return scores

    with pytest.raises(DetectorError, match=says):
        adapted(Odd()).fit(photographs()).score_images(photographs()[:2])


def test_maps_that_are_not_one_for_each_image_are_an_error() -> None:
    class Odd(Classic):
        def predict_anomaly_map(self, given: Any) -> Any:
            return super().predict_anomaly_map(given)[:1]

    with pytest.raises(DetectorError, match="gave 1 maps for 2 images"):
        adapted(Odd()).fit(photographs()).score_images(photographs()[:2])


# State


def test_state_goes_through_where_there_is_one() -> None:
    detector = adapted(Saving()).fit(photographs())
    again = adapted(Saving())
    again.load_state(detector.state())
    np.testing.assert_array_equal(again.decision_function(photographs()), detector.decision_function(photographs()))


@pytest.mark.parametrize("wrapped", [False, True])
def test_without_state_saving_is_refused_and_names_the_methods(wrapped: bool) -> None:
    detector = adapted(Classic())
    detector = TiledDetector(detector, 16) if wrapped else detector
    detector.fit(photographs())
    for refused in (detector.check_savable, detector.state, lambda: detector.load_state({})):
        with pytest.raises(BundleError, match="acme cannot be saved: Classic has no method state and no load_state"):
            refused()
    adapted(Saving()).check_savable()
    assert isinstance(adapted(Classic()), AdaptedDetector)


# From end to end

HOUSE = """
import cv2
import numpy as np

from pyimgano import hookimpl
from pyimgano.specs import DetectorSpec


@hookimpl
def register_detectors():
    return [
        DetectorSpec(name="house", summary="Ours", factory="house_plugin:make", inputs={inputs!r}),
        DetectorSpec(name="stateless", summary="Ours", factory="house_plugin:make_stateless", inputs={inputs!r}),
    ]


class Stateless:
    def fit(self, X):
        self.mean = np.mean([self.grey(one) for one in X], axis=0)

    def decision_function(self, X):
        return np.array([abs(self.grey(one) - self.mean).max() for one in X])

    def get_anomaly_map(self, x):
        return abs(self.grey(x) - self.mean)

    def grey(self, one):
        return (cv2.imread(one) if isinstance(one, str) else one).mean(axis=2)


class House(Stateless):
    def state(self):
        return {{"mean": self.mean}}

    def load_state(self, arrays):
        self.mean = arrays["mean"]


def make(options, runtime):
    return House()


def make_stateless(options, runtime):
    return Stateless()
"""


@pytest.mark.parametrize("inputs", ["arrays", "batch", "paths"])
def test_an_in_house_detector_needs_no_base_class_to_be_trained_shipped_and_used(
    cli: Callable, distribution: Callable, surface_root: Path, tmp_path: Path, inputs: str
) -> None:
    distribution("house-plugin", HOUSE.format(inputs=inputs))
    line = ["--root", surface_root, "--model", "house"]
    done = cli("train", *line, "--export-deploy-bundle", tmp_path / "bundle")
    assert done.code == 0, done.err
    done = cli("infer", "--bundle", tmp_path / "bundle", "--input", surface_root / "test", "--defects")
    assert done.code == 0, done.err
    records = [json.loads(text) for text in done.out.splitlines()]
    assert len({record["score"] for record in records}) == 15
    assert all(record["label"] == int(record["score"] > record["threshold"]) for record in records)
    assert any(record["defects"]["regions"] for record in records)
    done = cli("benchmark", *line, "--json")
    assert done.code == 0, done.err
    results = json.loads(done.out)["results"]
    assert results["auroc"] > 0.5
    assert results["pixel_metrics"]["pixel_auroc"] > 0.5


def test_one_without_state_is_benchmarked_but_refused_for_a_bundle_before_it_is_trained(
    cli: Callable, distribution: Callable, surface_root: Path, tmp_path: Path
) -> None:
    distribution("house-plugin", HOUSE.format(inputs="arrays"))
    line = ["--root", surface_root, "--model", "stateless"]
    done = cli("train", *line, "--output", tmp_path / "run", "-v")
    assert done.code == 2
    assert "stateless cannot be saved: Stateless has no method state and no load_state" in done.err
    assert "fitting" not in done.err
    assert not (tmp_path / "run").exists()
    assert cli("benchmark", *line).code == 0
