"""Checks of postprocessors: one change for all images, learned from normal ones, that keeps the order of results."""

from __future__ import annotations

import json
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pyimgano.contracts import ImageScore, Postprocessor
from pyimgano.errors import NotFittedError
from pyimgano.maps import AnomalyMap
from pyimgano.postprocess.step import PostprocessStep
from pyimgano.testing.checks import Checks
from pyimgano.testing.randomness import untouched
from pyimgano.testing.results import CheckFailure
from pyimgano.testing.subject import ComponentSubject

checks = Checks(needs=("applies",))

SIZE = (48, 64)
Values = NDArray[np.float32]


class Subject(ComponentSubject):
    """A postprocessor under test, as runs use it."""

    def learned(self, offset: float = 0.0) -> PostprocessStep:
        """Return a new step that has learned from normal results, whose values lie around `offset` + 1."""
        step = self.step()
        step.fit([normal(number, offset) for number in range(12)])
        return step

    def step(self) -> PostprocessStep:
        """Return a new step that has not learned."""
        component: Postprocessor = self.make()
        return PostprocessStep(component, self.entry.full_name, self.entry.record.version, {})

    @cached_property
    def fitted(self) -> PostprocessStep:
        return self.learned()


def normal(seed: int, offset: float = 0.0) -> ImageScore:
    """Return the result of a good image: a smooth map between 0.5 and 1.5, its greatest value as score."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    phases = np.random.default_rng(seed).uniform(0, 6, 2)
    return _result((1 + 0.5 * np.sin(rows / 9 + phases[0]) * np.cos(columns / 9 + phases[1])).astype(np.float32) + offset)


def peaked(height: float, offset: float = 0.0) -> ImageScore:
    """Return the result of a defective image: a normal map that rises by `height` around row 12, column 44."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    bump = height * np.exp(-((rows - 12) ** 2 + (columns - 44) ** 2) / 32)
    return _result(shown(normal(99, offset)) + bump.astype(np.float32))


def shown(result: ImageScore) -> Values:
    """Return the map of a result at the size of its image."""
    if result.anomaly_map is None:
        raise CheckFailure("it drops the map", "return the result with its map: dataclasses.replace(result, ...)")
    return result.anomaly_map.render()


@checks.add(needs=("factory_resolves", "options_valid"))
def applies(subject: Subject) -> None:
    """It makes a result out of a result: a finite score and a map of the same size, or none where there was none."""
    for result in (normal(50), peaked(3)):
        shown(subject.fitted.apply(result))
    changed = subject.fitted.apply(ImageScore(1.0))
    if changed.anomaly_map is not None:
        raise CheckFailure("it makes a map where the detector has none", "leave anomaly_map None")


@checks.add()
def inputs_unchanged(subject: Subject) -> None:
    """Scores and maps that it is given stay as they are."""
    result = peaked(3)
    before, score = shown(result).copy(), result.score
    shown(subject.fitted.apply(result))
    if not np.array_equal(shown(result), before) or result.score != score:
        raise CheckFailure("it writes into the map that it is given", "copy the values before you change them")


@checks.add()
def acts_on_flag(subject: Subject) -> None:
    """`acts_on` tells the truth: maps or scores, the other is left alone."""
    result = peaked(3)
    changed = subject.fitted.apply(result)
    if subject.spec.acts_on == "map" and changed.score != result.score:
        raise CheckFailure("acts_on='map', but scores change", "say acts_on='score', or leave scores alone")
    if subject.spec.acts_on == "score" and not np.array_equal(shown(changed), shown(result)):
        raise CheckFailure("acts_on='score', but maps change", "say acts_on='map', or leave maps alone")


@checks.add()
def fits_flag(subject: Subject) -> None:
    """`fits` tells the truth: what learns nothing does the same before and after fit."""
    if subject.spec.fits:
        if type(subject.fitted.component).fit is Postprocessor.fit:
            raise CheckFailure("fits=True, but it has no fit", "write fit, or say fits=False")
        return
    one, other = subject.step(), subject.learned(offset=5.0)
    if not _equal(one.apply(peaked(3)), other.apply(peaked(3))) or other.component.state():
        raise CheckFailure("fits=False, but fit changes what it does", "say fits=True")


@checks.add(when=lambda spec: spec.fits)
def not_fitted(subject: Subject) -> None:
    """Before fit it refuses, or does what it does after."""
    try:
        early = subject.step().apply(peaked(3))
        shown(early)
    except NotFittedError:
        return
    if not _equal(early, subject.fitted.apply(peaked(3))):
        raise CheckFailure("before fit it gives other results than after", "raise NotFittedError")


@checks.add()
def repeatable(subject: Subject) -> None:
    """A result is changed the same way every time, whatever came before it."""
    first = subject.fitted.apply(peaked(3))
    shown(subject.fitted.apply(peaked(30)))
    if not _equal(first, subject.fitted.apply(peaked(3))):
        raise CheckFailure("what it does to a result depends on those before", "learn in fit alone")


@checks.add()
def global_random_state(subject: Subject) -> None:
    """The shared random generators are left alone."""
    with untouched("fitting or applying"):
        shown(subject.learned().apply(peaked(3)))


@checks.add()
def save_load(subject: Subject) -> None:
    """What it learned survives strict JSON: a new one does the same."""
    try:
        text = json.dumps(subject.fitted.component.state(), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CheckFailure(f"state() is not JSON: {error}", "return numbers, text, lists and mappings") from None
    copy = subject.step()
    copy.component.load_state(json.loads(text))
    if not _equal(copy.apply(peaked(3)), subject.fitted.apply(peaked(3))):
        raise CheckFailure("after load_state it does something else", "return everything that apply depends on from state()")


@checks.add()
def keeps_order(subject: Subject) -> None:
    """A result that is higher everywhere stays higher, far beyond normal values too: nothing is clipped or scaled by itself."""
    heights = (0.0, 2.0, 8.0, 50.0, 400.0)
    results = [subject.fitted.apply(_raised(height)) for height in heights]
    found = [[result.score, float(shown(result).max()), float(shown(result).mean())] for result in results]
    chosen = [row[1:] if subject.spec.acts_on == "map" else row[:1] for row in found]
    for column in np.array(chosen).T:
        if not (np.diff(column) > 0).all():
            values = ", ".join(f"{value:.4g}" for value in column)
            raise CheckFailure(
                f"results that rise by {', '.join(f'{height:g}' for height in heights)} become {values}",
                "scale all images alike, by what fit learned, and clip nothing",
            )


@checks.add(when=lambda spec: spec.acts_on == "map")
def keeps_place(subject: Subject) -> None:
    """The peak of a map stays where it is, with values above and below zero."""
    for offset in (0.0, -100.0):
        step = subject.learned(offset)
        values = shown(step.apply(peaked(5, offset)))
        row, column = np.unravel_index(int(values.argmax()), values.shape)
        if abs(row - 12) > 6 or abs(column - 44) > 6:
            raise CheckFailure(
                f"a peak at row 12, column 44 of a map around {offset + 1:g} becomes one at row {row}, column {column}",
                "fill with the least value, not with 0: maps may be negative",
            )


def _raised(height: float) -> ImageScore:
    return _result(shown(normal(77)) + np.float32(height))


def _result(values: Values) -> ImageScore:
    return ImageScore(float(values.max()), AnomalyMap(values, SIZE))


def _equal(one: ImageScore, other: ImageScore) -> bool:
    return one.score == other.score and np.array_equal(shown(one), shown(other))
