"""The categories of a run, and with real drift what of each is learned from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property

from pyimgano.datasets.splits import sample_evenly
from pyimgano.evaluation.benchmark import list_categories
from pyimgano.evaluation.category import Category
from pyimgano.evaluation.plan import Plan
from pyimgano_robustness.drift import RealDrift, condition_of
from pyimgano_robustness.options import RobustnessConfig


@dataclass(frozen=True)
class DriftingCategory(Category):
    """A category whose images were taken under several conditions; another condition of an image is another category."""

    drift: RealDrift | None = None

    @cached_property
    def data_sha256(self) -> str:
        own = super().data_sha256
        if self.drift is None:
            return own
        taken = [condition_of(sample, self.drift.key) for sample in self.split.test]
        return hashlib.sha256(json.dumps([own, taken]).encode()).hexdigest()


def list_drifting(config: RobustnessConfig, plan: Plan) -> list[DriftingCategory]:
    """List the images of every category: with a condition key those of the reference to learn from, and all to test on."""
    if config.condition_key is None:
        return [DriftingCategory(one.name, one.split, one.root, one.cut) for one in list_categories(plan)]
    # limits come after the choice of the reference, or little would be left of it
    unlimited = replace(plan, config=config.model_copy(update={"limit_train": None, "limit_test": None}))
    return [_drifting(one, config, config.condition_key) for one in list_categories(unlimited)]


def _drifting(category: Category, config: RobustnessConfig, key: str) -> DriftingCategory:
    drift = RealDrift.of(category.split, key, config.calibrate_on)
    whole = drift.select(category.split)
    limited = whole if config.limit_test is None else drift.limit_test(whole, config.limit_test, config.seed)
    if config.limit_train is not None:
        train = tuple(sample_evenly(limited.train, [None] * len(limited.train), config.limit_train, config.seed))
        limited = replace(limited, train=train)
    cut = tuple(role for role in ("train", "test") if len(getattr(limited, role)) < len(getattr(whole, role)))
    return DriftingCategory(category.name, limited, category.root, cut, drift)
