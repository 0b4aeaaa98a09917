"""How many cores and how much memory there are, and whether the libraries' thread settings fit them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping

from pyimgano.doctor import container
from pyimgano.doctor.report import Finding

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def check_threads() -> Iterator[Finding]:
    """Yield cores and memory, with the limits of a container, and settings of threads that do not fit."""
    seen, quota = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        container.cpu_quota(),
    )
    usable = usable_cores(seen, quota)
    yield Finding(f"{usable} of {os.cpu_count()} cores may be used{', by a limit of the container' if usable < seen else ''}")
    yield from thread_settings(os.environ, seen, usable)
    yield Finding(_memory())


def usable_cores(seen: int, quota: float | None) -> int:
    """Return how many of the cores seen a quota lets run at once, at least 1."""
    return seen if quota is None else max(1, min(seen, math.ceil(quota)))


def thread_settings(environ: Mapping[str, str], seen: int, usable: int) -> Iterator[Finding]:
    """Yield what the environment says about threads, with a note where it does not fit the cores."""
    values = {name: environ[name].split(",")[0].strip() for name in VARIABLES if environ.get(name)}
    for name, value in values.items():
        if not value.isdigit() or int(value) == 0:
            yield Finding(f"{name}={environ[name]} is not a number of threads and is ignored", "note", f"unset {name}")
        elif int(value) > usable:
            yield Finding(f"{name}={value} is more threads than cores ({usable})", "note", f"export {name}={usable}")
        else:
            yield Finding(f"{name}={value}")
    if "OMP_NUM_THREADS" not in values and usable < seen:
        yield Finding(
            f"libraries start a thread for each of {seen} cores, but only {usable} run at once: they wait for each other",
            "note",
            f"export OMP_NUM_THREADS={usable}",
        )


def _memory() -> str:
    limit = container.memory_limit()
    try:
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return "the size of memory is not known on this system"
    if limit is not None and limit < machine:
        return f"{limit / 2**30:.1f} of {machine / 2**30:.1f} GiB of memory may be used, by a limit of the container"
    return f"{machine / 2**30:.1f} GiB of memory"
