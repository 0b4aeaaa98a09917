"""What pages say is true of this program: commands can be parsed, names exist, links lead somewhere, variables are all told."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyimgano_reference.commands import command
from pyimgano_reference.pages import pages

from pyimgano import registry
from pyimgano.choice import Choice
from pyimgano.cli.globals import read_global_flags
from pyimgano.defects.presets import DEFECTS_PRESETS
from pyimgano.errors import MissingDependencyError
from pyimgano.workbench.recipes import recipe_names

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GENERATED = {DOCS / name: text for name, text in pages().items()}
TEXTS = {path: path.read_text(encoding="utf-8") for path in sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])}
EXAMPLES = ("acme_", "acme.")


def ids(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def command_lines(text: str) -> Iterator[list[str]]:
    """Yield the words of every ``pyimgano`` line in the blocks of a page."""
    for language, block in re.findall(r"^```(\w*)[^\n]*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines() if language in ("", "bash") else ():
            lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            words: list[str] = []
            for word in [*lexer, ";"]:
                if set(word) <= set("();<>|&"):
                    if words[:1] == ["pyimgano"]:
                        yield words[1:] if words[-1] != "2" else words[1:-1]
                    words = []
                else:
                    words.append(word)


@pytest.mark.parametrize("path", TEXTS, ids=ids)
def test_every_command_of_a_page_can_be_parsed_and_names_what_exists(path: Path) -> None:
    for words in command_lines(TEXTS[path]):
        _, rest = read_global_flags(words)
        if rest in ([], ["--help"]):
            continue
        found = command(rest[0])
        context = found.make_context(rest[0], rest[1:])
        if hasattr(found, "list_commands"):
            name, below, arguments = found.resolve_command(context, [*context._protected_args, *context.args])
            context = below.make_context(name, arguments, parent=context)
        check_names(context.params)


def check_names(given: dict[str, object]) -> None:
    """Raise for a model, a dataset, a recipe, a preset or an option that does not exist."""
    models = given.get("model") or given.get("model_name") or ()
    pairs = [pair.split("=", 1)[0] for pair in given.get("option") or ()]
    for text in [models] if isinstance(models, str) else models:
        choice = Choice.read(text)
        if not choice.name.startswith(EXAMPLES):
            entry = known("detector", choice.name)
            fields = set(entry.options_model().model_fields) if entry else {*choice.options, *pairs}
            assert {*choice.options, *pairs} <= fields, f"{choice.name} has no {pairs} or {list(choice.options)}"
    dataset = given.get("dataset") or given.get("dataset_name") or given.get("settings_dataset")
    if dataset:
        known("dataset", str(dataset))
    if given.get("recipe"):
        assert given["recipe"] in recipe_names()
    assert given.get("defects_preset") in (None, *DEFECTS_PRESETS)
    for name in str(given.get("corruptions") or "").split(","):
        if name:
            known("corruption", name)
    if given.get("kind") and given.get("name") and not str(given["name"]).startswith(EXAMPLES):
        known(str(given["kind"]), str(given["name"]))


def known(kind: str, name: str) -> registry.Entry | None:
    """Return a component; None for one of a distribution of this project that is not installed here."""
    try:
        return registry.find(kind, name)
    except MissingDependencyError:
        return None


def test_a_wrong_flag_and_a_wrong_name_would_be_noticed() -> None:
    lines = list(command_lines("```bash\na | pyimgano train --no-such-flag 2>&1\npyimgano infer \\\n  -i b # c\n```\n"))
    assert lines == [["train", "--no-such-flag"], ["infer", "-i", "b"]]
    with pytest.raises(Exception, match="no-such-flag"):
        command("train").make_context("train", lines[0][1:])
    with pytest.raises(AssertionError):
        check_names({"model": ["vision_filterbank,patsh=3"]})


@pytest.mark.parametrize("path", [*TEXTS, *GENERATED], ids=ids)
def test_every_link_leads_to_a_file_and_a_heading(path: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", GENERATED.get(path) or TEXTS[path], flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:|mailto:", target):
            continue
        file, _, anchor = target.partition("#")
        place = (path.parent / file).resolve() if file else path
        assert place in GENERATED or place.exists(), f"{ids(path)} links to {target}, which is not there"
        if anchor:
            assert anchor in anchors(GENERATED.get(place) or TEXTS[place]), f"{ids(path)} links to {target}: no such heading"


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_every_variable_that_the_packages_read_is_told() -> None:
    told = TEXTS[DOCS / "reference" / "environment.md"]
    read = {
        name
        for path in ROOT.glob("packages/*/src/**/*.py")
        for name in re.findall(r"\"(PYIMGANO_[A-Z_]+)\"", path.read_text("utf-8"))
    }
    assert {"PYIMGANO_PLUGINS", "PYIMGANO_DISABLE"} <= read
    assert {name for name in read if f"`{name}`" not in told} == set()


def test_every_page_has_a_place_in_the_navigation() -> None:
    placed = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    assert placed == {path.relative_to(DOCS).as_posix() for path in TEXTS if path.is_relative_to(DOCS)}


def test_nothing_tells_where_the_project_was_made() -> None:
    for path, text in {**TEXTS, **GENERATED}.items():
        assert not re.search(r"(?<![\w.])/(?:work|tmp|root)/", text), f"{ids(path)} names a folder of a machine"
