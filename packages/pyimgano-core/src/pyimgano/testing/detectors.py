"""Checks of detectors: how they learn, score and are saved. `flags` has those of their specs, `maps` those of anomaly maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from pyimgano.contracts import Detector, ImageScore, Runtime
from pyimgano.errors import BundleError, DetectorError, NotFittedError, PyimganoError, WeightsError
from pyimgano.images import Image
from pyimgano.registry import build_detector
from pyimgano.testing.checks import Checks
from pyimgano.testing.growth import contained
from pyimgano.testing.images import DARK, LIGHT, Colour, defective, plain, saved, texture, textures
from pyimgano.testing.randomness import seeded, untouched
from pyimgano.testing.results import CheckFailure, CheckSkipped
from pyimgano.testing.subject import ComponentSubject

checks = Checks(needs=("fits",))

LEARNED = 6
"""Pictures to learn from."""
SIZES = ((64, 96), (96, 64), (80, 80))
"""Heights and widths of one batch of mixed sizes."""
CLOSE = 1e-5
"""Relative difference that other batch mates may make."""
Scores = NDArray[np.float64]


class Subject(ComponentSubject):
    """A detector under test. `fitted` is shared by the checks that only score."""

    def make(self, **values: Any) -> Detector:
        device = "cpu" if "cpu" in self.spec.devices else "auto"
        return self.made_on(device, **values)

    def made_on(self, device: str, seed: int = 0, **values: Any) -> Detector:
        """Return a new detector for a device."""
        runtime = Runtime(device=device, batch_size=4, seed=seed)
        return build_detector(self.entry, {**self.values, **values}, runtime)

    def learned(self, images: Sequence[Image] | None = None, seed: int = 0, device: str | None = None) -> Detector:
        """Return a new detector that has learned from `images`, by default six surfaces."""
        detector = self.make() if device is None and not seed else self.made_on(device or "cpu", seed)
        return self.teach(detector, textures(LEARNED) if images is None else images)

    def teach(self, detector: Detector, images: Sequence[Image]) -> Detector:
        """Let a detector learn; one that learns nothing is given nothing."""
        try:
            returned = detector.fit([] if self.spec.learning == "zero_shot" else list(images))
        except WeightsError as error:
            raise CheckSkipped(error.problem, error.next_step or "name weights that are on this machine") from error
        if returned is not detector:
            raise CheckFailure(f"fit returned {type(returned).__name__}, not the detector", "end fit with return self")
        return detector

    @cached_property
    def fitted(self) -> Detector:
        return self.learned()

    @cached_property
    def colour(self) -> Colour:
        """Colour of defects: light, but dark where only dark ones raise its scores, as of a detector of dark spots."""
        good = textures(3, first=600)
        level, light, dark = (
            scores_of(self.fitted, images)
            for images in (good, [defective(image) for image in good], [defective(image, colour=DARK) for image in good])
        )
        return DARK if (dark > level).all() and not (light > level).any() else LIGHT

    def defective(self, image: Image, number: int = 0) -> Image:
        """Return a copy with a large block that it is to find."""
        return defective(image, number, self.colour)

    def probes(self) -> list[Image]:
        """Return held-out surfaces, every other one with a defect."""
        return [self.defective(texture(100 + n), n) if n % 2 else texture(100 + n) for n in range(5)]


def scores_of(detector: Detector, images: Sequence[Any]) -> Scores:
    """Return one score per image, scored as one batch."""
    return np.array([result.score for result in detector.score_images(images)], dtype=np.float64)


@checks.add(needs=("factory_resolves", "options_valid"))
def builds(subject: Subject) -> None:
    """The factory takes options and runtime, and makes what its spec promises."""
    subject.make()


@checks.add(needs=("builds",))
def not_fitted(subject: Subject) -> None:
    """Scoring before fitting raises NotFittedError."""
    try:
        subject.make().score_images([texture(0)])
    except NotFittedError:
        return
    except WeightsError as error:
        raise CheckSkipped(error.problem, error.next_step) from error
    if subject.spec.learning != "zero_shot":
        raise CheckFailure("it scores an image before it was fitted", "leave score_images to the base class")


@checks.add(needs=("builds",))
def fits(subject: Subject) -> None:
    """It learns from a handful of surfaces, and fit returns the detector."""
    _ = subject.fitted  # kept for the checks that only score


@checks.add()
def finite(subject: Subject) -> None:
    """Every answer is a finite score, with a finite map of its image's size or none."""
    subject.fitted.score_images(subject.probes())


@checks.add()
def constant_images(subject: Subject) -> None:
    """Black, grey and white pictures get finite scores and maps."""
    for value in (0, 128, 255):
        for result in subject.fitted.score_images([plain(value)]):
            if result.anomaly_map is not None:
                result.anomaly_map.render()


