"""Checks of metrics: the right sign, one comparison, no number where there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pyimgano.contracts import Evidence, Metric
from pyimgano.errors import UndefinedMetricError
from pyimgano.metrics.pixel import PixelTruth
from pyimgano.testing.checks import Checks
from pyimgano.testing.randomness import untouched
from pyimgano.testing.results import CheckFailure, CheckSkipped
from pyimgano.testing.subject import ComponentSubject

checks = Checks(needs=("computes",))

SIZES = ((24, 32), (32, 24), (24, 32), (20, 20), (24, 32), (32, 24))
"""Heights and widths of the images of a test set."""
LABELS = (0, 1, 0, 1, 1, 0)
THRESHOLD = 0.5
Map = NDArray[np.float32]


class Subject(ComponentSubject):
    """A metric under test."""

    def value(self, evidence: Evidence) -> float | None:
        """Return its value, or None where it has none; anything else than a finite number fails."""
        metric: Metric = self.make()
        try:
            value = metric.compute(evidence)
        except UndefinedMetricError as error:
            self.reason = error.problem
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float, np.floating)) or not math.isfinite(value):
            raise CheckFailure(f"compute returned {value!r}", "return a finite number, or raise UndefinedMetricError")
        return float(value)


def evidence(
    quality: float = 0.8,
    labels: Sequence[int] = LABELS,
    scale: float = 1.0,
    offset: float = 0.0,
    *,
    thresholds: bool = True,
    pixels: bool = True,
    snapped: float | None = None,
) -> Evidence:
    """Return a test set of six images of three sizes.

    Parameters
    ----------
    quality
        1 for perfect maps and scores, -1 for inverted ones, between for noisy ones.
    labels
        Which of the images are defective.
    scale, offset
        Applied to scores, maps and thresholds.
    thresholds, pixels
        Whether there are any.
    snapped
        What pixels a little below the threshold, and the scores of the first three images, are replaced by.
    """
    rng = np.random.default_rng(0)
    sizes = SIZES[: len(labels)]
    truths, scores = [], []
    for label, size in zip(labels, sizes, strict=True):
        mask = np.zeros(size, dtype=np.bool_)
        if label:
            mask[4:10, 5:14] = True
        values = _values(mask, quality, rng, snapped)
        level = _values(np.array([[bool(label)]]), quality, rng, None)
        scores.append(float(level.item()) * scale + offset)
        truths.append(PixelTruth((values * scale + offset).astype(np.float64), mask if label else None))
    if snapped is not None:
        scores[:3] = [snapped] * 3
    threshold = THRESHOLD * scale + offset if thresholds else None
    return Evidence(np.array(labels, dtype=np.int64), np.array(scores), threshold, threshold, truths if pixels else None)


def _values(mask: NDArray[np.bool_], quality: float, rng: np.random.Generator, snapped: float | None) -> NDArray[np.float64]:
    low, high = (0.2, 0.8) if quality >= 0 else (0.8, 0.2)
    noise = (1 - abs(quality)) * rng.uniform(-2, 2, mask.shape)
    values = np.where(mask, high, low) + noise + 0.01 * rng.uniform(-1, 1, mask.shape)
    if snapped is not None:
        values[(values > THRESHOLD - 0.25) & (values <= THRESHOLD)] = snapped
    return np.asarray(values, dtype=np.float64)


@checks.add(needs=("factory_resolves", "options_valid"))
def computes(subject: Subject) -> None:
    """It gives a finite number for images with labels, thresholds, maps and masks of several sizes."""
    if subject.value(evidence()) is None:
        raise CheckSkipped(f"it has no value for a synthetic test set: {subject.reason}")


@checks.add()
def direction(subject: Subject) -> None:
    """`higher_is_better` tells the truth: perfect results are better than inverted ones."""
    best, worst = subject.value(evidence(1.0)), subject.value(evidence(-1.0))
    if best is None or worst is None:
        raise CheckSkipped(f"it has no value for perfect or inverted results: {subject.reason}")
    better = best > worst if subject.spec.higher_is_better else best < worst
    if not better:
        raise CheckFailure(
            f"higher_is_better={subject.spec.higher_is_better}, but it is {best:g} for perfect results and {worst:g} for "
            "inverted ones",
            "mend the flag, or what it computes",
        )


@checks.add()
def needs_masks_flag(subject: Subject) -> None:
    """`needs_masks` tells the truth: without masks it has the same value, or none."""
    value, without = subject.value(evidence()), subject.value(evidence(pixels=False))
    if subject.spec.needs_masks and without is not None:
        raise CheckFailure(f"needs_masks=True, but without masks it is {without:g}", "say needs_masks=False")
    if not subject.spec.needs_masks and without != value:
        raise CheckFailure(f"needs_masks=False, but it is {value} with masks and {without} without", "say needs_masks=True")
    if (subject.spec.level == "image") == subject.spec.needs_masks:
        raise CheckFailure(
            f"level={subject.spec.level!r} and needs_masks={subject.spec.needs_masks}", "pixels and regions need masks"
        )


@checks.add(needs=())
def one_class(subject: Subject) -> None:
    """Where all images are good, all defective, or there is one, it has a number or says why there is none."""
    for labels in ((0, 0, 0), (1, 1, 1), (0,), (1,)):
        for pixels in (True, False):
            subject.value(evidence(1.0, labels, pixels=pixels))


@checks.add()
def no_threshold(subject: Subject) -> None:
    """Without calibrated thresholds it does without, or says that there are none; it never makes one of its own."""
    without = subject.value(evidence(thresholds=False))
    if without is not None and not _close(without, subject.value(evidence())):
        raise CheckFailure(
            f"without thresholds it is {without:g}, so it chose one of its own", "raise UndefinedMetricError instead"
        )


@checks.add()
def strict_comparison(subject: Subject) -> None:
    """Abnormal is above the threshold: what lies exactly at it is normal."""
    if subject.value(evidence(thresholds=False)) is not None:
        return
    at, below = (subject.value(evidence(0.7, snapped=level)) for level in (THRESHOLD, THRESHOLD - 0.1))
    if not _close(at, below):
        raise CheckFailure(
            f"it is {below} where some values lie below the threshold and {at} where they equal it", "compare with >, not >="
        )


@checks.add()
def scale_free(subject: Subject) -> None:
    """Scores, maps and thresholds in other units give the same value."""
    value = subject.value(evidence())
    for scale, offset in ((1e4, 5.0), (1e-3, -7.0)):
        other = subject.value(evidence(scale=scale, offset=offset))
        if not _close(value, other):
            raise CheckFailure(
                f"it is {value}, but {other} where all scores, maps and thresholds are multiplied by {scale:g} and moved by "
                f"{offset:g}",
                "do not clip values, and add no epsilon to them",
            )


@checks.add()
def order_independence(subject: Subject) -> None:
    """The order of the images does not matter."""
    one = evidence()
    places = [5, 0, 3, 1, 4, 2]
    assert one.truths is not None
    truths = [one.truths[place] for place in places]
    other = Evidence(one.labels[places], one.scores[places], one.threshold, one.pixel_threshold, truths)
    value, again = subject.value(one), subject.value(other)
    if not _close(value, again):
        raise CheckFailure(f"it is {value}, but {again} where the images come in another order", "sort what has to be sorted")


@checks.add()
def inputs_unchanged(subject: Subject) -> None:
    """Labels, scores, maps and masks stay as they are."""
    given, kept = evidence(), evidence()
    subject.value(given)
    arrays, before = (_arrays(one) for one in (given, kept))
    if not all(map(np.array_equal, arrays, before)):
        raise CheckFailure("it writes into the evidence that it is given", "copy before you change or sort")


@checks.add()
def global_random_state(subject: Subject) -> None:
    """The shared random generators are left alone."""
    with untouched("computing"):
        subject.value(evidence())


def _arrays(one: Evidence) -> list[NDArray[np.generic]]:
    assert one.truths is not None
    loaded = [truth.load() for truth in one.truths]
    masks = [mask for _, mask in loaded if mask is not None]
    return [one.labels, one.scores, *(values for values, _ in loaded), *masks]


def _close(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9)
