"""Checks of a plugin as a distribution: what importing it costs, and what its metadata promise."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from packaging.requirements import Requirement
from pydantic import BaseModel

from pyimgano.discovery.records import PluginRecord
from pyimgano.discovery.scan import CORE, normalise
from pyimgano.registry import Entry
from pyimgano.specs import CommandSpec, ComponentSpec, DetectorSpec
from pyimgano.testing.checks import Checks
from pyimgano.testing.installed import brought_by, extras, owners, pinned_by, required
from pyimgano.testing.results import CheckFailure, CheckSkipped
from pyimgano.testing.sources import imports, own_modules, source_files, words

checks = Checks(builds=False)

HEAVY = (
    *("torch", "torchvision", "timm", "open_clip", "anomalib", "lightning", "tensorflow", "jax", "onnxruntime", "openvino"),
    *("faiss", "scipy", "sklearn", "skimage", "pandas", "matplotlib"),
)
"""What describing a component must not import."""
ARRAYS = ("numpy", "cv2", "PIL")
"""What listing plugins must not import either."""


class Subject:
    """A plugin under test: one entry point of a distribution, or a file."""

    def __init__(self, record: PluginRecord) -> None:
        self.record = record
        self.is_file = record.candidate.file is not None
        self.distribution = record.distribution

    def need_metadata(self) -> None:
        """Skip a check that a single file cannot fail."""
        if self.is_file:
            raise CheckSkipped("a single file has no metadata")

    @property
    def components(self) -> list[ComponentSpec]:
        return [spec for spec in self.record.components if isinstance(spec, ComponentSpec)]

    def sources(self) -> Mapping[str, Any]:
        """Return its source files by top-level module."""
        taken = frozenset(module for module, names in owners().items() if self.distribution not in names) | {"pyimgano"}
        value = self.record.candidate.file.stem if self.record.candidate.file else self.record.candidate.value
        others = {top for top in _tops(self.record) if brought_by(top) and self.distribution not in brought_by(top)}
        return own_modules(value, self.record.components, taken | others)


@checks.add()
def entry_point(subject: Subject) -> None:
    """It loads, and every hook returns sound specs."""
    if subject.record.status != "ok":
        problem = subject.record.problems[0]
        raise CheckFailure(f"it is {subject.record.status}: {problem.message}", problem.fix)


@checks.add(needs=("entry_point",))
def light_import(subject: Subject) -> None:
    """Importing its plugin module loads neither numpy nor OpenCV nor a learning library."""
    subject.need_metadata()
    module = subject.record.candidate.value.partition(":")[0]
    found = _loaded_by([module], (*ARRAYS, *HEAVY))
    if found:
        raise CheckFailure(
            f"importing {module} imports {', '.join(found)}, and so does every pyimgano command",
            "keep specs in a module of their own that imports pyimgano.specs and nothing else",
        )


@checks.add(needs=("entry_point",))
def light_options(subject: Subject) -> None:
    """Importing the modules of its options loads no learning library."""
    subject.need_metadata()
    modules = sorted({spec.options.partition(":")[0] for spec in subject.components if spec.options})
    found = _loaded_by(modules, HEAVY)
    if found:
        raise CheckFailure(
            f"importing {', '.join(modules)} imports {', '.join(found)}", "keep options in a module that imports pydantic alone"
        )


@checks.add(needs=("entry_point",))
def light_weights_at(subject: Subject) -> None:
    """Asking where its weights are loads no learning library, and the paths resolve."""
    paths = {spec.weights_at: spec.name for spec in subject.components if isinstance(spec, DetectorSpec) and spec.weights_at}
    if not paths:
        raise CheckSkipped("no detector names weights_at")
    for path, name in paths.items():
        module, _, function = path.partition(":")
        if not callable(getattr(importlib.import_module(module), function, None)):
            raise CheckFailure(f"{name} names {path}, which is no function", "name a function(options)")
    modules = sorted({path.partition(":")[0] for path in paths})
    found = _loaded_by(modules, HEAVY)
    if found and not subject.is_file:
        raise CheckFailure(f"importing {', '.join(modules)} imports {', '.join(found)}", "look for files, do not load them")


@checks.add(needs=("entry_point",))
def light_commands(subject: Subject) -> None:
    """Importing the modules of its commands, which ``--help`` does, loads no learning library."""
    modules = sorted({spec.app.partition(":")[0] for spec in subject.record.components if isinstance(spec, CommandSpec)})
    if not modules:
        raise CheckSkipped("it adds no command")
    subject.need_metadata()
    found = _loaded_by(modules, HEAVY)
    if found:
        raise CheckFailure(f"importing {', '.join(modules)} imports {', '.join(found)}", "import them where a command runs")


@checks.add()
def requirement_on_core(subject: Subject) -> None:
    """It requires pyimgano-core from one version up to below another."""
    subject.need_metadata()
    if subject.distribution == CORE:
        raise CheckSkipped("this is core")
    found = [one for one in required(subject.distribution) if normalise(one.name) == CORE and _always(one)]
    operators = {specifier.operator for one in found for specifier in one.specifier}
    if not operators & {">=", "==", "~=", ">"} or not operators & {"<", "<=", "==", "~="}:
        shown = ", ".join(map(str, found)) or "nothing"
        raise CheckFailure(
            f"of core it requires {shown}", 'write "pyimgano-core>=0.7,<0.8": contracts may change in the next minor version'
        )


@checks.add()
def no_direct_urls(subject: Subject) -> None:
    """No requirement is a direct URL, which package indexes refuse."""
    subject.need_metadata()
    direct = [str(one) for one in required(subject.distribution) if one.url]
    if direct:
        raise CheckFailure(f"direct URLs: {', '.join(direct)}", "require a released version")


@checks.add(needs=("entry_point",))
def requirements_cover_imports(subject: Subject) -> None:
    """Every module that it imports is brought by something it requires, in an extra or as a component's requirement."""
    subject.need_metadata()
    declared = [*required(subject.distribution), *(Requirement(text) for spec in subject.components for text in spec.requires)]
    names = frozenset(normalise(one.name) for one in declared)
    known = names | pinned_by(names) | _brought_by_extras(declared)
    missing: dict[str, str] = {}
    sources = subject.sources()
    for files in sources.values():
        for file in files:
            for module, line in imports(file):
                if module not in sources and not _covered(module, known, subject.distribution):
                    missing.setdefault(module, f"{module} ({file.name}, line {line})")
    if missing:
        raise CheckFailure(
            f"imported, but not required: {', '.join(missing.values())}", "add what brings it to dependencies or to an extra"
        )