@checks.add()
def direction(subject: Subject) -> None:
    """An obvious defect scores higher than the same surface without."""
    good = textures(6, first=200)
    below, above = (scores_of(subject.fitted, batch) for batch in (good, [subject.defective(x, n) for n, x in enumerate(good)]))
    if not (above > below).mean() > 0.5:
        advice = "higher must be more anomalous; return the distance, not the similarity"
        raise CheckFailure(
            f"surfaces score {_shown(below)}, the same with a large light block {_shown(above)}",
            "let a defect of any kind change the score" if np.array_equal(above, below) else advice,
        )


@checks.add()
def batch_independence(subject: Subject) -> None:
    """The score of an image does not depend on its batch mates, and a batch may be one image."""
    images = subject.probes()
    together = scores_of(subject.fitted, images)
    alone = np.concatenate([scores_of(subject.fitted, [image]) for image in images])
    _compare(together, alone, "in a batch of five", "alone", "do not use statistics of the batch")


@checks.add()
def order_independence(subject: Subject) -> None:
    """The score of an image does not depend on its place in the batch."""
    images = subject.probes()
    forwards, backwards = scores_of(subject.fitted, images), scores_of(subject.fitted, images[::-1])[::-1]
    _compare(forwards, backwards, "in order", "in reverse order", "return results in the order of the images")


@checks.add()
def mixed_sizes(subject: Subject) -> None:
    """Images of several sizes fit into one batch, and in every size a defect scores higher than the surface."""
    good = [texture(300 + n, size) for n, size in enumerate(SIZES)]
    bad = [subject.defective(image) for image in good]
    together = scores_of(subject.fitted, [*good, *bad])
    alone = np.concatenate([scores_of(subject.fitted, [image]) for image in (*good, *bad)])
    _compare(together, alone, "among other sizes", "alone", "treat every image at its own size, or scale each by itself")
    below, above = np.split(together, 2)
    if (above == below).any():
        shape = SIZES[int(np.argmax(above == below))]
        raise CheckFailure(
            f"at {shape[0]} x {shape[1]} pixels a surface and the same with a large block score the same, {_shown(above)}",
            "raise what goes wrong; never turn an error into a score",
        )


@checks.add()
def repeatable(subject: Subject) -> None:
    """Scoring an image changes nothing: the next time it scores the same, and nothing is kept."""
    detector, images = subject.learned(), subject.probes()
    first, second = scores_of(detector, images), scores_of(detector, images)
    _compare(first, second, "at first", "then", "learn in fit alone", 0.0)
    before = contained(detector)
    for _ in range(3):
        scores_of(detector, images)
    grown = contained(detector) - before
    if grown > 0:
        raise CheckFailure(
            f"after three more batches it holds {grown} more objects",
            "remove hooks once an image is scored, and keep no results",
        )


@checks.add()
def inputs_unchanged(subject: Subject) -> None:
    """Images that it learns from and scores stay as they are."""
    learned, scored = textures(LEARNED), subject.probes()
    before = [image.copy() for image in (*learned, *scored)]
    detector = subject.learned(learned)
    detector.score_images(scored)
    if not all(map(np.array_equal, before, (*learned, *scored))):
        raise CheckFailure("it writes into the images that it is given", "copy an image before you change it")


@checks.add()
def global_random_state(subject: Subject) -> None:
    """The shared random generators of Python, numpy and torch are left alone."""
    scores_of(subject.fitted, subject.probes())  # libraries that are loaded on use are loaded now
    with untouched("fitting or scoring"):
        scores_of(subject.learned(), subject.probes())


@checks.add()
def determinism(subject: Subject) -> None:
    """The same images and seed give the same state and scores, whatever the shared generators hold."""
    found = []
    for shared in (1, 2):
        with seeded(shared):
            detector = subject.learned()
            found.append((_state(detector), scores_of(detector, subject.probes())))
    (state, scores), (other_state, other_scores) = found
    _compare(scores, other_scores, "at first", "with the same seed", "draw from numpy.random.default_rng(runtime.seed)", 0.0)
    differing = sorted(name for name in state if not _same(state[name], other_state.get(name)))
    if differing:
        raise CheckFailure(
            f"with the same seed it learned another {', '.join(differing)}", "draw from numpy.random.default_rng(runtime.seed)"
        )


@checks.add()
def save_load(subject: Subject) -> None:
    """What it learned survives a safetensors file: a new detector scores the same."""
    try:
        subject.fitted.check_savable()
    except BundleError as error:
        raise CheckSkipped(error.problem, error.next_step) from error
    copy = subject.make()
    copy.load_state(load(save(subject.fitted.learned())))
    try:
        again = scores_of(copy, subject.probes())
    except NotFittedError:
        raise CheckFailure("after load_state it is not fitted", "end load_state with self.mark_fitted()") from None
    first = scores_of(subject.fitted, subject.probes())
    _compare(first, again, "at first", "after load_state", "return everything that scores depend on from state()", 1e-6)


