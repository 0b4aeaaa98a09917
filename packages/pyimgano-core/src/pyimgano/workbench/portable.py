"""Keeping the paths of one machine out of files that go to others."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_ABSOLUTE = re.compile(r"(?<![\w.:/\\~])(?P<root>[A-Za-z]:[\\/]|/)(?P<first>[^\s\\/:'\"]+)(?P<rest>(?:[\\/][^\s\\/:'\"]*)+)")


def without_paths(value: Any) -> Any:
    """Return plain data in which every path of this machine, alone or within a text, is cut down to its last part."""
    if isinstance(value, str):
        return _ABSOLUTE.sub(_last_part, value)
    if isinstance(value, dict):
        return {without_paths(key): without_paths(item) for key, item in value.items()}
    return [without_paths(item) for item in value] if isinstance(value, (list, tuple)) else value


def _last_part(found: re.Match[str]) -> str:
    """Return the name at the end of a path; what only looks like one, as a JSON pointer does, stays."""
    if not Path(found["root"] + found["first"]).exists() and found["root"] == "/":
        return found[0]
    parts = re.split(r"[\\/]", found["first"] + found["rest"].rstrip("\\/"))
    return parts[-1]
