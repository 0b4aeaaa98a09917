"""The READMEs in other languages say what the English one says: headings, commands, links, names, rows."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGLISH = (ROOT / "README.md").read_text(encoding="utf-8")
LANGUAGES = {"cn": r"[\u4e00-\u9fff]", "ja": r"[\u3040-\u30ff\u4e00-\u9fff]", "ko": r"[\uac00-\ud7af]"}
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def prose(text: str) -> str:
    return FENCED.sub("", text)


def names(text: str) -> Counter[str]:
    """Return how often each name, flag and command stands in backticks."""
    return Counter(" ".join(name.split()) for name in re.findall(r"`([^`]+)`", prose(text)))


@pytest.fixture(params=sorted(LANGUAGES))
def language(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def translated(language: str) -> str:
    return (ROOT / f"README_{language}.md").read_text(encoding="utf-8")


def test_headings_are_as_many_and_of_the_same_levels(translated: str) -> None:
    levels = re.findall(r"^(#+) ", prose(ENGLISH), re.MULTILINE)
    assert len(levels) >= 4
    assert re.findall(r"^(#+) ", prose(translated), re.MULTILINE) == levels


def test_commands_and_code_are_the_same(translated: str) -> None:
    assert len(FENCED.findall(ENGLISH)) >= 5
    assert FENCED.findall(translated) == FENCED.findall(ENGLISH)


def test_links_and_pictures_are_the_same(translated: str) -> None:
    links = re.findall(r"\]\(([^)]+)\)", prose(ENGLISH))
    assert len(links) >= 4
    assert re.findall(r"\]\(([^)]+)\)", prose(translated)) == links


def test_names_flags_and_commands_in_the_text_are_the_same(translated: str) -> None:
    assert names(translated) == names(ENGLISH)


def test_tables_and_lists_have_as_many_rows(translated: str) -> None:
    for mark in ("|", "- "):
        assert len(re.findall(rf"^{re.escape(mark)}", prose(translated), re.MULTILINE)) == len(
            re.findall(rf"^{re.escape(mark)}", prose(ENGLISH), re.MULTILINE)
        )


def test_every_paragraph_is_translated(language: str, translated: str) -> None:
    paragraphs = [part for part in prose(translated).split("\n\n") if part.strip() and not part.startswith("# ")]
    assert len(paragraphs) == len([part for part in prose(ENGLISH).split("\n\n") if part.strip() and not part.startswith("# ")])
    for paragraph in paragraphs:
        assert re.search(LANGUAGES[language], paragraph), f"this is not translated: {paragraph.strip()[:60]}"
