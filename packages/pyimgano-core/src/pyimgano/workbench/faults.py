"""What is wrong with a config or bundle, as data: where, what was expected, what was found, how to mend it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from pyimgano.options import expectation
from pyimgano.workbench.seal import CONFIG

NOTHING = "nothing"
_LONGEST = 80


@dataclass(frozen=True)
class Fault:
    """Something that is wrong, or (a warning) likely to be.

    Attributes
    ----------
    pointer
        Which value of the file, as a JSON pointer (RFC 6901); empty for the whole file.
    expected, found
        In words, or a value as JSON.
    mend
        What to do; empty where the two say it.
    """

    pointer: str
    expected: str
    found: str
    mend: str = ""
    severity: Literal["error", "warning"] = "error"
    file: str = CONFIG

    def __str__(self) -> str:
        return f"{self.file}{self.pointer}: expected {self.expected}; found {self.found}"


def model_faults(model: type[BaseModel], values: Mapping[str, Any], below: str = "") -> Iterator[Fault]:
    """Yield a fault for everything in `values` that a model refuses; `below` is the pointer that leads to them."""
    try:
        model.model_validate(dict(values))
    except ValidationError as error:
        found: dict[str, tuple[list[str], str]] = {}
        for fault in error.errors(include_url=False):
            missing = fault["type"] == "missing"
            where = below + pointer(fault["loc"], values, missing)
            expected = found.setdefault(where, ([], NOTHING if missing else shown(fault["input"])))[0]
            expected.append(expectation(fault, model))
        for where, (expected, value) in found.items():
            yield Fault(where, ", or ".join(dict.fromkeys(expected)), value)


def pointer(path: Sequence[int | str], values: Any, missing: bool = False) -> str:
    """Return the JSON pointer of a place in `values`; of `path`, steps that are names of types lead nowhere."""
    steps = []
    for place, step in enumerate(path):
        last = missing and place == len(path) - 1
        leads = step in values if isinstance(values, Mapping) else isinstance(values, (list, tuple)) and isinstance(step, int)
        if leads or last:
            steps.append(str(step).replace("~", "~0").replace("/", "~1"))
            values = None if last else values[step]
    return "".join(f"/{step}" for step in steps)


def shown(value: Any) -> str:
    """Return a value as JSON, cut where it is long."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
