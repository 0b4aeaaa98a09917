"""Every plugin, as ``list-plugins`` knows it."""

from __future__ import annotations

from collections.abc import Iterator

from pyimgano.discovery import CORE, PluginRecord, installed_plugins, old_distribution_notice
from pyimgano.discovery.requirements import with_requirements
from pyimgano.discovery.scan import scan
from pyimgano.doctor.report import Finding


def check_plugins() -> Iterator[Finding]:
    """Yield every plugin with its status and what mends it, then what is odd about their selection."""
    index = installed_plugins()
    for record in index.records:
        yield from _findings(with_requirements(record))
    old = scan().old_version
    for notice in index.notices:
        if old is None or notice != old_distribution_notice(old):
            yield Finding(notice, "note")


def _findings(record: PluginRecord) -> Iterator[Finding]:
    name = f"{record.distribution} {record.version or ''}".rstrip()
    match record.status:
        case "ok":
            if record.distribution != CORE:
                yield Finding(f"{name}: {record.provided()}")
        case "not-installed":
            yield Finding(f"{name} is not installed: {record.provided()}", "note")
        case "disabled":
            yield Finding(f"{name} is not loaded: {record.problems[0].message}", "note")
        case _:
            leave_out = f"export PYIMGANO_DISABLE={record.distribution}"
            for fix in dict.fromkeys(problem.fix for problem in record.problems):
                messages = "; ".join(problem.message for problem in record.problems if problem.fix == fix)
                yield Finding(f"{name} is {record.status}: {messages}", "broken", fix or leave_out)
