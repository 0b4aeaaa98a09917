"""The one place that imports anomalib, which takes seconds and a gigabyte of memory."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator
from functools import partialmethod
from importlib import metadata
from typing import Any

from tqdm import tqdm

from pyimgano.errors import DetectorError, suggestion
from pyimgano_anomalib.table import BY_MODEL, LEFT_OUT

_TALKATIVE = ("lightning.pytorch", "lightning.fabric", "lightning_fabric", "pytorch_lightning", "anomalib", "timm")


def version() -> str:
    """Return the version of the installed anomalib."""
    return metadata.version("anomalib")


def image_models() -> Any:
    """Return the module ``anomalib.models.image``."""
    with quiet():
        import anomalib.models.image
    return anomalib.models.image


def model_class(name: str) -> Any:
    """Return a class of anomalib by its name.

    Raises
    ------
    DetectorError
        If it is none of the table, with the nearest one.
    """
    if name not in BY_MODEL:
        reason = f"is no detector here: it {LEFT_OUT[name]}" if name in LEFT_OUT else "is no image model of anomalib"
        raise DetectorError(f"{name!r} {reason}", suggestion(name, BY_MODEL) or f"it has {', '.join(BY_MODEL)}")
    found = getattr(image_models(), name, None)
    if found is None:
        raise DetectorError(f"anomalib {version()} has no model {name}", "pip install --upgrade anomalib")
    return found


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what lightning and anomalib say about themselves off the terminal."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), _bars_on_terminals():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextlib.contextmanager
def _bars_on_terminals() -> Iterator[None]:
    """Keep anomalib's own progress bars out of what is no terminal, such as the log of a line."""
    original = tqdm.__init__
    if not sys.stderr.isatty():
        tqdm.__init__ = partialmethod(original, disable=True)
    try:
        yield
    finally:
        tqdm.__init__ = original
