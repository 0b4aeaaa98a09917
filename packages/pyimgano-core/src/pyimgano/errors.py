"""The one family of errors: each says what is wrong and where, and what to do next."""

from __future__ import annotations

from collections.abc import Iterable


class PyimganoError(Exception):
    """Base of all errors that pyimgano raises on purpose.

    Parameters
    ----------
    problem
        What is wrong and where: component, file, field.
    next_step
        What the reader should do or run next.
    """

    def __init__(self, problem: str, next_step: str = "") -> None:
        super().__init__(problem, next_step)
        self.problem = problem
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.problem}\n{self.next_step}" if self.next_step else self.problem


class PluginError(PyimganoError):
    """A plugin could not be used."""


class UnknownComponentError(PyimganoError):
    """No component of that kind and name."""


class AmbiguousComponentError(PyimganoError):
    """Two plugins offer the short name that was used."""


class MissingDependencyError(PyimganoError):
    """A component needs a distribution that is not installed, or another version of it."""


class OptionsError(PyimganoError, ValueError):
    """A setting is unknown, of the wrong type or out of bounds."""


class PlanError(PyimganoError):
    """The components of a run do not fit together, or one of them cannot be used."""


class ImageError(PyimganoError):
    """An image cannot be read or used."""


class InputError(PyimganoError, ValueError):
    """Images, labels or parameters given to the scikit-learn estimator cannot be used."""


class DatasetError(PyimganoError):
    """A dataset folder is not what it should be."""


class CalibrationError(PyimganoError):
    """A threshold cannot be calibrated."""


class MetricError(PyimganoError, ValueError):
    """Scores and truth cannot be compared."""


class UndefinedMetricError(MetricError):
    """A metric has no value for these images; the problem is the reason, as half a sentence."""


class NotFittedError(PyimganoError):
    """Scores were asked for before fitting."""


class DetectorError(PyimganoError):
    """A detector failed, or broke its contract."""


class MapError(DetectorError):
    """An anomaly map cannot be brought to the size of its image, because a step between detector and thresholds failed."""


class WeightsError(PyimganoError):
    """Pretrained weights are missing or do not fit."""


class BundleError(PyimganoError):
    """A bundle or its infer_config.json is damaged, incomplete or of another version."""


class OutputError(PyimganoError):
    """A result cannot be written where it was asked for."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``did you mean X?`` for the nearest known name, or an empty string."""
    import difflib

    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else ""
