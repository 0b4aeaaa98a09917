"""Markdown as the site renders it."""

from __future__ import annotations

import html
import inspect
import re
from collections.abc import Iterable, Sequence

_SECTIONS = "Attributes|Parameters|Returns|Raises|Yields"


def code(text: object) -> str:
    """Return text as code that may stand in a cell of a table."""
    return f"<code>{html.escape(str(text), quote=False).replace('|', '&#124;')}</code>" if str(text) else ""


def cell(text: str) -> str:
    """Return a sentence as it may stand in a cell of a table; commands, flags and what is in backticks become code."""
    parts = commands(prose(" ".join(text.split()))).split("`")
    words = [code(part) if number % 2 else html.escape(part, quote=False) for number, part in enumerate(parts)]
    return "".join(words).replace("|", "&#124;")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; cells are Markdown already."""
    lines = [list(header), ["---"] * len(header), *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def page(title: str, *parts: str) -> str:
    """Return a page."""
    return "\n\n".join([f"# {title}", *(part.rstrip() for part in parts if part)]) + "\n"


def prose(text: str) -> str:
    """Return a sentence of a docstring, whose names stand in one or two backticks, as Markdown."""
    return re.sub(r"``(.+?)``", r"`\1`", text)


def commands(text: str) -> str:
    """Return a sentence of a help text, which quotes commands and writes flags as they are, as Markdown."""
    quoted = re.sub(r"'((?:pyimgano|train|infer) [^']*)'", r"`\1`", text)
    parts = quoted.split("`")
    return "`".join(
        part if number % 2 else re.sub(r"(?<![\w-])--[a-z][\w-]*", r"`\g<0>`", part) for number, part in enumerate(parts)
    )


def summary(thing: object) -> str:
    """Return the first paragraph of a docstring."""
    return prose(" ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split()))


def docstring(text: str | None) -> str:
    """Return a docstring as Markdown: what stands after ``::`` becomes a block of Python, numpydoc sections are left out."""
    body = re.split(rf"\n\n(?:{_SECTIONS})\n-+\n", inspect.cleandoc(text or ""))[0]
    parts = re.split(r"::\n\n((?:    .*\n|\n)+)", body + "\n")
    texts = [prose(part) + (":" if number < len(parts) // 2 else "") for number, part in enumerate(parts[::2])]
    blocks = [f"\n\n```python\n{inspect.cleandoc(block)}\n```\n\n" for block in parts[1::2]]
    return "".join(part for pair in zip(texts, [*blocks, ""], strict=True) for part in pair).strip()


def attributes(thing: object) -> dict[str, str]:
    """Return what a docstring says under Attributes, by name."""
    found = re.search(r"Attributes\n-+\n(.*?)(?:\n\n\w+\n-+\n|\Z)", inspect.getdoc(thing) or "", re.DOTALL)
    described: dict[str, str] = {}
    if found:
        for names, text in re.findall(r"^(\w[\w, ]*)\n((?:    .*\n?|\n)+)", found[1] + "\n", re.MULTILINE):
            described |= dict.fromkeys(re.split(r",\s*", names), inspect.cleandoc(text))
    return described
