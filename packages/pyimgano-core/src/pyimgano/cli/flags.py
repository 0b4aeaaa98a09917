"""Flags that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pyimgano.choice import Choice
from pyimgano.options import from_pairs

Option = Annotated[
    list[str] | None,
    typer.Option(
        "-o", "--option", metavar="KEY=VALUE", help="Set an option of the model; 'pyimgano show detector NAME' lists them."
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", metavar="NAME[,KEY=VALUE...]", help="Detector, with options of its own; may be given again."),
]
ModelKwargs = Annotated[
    str | None, typer.Option(metavar="JSON", help="Options of every model, as a JSON object; -o sets single ones.")
]
Config = Annotated[Path | None, typer.Option(metavar="FILE", help="Settings as YAML, TOML or JSON; flags that are given win.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
BatchSize = Annotated[int, typer.Option(min=0, help="Images per forward pass; 0 lets the model choose.")]
Amp = Annotated[bool, typer.Option("--amp", help="Use reduced precision where the processor has it.")]
Threads = Annotated[int, typer.Option(min=0, help="Threads for the heavy arithmetic; 0 leaves the library's own choice.")]
DatasetOption = Annotated[
    list[str] | None, typer.Option("-d", "--dataset-option", metavar="KEY=VALUE", help="Set an option of the dataset.")
]
Postprocess = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME[,KEY=VALUE...]",
        help="A step between the model and the thresholds; may be given again. 'pyimgano show postprocessor NAME'.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results of an earlier run.")]


def model_options(pairs: list[str] | None, resize: tuple[int, int] | None) -> dict[str, Any]:
    """Return the option values that ``-o`` and ``--resize`` ask for."""
    values = from_pairs(pairs or ())
    if resize is not None:
        values["resize"] = list(resize)
    return values


def postprocess_choices(steps: Sequence[str | Choice] | None, anomaly_map: dict[str, Any]) -> tuple[Choice, ...]:
    """Return the postprocessors that ``--postprocess`` names; the flags of ``anomaly_map`` set its options, or add it."""
    named = [Choice.read(step) if isinstance(step, str) else step for step in steps or ()]
    places = [place for place, choice in enumerate(named) if choice.name.rpartition(":")[2] == "anomaly_map"]
    if anomaly_map and places:
        old = named[places[-1]]
        named[places[-1]] = Choice(name=old.name, options={**old.options, **anomaly_map})
    elif anomaly_map:
        named.append(Choice(name="anomaly_map", options=anomaly_map))
    return tuple(named)
