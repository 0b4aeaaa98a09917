"""How much an object holds, so that what is kept for every image is seen."""

from __future__ import annotations

from collections import deque
from typing import Any

DEEPEST = 30
_LEAVES = (str, bytes, int, float, complex, bool, type(None), type)


def contained(root: Any) -> int:
    """Return how many items the lists, mappings and sets have that an object leads to."""
    seen: set[int] = set()
    waiting: deque[tuple[Any, int]] = deque([(root, 0)])
    total = 0
    while waiting:
        value, depth = waiting.popleft()
        if isinstance(value, _LEAVES) or id(value) in seen or depth > DEEPEST:
            continue
        seen.add(id(value))
        inside = _items(value)
        if isinstance(value, (list, tuple, dict, set, deque)):
            total += len(value)
        waiting.extend((item, depth + 1) for item in inside)
    return total


def _items(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return list(value)
    inside = getattr(value, "__dict__", None)
    return [inside] if isinstance(inside, dict) and not callable(getattr(value, "__array__", None)) else []
