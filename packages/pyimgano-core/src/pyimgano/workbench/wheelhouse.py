"""A wheelhouse: the wheels of what a bundle needs, in the versions of this environment, for a machine without a network."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from pyimgano.discovery import CORE
from pyimgano.discovery.requirements import install_command
from pyimgano.errors import MissingDependencyError, OutputError, PluginError
from pyimgano.registry import find
from pyimgano.workbench.infer_config import InferConfig
from pyimgano.workbench.seal import sha256_of

REQUIREMENTS = "requirements.txt"
_NOT_FOUND = re.compile(r"No matching distribution found for (\S+)")


@dataclass(frozen=True)
class Pin:
    """A distribution as it is installed: its name, version, and, where it came from elsewhere than an index, its URL."""

    name: str
    version: str
    url: str | None = None

    @property
    def requirement(self) -> str:
        """Return what pip is asked for."""
        return f"{self.name} @ {self.url}" if self.url else f"{self.name}=={self.version}"


def collect(config: InferConfig, folder: Path, find_links: Sequence[str] = ()) -> list[Path]:
    """Collect wheels into a new folder, with a requirements.txt of their digests, and return them.

    pip finds them as it always does: by its own configuration, ``PIP_INDEX_URL`` and the like. What was installed from a folder
    or a URL is built from there.

    Parameters
    ----------
    find_links
        Folders or pages with more wheels.

    Raises
    ------
    MissingDependencyError
        If something that the bundle needs is not installed here, or there is no pip.
    OutputError
        If the folder exists, cannot be written, or pip finds no wheel for something.
    """
    if folder.exists():
        raise OutputError(f"{folder} exists already", "name a new folder")
    pins = pins_of(needed_by(config))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise OutputError(f"{folder} cannot be written ({error.strerror})", "name another folder") from None
    try:
        _fetch(pins, beside, find_links)
        lines = [_line(pin, beside) for pin in pins]
        (beside / REQUIREMENTS).write_text("\n".join(lines) + "\n", encoding="utf-8")
        beside.chmod(0o755)
        beside.rename(folder)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written ({error.strerror})", "free some space, or name another folder") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return sorted(folder.glob("*.whl"))


def needed_by(config: InferConfig) -> list[Requirement]:
    """Return the distributions that a bundle names, each with the extra that its component needs."""
    wanted = {CORE: Requirement(CORE)}
    names = [("detector", config.model.name), *(("postprocessor", step.name) for step in config.adaptation.postprocess)]
    for kind, name in names:
        entry = find(kind, name)
        entry.check_installed()
        file = entry.record.candidate.file
        if file is not None:
            raise PluginError(
                f"{name} comes from the file {file.name}, not from a package",
                "copy that file beside the bundle and pass it by --plugin, or make a package of it",
            )
        requirement = wanted.setdefault(entry.record.distribution, Requirement(entry.record.distribution))
        if entry.spec.extra:
            requirement.extras.add(entry.spec.extra)
    return list(wanted.values())


def pins_of(wanted: Iterable[Requirement]) -> list[Pin]:
    """Return what requirements take, as installed here, with all that it takes in turn; sorted by name.

    Raises
    ------
    MissingDependencyError
        If something of it is not installed.
    """
    pins: dict[str, Pin] = {}
    seen: set[tuple[str, str]] = set()
    queue = list(wanted)
    while queue:
        requirement = queue.pop()
        name = canonicalize_name(requirement.name)
        distribution = _installed(requirement)
        pins.setdefault(name, Pin(name, distribution.version, _origin(distribution)))
        for extra in ("", *sorted(requirement.extras)):
            if (name, extra) not in seen:
                seen.add((name, extra))
                queue += _requires(distribution, extra)
    return [pins[name] for name in sorted(pins)]


def _installed(requirement: Requirement) -> metadata.Distribution:
    try:
        return metadata.distribution(requirement.name)
    except metadata.PackageNotFoundError:
        raise MissingDependencyError(
            f"{requirement} is not installed here, so its version is not known", install_command(str(requirement))
        ) from None


def _requires(distribution: metadata.Distribution, extra: str) -> Iterator[Requirement]:
    """Yield what a distribution needs on this machine, for itself (no extra) or for one extra."""
    for text in distribution.requires or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        marker = requirement.marker
        if marker is None:
            if not extra:
                yield requirement
        elif marker.evaluate({"extra": extra}) and not (extra and marker.evaluate({"extra": ""})):
            yield requirement


def _origin(distribution: metadata.Distribution) -> str | None:
    """Return the URL that a distribution was installed from, if not from an index."""
    text = distribution.read_text("direct_url.json")
    if text is None:
        return None
    found = json.loads(text)
    vcs = found.get("vcs_info")
    url: str = found["url"]
    return f"{vcs['vcs']}+{url}@{vcs['commit_id']}" if vcs else url


def _fetch(pins: Sequence[Pin], folder: Path, find_links: Sequence[str]) -> None:
    """Let pip put a wheel of every pin into a folder."""
    links = [word for place in find_links for word in ("--find-links", place)]
    common = ["--no-deps", "--disable-pip-version-check", "--no-input", "--quiet", *links]
    published = [pin.requirement for pin in pins if pin.url is None]
    elsewhere = [pin.requirement for pin in pins if pin.url is not None]
    if published:
        _pip(["download", "--only-binary=:all:", "--dest", str(folder), *common, *published])
    if elsewhere:
        _pip(["wheel", "--wheel-dir", str(folder), *common, *elsewhere])


def _pip(words: list[str]) -> None:
    command, environ = _pip_command()
    done = subprocess.run([*command, *words], capture_output=True, text=True, env=environ, check=False)  # noqa: S603
    if done.returncode == 0:
        return
    found = _NOT_FOUND.search(done.stderr)
    if found:
        raise OutputError(
            f"pip finds no wheel of {found[1]} for this machine",
            "set PIP_INDEX_URL or PIP_EXTRA_INDEX_URL to an index that has it, or pass --find-links with a folder of wheels",
        )
    last = [line for line in done.stderr.splitlines() if line.strip()][-3:]
    raise OutputError(
        f"pip {words[0]} failed: {' '.join(last) or f'exit code {done.returncode}'}", "mend that, and run it again"
    )


def _pip_command() -> tuple[list[str], Mapping[str, str]]:
    """Return how pip is run, and the environment for it: that of this interpreter, or the one that Python brings along."""
    environ = dict(os.environ)
    if find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"], environ
    spec = find_spec("ensurepip")
    bundled = sorted((Path(spec.origin).parent / "_bundled").glob("pip-*.whl")) if spec is not None and spec.origin else []
    if not bundled:
        raise MissingDependencyError("a wheelhouse is collected by pip, which is not installed", "uv pip install pip")
    return [sys.executable, str(bundled[-1] / "pip")], environ


def _line(pin: Pin, folder: Path) -> str:
    """Return the line of requirements.txt for a pin, with the digest of its wheel."""
    for wheel in sorted(folder.glob("*.whl")):
        try:
            name, version, _, _ = parse_wheel_filename(wheel.name)
        except InvalidWheelFilename:
            continue
        if name == pin.name and (pin.url is not None or version == Version(pin.version)):
            return f"{pin.name}=={version} --hash=sha256:{sha256_of(wheel)}"
    raise OutputError(f"pip left no wheel of {pin.name} {pin.version}", "pass --find-links with a folder that has it")
