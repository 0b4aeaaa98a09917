"""JSON as every file of this project writes it: strict (no NaN), plain numbers, stable order."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel


def plain(value: Any) -> Any:
    """Return `value` as JSON types: NaN and infinity become null, numpy and pydantic values plain ones, paths text."""
    if isinstance(value, BaseModel):
        return plain(value.model_dump())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item) for item in value)
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return value.as_posix()
    return value


def line(value: Any) -> str:
    """Return `value` as one line of JSONL, keys in their own order."""
    return json.dumps(plain(value), allow_nan=False, ensure_ascii=False)


def document(value: Any) -> str:
    """Return `value` as a readable JSON document with sorted keys and a final newline."""
    return json.dumps(plain(value), allow_nan=False, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
