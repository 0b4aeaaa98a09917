"""Pages about components: one per kind, for detectors one per distribution, and the index of all models."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any

from pyimgano.discovery import CORE, PluginIndex
from pyimgano.registry import Entry
from pyimgano.specs import DetectorSpec
from pyimgano_reference.fields import options_table
from pyimgano_reference.markdown import cell, code, page, table

KINDS = {
    "dataset": (
        "Datasets",
        "Layouts of images on disk. The first column is what `--dataset` takes; `-d KEY=VALUE` sets an option. What the "
        "folders look like: [Lay out datasets](../how-to/datasets.md).",
    ),
    "corruption": (
        "Corruptions",
        "What may happen to an image on the line, in steps of severity. `robust-benchmark --corruptions NAME,NAME` uses them. "
        "How strong each is at each severity: [Measure robustness](../robustness.md#corruptions).",
    ),
    "postprocessor": ("Postprocessors", "Steps between the detector and the thresholds: `--postprocess NAME,KEY=VALUE`."),
    "metric": (
        "Metrics",
        "What every report holds, or `benchmark --metric NAME,KEY=VALUE` adds. How each is defined, and where it is not: "
        "[Metrics and their edge cases](../explanation/metrics.md).",
    ),
}
FACTS = {
    "tags": "tags",
    "extra": "installed by",
    "requires": "needs",
    "deprecated": "replaced by",
    "learning": "learns from",
    "maps": "makes maps",
    "weights": "pretrained weights",
    "devices": "runs on",
    "embedder": "takes an `embedder` in Python",
    "amp": "`--amp` has an effect",
    "masks": "has masks",
    "severities": "severities",
    "moves_pixels": "moves pixels",
    "acts_on": "acts on",
    "fits": "learns from held-out images",
    "level": "judges",
    "needs_masks": "needs masks",
    "higher_is_better": "higher is better",
}
"""What a page tells of a spec, in this order; what only the program needs, such as paths of factories, is left out."""

ONLY_YES = ("embedder", "amp")
"""Facts that are told only where they hold."""

LEARNING = {"fit": "good images", "few_shot": "few good images", "zero_shot": "no images"}
WEIGHTS = {
    "none": "none",
    "bundled": "come with it",
    "download": "package, cache or file",
    "checkpoint": "a file that you bring",
}


def entries(index: PluginIndex, kind: str) -> list[Entry]:
    """Return the components of a kind that this project ships, by distribution."""
    found = [Entry(spec, record) for record, spec in index.components(kind)]
    ours = [entry for entry in found if entry.record.distribution.startswith("pyimgano-")]
    return sorted(ours, key=lambda entry: _place(entry.record.distribution))


def _place(distribution: str) -> tuple[bool, bool, str]:
    """Return what orders distributions: core, then those with models of this project, then all others."""
    return distribution != CORE, "-models-" not in distribution, distribution


def kind_page(index: PluginIndex, kind: str) -> str:
    """Return the page of a kind other than detectors."""
    title, opening = KINDS[kind]
    found = entries(index, kind)
    rows = [
        [f"[`{entry.spec.name}`](#{entry.spec.name})", cell(entry.spec.summary), entry.record.distribution] for entry in found
    ]
    overview = table(["Name", "What it is", "Distribution"], rows)
    return page(title, opening, overview, *map(_section, found))


def detectors(index: PluginIndex) -> dict[str, list[Entry]]:
    """Return the detectors by distribution."""
    by_distribution: dict[str, list[Entry]] = {}
    for entry in entries(index, "detector"):
        by_distribution.setdefault(entry.record.distribution, []).append(entry)
    return by_distribution


def detector_pages(index: PluginIndex) -> dict[str, str]:
    """Return a page per distribution that has detectors, by its name."""
    return {name: _detector_page(name, found) for name, found in detectors(index).items()}


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
    return page(f"Detectors: {distribution.removeprefix('pyimgano-').removeprefix('models-')}", opening, *sections)


def _section(entry: Entry, instead: str = "") -> str:
    is_detector = isinstance(entry.spec, DetectorSpec)
    facts = [f"{name}: {value}" for name, value in _facts(entry)]
    presets = _presets(entry.spec) if is_detector else ""
    parts = [
        f"## {entry.spec.name}",
        _sentence(entry.spec.summary),
        "\n".join(f"- {fact[0].upper()}{fact[1:]}" for fact in facts) if is_detector else "; ".join(facts),
        presets,
        instead or options_table(entry.options_model()),
    ]
    return "\n\n".join(filter(None, parts))


def _sentence(summary: str) -> str:
    """Return a summary as a sentence; a path or a name that it begins with stays as it is."""
    begins_with_word = re.match(r"[a-z]+[ ,](?![A-Z])", summary)
    return f"{cell(summary[0].upper() + summary[1:] if begins_with_word else summary)}."


def _facts(entry: Entry) -> Iterable[tuple[str, str]]:
    yield "Full name", code(entry.full_name)
    for name, label in FACTS.items():
        value = getattr(entry.spec, name, None)
        if value or (isinstance(value, int) and name not in ONLY_YES):
            yield label, WORDS[name](entry, value) if name in WORDS else _plain(value)


WORDS: dict[str, Callable[[Entry, Any], str]] = {
    "extra": lambda entry, extra: code(f'pip install "{entry.record.distribution}[{extra}]"'),
    "learning": lambda _, learning: LEARNING[learning],
    "weights": lambda _, weights: WEIGHTS[weights],
}
"""How values are told that are not shown as they are."""


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
    """Return the tables of all detectors, one per distribution."""
    opening = (
        "Every detector of this project, with what its spec declares. `pyimgano list-models` lists those that are installed, "
        "`--tag TAG` those with a tag. What to choose when: [Choose a model](../how-to/choose-a-model.md)."
    )
    return page("Model index", opening, *(f"## {name}\n\n{_models(found)}" for name, found in detectors(index).items()))


def _models(found: Iterable[Entry]) -> str:
    rows = [
        [
            f"[`{entry.spec.name}`](detectors/{entry.record.distribution}.md#{entry.spec.name})",
            cell(entry.spec.summary),
            LEARNING[entry.spec.learning],
            "yes" if entry.spec.maps else "no",
            WEIGHTS[entry.spec.weights],
            ", ".join(entry.spec.devices),
        ]
        for entry in found
    ]
    return table(["Model", "What it is", "Learns from", "Maps", "Pretrained weights", "Runs on"], rows)
