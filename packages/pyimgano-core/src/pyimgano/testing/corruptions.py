"""Checks of corruptions: the same bytes every time, more with severity, masks that follow."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise, product
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pyimgano.contracts import Corruption, NamedCorruption
from pyimgano.images import Image
from pyimgano.options import recorded
from pyimgano.testing.checks import Checks
from pyimgano.testing.images import texture
from pyimgano.testing.randomness import seeded, untouched
from pyimgano.testing.results import CheckFailure
from pyimgano.testing.subject import ComponentSubject

checks = Checks(needs=("applies",))

SIZE = (96, 128)
LARGER = (256, 256)
"""Height and width where small changes are looked for: lengths grow with the image."""
KEYS = ("a.png", "b.png", "c.png", "d.png")
STILL = 0.75
"""Pixels by which the parts of an image may seem to move where none does."""
FAINT = 4.0
"""Grey levels above its surroundings that a dot needs to be found again."""
APART = 0.03
"""Share of the pixels in which a mask may differ from what is seen of its defect."""


class Subject(ComponentSubject):
    """A corruption under test, as runs use it: `named` checks what it returns, `component` is what the plugin made."""

    @property
    def component(self) -> Corruption[Any]:
        return self.named.component

    @cached_property
    def named(self) -> NamedCorruption:
        return self.new()

    def new(self) -> NamedCorruption:
        """Return a new one."""
        options = recorded(self.entry.parse_options(self.values))
        version = self.entry.record.version
        return NamedCorruption(
            self.make(), self.spec.name, self.entry.full_name, version, options, self.spec.severities, self.spec.moves_pixels
        )

    @property
    def severities(self) -> range:
        return range(1, self.spec.severities + 1)

    def steps(self, image: Image, key: str) -> list[Image]:
        """Return an image at severities 0, 1, 2..."""
        params = self.named.draw(image.shape, seed=0, key=key)
        return [self.named.apply(image, params, severity) for severity in (0, *self.severities)]


@checks.add(needs=("factory_resolves", "options_valid"))
def applies(subject: Subject) -> None:
    """Grey and RGB images of any size keep shape and dtype at every severity."""
    if subject.spec.severities < 1:
        raise CheckFailure(f"severities={subject.spec.severities}", "it needs at least one")
    for image in (texture(0, SIZE), texture(1, (90, 40)), np.ascontiguousarray(texture(2, SIZE)[:, :, 0])):
        subject.steps(image, KEYS[0])


@checks.add()
def inputs_unchanged(subject: Subject) -> None:
    """Image and mask that it is given stay as they are."""
    image, mask = texture(0, SIZE), _block(SIZE)
    kept, kept_mask = image.copy(), mask.copy()
    params = subject.named.draw(image.shape, seed=0, key=KEYS[0])
    for severity in subject.severities:
        subject.component.apply(image, params, severity)
        subject.component.move(mask, params, severity)
    if not (np.array_equal(image, kept) and np.array_equal(mask, kept_mask)):
        raise CheckFailure("it writes into the image or mask that it is given", "return a new array")


@checks.add()
def seed_decides(subject: Subject) -> None:
    """Seed and name of an image give the same bytes in a new object, whatever the shared generators hold."""
    image = texture(0, SIZE)
    found = []
    for shared in (1, 2):
        with seeded(shared):
            named = subject.new()
            params = named.draw(image.shape, seed=5, key=KEYS[0])
            found.append([named.apply(image, params, severity) for severity in subject.severities])
    if not all(map(np.array_equal, *found)):
        raise CheckFailure("the same seed gives other pixels the next time", "draw everything random in draw, from its rng")


@checks.add()
def pure(subject: Subject) -> None:
    """What a severity does depends on image and parameters alone, not on what was done before."""
    image = texture(0, SIZE)
    params = subject.named.draw(image.shape, seed=0, key=KEYS[0])
    downwards = {severity: subject.named.apply(image, params, severity) for severity in reversed(subject.severities)}
    upwards = {severity: subject.named.apply(image, params, severity) for severity in subject.severities}
    for severity in subject.severities:
        if not np.array_equal(downwards[severity], upwards[severity]):
            raise CheckFailure(
                f"severity {severity} gives other pixels the second time with the same parameters",
                "draw everything random in draw, and keep nothing in apply",
            )


@checks.add()
def global_random_state(subject: Subject) -> None:
    """The shared random generators are left alone."""
    with untouched("drawing or applying"):
        subject.steps(texture(0, SIZE), KEYS[0])


@checks.add()
def changes_something(subject: Subject) -> None:
    """Every severity changes an image."""
    means = _changes(subject)
    idle = [severity for severity, change in zip(subject.severities, means[1:], strict=True) if not change > 0]
    if idle:
        raise CheckFailure(f"severity {', '.join(map(str, idle))} changes nothing", "start where it can be seen")


@checks.add(needs=("changes_something",))
def monotone(subject: Subject) -> None:
    """The mean change of images grows with severity, from none at 0."""
    means = _changes(subject)
    if any(after < before * 0.99 for before, after in pairwise(means)):
        shown = ", ".join(f"{change:.2f}" for change in means[1:])
        raise CheckFailure(
            f"severities 1 to {subject.spec.severities} change pixels by {shown} grey levels on average",
            "scale what draw gave by the severity; draw nothing anew for each",
        )


@checks.add(when=lambda spec: not spec.moves_pixels)
def stays_in_place(subject: Subject) -> None:
    """`moves_pixels` tells the truth: nothing in the image moves."""
    moved = float(np.median([_displacement(subject, key) for key in KEYS]))
    if moved > STILL:
        raise CheckFailure(
            f"moves_pixels=False, but parts of an image move by about {moved:.1f} pixels",
            "say moves_pixels=True and move masks along",
        )


@checks.add(when=lambda spec: spec.moves_pixels)
def mask_follows(subject: Subject) -> None:
    """A mask moves as its defect does, at the border too."""
    still = True
    for number, key in enumerate(KEYS):
        mask = _block(SIZE, number)
        image = np.where(mask[:, :, None], np.uint8(220), np.uint8(40)).repeat(3, axis=2)
        params = subject.named.draw(image.shape, seed=0, key=key)
        for severity in subject.severities:
            seen = subject.named.apply(image, params, severity).mean(axis=2) > 130
            moved = subject.named.move(mask, params, severity)
            still = still and np.array_equal(seen, mask)
            apart = float((moved != seen).mean())
            if apart > APART:
                raise CheckFailure(
                    f"at severity {severity} mask and defect differ in {100 * apart:.0f} % of the pixels",
                    "warp both by the same matrix and the same border, the mask with the nearest pixel",
                )
    if still:
        raise CheckFailure("moves_pixels=True, but nothing moves", "say moves_pixels=False")


def _changes(subject: Subject) -> list[float]:
    """Return the mean absolute change of some images at severities 0, 1, 2..., in grey levels."""
    found = []
    for number, key in enumerate(KEYS):
        image = texture(number, LARGER)
        found.append([float(np.abs(step.astype(np.int16) - image).mean()) for step in subject.steps(image, key)])
    means: list[float] = np.mean(found, axis=0).tolist()
    return means


def _block(size: tuple[int, int], number: int = 0) -> NDArray[np.bool_]:
    """Return a mask with a block; that of number 0 touches the border."""
    mask = np.zeros(size, dtype=np.bool_)
    top, left = 16 * number, 24 * number
    mask[top : top + 24, left : left + 32] = True
    return mask


def _displacement(subject: Subject, key: str) -> float:
    """Return by how many pixels dots of an image move at the greatest severity; the median over those that stay visible."""
    shifts = []
    for row, column in product((24, 48, 72), (32, 64, 96)):
        image = np.full((*SIZE, 3), 40, np.uint8)
        params = subject.named.draw(image.shape, seed=0, key=key)
        flat = subject.named.apply(image, params, subject.spec.severities).mean(axis=2)
        cv2.circle(image, (column, row), 4, (80, 80, 80), -1)
        dot = np.abs(subject.named.apply(image, params, subject.spec.severities).mean(axis=2) - flat)
        if dot.max() >= FAINT:
            dot[dot < dot.max() / 2] = 0
            rows, columns = np.indices(SIZE)
            place = np.array([(dot * rows).sum(), (dot * columns).sum()]) / dot.sum()
            shifts.append(float(np.hypot(*(place - [row, column]))))
    return float(np.median(shifts)) if shifts else 0.0
