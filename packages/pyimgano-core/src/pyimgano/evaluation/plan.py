"""The plan of a benchmark: every component found, its options validated, and whether they fit together, from specs alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pyimgano.choice import Choice
from pyimgano.contracts import Dataset, Metric, Runtime
from pyimgano.errors import OptionsError, PlanError, PyimganoError
from pyimgano.evaluation.config import ALL, BenchmarkConfig
from pyimgano.options import Options
from pyimgano.pipeline import Pipeline
from pyimgano.registry import Entry, build_component, check_device, find, warn_of_full_precision, with_preset
from pyimgano.reporting.strict_json import plain


@dataclass(frozen=True)
class Part:
    """A component of the plan: how the user wrote it, what it is, and all its options."""

    label: str
    entry: Entry
    options: Options

    def record(self) -> dict[str, Any]:
        """Return it as plain data: kind, full name, version, options with their defaults."""
        return {
            "kind": self.entry.spec.kind,
            "name": self.entry.full_name,
            "version": self.entry.record.version,
            "options": plain(self.options),
        }


@dataclass(frozen=True)
class Plan:
    """A benchmark that can run: `config` and all its components."""

    config: BenchmarkConfig
    dataset: Part
    models: tuple[Part, ...]
    postprocess: tuple[Part, ...]
    metrics: tuple[Part, ...]

    @classmethod
    def of(cls, config: BenchmarkConfig, found: Sequence[PyimganoError] = ()) -> Plan:
        """Return the plan for a config, importing no implementation; a setting that a model does not know is warned of, once.

        `found` is what the caller knows to be wrong already, to be said with the rest.

        Raises
        ------
        PlanError
            With every reason why it cannot run, one per line, and what to do about each.
        """
        problems: list[PyimganoError] = list(found)

        def parts(kind: str, chosen: tuple[Choice, ...]) -> tuple[Part, ...]:
            found = [_part(kind, choice, choice.options, config, problems) for choice in chosen]
            return tuple(one for one in found if one is not None)

        dataset = _part("dataset", Choice(name=config.dataset), _dataset_values(config), config, problems)
        plan = (parts("detector", config.models), parts("postprocessor", config.postprocess), parts("metric", config.metrics))
        problems += _misfits(dataset, *plan)
        for spec in {part.entry.full_name: part.entry.spec for part in plan[0]}.values():
            if config.amp and not spec.amp:
                warn_of_full_precision(spec)
        if problems or dataset is None:
            raise PlanError(
                "\n".join(error.problem for error in problems).replace("\n", "\n       "),
                "\n       ".join(dict.fromkeys(error.next_step for error in problems if error.next_step)),
            )
        return cls(config, dataset, *plan)

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return all components, in the order in which data meets them."""
        return (self.dataset, *self.models, *self.postprocess, *self.metrics)

    def build_dataset(self) -> Dataset:
        """Return the dataset; with a category of its own it is bound to it."""
        dataset: Dataset = build_component(self.dataset.entry, _dataset_values(self.config))
        return dataset

    def build_pipeline(self, model: Part) -> Pipeline:
        """Return a pipeline around one of the models, not yet fitted."""
        config = self.config
        amp = config.amp and model.entry.spec.amp
        runtime = Runtime(config.device, config.batch_size, amp, config.threads, config.seed)
        given = model.options.model_dump(exclude_unset=True)
        steps = [Choice(name=part.entry.full_name, options=part.options.model_dump()) for part in self.postprocess]
        return Pipeline.create(
            model.entry.full_name, given, runtime, steps, preprocessing=config.preprocessing, tiling=config.tiling
        )

    def build_metrics(self) -> dict[str, Metric]:
        """Return the further metrics by label."""
        return {part.label: build_component(part.entry, part.options.model_dump()) for part in self.metrics}


def _part(
    kind: str, choice: Choice, values: Mapping[str, Any], config: BenchmarkConfig, problems: list[PyimganoError]
) -> Part | None:
    """Return a component of the plan; None if something is wrong with it, all of which is added to `problems`."""
    before = len(problems)
    part = None
    with _noted(problems):
        entry = find(kind, choice.name)
        if kind == "detector":
            resize = {} if config.resize is None else {"resize": list(config.resize)}
            values = {**resize, **values}
            with _noted(problems):
                values = {**with_preset(entry.spec, config.preset, {}), **values}
            with _noted(problems):
                check_device(entry.spec, config.device)
        entry.check_installed()
        place = entry.options_model().model_fields.get("root")
        if kind == "dataset" and place is not None and place.is_required() and "root" not in values:
            raise OptionsError(f"dataset {choice.name} needs the folder of its images", "pass --root DIR")
        part = Part(choice.label, entry, entry.parse_options(values))
    return part if len(problems) == before else None


@contextmanager
def _noted(problems: list[PyimganoError]) -> Iterator[None]:
    """Add an error to `problems` and go on after the block."""
    try:
        yield
    except PyimganoError as error:
        problems.append(error)


def _dataset_values(config: BenchmarkConfig) -> dict[str, Any]:
    values = dict(config.dataset_options)
    if config.root is not None:
        values["root"] = config.root
    if config.category not in (None, ALL):
        values["category"] = config.category
    return values


def _misfits(
    dataset: Part | None, models: tuple[Part, ...], postprocess: tuple[Part, ...], metrics: tuple[Part, ...]
) -> list[PlanError]:
    """Return why the parts do not fit together."""
    found = []
    of_maps = [part for part in postprocess if part.entry.spec.acts_on == "map"]
    of_pixels = [part for part in metrics if part.entry.spec.level != "image"]
    for model in models:
        needing = [part for part in (*of_maps, *of_pixels) if not model.entry.spec.maps]
        for part in needing:
            found.append(
                PlanError(
                    f"{part.label} needs anomaly maps, and {model.label} makes none",
                    f"leave out {part.label}, or choose a detector with maps: pyimgano list-models",
                )
            )
    for part in metrics:
        if part.entry.spec.needs_masks and dataset is not None and not dataset.entry.spec.masks:
            found.append(
                PlanError(f"{part.label} needs masks, and the dataset {dataset.label} has none", f"leave out {part.label}")
            )
    return found
