"""Pages about the files that people write and edit: every key of every settings model."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from importlib import import_module

import yaml
from pydantic import BaseModel

from pyimgano.defects.presets import DEFECTS_PRESETS
from pyimgano.workbench.recipes import recipe_names, recipe_text
from pyimgano_reference.commands import Command, command
from pyimgano_reference.fields import Key, default_cell, keys, type_cell
from pyimgano_reference.markdown import cell, code, docstring, page, table

EXAMPLE = """\

```yaml
root: parts
models:
  - name: vision_filterbank
    options: {{resize: [96, 128]}}
calibration: {{false_alarm_rate: 0.05}}
{}```"""

FILES: Mapping[str, tuple[str, str, str | None, str]] = {
    "train-config": (
        "Training config",
        "pyimgano.workbench.config:TrainConfig",
        "train",
        "What `pyimgano train --config FILE` reads (YAML, TOML or JSON), `pyimgano.TrainConfig` is in Python, and "
        "`pyimgano schema config` describes as a JSON schema. How to write one: [Train from a config](../../training.md).",
    ),
    "benchmark-config": (
        "Benchmark config",
        "pyimgano.evaluation.config:BenchmarkConfig",
        "benchmark",
        "What `pyimgano benchmark --config FILE` reads, `pyimgano.BenchmarkConfig` is in Python, and "
        "`pyimgano schema benchmark` describes as a JSON schema. Such as:\n" + EXAMPLE.format(""),
    ),
    "robustness-config": (
        "Robustness config",
        "pyimgano_robustness.options:RobustnessConfig",
        "robust-benchmark",
        "What `pyimgano robust-benchmark --config FILE` reads: a benchmark config, and under what it is repeated. Such as:\n"
        + EXAMPLE.format("corruptions: [lighting, jpeg]\nseverities: [1, 3]\n"),
    ),
    "infer-config": (
        "infer_config.json",
        "pyimgano.workbench.infer_config:InferConfig",
        "infer",
        "What `train` writes and `infer` reads, loose or in a bundle; `pyimgano schema infer-config` describes it as a JSON "
        "schema. How to change one: [Handle bundles](../../bundles.md).",
    ),
    "defects-config": (
        "Defects config",
        "pyimgano.defects.config:DefectsConfig",
        "defects",
        "From anomaly map to mask to regions: the section `defects` of other files, `pyimgano.DefectsConfig` in Python, and "
        "the `--defect` flags.",
    ),
}


def model_of_file(name: str) -> type[BaseModel]:
    """Return the model of a file."""
    module, _, attribute = FILES[name][1].partition(":")
    model: type[BaseModel] = getattr(import_module(module), attribute)
    return model


def settings_page(name: str) -> str:
    """Return the page of a file; its sections are the keys that hold keys."""
    title, _, command_name, opening = FILES[name]
    model = model_of_file(name)
    flags = flags_of(command(command_name)) if command_name else {}
    return page(title, opening, docstring(model.__doc__), *_sections(list(keys(model)), flags))


def _sections(found: list[Key], flags: Mapping[str, str]) -> Iterator[str]:
    by_section: dict[str, list[Key]] = {}
    for key in found:
        is_section = len(key.path) == 1 and any(other.path[0] == key.path[0] and len(other.path) > 1 for other in found)
        section = key.path[0] if len(key.path) > 1 or is_section else ""
        by_section.setdefault(section, []).append(key)
    for section, rows in by_section.items():
        heading = f"## {section}\n\n{cell(rows.pop(0).meaning)}\n\n" if section else "## Keys\n\n"
        yield heading + table(["Key", "Type", "Default", "Meaning"], [_row(key, flags) for key in rows])


def _row(key: Key, flags: Mapping[str, str]) -> list[str]:
    names = ("_".join(key.path), "_".join(key.path[1:]), "_".join(key.path[2:]), f"settings_{'_'.join(key.path)}")
    flag = next((flags[name] for name in names if name in flags), None)
    words = " ".join(filter(None, [cell(key.meaning), f"Flag: {code(flag)}" if flag else ""]))
    return [code(key.name), type_cell(key.field), default_cell(key.field), words]


def flags_of(command: Command) -> dict[str, str]:
    """Return the long flag of every parameter of a command that is generated from a settings model."""
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    return {option.name: max(option.opts, key=len) for option in options}


def recipes_page() -> str:
    """Return the page of recipes and defects presets."""
    shown = [f"### {name}\n\n{_recipe(recipe_text(name))}" for name in recipe_names()]
    return page(
        "Recipes and presets",
        "A *recipe* is a training config that a training builds on: `pyimgano train --recipe NAME`. What you set beside it "
        "wins. A *preset* of a detector is a named set of its options: `--preset NAME`, in the tables of the detectors. A "
        "*defects preset* is a named set of defects settings: `--defects-preset NAME`.",
        "## Recipes",
        *shown,
        "## Defects presets",
        *(_preset(name, preset) for name, preset in DEFECTS_PRESETS.items()),
    )


def _recipe(text: str) -> str:
    """Return a recipe: the comment that it begins with as text, in which keys have lines of their own, and its config."""
    lines = text.strip().splitlines()
    comment = [line.removeprefix("# ") for line in itertools.takewhile(lambda line: line.startswith("#"), lines)]
    config = "\n".join(re.sub(" {2,}#", "  #", line) for line in lines[len(comment) :])
    return f"{_told(comment)}\n\n```yaml\n{config}\n```"


def _told(comment: list[str]) -> str:
    told = ""
    for line in comment:
        key = re.fullmatch(r"  (\S.*?) {2,}(.+)", line)
        if key:
            told += f"\n- {code(key[1])}: {cell(key[2])}"
        elif line == "#":
            told += "\n\n"
        elif told.rpartition("\n")[2].startswith("- ") and not line.startswith(" "):
            told += f"\n\n{cell(line)}"
        else:
            told += f" {cell(line)}"
    return re.sub(r"(?<=:)\n(?=- )", "\n\n", re.sub("^ ", "", told, flags=re.MULTILINE))


def _preset(name: str, preset: BaseModel) -> str:
    values = yaml.safe_dump(preset.model_dump(exclude_unset=True), sort_keys=False).strip()
    return f"### {name}\n\n```yaml\n{values}\n```"
