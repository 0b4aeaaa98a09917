"""Detectors behind scikit-learn's interface, on paths and on arrays, against scikit-learn's own checks."""

from __future__ import annotations

import logging
import pickle
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyimgano import create_model
from pyimgano.contracts import DatasetSplit
from pyimgano.errors import InputError, MissingDependencyError, OptionsError, UnknownComponentError
from pyimgano.images import read

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold, PredefinedSplit, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import validate_data

from pyimgano.sklearn_adapter import AnomalyDetectorEstimator

pytestmark = pytest.mark.extras

GUIDE = Path(__file__).parents[2] / "docs" / "scikit-learn.md"
SMALL = {"resize": (64, 64)}
CONSTANT = """
import numpy as np
from pyimgano import Detector, ImageScore, hookimpl
from pyimgano.specs import DetectorSpec

@hookimpl
def register_detectors():
    return [DetectorSpec(name='acme_mean', summary='Mean grey', factory='acme_mean:Mean', maps=False)]

class Mean(Detector):
    def _fit(self, images):
        self.seen = [image.mean() for image in images]
    def _score(self, images):
        return [ImageScore(float(image.mean())) for image in images]
    def state(self):
        return {}
    def load_state(self, arrays):
        self.mark_fitted()
"""


def estimator(**params: Any) -> AnomalyDetectorEstimator:
    return AnomalyDetectorEstimator(**{"options": SMALL, **params})


def grey(level: int, size: tuple[int, int] = (16, 16)) -> np.ndarray:
    return np.full((*size, 3), level, dtype=np.uint8)


@pytest.fixture(scope="module")
def parts(surface_split: DatasetSplit) -> tuple[list[str], list[str], np.ndarray]:
    """Give paths of good images, paths of test images, and the labels of those: 1 good, -1 defective."""
    good = [str(sample.path) for sample in surface_split.train]
    test = [str(sample.path) for sample in surface_split.test]
    return good, test, np.array([-1 if sample.label else 1 for sample in surface_split.test])


# --- scikit-learn's own checks ---------------------------------------------------------------------------------------------


