"""Every hook, flag, key and option has its place in the generated reference, with words that say what it means."""

from __future__ import annotations

import html
import inspect
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pyimgano_reference import pages, settings

from pyimgano import hookspecs, specs
from pyimgano.discovery import installed_plugins
from pyimgano.testing.checks import all_checks

PAGES = pages.pages()
COMPONENTS = [
    (record, spec)
    for record in installed_plugins().records
    for spec in record.components
    if record.distribution.startswith("pyimgano-")
]
COMMANDS = [spec.name for _, spec in COMPONENTS if spec.kind == "command"]


def section(page: str, heading: str) -> str:
    """Return what stands below a heading, up to the next of its level."""
    level = heading.split()[0]
    found = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{len(level)}}} |\Z)", PAGES[page], re.DOTALL | re.MULTILINE)
    assert found, f"{page} has no {heading!r}"
    return found[1]


def keys(schema: dict[str, Any], part: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the dotted keys of a JSON schema; N stands for a place in a list."""
    for name, value in part.get("properties", {}).items():
        yield ".".join((*path, name))
        for inner, steps in _models(schema, value, (*path, name)):
            yield from keys(schema, inner, steps)


def _models(
    schema: dict[str, Any], value: dict[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    if "$ref" in value:
        yield schema["$defs"][value["$ref"].rpartition("/")[2]], path
    for choice in (*value.get("anyOf", ()), *value.get("allOf", ())):
        yield from _models(schema, choice, path)
    if "items" in value:
        yield from _models(schema, value["items"], (*path, "N"))


@pytest.mark.parametrize("name", sorted(settings.FILES))
def test_every_key_of_a_file_is_in_the_reference_and_means_something(name: str, cli: Callable) -> None:
    schema = settings.model_of_file(name).model_json_schema()
    text = PAGES[f"reference/settings/{name}.md"]
    wanted = list(keys(schema, schema))
    assert len(wanted) > 20
    for key in wanted:
        if any(other.startswith(f"{key}.") for other in wanted) and "." not in key:
            assert section(f"reference/settings/{name}.md", f"## {key}").strip(), f"{key} opens a section without a word"
            continue
        row = re.search(rf"^\| <code>{re.escape(key)}</code> \|.*\| (.*) \|$", text, re.MULTILINE)
        assert row, f"{key} has no row in the page of {name}"
        assert re.sub(r"Flag: \S+", "", row[1]).strip(), f"{key} has a row without a meaning"


def test_the_files_of_the_schema_command_are_all_in_the_reference(cli: Callable) -> None:
    from pyimgano.cli.schema import FILES

    assert set(FILES.values()) <= {path for _, path, _, _ in settings.FILES.values()}
    assert json.loads(cli("schema", "config").out) == settings.model_of_file("train-config").model_json_schema()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_that_help_prints_is_in_the_reference(name: str, cli: Callable) -> None:
    assert _flags_of(name, cli), "help prints no flags at all"
    for path, flags in _flags_of(name, cli):
        text = (
            PAGES[f"reference/cli/{name}.md"]
            if path == [name]
            else section(f"reference/cli/{name}.md", f"## pyimgano {' '.join(path)}")
        )
        terms = html.unescape(" ".join(re.findall(r"^<code>(.*)</code>$", text, re.MULTILINE)))
        for flag in flags:
            assert flag in terms.replace(",", " ").split(), f"{' '.join(path)} {flag} is not in the reference"


def _flags_of(name: str, cli: Callable) -> list[tuple[list[str], set[str]]]:
    """Return the flags of a command and of those below it, as a user sees them."""
    waiting, found = [[name]], []
    while waiting:
        path = waiting.pop()
        shown = cli(*path, "--help").out
        found.append((path, set(re.findall(r"(?<=[\s,/])(?<!\w)(--?[a-z0-9][\w-]*)(?=[\s,])", _left(shown))) - {"-h"}))
        below = re.search(r"^Commands:\n(.*)", shown, re.DOTALL | re.MULTILINE)
        waiting += [[*path, word] for word in re.findall(r"^  (\S+)  ", below[1] if below else "", re.MULTILINE)]
    return found


def _left(shown: str) -> str:
    """Return the left column of the options that help prints."""
    options = shown.partition("Options:\n")[2].partition("\n\n")[0]
    return "\n".join(f" {line[2:].split('  ')[0]} " for line in options.splitlines() if line.startswith("  -"))


def test_global_flags_are_in_the_reference(cli: Callable) -> None:
    terms = section("reference/cli/index.md", "## Flags that may stand anywhere")
    for flag in ("--version", "--plugin", "--no-plugins", "--verbose", "--quiet", "--log-file", "--debug"):
        assert flag in cli("--help").out
        assert flag in terms


def test_every_hook_is_in_the_reference_with_its_words() -> None:
    hooks = [thing for name, thing in vars(hookspecs).items() if name.startswith("register_")]
    assert len(hooks) >= 6
    for hook in hooks:
        text = section("reference/hooks.md", f"### {hook.__name__}")
        first = (inspect.getdoc(hook) or "").replace("``", "`").partition("\n")[0]
        assert first
        assert first in text
        assert "Iterable[" in text


def test_every_field_of_every_spec_is_in_the_reference_and_means_something() -> None:
    known = [thing for thing in vars(specs).values() if inspect.isclass(thing) and thing.__name__.endswith("Spec")]
    assert len(known) >= 7
    for spec in known:
        text = section("reference/hooks.md", f"### {spec.__name__}")
        for name in spec.__annotations__:
            if name == "kind":
                continue
            found = re.search(rf"^<code>{name}: .*</code>\n:   (.*)$", text, re.MULTILINE)
            assert found, f"{spec.__name__}.{name} is not in the reference"
            if spec in (specs.ComponentSpec, specs.DetectorSpec):
                assert found[1] != "&nbsp;", f"{spec.__name__}.{name} has no meaning"


@pytest.mark.parametrize(("record", "spec"), COMPONENTS, ids=[f"{spec.kind}-{spec.name}" for _, spec in COMPONENTS])
def test_every_component_is_in_the_reference_with_all_of_its_options(record: Any, spec: Any) -> None:
    if spec.kind == "command":
        assert f"[`{spec.name}`]({spec.name}.md)" in PAGES["reference/cli/index.md"]
        return
    page = f"reference/detectors/{record.distribution}.md" if spec.kind == "detector" else f"reference/{spec.kind}s.md"
    text = section(page, f"## {spec.name}")
    assert f"<code>{record.distribution}:{spec.name}</code>" in text
    from pyimgano.registry import Entry

    options = Entry(spec, record).options_model().model_json_schema().get("properties", {})
    twin = re.search(r"Its options are those of \[`(\w+)`\]", text)
    text = section(page, f"## {twin[1]}") if twin else text
    for name in options:
        row = re.search(rf"^\| <code>{name}</code> \|.*\| (.*) \|$", text, re.MULTILINE)
        assert row, f"{spec.name} has an option {name} that is not in the reference"
        assert row[1].strip(), f"{spec.name}.{name} has no meaning"


def test_all_detectors_are_in_the_index_of_models() -> None:
    for record, spec in COMPONENTS:
        if spec.kind == "detector":
            assert f"(detectors/{record.distribution}.md#{spec.name})" in PAGES["reference/models.md"]


def test_every_page_has_a_place_in_the_navigation() -> None:
    places = re.findall(r"reference/[\w./-]+\.md", json.dumps(pages.navigation(PAGES)))
    assert sorted(places) == sorted(PAGES)


def test_public_names_are_in_the_reference() -> None:
    import pyimgano

    for name in pyimgano.__all__:
        assert name == "__version__" or re.search(rf"<code>{name}[(<]", PAGES["reference/python.md"]), name


def test_every_check_of_the_conformance_kit_is_listed_once_with_its_promise() -> None:
    text = html.unescape(PAGES["reference/checks.md"])
    for check in {check.name: check for _, check in all_checks()}.values():
        assert f"| <code>{check.name}</code> |" in text
        assert len(check.promise) > 20
    assert text.count("| <code>options_valid</code> |") == 1
