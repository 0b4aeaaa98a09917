"""One OpenCV wheel, and one that can be imported: all of them install the same folder ``cv2``."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from importlib import metadata

from pyimgano.discovery.load import describe
from pyimgano.discovery.requirements import install_command, uninstall_command
from pyimgano.doctor.report import Finding

HEADLESS = "opencv-python-headless"
WHEELS = ("opencv-contrib-python", "opencv-contrib-python-headless", "opencv-python", HEADLESS)


def check_opencv() -> Iterator[Finding]:
    """Yield the OpenCV that is imported, and the wheels that overwrite each other."""
    wheels = installed_wheels()
    reinstall = install_command("--force-reinstall", HEADLESS)
    if len(wheels) > 1:
        names = " and ".join(f"{name} {version}" for name, version in wheels.items())
        yield Finding(
            f"{names} overwrite each other's files: keep one", "broken", f"{uninstall_command(*wheels)} && {reinstall}"
        )
    try:
        cv2 = importlib.import_module("cv2")
    except Exception as error:  # a wheel that lacks a system library, or was built for another numpy, raises many types
        remove = f"{uninstall_command(*wheels)} && " if wheels else ""
        yield Finding(f"cv2 cannot be imported: {describe(error)}", "broken", f"{remove}{reinstall}")
        return
    origin = ", ".join(wheels) or "no wheel that pip knows"
    yield Finding(f"cv2 {cv2.__version__} from {origin}, {cv2.getNumThreads()} threads")


def installed_wheels() -> dict[str, str]:
    """Return name and version of every OpenCV distribution in this environment, sorted by name."""
    found = {}
    for name in WHEELS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found
