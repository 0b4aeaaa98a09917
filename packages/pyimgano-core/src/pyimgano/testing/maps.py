"""Checks of the anomaly maps of detectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyimgano.maps import AnomalyMap
from pyimgano.testing.checks import Checks
from pyimgano.testing.detectors import CLOSE, Subject
from pyimgano.testing.images import texture, textures, with_block
from pyimgano.testing.results import CheckFailure

checks = Checks(needs=("fits",))

SHAPES = ((64, 128), (96, 96), (128, 64))
"""Heights and widths whose corners are looked at: 1:2, 1:1 and 2:1."""
CORNERS = {"top left": (0, 0), "top right": (0, 1), "bottom left": (1, 0), "bottom right": (1, 1)}
NEAR = 0.25
"""How far from its place a defect may be seen, as a share of each side: maps of transformers have few cells."""


@checks.add()
def maps_flag(subject: Subject) -> None:
    """`maps` tells the truth: every score comes with a map, or none does."""
    results = subject.fitted.score_images(subject.probes())
    made = [result.anomaly_map is not None for result in results]
    if not all(has == subject.spec.maps for has in made):
        raise CheckFailure(
            f"maps={subject.spec.maps}, but {sum(made)} of {len(made)} scores have one", f"say maps={all(made)} in its spec"
        )


@checks.add(when=lambda spec: spec.maps, needs=("maps_flag",))
def map_batch_independence(subject: Subject) -> None:
    """The map of an image does not depend on its batch mates."""
    images = subject.probes()
    together = [_map(result.anomaly_map).render() for result in subject.fitted.score_images(images)]
    scale = max(float(np.abs(shown).max()) for shown in together)
    for number, image in enumerate(images):
        alone = _map(subject.fitted.score_images([image])[0].anomaly_map).render()
        worst = float(np.abs(alone - together[number]).max())
        if worst > 100 * CLOSE * scale:
            raise CheckFailure(
                f"the map of an image alone and in a batch differ by {worst:.3g} at values up to {scale:.3g}",
                "do not scale maps by the batch",
            )


@checks.add(when=lambda spec: spec.maps, needs=("maps_flag",))
def map_alignment(subject: Subject) -> None:
    """A small block in any corner lights that corner, at aspect ratios of 1:2, 1:1 and 2:1."""
    for shape in SHAPES:
        detector = subject.learned(textures(6, shape))
        surface = texture(500, shape)
        side = max(4, min(shape) // 10)
        half = (side / 2 / shape[0], side / 2 / shape[1])
        places = {
            name: tuple(edge if not far else 1 - edge for far, edge in zip(corner, half, strict=True))
            for name, corner in CORNERS.items()
        }
        clean = _map(detector.score_images([surface])[0].anomaly_map).render()
        blocks = [with_block(surface, (row, column), side, subject.colour) for row, column in places.values()]
        for (name, place), image in zip(places.items(), blocks, strict=True):
            change = _map(detector.score_images([image])[0].anomaly_map).render() - clean
            _check_place(change, place, f"a block in the {name} corner of an image of {shape[0]} x {shape[1]}")


def _check_place(change: NDArray[np.float32], place: tuple[float, ...], what: str) -> None:
    """Fail unless a map rose near `place`, given as shares of its sides."""
    advice = "let the map cover the whole image: no crop, no swapped axes, no padding that stays in"
    highest = float(change.max())
    if not highest > 0:
        raise CheckFailure(f"{what} changes the map nowhere", advice)
    weight = np.where(change >= highest / 2, change, 0)
    seen = tuple(
        float((weight.sum(axis=1 - axis) * (np.arange(extent) + 0.5)).sum() / weight.sum() / extent)
        for axis, extent in enumerate(change.shape)
    )
    if max(abs(found - wanted) for found, wanted in zip(seen, place, strict=True)) > NEAR:
        where = f"{100 * seen[0]:.0f} % from the top and {100 * seen[1]:.0f} % from the left"
        raise CheckFailure(f"{what} is seen {where}", advice)


def _map(anomaly_map: AnomalyMap | None) -> AnomalyMap:
    assert anomaly_map is not None
    return anomaly_map
