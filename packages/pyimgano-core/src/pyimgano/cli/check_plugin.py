"""``pyimgano check-plugin``: whether a plugin keeps what its specs promise."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyimgano.errors import UnknownComponentError

if TYPE_CHECKING:
    from pyimgano.testing.results import Result

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def check_plugin(
    plugin: Annotated[
        str | None,
        typer.Argument(
            metavar="PLUGIN", help="Name of the distribution; may be left out with --plugin FILE.", show_default=False
        ),
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option("-o", "--option", metavar="COMPONENT.KEY=VALUE", help="Set an option of a component.")
    ] = None,
    expect: Annotated[
        list[str] | None, typer.Option(metavar="COMPONENT:CHECK=REASON", help="A check that is known to fail, and why.")
    ] = None,
    settings: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="YAML, TOML or JSON with options and expected_failures; goes before the plugin's own."
        ),
    ] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="CHECK", help="Run this check alone; may be repeated.")] = None,
    list_checks: Annotated[bool, typer.Option("--list-checks", help="List all checks and what they promise.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Show every check, not only what did not pass.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check that a plugin keeps what its specs promise; exits with 1 unless it does."""
    from pyimgano.cli.tables import print_json

    if list_checks:
        _list_checks(as_json)
        return
    names = [plugin] if plugin else _files()
    results = _results(names, option or [], expect or [], settings, only or [])
    passed = not any(result.bad for result in results)
    brought = _brought(names[0])
    if as_json:
        rows = [result.to_json() for result in results]
        print_json({"plugin": plugin or results[0].component, "passed": passed, "settings": brought, "results": rows})
    else:
        _show(results, everything)
        if brought:
            typer.echo(f"with the settings of its author in {brought}")
    if not passed:
        raise typer.Exit(1)


def _results(names: list[str], options: list[str], expected: list[str], settings: Path | None, only: list[str]) -> list[Result]:
    from pyimgano.testing.run import check_plugin as run
    from pyimgano.testing.settings import Settings

    given = Settings.from_flags(options, expected)
    if settings is not None:
        given = Settings.read(settings).joined(given)
    return [result for name in names for result in run(name, given, only)]


def _brought(name: str) -> str | None:
    """Return the file of settings that a plugin brings."""
    from pyimgano.discovery import installed_plugins
    from pyimgano.testing.run import records_of
    from pyimgano.testing.settings import settings_file

    path = settings_file(records_of(name, installed_plugins())[0])
    return None if path is None else str(path)


def _files() -> list[str]:
    """Return the plugins that were given as files."""
    from pyimgano.discovery import installed_plugins

    names = [record.distribution for record in installed_plugins().records if record.candidate.file is not None]
    if not names:
        raise UnknownComponentError("no plugin is named", "write pyimgano check-plugin DISTRIBUTION, or --plugin FILE")
    return names


def _list_checks(as_json: bool) -> None:
    from pyimgano.cli.tables import print_json, show_table
    from pyimgano.testing.checks import all_checks

    rows = [{"kind": kind, "check": check.name, "promise": check.promise} for kind, check in all_checks()]
    if as_json:
        print_json(rows)
    else:
        show_table(["KIND", "CHECK", "PROMISE"], [list(row.values()) for row in rows])


def _show(results: list[Result], everything: bool) -> None:
    """Print how each component fared, then what did not pass; what waits for another check is not repeated."""
    from pyimgano.cli.tables import show_table

    if everything:
        show_table(
            ["COMPONENT", "KIND", "CHECK", "OUTCOME", "SECONDS"],
            [[r.component, r.kind, r.check, r.outcome, f"{r.seconds:.2f}"] for r in results],
        )
    else:
        show_table(["COMPONENT", "KIND", "RESULT", "SECONDS"], _summaries(results))
    for (component, outcome, reason, step), checks in _grouped(results).items():
        typer.echo(f"\n{component}: {', '.join(checks)} {outcome}\n  {reason}")
        if step:
            typer.echo(f"  Next: {step}")
    typer.echo(f"\n{_counted(results)}")


def _grouped(results: list[Result]) -> dict[tuple[str, str, str, str], list[str]]:
    """Return the checks that did not pass for a reason of their own; those that give the same reason stand together."""
    groups: dict[tuple[str, str, str, str], list[str]] = {}
    for result in results:
        if result.reason and not result.after:
            groups.setdefault((result.component, result.outcome, result.reason, result.next_step), []).append(result.check)
    return groups


def _summaries(results: list[Result]) -> list[list[str]]:
    """Return a row per component, in their order."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        groups.setdefault((result.component, result.kind), []).append(result)
    return [
        [component, kind, _counted(found), f"{sum(result.seconds for result in found):.2f}"]
        for (component, kind), found in groups.items()
    ]


def _counted(results: list[Result]) -> str:
    counts = Counter(result.outcome for result in results)
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) or "no checks"
