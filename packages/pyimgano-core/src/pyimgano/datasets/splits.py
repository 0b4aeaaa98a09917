"""Splits that are seeded, disjoint and independent of the global generators."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeVar

import numpy as np

from pyimgano.errors import CalibrationError

T = TypeVar("T")


def split_train_calibration(paths: Sequence[T], calibration_fraction: float = 0.2, seed: int = 0) -> tuple[list[T], list[T]]:
    """Hold out a share of normal images for calibration.

    Returns
    -------
    train, calibration
        Disjoint, together all of `paths`, each in the order of `paths` and never empty.

    Raises
    ------
    CalibrationError
        With fewer than two images.
    """
    if not 0 < calibration_fraction < 1:
        raise CalibrationError(f"calibration_fraction must lie between 0 and 1, got {calibration_fraction}")
    count = len(paths)
    if count < 2:
        raise CalibrationError(
            f"{count} good training image{'' if count == 1 else 's'} cannot be split into one part to learn from and one to "
            "calibrate on",
            "provide at least 2 images of good parts; 100 or more make good thresholds",
        )
    held_out = min(max(round(count * calibration_fraction), 1), count - 1)
    chosen = set(np.random.default_rng(seed).permutation(count)[:held_out].tolist())
    return [p for i, p in enumerate(paths) if i not in chosen], [p for i, p in enumerate(paths) if i in chosen]


def split_groups(
    items: Sequence[T], groups: Sequence[str | None], fraction: float = 0.2, seed: int = 0
) -> tuple[list[T], list[T]]:
    """Hold out a share of the groups; items of one group stay together, an item without a group is one by itself.

    Returns
    -------
    kept, held_out
        As `split_train_calibration` returns them; without groups the very same.

    Raises
    ------
    CalibrationError
        With fewer than two items or groups.
    """
    members: dict[Hashable, list[int]] = {}
    for place, group in enumerate(groups):
        members.setdefault(place if group is None else ("group", group), []).append(place)
    if len(members) < 2 <= len(items):
        raise CalibrationError(
            f"all {len(items)} images belong to the group {groups[0]!r}, so that none can be held out",
            "provide images of at least 2 groups",
        )
    _, chosen = split_train_calibration(list(members.values()), fraction, seed)
    held_out = {place for group in chosen for place in group}
    return [x for i, x in enumerate(items) if i not in held_out], [x for i, x in enumerate(items) if i in held_out]


def sample_evenly(items: Sequence[T], classes: Sequence[Hashable], limit: int, seed: int = 0) -> list[T]:
    """Return at most `limit` of the items, in their order, each class in proportion and none left out where it fits."""
    if len(items) <= limit:
        return list(items)
    order = np.random.default_rng(seed).permutation(len(items)).tolist()
    by_class: dict[Hashable, list[int]] = {}
    for place in order:
        by_class.setdefault(classes[place], []).append(place)
    ranked = sorted((rank / len(places), place) for places in by_class.values() for rank, place in enumerate(places))
    chosen = {place for _, place in ranked[:limit]}
    return [item for place, item in enumerate(items) if place in chosen]
