"""What ran: interpreter, platform, plugins and the versions of the libraries that decide numbers."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

from pyimgano import __version__
from pyimgano.discovery import installed_plugins

LIBRARIES = ("numpy", "opencv-python-headless", "pillow", "pydantic", "safetensors", "torch", "timm", "faiss-cpu")


def environment() -> dict[str, Any]:
    """Return versions as plain data; no paths and no host name, so that bundles stay relocatable and private."""
    return {
        "pyimgano": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()}-{platform.machine()}",
        "libraries": {name: version for name in LIBRARIES if (version := _version(name))},
        "plugins": {
            record.distribution: {"version": record.version, "status": record.status}
            for record in installed_plugins().records
            if record.status != "not-installed"
        },
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
