"""Whatever a plugin's component raises becomes an error of ours that names the component."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pyimgano.discovery.load import describe
from pyimgano.errors import DetectorError, PyimganoError


@contextmanager
def named_errors(name: str) -> Iterator[None]:
    """Raise every exception of the block as an error that names the component; errors of ours pass as they are."""
    try:
        yield
    except PyimganoError:
        raise
    except Exception as error:  # a plugin may raise anything
        raise as_component_error(error, name) from error


def as_component_error(error: Exception, name: str) -> PyimganoError:
    """Return an exception as an error that names the component; an error of ours as it is."""
    if isinstance(error, PyimganoError):
        return error
    wrapped = DetectorError(f"{name} failed: {describe(error)}", "run it again with --debug for the traceback")
    wrapped.__cause__ = error
    return wrapped
