"""Flags that may stand anywhere on the line, read before any command is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pyimgano.errors import OptionsError


class GlobalFlags(NamedTuple):
    """What the flags before and between the commands ask for."""

    plugins: tuple[str, ...] = ()
    no_plugins: bool = False
    verbosity: int = 0
    log_file: str | None = None
    debug: bool = False
    version: bool = False


def read_global_flags(argv: Sequence[str]) -> tuple[GlobalFlags, list[str]]:
    """Return the global flags and the rest of the line; everything after ``--`` is left alone.

    Raises
    ------
    OptionsError
        For a flag without its value.
    """
    plugins: list[str] = []
    rest: list[str] = []
    verbosity = 0
    log_file: str | None = None
    seen: set[str] = set()
    words = iter(argv)
    for word in words:
        flag, equals, value = word.partition("=")
        if word == "--":
            rest += [word, *words]
        elif flag in ("--plugin", "--log-file"):
            value = value if equals else next(words, "")
            if not value:
                raise OptionsError(f"{flag} needs a file name", f"write {flag} FILE")
            if flag == "--plugin":
                plugins.append(value)
            else:
                log_file = value
        elif word in ("-v", "--verbose"):
            verbosity += 1
        elif word == "-vv":
            verbosity += 2
        elif word in ("-q", "--quiet"):
            verbosity = -1
        elif word in ("--no-plugins", "--debug", "--version"):
            seen.add(word)
        else:
            rest.append(word)
    flags = GlobalFlags(tuple(plugins), "--no-plugins" in seen, verbosity, log_file, "--debug" in seen, "--version" in seen)
    return flags, rest
