"""Reading an infer_config.json as plain values, before anything is known of what they mean."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from pyimgano import __version__
from pyimgano.errors import BundleError
from pyimgano.workbench.seal import check_schema_version

_RESTORE = "restore the file, or export it again"
_DEEPEST = 64
"""Levels of nesting that a config may have; its own has seven."""


def read_object(path: Path) -> dict[str, Any]:
    """Return the object that a file holds, as strict JSON: no NaN, no key twice, no nesting without end.

    Raises
    ------
    BundleError
        If it is missing or holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # editors of Windows write a byte order mark
        values = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_without_doubles)
        _check_depth(values)
    except FileNotFoundError:
        raise BundleError(f"{path} does not exist", "pyimgano train --export-deploy-bundle DIR makes one") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path} is not readable JSON: {error}", _RESTORE) from None
    if not isinstance(values, dict):
        raise BundleError(f"{path} holds {type(values).__name__}, not an object", "export it again")
    return values


def check_versions(values: Mapping[str, Any], path: Path) -> None:
    """Raise `BundleError` for a config of another schema, or one that a newer release has made; the message has both."""
    if "schema_version" in values:
        check_schema_version(values["schema_version"], path)
    made_by = values.get("pyimgano_version")
    if not isinstance(made_by, str):
        return
    try:
        made = Version(made_by)
    except InvalidVersion:
        raise BundleError(f"{path}: pyimgano_version {made_by!r} is no version", _RESTORE) from None
    if made.release[:2] > Version(__version__).release[:2]:
        wanted = ".".join(map(str, made.release[:2]))
        raise BundleError(
            f"{path} was made by pyimgano {made_by}, this is {__version__}", f"install pyimgano-core {wanted} or newer"
        )


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not allowed in strict JSON")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        double, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"the key {double!r} stands twice in one object, so one of them would not count")
    return values


def _check_depth(values: Any) -> None:
    level, depth = [values], 0
    while level:
        if depth > _DEEPEST:
            raise ValueError(f"it is nested deeper than {_DEEPEST} levels")
        level = [item for part in level for item in _items(part)]
        depth += 1


def _items(part: Any) -> list[Any]:
    items = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return [item for item in items if isinstance(item, (dict, list))]
