"""Step 4, load: import a plugin's module and register it; whatever goes wrong becomes a problem of that plugin alone."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import pluggy

from pyimgano.discovery.records import Candidate, Problem
from pyimgano.discovery.requirements import uninstall_command

if TYPE_CHECKING:
    import traceback

_OURS = f"{Path(__file__).parents[1]}{os.sep}"
_CALLERS = frozenset({"pluggy", "typer", "click"})
_STANDARD = Path(os.__file__).parent


class Failure(NamedTuple):
    """Why a plugin could not be loaded, with the whole traceback for ``list-plugins --trace``."""

    problem: Problem
    trace: str


def load(candidate: Candidate, manager: pluggy.PluginManager) -> tuple[ModuleType | None, Failure | None]:
    """Import and register one plugin. Its prints go to stderr, so that they cannot spoil JSON on stdout."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            module = _import_file(candidate.file) if candidate.file else _import_entry(candidate.value)
            manager.register(module, candidate.label)
    except (Exception, SystemExit) as error:  # a plugin's import may raise anything, and must cost that plugin alone
        if manager.has_plugin(candidate.label):
            manager.unregister(name=candidate.label)
        return None, Failure(_problem(candidate, error), format_trace(error))
    return module, None


def _import_entry(value: str) -> ModuleType:
    name, _, attribute = value.partition(":")
    module = importlib.import_module(name.strip())
    return getattr(module, attribute.strip()) if attribute else module


def _import_file(path: Path) -> ModuleType:
    """Import a file under its stem, so that ``"stem:Factory"`` in its specs resolves."""
    known = sys.modules.get(path.stem)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    if not path.stem.isidentifier() or known is not None or _names_another_module(path):
        raise ImportError(f"{path.name} cannot be imported as {path.stem!r}: rename the file, that name is taken or not a name")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise
    return module


def _names_another_module(path: Path) -> bool:
    found = importlib.util.find_spec(path.stem)
    return found is not None and Path(found.origin or "").resolve() != path


def _problem(candidate: Candidate, error: BaseException) -> Problem:
    folder = _editable_folder(candidate)
    if folder is not None and not folder.exists():
        return Problem(f"installed editable from {folder}, which no longer exists", uninstall_command(candidate.distribution))
    module = candidate.value.partition(":")[0].strip()
    if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
        return Problem(
            f"there is no module {error.name}, to which its entry point {candidate.entry} = {candidate.value!r} leads; "
            "correct that in its pyproject.toml and install it again"
        )
    return Problem(describe(error), f"pyimgano list-plugins --trace {candidate.distribution}")


def _editable_folder(candidate: Candidate) -> Path | None:
    """Return the folder of an editable install (PEP 610), or None."""
    import json
    from importlib import metadata
    from urllib.parse import unquote, urlparse

    try:
        origin = json.loads(metadata.distribution(candidate.distribution).read_text("direct_url.json") or "{}")
        return Path(unquote(urlparse(origin["url"]).path)) if origin["dir_info"]["editable"] else None
    except (ValueError, KeyError, TypeError, AttributeError, metadata.PackageNotFoundError):
        return None


def describe(error: BaseException) -> str:
    """Return ``Type: message (file, line n)`` in one line, with the last line of code that is not pyimgano's."""
    message = " ".join(str(error).split())
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    if isinstance(error, SystemExit):
        text = f"it called sys.exit({error.code!r}) while it was loaded"
    import traceback

    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_machinery(Path(frame.filename))]
    if not frames:
        return text
    package, vendor = (
        Path(frames[0].filename).parent,
        _vendor(frames[0]),
    )  # the plugin's; others' code that it calls comes after
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(package) and _vendor(frame) == vendor]
    return f"{text} ({package.name}/{Path(own[-1].filename).relative_to(package)}, line {own[-1].lineno})"


def _vendor(frame: traceback.FrameSummary) -> str:
    """Return where a file was installed to; empty for one that lies elsewhere."""
    return frame.filename.rpartition(f"{os.sep}site-packages{os.sep}")[0]


def _is_machinery(path: Path) -> bool:
    """Return whether a file is pyimgano's, the standard library's, or of what calls plugins."""
    if str(path).startswith((_OURS, "<frozen")):
        return True
    if "site-packages" in path.parts:
        return not _CALLERS.isdisjoint(path.parts)
    return path.is_relative_to(_STANDARD)


def format_trace(error: BaseException) -> str:
    """Return the whole traceback as text."""
    import traceback

    return "".join(traceback.format_exception(error))