@checks.add(needs=("entry_point",))
def extras_bring_requires(subject: Subject) -> None:
    """The extra that a component names exists and brings what the component requires."""
    for spec in subject.components:
        if not spec.extra:
            continue
        subject.need_metadata()
        if normalise(spec.extra) not in extras(subject.distribution):
            raise CheckFailure(f"{spec.name} names the extra {spec.extra!r}, which does not exist", "declare it")
        brought = {normalise(one.name) for one in required(subject.distribution) if _in_extra(one, spec.extra)}
        absent = [text for text in spec.requires if normalise(Requirement(text).name) not in brought]
        if absent:
            raise CheckFailure(f"{spec.name} requires {', '.join(absent)}, which [{spec.extra}] does not bring", "add it there")


@checks.add(needs=("entry_point",))
def options_are_read(subject: Subject) -> None:
    """Every option is read somewhere; none is accepted and ignored."""
    sources = subject.sources()
    used = {word for files in sources.values() for file in files for word in words(file)}
    elsewhere: dict[str, set[str]] = {}
    unread = []
    for spec in subject.components:
        model = Entry(spec, subject.record).options_model()
        for name in set(model.model_fields) - used:
            top = _declared_in(model, name)
            if top not in sources and top not in elsewhere:
                elsewhere[top] = {word for file in source_files(top) for word in words(file)}
            if name not in elsewhere.get(top, ()):
                unread.append(f"{spec.name}.{name}")
    if unread:
        raise CheckFailure(f"never read: {', '.join(sorted(unread))}", "use the option, or remove it")


def _declared_in(model: type[BaseModel], name: str) -> str:
    """Return the top-level module of the class that declares an option, which may be of another distribution."""
    first = next(base for base in reversed(model.__mro__) if name in inspect.get_annotations(base))
    return first.__module__.partition(".")[0]


def _tops(record: PluginRecord) -> set[str]:
    paths = [getattr(spec, field, None) for spec in record.components for field in ("factory", "options", "app")]
    return {path.partition(":")[0].partition(".")[0] for path in paths if path}


def _covered(module: str, known: frozenset[str], distribution: str) -> bool:
    bringing = brought_by(module)
    if distribution in bringing or bringing & known or normalise(module) in known:
        return True
    return module == "cv2" and any(name.startswith("opencv-") for name in known)


def _brought_by_extras(declared: Iterable[Requirement]) -> frozenset[str]:
    """Return what the extras bring with which distributions are required."""
    return frozenset(
        normalise(brought.name)
        for one in declared
        for extra in one.extras
        for brought in required(one.name)
        if not _always(brought) and _in_extra(brought, extra)
    )


def _always(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def _in_extra(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _loaded_by(modules: list[str], unwanted: tuple[str, ...]) -> list[str]:
    """Return which of the unwanted modules a new process has loaded after importing some."""
    code = "import sys\nfor name in sys.argv[1].split(): __import__(name)\nprint(*sys.modules, file=sys.stderr)"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code, " ".join(modules)], capture_output=True, text=True, env=environ, check=False, timeout=300
    )
    if done.returncode:
        raise CheckFailure(f"{' '.join(modules)} cannot be imported in a new process: {_raised(done.stderr)}")
    return sorted(set(done.stderr.split()) & set(unwanted))


def _raised(trace: str) -> str:
    """Return the line of a traceback that names the error; what follows it may be advice."""
    lines = trace.strip().splitlines() or ["no word"]
    return next((line for line in reversed(lines) if re.match(r"[\w.]+(Error|Exception|Exit)\b", line)), lines[-1])
