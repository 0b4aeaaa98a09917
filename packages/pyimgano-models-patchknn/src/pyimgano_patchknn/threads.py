"""How many threads the heavy arithmetic uses."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from threadpoolctl import threadpool_limits


def limited_threads(count: int) -> AbstractContextManager[Any]:
    """Return a context in which BLAS and OpenMP, torch's and faiss's among them, use `count` threads; 0 leaves them alone."""
    return threadpool_limits(count) if count else nullcontext()
