"""The page about the checks of the conformance kit."""

from __future__ import annotations

from collections.abc import Iterable

from pyimgano.testing.checks import PLUGIN, Check, all_checks
from pyimgano_reference.markdown import cell, code, page, table

TITLES = {
    PLUGIN: "A plugin as a whole",
    "detector": "Detectors",
    "dataset": "Datasets",
    "corruption": "Corruptions",
    "postprocessor": "Postprocessors",
    "metric": "Metrics",
    "command": "Commands",
}
COMMON = "Every component"


def checks_page() -> str:
    """Return the page."""
    groups: dict[str, list[Check]] = {TITLES[PLUGIN]: [], COMMON: []}
    found = all_checks()
    times = [check for _, check in found]
    for kind, check in found:
        title = COMMON if times.count(check) > 1 else TITLES[kind]
        listed = groups.setdefault(title, [])
        if check not in listed:
            listed.append(check)
    return page(
        "Checks of the conformance kit",
        "What `pyimgano check-plugin` finds out; `--only CHECK` runs one. How to use it: [Check a plugin](../check-plugin.md).",
        *(f"## {title}\n\n{_table(checks)}" for title, checks in groups.items()),
    )


def _table(checks: Iterable[Check]) -> str:
    return table(("Check", "Promise"), [(code(check.name), cell(check.promise)) for check in checks])