class RowsAsImages(AnomalyDetectorEstimator):
    """The estimator for tables: scikit-learn's checks pass those, and each row becomes an image with a stripe per feature."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = tags.input_tags.three_d_array = tags.input_tags.string = False
        tags.input_tags.two_d_array = True
        return tags

    def fit(self, X: Any, y: Any = None) -> Any:
        validate_data(self, X, ensure_min_samples=2)
        return super().fit(X, y)

    def _images(self, X: Any) -> list[Any]:
        rows = validate_data(self, X, reset=False)
        levels = np.rint(127.5 + 255 / np.pi * np.arctan(rows)).astype(np.uint8)
        return [np.tile(np.repeat(row, 8), (8, 1)) for row in levels]


@parametrize_with_checks([RowsAsImages(options={"resize": (16, 16)})], expected_failed_checks=lambda _: {})
def test_scikit_learns_checks_pass_where_rows_are_images(estimator: Any, check: Callable) -> None:
    check(estimator)


@pytest.mark.parametrize(
    "check",
    [
        "check_estimator_cloneable",
        "check_estimator_tags_renamed",
        "check_valid_tag_types",
        "check_estimator_repr",
        "check_no_attributes_set_in_init",
        "check_parameters_default_constructible",
        "check_do_not_raise_errors_in_init_or_set_params",
        "check_get_params_invariance",
        "check_set_params",
        "check_mixin_order",
    ],
)
def test_scikit_learns_checks_that_pass_no_data_pass_for_the_class_itself(check: str) -> None:
    getattr(estimator_checks, check)("AnomalyDetectorEstimator", AnomalyDetectorEstimator())


def test_scikit_learn_skips_its_other_checks_of_the_class_because_x_is_no_table() -> None:
    with pytest.warns(estimator_checks.SkipTestWarning, match="requires input"):
        names = [check.func.__name__ for _, check in estimator_checks.estimator_checks_generator(AnomalyDetectorEstimator())]
    assert names == ["check_estimator_cloneable"]


# --- signs and labels ------------------------------------------------------------------------------------------------------


def test_an_image_is_called_defective_exactly_where_its_score_exceeds_the_threshold(parts: tuple) -> None:
    good, test, _ = parts
    fitted = estimator().fit(good)
    raw = np.array([scored.result.score for scored in fitted.pipeline_.score(test)])
    threshold = fitted.pipeline_.score_threshold.value
    np.testing.assert_array_equal(fitted.score_samples(test), -raw)
    np.testing.assert_array_equal(fitted.decision_function(test), threshold - raw)
    np.testing.assert_array_equal(fitted.predict(test) == -1, raw > threshold)
    assert fitted.offset_ == -threshold


def test_good_parts_score_above_defective_ones(parts: tuple) -> None:
    good, test, labels = parts
    fitted = estimator().fit(good)
    assert roc_auc_score(labels, fitted.decision_function(test)) > 0.9
    assert (fitted.predict(test)[labels == -1] == -1).mean() > 0.5


@pytest.mark.parametrize(("level", "label"), [(250, -1), (10, 1)])
def test_predictions_that_are_all_alike_keep_their_meaning(distribution: Callable, level: int, label: int) -> None:
    distribution("acme-mean", CONSTANT)
    fitted = AnomalyDetectorEstimator("acme_mean").fit([grey(level) for level in range(100, 130)])
    assert fitted.predict([grey(level)] * 3).tolist() == [label] * 3


def test_a_score_at_the_threshold_is_good(distribution: Callable) -> None:
    distribution("acme-mean", CONSTANT)
    fitted = AnomalyDetectorEstimator("acme_mean").fit([grey(100)] * 40)
    assert (fitted.decision_function([grey(100)]), fitted.predict([grey(100)])) == ([0.0], [1])
    assert fitted.predict([grey(101)]) == [-1]


# --- the threshold comes from held-out images ------------------------------------------------------------------------------


@pytest.mark.parametrize("fraction", [0.25, 0.5])
def test_the_threshold_comes_from_images_that_were_not_learned(distribution: Callable, fraction: float) -> None:
    distribution("acme-mean", CONSTANT)
    levels = list(range(100, 140))
    fitted = AnomalyDetectorEstimator("acme_mean", calibration_fraction=fraction).fit([grey(level) for level in levels])
    learned = set(fitted.pipeline_.detector.seen)
    held_out = sorted(set(levels) - learned)
    assert len(held_out) == 40 * fraction
    assert fitted.pipeline_.score_threshold.calibration_count == len(held_out)
    assert -fitted.offset_ in held_out


def test_a_memory_of_the_very_images_does_not_make_every_new_one_defective(parts: tuple) -> None:
    good, test, labels = parts
    fitted = estimator(calibration_fraction=0.4).fit(good)
    assert (fitted.predict(test)[labels == 1] == 1).any()


def test_the_false_alarm_rate_is_a_parameter(distribution: Callable) -> None:
    distribution("acme-mean", CONSTANT)
    images = [grey(level) for level in range(20, 220)]
    offsets = [AnomalyDetectorEstimator("acme_mean", false_alarm_rate=rate).fit(images).offset_ for rate in (0.05, 0.5)]
    assert offsets[0] < offsets[1]


# --- parameters ------------------------------------------------------------------------------------------------------------


def test_options_of_the_detector_are_parameters_of_their_own() -> None:
    shared = {"patch": 8}
    one = AnomalyDetectorEstimator(options=shared)
    one.set_params(options__patch=16, options__smoothing=0.0, random_state=3)
    assert one.options == {"patch": 16, "smoothing": 0.0}
    assert one.random_state == 3
    assert shared == {"patch": 8}
    assert one.get_params()["options__patch"] == 16
    assert "options__patch" not in one.get_params(deep=False)
    assert clone(one).get_params() == one.get_params()


def test_a_parameter_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="Invalid parameter 'patch'"):
        AnomalyDetectorEstimator().set_params(patch=8)


def test_every_seed_and_the_same_seed_twice_give_what_they_must(parts: tuple) -> None:
    good, test, _ = parts
    scores = [estimator(random_state=seed).fit(good).score_samples(test) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"model": "vision_filterbonk"}, UnknownComponentError, "did you mean vision_filterbank"),
        ({"options": {"patsch": 8}}, OptionsError, "unknown option; did you mean patch"),
        ({"options": {"patch": 1}}, ValueError, "vision_filterbank.patch: must be at least 2"),
        ({"options": "patch=8"}, InputError, "options must be a mapping, not str"),
        ({"calibration_fraction": 0}, ValueError, "calibration_fraction: must be greater than 0"),
        ({"false_alarm_rate": 1.0}, ValueError, "false_alarm_rate: must be less than 1"),
        ({"random_state": None}, ValueError, "random_state: must be an integer from 0"),
        ({"batch_size": -1}, ValueError, "batch_size: must be an integer from 0"),
    ],
)
def test_wrong_parameters_are_told_when_fitting(params: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        estimator(**params).fit([grey(100)] * 4)


# --- forms of X ------------------------------------------------------------------------------------------------------------


def test_every_form_of_the_same_images_gives_the_same_scores(parts: tuple) -> None:
    good, test, _ = parts
    fitted = estimator().fit(good)
    arrays = [read(path) for path in test]
    expected = fitted.score_samples(test)
    forms = [arrays, np.stack(arrays), np.stack(arrays) / 255, [Path(path) for path in test], np.array(test), tuple(test)]
    forms.append(np.array([Path(path) for path in test], dtype=object))
    for form in forms:
        np.testing.assert_array_equal(fitted.score_samples(form), expected)
    np.testing.assert_array_equal(estimator().fit(np.array(good)).score_samples(arrays), expected)
    np.testing.assert_array_equal(estimator().fit([read(path) for path in good]).score_samples(test), expected)


def test_sizes_and_kinds_may_be_mixed(parts: tuple) -> None:
    good, test, _ = parts
    mixed = [good[0], read(good[1])[:70, :90], read(good[2])[:, :, 0], *good[3:]]
    scores = estimator().fit(mixed).decision_function([test[0], read(test[1])[:40, :50]])
    assert (scores.shape, scores.dtype) == ((2,), np.float64)


def test_batches_do_not_change_scores(parts: tuple) -> None:
    good, test, _ = parts
    fitted = estimator().fit(good)
    one_by_one = [fitted.score_samples([path])[0] for path in test]
    np.testing.assert_allclose(fitted.score_samples(test), one_by_one, rtol=1e-5)


BAD = {
    "one path": ("part.png", "X is one path, 'part.png', not a list of images"),
    "nothing": ([], "X holds 0 samples"),
    "an empty stack": (np.empty((0, 16, 16, 3), np.uint8), "X holds 0 samples"),
    "a table": (np.zeros((5, 16)), "X of shape (5, 16) is not a list of images"),
    "one colour image": (grey(1), "X of shape (16, 16, 3) is one image, not a list"),
    "five axes": (np.zeros((2, 2, 16, 16, 3)), "X of shape (2, 2, 16, 16, 3) is not a list"),
    "a number": (7, "X is int, not a list of images"),
    "a mapping": ({"part.png": 1}, "X is dict, not a list of images"),
    "none in a list": ([grey(1), None], "X[1] is NoneType, neither a path nor an array"),
    "numbers": (np.arange(5.0), "X[0] is float64, neither a path nor an array"),
    "a vector in a list": ([np.zeros(16)], "X[0]: shape (16,) is not an image"),
    "a thin image": ([grey(1), grey(1, (4, 16))], "X[1]: 16x4 pixels is too small"),
    "NaN": ([grey(1), np.full((16, 16), np.nan)], "X[1]: holds NaN or infinite values"),
    "floats above 1": ([np.full((16, 16), 255.0)], "X[0]: float values lie in [255, 255]"),
    "whole numbers": ([np.zeros((16, 16), np.int64)], "X[0]: dtype int64 is not an image's"),
    "texts for pixels": ([np.full((16, 16), "a")], "X[0]: dtype <U1 is not an image's"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_list_of_images_is_told(case: str, distribution: Callable) -> None:
    distribution("acme-mean", CONSTANT)
    given, message = BAD[case]
    fitted = AnomalyDetectorEstimator("acme_mean").fit([grey(100)] * 4)
    for call in (AnomalyDetectorEstimator("acme_mean").fit, fitted.predict, fitted.decision_function, fitted.score_samples):
        with pytest.raises(InputError, match=re.escape(message)) as caught:
            call(given)
        assert isinstance(caught.value, ValueError)


def test_an_image_that_cannot_be_read_is_an_error_with_its_path(parts: tuple, tmp_path: Path) -> None:
    good, test, _ = parts
    (tmp_path / "torn.png").write_bytes(Path(good[0]).read_bytes()[:200])
    fitted = estimator().fit(good)
    for name, problem in (("absent.png", "no such image file"), ("torn.png", "damaged or truncated")):
        with pytest.raises(Exception, match=f"{name}: {problem}"):
            fitted.predict([test[0], str(tmp_path / name)])


def test_one_good_image_is_too_few() -> None:
    with pytest.raises(InputError, match="1 sample of good parts cannot be split"):
        estimator().fit([grey(100)])


@pytest.mark.parametrize("method", ["predict", "decision_function", "score_samples"])
def test_asking_before_fitting_is_scikit_learns_own_error(method: str) -> None:
    with pytest.raises(NotFittedError):
        getattr(estimator(), method)([grey(100)])


# --- labels ----------------------------------------------------------------------------------------------------------------


def test_images_labelled_defective_are_not_learned_from(distribution: Callable) -> None:
    distribution("acme-mean", CONSTANT)
    images = [grey(100)] * 20 + [grey(250)] * 5
    labels = [1] * 20 + [-1] * 5
    assert AnomalyDetectorEstimator("acme_mean").fit(images, labels).offset_ == -100
    assert AnomalyDetectorEstimator("acme_mean").fit(images).offset_ == -250
    assert AnomalyDetectorEstimator("acme_mean").fit_predict(iter(images), labels).tolist() == labels


def test_labels_of_another_convention_are_ignored_with_a_warning(
    distribution: Callable, caplog: pytest.LogCaptureFixture
) -> None:
    distribution("acme-mean", CONSTANT)
    with caplog.at_level(logging.WARNING, logger="pyimgano"):
        AnomalyDetectorEstimator("acme_mean").fit([grey(100)] * 40, [0] * 39 + [1])
    assert "y holds other labels than 1 (good) and -1 (defective): it is ignored" in caplog.text


def test_labels_must_be_as_many_as_images() -> None:
    with pytest.raises(InputError, match=r"y has shape \(3,\), but X holds 4 images"):
        estimator().fit([grey(100)] * 4, [1, 1, 1])


# --- with the rest of scikit-learn -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_arrays", [False, True], ids=["paths", "arrays of mixed sizes"])
def test_cross_validation_scores_images_that_were_not_learned(parts: tuple, as_arrays: bool) -> None:
    good, test, labels = parts
    images = good + test
    if as_arrays:
        images = [read(path)[: 80 + place % 3, : 100 + place % 5] for place, path in enumerate(images)]
    y = np.concatenate([np.ones(len(good), int), labels])
    folds = KFold(3, shuffle=True, random_state=0)
    scores = cross_val_score(estimator(), images, y, scoring="roc_auc", cv=folds, error_score="raise")
    assert scores.shape == (3,)
    assert scores.mean() > 0.9
    predicted = cross_val_predict(estimator(), images, y, cv=folds)
    assert set(predicted) <= {-1, 1}


def test_a_grid_over_an_option_of_the_detector_finds_the_better_value(parts: tuple) -> None:
    good, test, labels = parts
    fold = PredefinedSplit([-1] * len(good) + [0] * len(test))
    y = np.concatenate([np.ones(len(good), int), labels])
    values = {"options__patch": [8, 64], "calibration_fraction": [0.2, 0.4]}
    search = GridSearchCV(estimator(), values, scoring="roc_auc", cv=fold, error_score="raise").fit(good + test, y)
    assert len(search.cv_results_["params"]) == 4
    assert search.best_params_["options__patch"] == 8
    assert search.best_estimator_.options == {**SMALL, "patch": 8}
    assert search.predict(test[:2]).shape == (2,)


def cropped(images: list[str]) -> list[np.ndarray]:
    return [read(path)[8:-8, 8:-8] for path in images]


def test_it_is_the_last_step_of_a_pipeline(parts: tuple) -> None:
    good, test, _ = parts
    chain = make_pipeline(FunctionTransformer(cropped), estimator()).fit(good)
    direct = estimator().fit(cropped(good))
    np.testing.assert_array_equal(chain.score_samples(test), direct.score_samples(cropped(test)))
    np.testing.assert_array_equal(chain.predict(test), direct.predict(cropped(test)))
    chain.set_params(anomalydetectorestimator__options__patch=16)
    assert chain[-1].options["patch"] == 16


def test_a_fitted_estimator_can_be_handed_to_another_process(parts: tuple) -> None:
    good, test, _ = parts
    fitted = estimator().fit(good)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).score_samples(test), fitted.score_samples(test))


def test_scores_are_those_of_the_detector_itself(parts: tuple) -> None:
    good, test, _ = parts
    fitted = estimator().fit(good)
    learned = [path for path in good if path not in _held_out(good)]
    direct = create_model("vision_filterbank", **SMALL).fit(learned)
    np.testing.assert_array_equal(-fitted.score_samples(test), direct.decision_function(test))


def _held_out(good: list[str]) -> list[str]:
    from pyimgano import split_train_calibration

    return split_train_calibration(good, 0.2, 0)[1]


# --- packaging -------------------------------------------------------------------------------------------------------------


def test_importing_pyimgano_and_all_it_names_imports_no_scikit_learn(shell: Callable) -> None:
    code = "import sys, pyimgano\n[getattr(pyimgano, name) for name in pyimgano.__all__]\nsys.exit('sklearn' in sys.modules)"
    done = shell("-c", code)
    assert done.code == 0, done.err


def test_without_scikit_learn_the_command_that_brings_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pyimgano.sklearn_adapter")
    for name in [name for name in sys.modules if name.split(".")[0] == "sklearn"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError) as caught:
        import pyimgano.sklearn_adapter  # noqa: F401
    assert re.search(r'install .*"pyimgano-core\[sklearn\]"$', caught.value.next_step)


def test_the_example_of_the_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    for code in re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(code, GUIDE.name, "exec"), {})
    assert "AUROC" in capsys.readouterr().out
