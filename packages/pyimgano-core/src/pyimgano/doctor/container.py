"""What the control groups of Linux allow this process; a container sees every core of its machine and may use few."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
_UNLIMITED = 1 << 60


def cpu_quota(root: Path = ROOT, own: Path = OWN) -> float | None:
    """Return how many cores' worth of time the process gets, the smallest of all groups that it is in; None without a limit."""
    shares = []
    for folder in _folders(root, own, "cpu"):
        words = _text(folder / "cpu.max").split()
        quota, period = words if len(words) == 2 else (_text(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        if quota.isdigit() and period.isdigit() and int(quota) and int(period):
            shares.append(int(quota) / int(period))
    return min(shares, default=None)


def memory_limit(root: Path = ROOT, own: Path = OWN) -> int | None:
    """Return the bytes of memory that the process may use, the smallest of all groups that it is in; None without a limit."""
    limits = []
    for folder in _folders(root, own, "memory"):
        text = _text(folder / "memory.max") or _text(folder / "memory.limit_in_bytes")
        if text.isdigit() and int(text) < _UNLIMITED:
            limits.append(int(text))
    return min(limits, default=None)


def _folders(root: Path, own: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of the process's group and of those around it, for both versions of control groups."""
    for line in _text(own).splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        base = root if not controllers else root / controller if controller in controllers.split(",") else None
        if base is not None:
            group = base / path.lstrip("/")
            yield from dict.fromkeys([group, *(parent for parent in group.parents if parent.is_relative_to(base)), base])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
