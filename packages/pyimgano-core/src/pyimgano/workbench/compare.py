"""What differs between two bundles: every value of their JSON files, and what was learned array by array."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors import safe_open

from pyimgano.workbench.bundle import Bundle
from pyimgano.workbench.history import Change, History, changes_between
from pyimgano.workbench.seal import CONFIG, ENVIRONMENT, HISTORY, REPORT, STATE


def differences(first: Path, second: Path) -> list[tuple[str, Change]]:
    """Return every difference between two bundles with the file it is in; both are verified first.

    Raises
    ------
    BundleError
        If one of them is not whole.
    """
    bundles = Bundle.load(first), Bundle.load(second)
    found: list[tuple[str, Change]] = []
    for name in (CONFIG, REPORT, ENVIRONMENT):
        old, new = (_values(bundle.folder / name) for bundle in bundles)
        found += [(name, change) for change in changes_between(old, new)]
    old, new = (_steps(bundle.folder) for bundle in bundles)
    found += [(HISTORY, change) for change in changes_between(old, new)]
    if len({bundle.config.state.sha256 for bundle in bundles}) > 1:
        old, new = (_arrays(bundle) for bundle in bundles)
        found += [(STATE, change) for change in changes_between(old, new)]
    return found


def _values(path: Path) -> dict[str, Any]:
    values = json.loads(path.read_bytes()) if path.exists() else {}
    return values if isinstance(values, dict) else {"": values}


def _steps(folder: Path) -> dict[str, str]:
    steps = History.read(folder).steps
    return {f"steps/{place}": f"{step.time_utc} {step.command} of {step.before[:12]}" for place, step in enumerate(steps)}


def _arrays(bundle: Bundle) -> dict[str, str]:
    """Return shape, type and digest of every array that was learned."""
    found = {}
    with safe_open(bundle.folder / bundle.config.state.file, framework="numpy") as file:
        for name in file.keys():  # noqa: SIM118
            array = file.get_tensor(name)
            digest = hashlib.sha256(array.tobytes()).hexdigest()
            found[name] = f"{array.dtype} {list(array.shape)} {digest[:12]}"
    return found
