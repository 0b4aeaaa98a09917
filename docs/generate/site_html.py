"""What Markdown cannot say about a page: its description, names that stay whole in a line, tables that are lists on a phone."""

from __future__ import annotations

import html
import re

DESCRIPTION = 160
"""The most characters of a description."""

_INLINE = re.compile(r"(?<!<span></span>)<code>(.*?)</code>", re.DOTALL)
_FLAG = re.compile(r"(?<![\w/-])--?[A-Za-z][\w-]*")
_BAR = re.compile(r"(?:&#124;|\|)(?=\S)")
_TABLE = re.compile(r"<table>\n<thead>\n<tr>\n(.*?)</tr>\n</thead>(.*?)</table>", re.DOTALL)
_LISTED = (
    *("Check", "Option", "Key", "Model", "Name", "Command", "Your situation"),
    *("--dataset", "corruption", "images", "key", "metric", "strategy"),
)
_PLAIN = ("Promise", "What it is", "What it does", "Type", "Meaning", "meaning", "definition", "what happens", "what it is")


def description(page: str) -> str:
    """Return the beginning of the first paragraph of a page in HTML, whole words without markup; empty if it has none."""
    found = re.search(r"<p>(.*?)</p>", page, re.DOTALL)
    text = _text(found[1]) if found else ""
    return text if len(text) <= DESCRIPTION else f"{text[:DESCRIPTION].rpartition(' ')[0].rstrip(',;:')} ..."


def whole_names(page: str) -> str:
    """Return a page in HTML whose inline code breaks neither within a flag nor beside a choice, but after its ``|``."""

    def kept(found: re.Match[str]) -> str:
        flags = _FLAG.sub(r'<span class="flag">\g<0></span>', found[1])
        choices = _BAR.sub(r"\g<0><wbr>", flags)
        return f"<code>{choices}</code>"

    return _INLINE.sub(kept, page)


def listed_tables(page: str) -> str:
    """Return a page in HTML whose tables of things with words about them name columns in cells, to be lists on a phone."""

    def labelled(found: re.Match[str]) -> str:
        names = [_text(name) for name in re.findall(r"<th>(.*?)</th>", found[1])]
        if names[0] not in _LISTED:
            return found[0]
        rows = re.sub(r"<tr>(.*?)</tr>", lambda row: _row(row[1], names), found[2], flags=re.DOTALL)
        return f'<table data-list="{names[0]}">\n<thead>\n<tr>\n{found[1]}</tr>\n</thead>{rows}</table>'

    return _TABLE.sub(labelled, page)


def _row(cells: str, names: list[str]) -> str:
    labels = ["" if name in (names[0], *_PLAIN) else f' data-label="{name[0].upper()}{name[1:]}"' for name in names]
    first, *others = cells.split("<td>")[1:]
    dotted = re.sub(r"(?<=\w)\.(?=\w)(?![^<]*>)", ".<wbr>", first)
    row = zip(labels, [dotted, *others], strict=True)
    return "<tr>\n" + "".join(f"<td{label}>{cell}" for label, cell in row) + "</tr>"


def _text(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", page)).split())
