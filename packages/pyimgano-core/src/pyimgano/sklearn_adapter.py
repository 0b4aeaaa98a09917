"""A detector as a scikit-learn outlier detector, for pipelines, cross-validation and grid search. Needs the extra ``sklearn``.

Labels and signs are scikit-learn's here, and here alone: `predict` gives 1 for good and -1 for defective, and higher scores are
more normal. Everywhere else in pyimgano 1 is defective and higher is more anomalous.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pyimgano.calibration import CalibrationSettings
from pyimgano.contracts import Runtime
from pyimgano.datasets.splits import split_train_calibration
from pyimgano.discovery.requirements import install_command
from pyimgano.errors import ImageError, InputError, MissingDependencyError, OptionsError
from pyimgano.images import MIN_SIDE, ImageLike, from_array
from pyimgano.options import parse
from pyimgano.pipeline import Pipeline

try:
    from sklearn.base import BaseEstimator, OutlierMixin
    from sklearn.utils.validation import check_is_fitted
except ImportError:
    raise MissingDependencyError(
        "pyimgano.sklearn_adapter needs scikit-learn 1.6 or newer", install_command("pyimgano-core[sklearn]")
    ) from None

__all__ = ["AnomalyDetectorEstimator"]

logger = logging.getLogger(__name__)

_OPTION = "options__"
_ACCEPTED = "pass a list of paths, a list of arrays (H, W) or (H, W, 3), or one stacked array (N, H, W) or (N, H, W, 3)"


class AnomalyDetectorEstimator(OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """Any detector behind scikit-learn's interface of outlier detectors.

    X is a list of paths, a list of arrays whose sizes may differ, or one stacked array (N, H, W) or (N, H, W, 3); arrays are
    RGB or grey, bool, uint8, uint16, or floating point in [0, 1].

    Parameters
    ----------
    model
        Short or full name of a detector; ``pyimgano list-models`` shows them.
    options
        The detector's own options; ``pyimgano show detector NAME`` lists them. Each can be set, and searched by a grid, as
        ``options__NAME``.
    calibration_fraction
        Share of the good images in X, in (0, 1), that is held out of fitting to calibrate the threshold on.
    false_alarm_rate
        Share of good images, in (0, 1), that `predict` may call defective.
    device, batch_size, amp
        How to run, as in `pyimgano.Runtime`.
    random_state
        Seed of the choice of held-out images and of the detector, an integer from 0.

    Attributes
    ----------
    pipeline_
        The fitted `pyimgano.Pipeline`, with pyimgano's own signs, anomaly maps and the threshold's provenance.
    offset_
        Minus the image threshold: ``decision_function(X)`` is ``score_samples(X) - offset_``.

    Notes
    -----
    Scorers want the same labels as `predict` gives: ``cross_val_score(estimator, X, y, scoring="roc_auc")`` with y 1 for good
    and -1 for defective.
    """

    def __init__(
        self,
        model: str = "vision_filterbank",
        options: Mapping[str, Any] | None = None,
        *,
        calibration_fraction: float = 0.2,
        false_alarm_rate: float = 0.05,
        device: str = "auto",
        batch_size: int = 16,
        amp: bool = False,
        random_state: int = 0,
    ) -> None:
        self.model = model
        self.options = options
        self.calibration_fraction = calibration_fraction
        self.false_alarm_rate = false_alarm_rate
        self.device = device
        self.batch_size = batch_size
        self.amp = amp
        self.random_state = random_state

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name; with `deep`, also every option that is set, as ``options__NAME``."""
        params: dict[str, Any] = super().get_params(deep=False)
        if deep and isinstance(self.options, Mapping):
            params |= {f"{_OPTION}{name}": value for name, value in self.options.items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters; ``options__NAME`` sets one option of the detector and leaves the others.

        Raises
        ------
        ValueError
            For a parameter that there is not.
        """
        own = {name: value for name, value in params.items() if not name.startswith(_OPTION)}
        nested = {name.removeprefix(_OPTION): value for name, value in params.items() if name.startswith(_OPTION)}
        super().set_params(**own)
        if nested:
            self.options = {**self._options(), **nested}
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        return tags

    def fit(self, X: Iterable[ImageLike], y: Iterable[int] | None = None) -> Self:
        """Learn from good images and calibrate the threshold on those held out.

        Parameters
        ----------
        X
            Images; at least two good ones.
        y
            1 for good, -1 for defective, one per image: defective ones are left out. Without it all images are good. Any other
            labels are ignored, with a warning.

        Raises
        ------
        InputError
            If X or y are not as described. It is a `ValueError`.
        OptionsError
            If a parameter or an option of the detector is out of bounds. It is a `ValueError`.
        PyimganoError
            If there is no such detector, an image cannot be read, or the detector fails.
        """
        settings, runtime = self._settings(), self._runtime()
        good = _good(self._images(X), y)
        if len(good) < 2:
            raise InputError(
                f"{len(good)} sample{'' if len(good) == 1 else 's'} of good parts cannot be split into one part to learn from "
                "and one to calibrate on",
                "provide at least 2; 100 or more make good thresholds",
            )
        train, held_out = split_train_calibration(good, settings.calibration_fraction, runtime.seed)
        pipeline = Pipeline.create(self.model, self._options(), runtime)
        self.pipeline_ = pipeline.fit(train).calibrate(held_out, settings)
        assert self.pipeline_.score_threshold is not None
        self.offset_ = -self.pipeline_.score_threshold.value
        return self

    def score_samples(self, X: Iterable[ImageLike]) -> NDArray[np.float64]:
        """Return one score per image, (N,) float64: minus pyimgano's, so that higher is more normal.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        InputError
            If X is not as described. It is a `ValueError`.
        PyimganoError
            If an image cannot be read, or the detector fails.
        """
        check_is_fitted(self)
        items = self._images(X)
        scores = np.empty(len(items), dtype=np.float64)
        for place, scored in enumerate(self.pipeline_.score(items)):
            if scored.error is not None:
                raise scored.error
            assert scored.result is not None
            scores[place] = -scored.result.score
        return scores

    def decision_function(self, X: Iterable[ImageLike]) -> NDArray[np.float64]:
        """Return how far each image is on the good side of the threshold, (N,) float64: from 0 it is good, below defective."""
        decision: NDArray[np.float64] = self.score_samples(X) - self.offset_
        return decision

    def predict(self, X: Iterable[ImageLike]) -> NDArray[np.int64]:
        """Return 1 for every good image and -1 for every defective one, (N,) int64."""
        return np.where(self.decision_function(X) >= 0, 1, -1).astype(np.int64)

    def fit_predict(self, X: Iterable[ImageLike], y: Iterable[int] | None = None) -> NDArray[np.int64]:
        """Fit, then judge the same images, (N,) int64.

        Those that were learned from look too good; ``cross_val_predict`` judges each by a model that has not seen it.
        """
        items = list(X) if not hasattr(X, "shape") else X
        return self.fit(items, y).predict(items)

    def _images(self, X: Any) -> list[ImageLike]:
        """Return X as a list of paths and arrays, every array checked."""
        return _as_images(X)

    def _options(self) -> Mapping[str, Any]:
        if self.options is not None and not isinstance(self.options, Mapping):
            raise InputError(f"options must be a mapping, not {type(self.options).__name__}", 'for example {"patch": 8}')
        return self.options or {}

    def _settings(self) -> CalibrationSettings:
        values = {"calibration_fraction": self.calibration_fraction, "false_alarm_rate": self.false_alarm_rate}
        return parse(CalibrationSettings, {**values, "pixel_threshold_strategy": "none"}, type(self).__name__)

    def _runtime(self) -> Runtime:
        for name in ("random_state", "batch_size"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
                raise OptionsError(f"{type(self).__name__}.{name}: must be an integer from 0 (got {value!r})")
        return Runtime(device=self.device, batch_size=int(self.batch_size), amp=self.amp, seed=int(self.random_state))


def _as_images(X: Any) -> list[ImageLike]:
    if isinstance(X, (str, bytes, os.PathLike)):
        raise InputError(f"X is one path, {X!r}, not a list of images", f"pass [{X!r}]")
    shape = tuple(getattr(X, "shape", (0,)))
    if len(shape) not in (1, 3, 4):
        raise InputError(f"X of shape {shape} is not a list of images", _ACCEPTED)
    if len(shape) == 3 and shape[2] < MIN_SIDE:
        raise InputError(f"X of shape {shape} is one image, not a list of images", "pass [X]")
    if not isinstance(X, Iterable) or isinstance(X, Mapping):
        raise InputError(f"X is {type(X).__name__}, not a list of images", _ACCEPTED)
    items = list(X)
    if not items:
        raise InputError("X holds 0 samples", "pass at least one image")
    for place, item in enumerate(items):
        _check(item, f"X[{place}]")
    return items


def _check(item: object, where: str) -> None:
    """Raise `InputError` for what is neither a path nor an array that can be an image."""
    if isinstance(item, (str, os.PathLike)):
        return
    if not isinstance(item, np.ndarray):
        raise InputError(f"{where} is {type(item).__name__}, neither a path nor an array", _ACCEPTED)
    try:
        from_array(item, where=where)
    except ImageError as error:
        raise InputError(error.problem, error.next_step) from None


def _good(items: list[ImageLike], y: Iterable[int] | None) -> list[ImageLike]:
    """Return the images that `y` does not call defective."""
    if y is None:
        return items
    labels = np.asarray(y)
    if labels.shape != (len(items),):
        raise InputError(f"y has shape {labels.shape}, but X holds {len(items)} images", "pass one label per image, 1 or -1")
    if not np.isin(labels, (1, -1)).all():
        logger.warning(
            "y holds other labels than 1 (good) and -1 (defective): it is ignored, and all images are taken for good"
        )
        return items
    return [item for item, label in zip(items, labels, strict=True) if label == 1]
