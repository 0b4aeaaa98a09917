"""Several categories as one: unweighted means of rates, sums of counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

COUNTS = frozenset({"tp", "tn", "fp", "fn"})
THRESHOLDS = frozenset({"threshold", "pixel_threshold"})
SETTINGS = frozenset({"aupro_limit"})


def merge_results(blocks: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """Return the results blocks of categories as one, and a sentence for every mean over fewer than all of them."""
    partial: dict[str, int] = {}
    merged: dict[str, Any] = _merge("", blocks, partial)
    return merged, [f"{name} is the mean of {count} of {len(blocks)} categories" for name, count in partial.items()]


def _merge(name: str, values: Sequence[Any], partial: dict[str, int], block: str = "") -> Any:
    there = [value for value in values if value is not None]
    if any(isinstance(value, Mapping) for value in there):
        blocks = [value or {} for value in values]
        keys = dict.fromkeys(chain(*blocks))
        return {key: _merge(key, [one.get(key) for one in blocks], partial, name) for key in keys}
    if not there or name in THRESHOLDS:
        return None
    if name in SETTINGS:
        return there[0]
    if name in COUNTS:
        return sum(there)
    if len(there) < len(values):
        partial[f"oracle {name}" if block == "oracle" else name] = len(there)
    return sum(there) / len(there)