@checks.add()
def derived_methods(subject: Subject) -> None:
    """decision_function and get_anomaly_map give what score_images gives."""
    images = subject.probes()
    results: list[ImageScore] = []
    for start in range(0, len(images), 4):
        results += subject.fitted.score_images(images[start : start + 4])
    scores = np.array([result.score for result in results])
    _compare(
        subject.fitted.decision_function(images), scores, "by decision_function", "by score_images", "do not override it", 1e-6
    )
    if all(result.anomaly_map is not None for result in results):
        shown = subject.fitted.get_anomaly_map(images[0])
        maps = subject.fitted.score_images(images[:1])[0].anomaly_map
        assert maps is not None
        if not np.array_equal(shown, maps.render()):
            raise CheckFailure("get_anomaly_map is not the map of score_images", "do not override it")


@checks.add()
def paths_and_arrays(subject: Subject) -> None:
    """A file scores as the array that is in it, in colour."""
    images = [defective(texture(400 + n), n) for n in range(3)]
    paths = saved(images, subject.folder / "colours")
    from_paths = scores_of(subject.fitted, [str(path) for path in paths])
    _compare(
        from_paths, scores_of(subject.fitted, images), "from files", "as arrays", "read files with pyimgano.images.read", 1e-6
    )


@checks.add()
def unreadable_image(subject: Subject) -> None:
    """An image that cannot be read is an error that names its path, never a score."""
    broken = subject.folder / "truncated_image.png"
    broken.write_bytes(saved([texture(0)], subject.folder / "whole")[0].read_bytes()[:200])
    for path in (broken, subject.folder / "missing_image.png"):
        try:
            subject.fitted.score_images([texture(0), str(path)])
        except PyimganoError as error:
            if path.name not in str(error):
                raise CheckFailure(
                    f"the error for {path.name} does not name it: {error.problem}", "let the error of pyimgano through"
                ) from error
        else:
            raise CheckFailure(f"{path.name} got a score although it cannot be read", "let the error of pyimgano through")


@checks.add(when=lambda spec: spec.learning != "zero_shot")
def few_images(subject: Subject) -> None:
    """One image to learn from is enough, or refused in words; a few-shot detector takes it."""
    detector = subject.make()
    try:
        detector.fit([texture(0, (16, 16))] if subject.spec.inputs == "arrays" else [texture(0)])
        good, bad = scores_of(detector, [texture(1)]), scores_of(detector, [subject.defective(texture(1))])
    except DetectorError as error:
        if subject.spec.learning == "few_shot":
            raise CheckFailure(f"few-shot, but not from one image: {error.problem}", "say learning='fit'") from error
        return
    if good == bad:
        raise CheckFailure(
            f"after one small image a surface and a defect both score {_shown(good)}",
            "use as many neighbours as there are, or raise DetectorError",
        )


@checks.add(when=lambda spec: spec.learning == "zero_shot", needs=("builds",))
def learns_nothing(subject: Subject) -> None:
    """Zero-shot: it needs no image to learn from, and those it is given change no score."""
    without = scores_of(subject.teach(subject.make(), []), subject.probes())
    detector = subject.make()
    try:
        detector.fit([plain(30), plain(200)])
    except PyimganoError:
        return
    _compare(
        without,
        scores_of(detector, subject.probes()),
        "without images to learn from",
        "with some",
        "say learning='few_shot' or 'fit'",
    )


@checks.add(when=lambda spec: spec.learning != "zero_shot")
def learns(subject: Subject) -> None:
    """It learns: other training images give other scores."""
    other = subject.learned([defective(255 - image, n) for n, image in enumerate(textures(LEARNED))])
    if np.array_equal(scores_of(other, subject.probes()), scores_of(subject.fitted, subject.probes())):
        raise CheckFailure("inverted training images change no score", "use what fit is given, or say learning='zero_shot'")


def _state(detector: Detector) -> Mapping[str, NDArray[Any]]:
    try:
        detector.check_savable()
    except BundleError:
        return {}
    return detector.learned()


def _same(one: NDArray[Any], other: NDArray[Any] | None) -> bool:
    return other is not None and np.asarray(one).tobytes() == np.asarray(other).tobytes()


def _compare(one: Scores, other: Scores, when: str, then: str, advice: str, relative: float = CLOSE) -> None:
    """Fail unless two lists of scores are equal up to a relative difference."""
    slack = relative * float(np.abs(one).max(initial=0)) * 1e-1
    if one.shape != other.shape or not np.allclose(one, other, rtol=relative, atol=slack):
        raise CheckFailure(f"images score {_shown(one)} {when}, but {_shown(other)} {then}", advice)


def _shown(scores: Scores) -> str:
    return ", ".join(f"{score:.6g}" for score in np.ravel(scores)[:6])
