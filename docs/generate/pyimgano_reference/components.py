"""Pages about components: one per kind, for detectors one per distribution, and the index of all models."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Set
from typing import Any

from pyimgano.discovery import CORE, PluginIndex
from pyimgano.registry import Entry
from pyimgano.specs import DetectorSpec
from pyimgano_reference.fields import options_table
from pyimgano_reference.markdown import cell, code, page, table

KINDS = {
    "dataset": (
        "Datasets",
        "Layouts of images on disk. The first column is what `--dataset` takes; `-d KEY=VALUE` sets an option.",
    ),
    "corruption": (
        "Corruptions",
        "What may happen to an image on the line, in steps of severity. `robust-benchmark --corruptions NAME,NAME` uses them.",
    ),
    "postprocessor": ("Postprocessors", "Steps between the detector and the thresholds: `--postprocess NAME,KEY=VALUE`."),
    "metric": ("Metrics", "What every report holds, or `benchmark --metric NAME,KEY=VALUE` adds."),
}
LEARNING = {"fit": "from good images", "few_shot": "from few good images", "zero_shot": "from none"}
WEIGHTS = {
    "none": "none",
    "bundled": "come with it",
    "download": "package, cache or file",
    "checkpoint": "a file that you bring",
}


def entries(index: PluginIndex, kind: str) -> list[Entry]:
    """Return the components of a kind that this project ships, those of core first."""
    found = [Entry(spec, record) for record, spec in index.components(kind)]
    ours = [entry for entry in found if entry.record.distribution.startswith("pyimgano-")]
    return sorted(ours, key=lambda entry: (entry.record.distribution != CORE, entry.record.distribution))


def kind_page(index: PluginIndex, kind: str) -> str:
    """Return the page of a kind other than detectors."""
    title, opening = KINDS[kind]
    found = entries(index, kind)
    rows = [
        [f"[`{entry.spec.name}`](#{entry.spec.name})", cell(entry.spec.summary), entry.record.distribution] for entry in found
    ]
    overview = table(["Name", "What it is", "Distribution"], rows)
    return page(title, opening, overview, *map(_section, found))


def detector_pages(index: PluginIndex) -> dict[str, str]:
    """Return a page per distribution that has detectors, by its name."""
    by_distribution: dict[str, list[Entry]] = {}
    for entry in entries(index, "detector"):
        by_distribution.setdefault(entry.record.distribution, []).append(entry)
    return {name: _detector_page(name, found) for name, found in by_distribution.items()}


def _detector_page(distribution: str, found: list[Entry]) -> str:
    opening = (
        f"Detectors of `{distribution}`. Set options with `-o KEY=VALUE` on the command line, under `model.options` in a "
        "config, or as keywords of `pyimgano.create_model`. `pyimgano show detector NAME` prints the same."
    )
    shown: dict[Any, str] = {}
    sections = []
    for entry in found:
        model = entry.options_model()
        twin = shown.setdefault(model, entry.spec.name)
        same = f"Its options are those of [`{twin}`](#{twin})."
        sections.append(_section(entry, "" if twin == entry.spec.name else same))
    return page(f"Detectors: {distribution.removeprefix('pyimgano-')}", opening, *sections)


def _section(entry: Entry, instead: str = "") -> str:
    facts = "\n".join(f"- {name}: {value}" for name, value in _facts(entry))
    presets = _presets(entry.spec) if isinstance(entry.spec, DetectorSpec) else ""
    parts = [
        f"## {entry.spec.name}",
        f"{cell(entry.spec.summary)}.",
        facts,
        presets,
        instead or options_table(entry.options_model()),
    ]
    return "\n\n".join(filter(None, parts))


def _facts(entry: Entry) -> Iterable[tuple[str, str]]:
    yield "full name", code(entry.full_name)
    for field in dataclasses.fields(entry.spec):
        value = getattr(entry.spec, field.name)
        if field.name not in ("name", "summary", "options", "presets") and (value or isinstance(value, int)):
            yield field.name.replace("_", " "), _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (tuple, Set)):
        return ", ".join(code(part) for part in (sorted(value) if isinstance(value, Set) else value))
    return code(value)


def _presets(spec: DetectorSpec) -> str:
    rows = [[code(name), _values(values)] for name, values in spec.presets.items()]
    return table(["Preset", "Sets"], rows) if rows else ""


def _values(values: Mapping[str, Any]) -> str:
    return ", ".join(code(f"{key}={value}") for key, value in values.items()) or "the defaults"


def model_index(index: PluginIndex) -> str:
    """Return the table of all detectors."""
    rows = [
        [
            f"[`{entry.spec.name}`](detectors/{entry.record.distribution}.md#{entry.spec.name})",
            cell(entry.spec.summary),
            LEARNING[entry.spec.learning],
            "yes" if entry.spec.maps else "no",
            WEIGHTS[entry.spec.weights],
            ", ".join(entry.spec.devices),
        ]
        for entry in entries(index, "detector")
    ]
    header = ["Model", "What it is", "Learns", "Maps", "Pretrained weights", "Runs on"]
    opening = (
        "Every detector of this project, with what its spec declares. `pyimgano list-models` lists those that are installed, "
        "`--tag TAG` those with a tag. What to choose when: [Choose a model](../how-to/choose-a-model.md)."
    )
    return page("Model index", opening, table(header, rows))
