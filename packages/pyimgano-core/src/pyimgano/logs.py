"""Logging for the command line: to stderr by verbosity, to a file in full, and warnings into reports."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyimgano.errors import OutputError

ROOT = logging.getLogger("pyimgano")


def set_up(verbosity: int = 0, log_file: str | None = None) -> None:
    """Log to stderr: warnings at 0, what happens at 1, details at 2, errors only at -1; everything to `log_file`."""
    level = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG)
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setLevel(level)
    terminal.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    handlers: list[logging.Handler] = [terminal]
    if log_file is not None:
        try:
            Path(log_file).parent.mkdir(parents=True, exist_ok=True)
            to_file = logging.FileHandler(log_file, encoding="utf-8")
        except OSError as error:
            raise OutputError(
                f"--log-file {log_file}: {error.strerror}", "name a file in a folder that can be written"
            ) from None
        to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        handlers.append(to_file)
    for old in ROOT.handlers[:]:
        ROOT.removeHandler(old)
        old.close()
    for handler in handlers:
        ROOT.addHandler(handler)
    # the logger itself lets warnings through even where the terminal is quiet, because reports collect them
    ROOT.setLevel(logging.DEBUG if log_file is not None else min(level, logging.WARNING))
    ROOT.propagate = False


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """Collect what is warned of inside the block, for a report."""
    collector = _Collector()
    ROOT.addHandler(collector)
    try:
        yield collector.messages
    finally:
        ROOT.removeHandler(collector)
