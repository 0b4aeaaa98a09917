"""A training before anything is learned: its components, its images, and what it can be known again by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pyimgano import __version__
from pyimgano.contracts import Dataset, DatasetSplit
from pyimgano.datasets.layout import images_root
from pyimgano.errors import PlanError
from pyimgano.evaluation.category import Category
from pyimgano.evaluation.config import ALL
from pyimgano.evaluation.plan import Part, Plan
from pyimgano.pipeline import Pipeline
from pyimgano.reporting.strict_json import plain
from pyimgano.workbench.completeness import WAYS_OUT, makes_maps
from pyimgano.workbench.config import TrainConfig
from pyimgano.workbench.seal import sha256_of
from pyimgano.workbench.split_record import split_digests, split_rows


def plan_training(config: TrainConfig) -> Plan:
    """Return the plan of a training, importing no implementation and reading no image; errors as in `Plan.of`."""
    return Plan.of(config.benchmark(), list(_misfits(config)))


@dataclass(frozen=True)
class Preparation:
    """A training that can run.

    Attributes
    ----------
    config, plan
        Its settings and components.
    category
        All its images, named from the root of the dataset.
    split
        The same with calibration images held out.
    category_name
        What the images show, where that is known.
    """

    config: TrainConfig
    plan: Plan
    category: Category
    split: DatasetSplit
    category_name: str | None

    @classmethod
    def of(cls, config: TrainConfig) -> Preparation:
        """List the images of a training whose components fit together."""
        plan = plan_training(config)
        dataset = plan.build_dataset()
        whole = dataset.load()
        name = _category_name(dataset)
        category = Category.of(name or "all", whole, images_root(dataset), plan.config)
        split = whole.with_calibration(config.calibration.calibration_fraction, config.seed)
        return cls(config, plan, category, split, name)

    @property
    def model(self) -> Part:
        """Return the detector of the plan."""
        return self.plan.models[0]

    def build_pipeline(self) -> Pipeline:
        """Return the pipeline, not yet fitted."""
        pipeline = self.plan.build_pipeline(self.model)
        pipeline.defects = self.config.defects.chain()
        return pipeline

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Return a row per image; reads every file once."""
        return split_rows(self.split, self.category)

    @cached_property
    def split_digests(self) -> Mapping[str, Any]:
        """Return count and digest of the images of every role."""
        return split_digests(self.rows)

    def split_record(self) -> dict[str, Any]:
        """Return which image went where, and by which seed."""
        fraction = self.config.calibration.calibration_fraction
        return {
            "schema_version": 1,
            "dataset": self.plan.dataset.entry.full_name,
            "category": self.category_name,
            "seed": self.config.seed,
            "calibration_fraction": fraction,
            "digests": self.split_digests,
            "images": self.rows,
        }

    @cached_property
    def fingerprint(self) -> str:
        """Return a digest of everything that decides what is learned: images, settings and versions, not where it runs."""
        config, model = self.config, self.model
        tiling = config.adaptation.tiling
        on_tiles = tiling.tile is not None and tiling.fit_on == "tiles"
        decides = {
            "pyimgano": __version__,
            "model": model.record(),
            "files": {str(path): sha256_of(path) for path in _files(model)},
            "preprocessing": config.preprocessing,
            "tiles": [tiling.tile, tiling.step] if on_tiles else None,
            "augmentation": config.dataset.augmentation,
            "seed": config.seed,
            "amp": config.model.amp,
            "train": self.split_digests["train"],
        }
        return hashlib.sha256(json.dumps(plain(decides), sort_keys=True).encode()).hexdigest()


def _misfits(config: TrainConfig) -> Iterator[PlanError]:
    """Yield why the settings do not fit together, beyond what the plan of a benchmark knows."""
    if config.dataset.category == ALL:
        yield PlanError("a training learns one category, not all", "pass --category NAME; 'pyimgano benchmark' runs all")
    if not config.defects.enabled:
        return
    by_hand = config.defects.pixel_threshold is not None
    if not makes_maps(config.model.name):
        yield PlanError(
            f"defects are enabled, and {config.model.name} makes no anomaly maps",
            "pass --no-defects, or choose a detector with maps: pyimgano list-models",
        )
    elif config.calibration.pixel_threshold_strategy == "none" and not by_hand:
        yield PlanError("defects are enabled, and nothing sets a pixel threshold", WAYS_OUT)


def _category_name(dataset: Dataset) -> str | None:
    """Return the category that was chosen, or the name of the folder where the layout has none."""
    chosen: str | None = getattr(dataset.options, "category", None)
    root: Path | None = getattr(dataset.options, "root", None)
    return chosen or (root.resolve().name if root is not None else None)


def _files(model: Part) -> list[Path]:
    """Return the files that options name."""
    values = (getattr(model.options, name) for name in type(model.options).model_fields)
    return [value for value in values if isinstance(value, Path) and value.is_file()]
