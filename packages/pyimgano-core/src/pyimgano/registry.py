"""From a name or tags to a component: spec, validated options, then the object itself, in that order."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pyimgano.discovery import CORE, PluginIndex, PluginRecord, installed_plugins
from pyimgano.discovery.load import describe
from pyimgano.errors import (
    AmbiguousComponentError,
    MissingDependencyError,
    PluginError,
    PyimganoError,
    UnknownComponentError,
    suggestion,
)
from pyimgano.specs import DetectorSpec

if TYPE_CHECKING:
    from pyimgano.choice import Choice
    from pyimgano.contracts import Dataset, DatasetSplit, Detector, Embedder, NamedCorruption, Runtime
    from pyimgano.options import Options

logger = logging.getLogger(__name__)

KINDS = ("detector", "dataset", "corruption", "postprocessor", "metric", "command")


@dataclass(frozen=True)
class Entry:
    """A component and the plugin that provides it."""

    spec: Any
    record: PluginRecord

    @property
    def full_name(self) -> str:
        """``distribution:name``, which always works and is what reports store."""
        return f"{self.record.distribution}:{self.spec.name}"

    def options_model(self) -> type[Options]:
        """Return the pydantic model of its options; imports pydantic and the plugin's light options module."""
        from pyimgano.options import NoOptions, Options

        path = getattr(self.spec, "options", None)
        model: type[Options] = self._import(path) if path else NoOptions
        if not (isinstance(model, type) and issubclass(model, Options)):
            raise PluginError(
                f"{self.full_name}: {path} is no subclass of pyimgano.options.Options", "derive the options model from it"
            )
        return model

    def parse_options(self, values: Mapping[str, Any]) -> Options:
        """Return `values` as the component's validated options."""
        from pyimgano.options import parse

        return parse(self.options_model(), values, self.spec.name, f"pyimgano show {self.spec.kind} {self.spec.name}")

    def check_installed(self) -> None:
        """Raise `MissingDependencyError` if the component or its distribution needs something that is not installed."""
        from pyimgano.discovery.requirements import missing_requirements, unmet_by

        problems = unmet_by(self.spec, self.record.candidate) or missing_requirements(self.record.candidate)
        if problems:
            reasons = "; ".join(problem.message for problem in problems)
            fixes = dict.fromkeys(problem.fix for problem in problems if problem.fix)
            raise MissingDependencyError(f"{self.full_name} {reasons}", " && ".join(fixes))

    def factory(self) -> Callable[..., Any]:
        """Import and return the factory.

        Raises
        ------
        MissingDependencyError
            If something that it needs is not installed.
        PluginError
            If importing it fails for another reason.
        """
        self.check_installed()
        factory: Callable[..., Any] = self._import(self.spec.factory)
        return factory

    def _import(self, path: str) -> Any:
        module, _, name = path.partition(":")
        try:
            return getattr(importlib.import_module(module), name)
        except PyimganoError:
            raise
        except (Exception, SystemExit) as error:  # a plugin's import may raise anything
            raise self._unimportable(path, error) from error

    def _unimportable(self, path: str, error: BaseException) -> PluginError:
        module, _, name = path.partition(":")
        if isinstance(error, AttributeError) and module in sys.modules:
            hint = suggestion(name, vars(sys.modules[module]))
            return PluginError(f"{self.full_name}: {module} has no {name}", f"{hint} correct {path!r} in its spec".strip())
        advice = "run it again with --debug for the whole traceback"
        file = self.record.candidate.file
        if file is not None and isinstance(error, ModuleNotFoundError) and error.name == module:
            advice = f'a plugin file is imported by its own name: write "{file.stem}:{name}" in its spec'
        return PluginError(f"{self.full_name}: {path} cannot be imported: {describe(error)}", advice)


def find(kind: str, name: str, index: PluginIndex | None = None) -> Entry:
    """Return the component that a short name or ``distribution:name`` means.

    A short name means core's component where core has one, otherwise the only one of that name.

    Raises
    ------
    UnknownComponentError, AmbiguousComponentError, PluginError, MissingDependencyError
    """
    index = index or installed_plugins()
    distribution, _, short = name.rpartition(":")
    matches = [
        Entry(spec, record)
        for record, spec in index.components(kind)
        if spec.name == short and distribution in ("", record.distribution)
    ]
    of_core = [entry for entry in matches if entry.record.distribution == CORE]
    if of_core or len(matches) == 1:
        return _announced((of_core or matches)[0])
    if matches:
        names = " or ".join(sorted(entry.full_name for entry in matches))
        raise AmbiguousComponentError(f"{kind} {name!r} is offered by {len(matches)} plugins", f"use its full name: {names}")
    raise _unknown(kind, name, index)


def _announced(entry: Entry) -> Entry:
    replacement = getattr(entry.spec, "deprecated", None)
    if replacement:
        logger.warning("%s %s is deprecated: use %s", entry.spec.kind, entry.spec.name, replacement)
    return entry


def _unknown(kind: str, name: str, index: PluginIndex) -> Exception:
    """Return the error for a name that nothing usable provides, with the nearest explanation."""
    distribution, _, short = name.rpartition(":")
    for record in index.records:
        if short in record.offers.get(kind, ()) and distribution in ("", record.distribution):
            problem = record.problems[0]
            return MissingDependencyError(
                f"{kind} {name!r} is provided by {record.distribution}, which is not installed", problem.fix
            )
    for record in index.records:
        if record.distribution == distribution and record.status != "ok":
            reason, fix = record.problems[0]
            return PluginError(
                f"{kind} {name!r}: plugin {distribution} is {record.status}: {reason}", fix or "pyimgano list-plugins"
            )
    if distribution and all(record.distribution != distribution for record in index.records):
        from pyimgano.discovery.requirements import is_installed

        if is_installed(distribution):
            return UnknownComponentError(
                f"{kind} {name!r}: {distribution} is installed, but brings no plugin", f"pyimgano check-plugin {distribution}"
            )
        return UnknownComponentError(
            f"{kind} {name!r}: no plugin called {distribution!r} is loaded",
            "install it, or pass --plugin FILE for a single file",
        )
    failed = index.unusable()
    known = [spec.name for _, spec in index.components(kind)]
    blocked = [record.distribution for record in index.records if record.status == "disabled"]
    advice = [suggestion(short, known)]
    if failed:
        advice.append(f"not loaded: {', '.join(f'{r.distribution} ({r.status}: {r.problems[0].message})' for r in failed)};")
    if blocked:
        advice.append(f"disabled: {', '.join(blocked)};")
    listing = "pyimgano list-models" if kind == "detector" else "pyimgano list-plugins"
    advice.append(f"{listing} shows what is there")
    return UnknownComponentError(f"no {kind} is called {name!r}", " ".join(part for part in advice if part))


def detectors(tags: Iterable[str] = (), index: PluginIndex | None = None) -> list[tuple[str, Entry]]:
    """Return the installed detectors that carry all of `tags`, each under the shortest name that means it, sorted by name."""
    wanted = frozenset(tags)
    entries = [Entry(spec, record) for record, spec in (index or installed_plugins()).components("detector")]
    names = [entry.spec.name for entry in entries]
    chosen = [entry for entry in entries if wanted <= entry.spec.tags]
    return [(entry.full_name if _needs_full_name(entry, names) else entry.spec.name, entry) for entry in chosen]


def _needs_full_name(entry: Entry, names: list[str]) -> bool:
    return names.count(entry.spec.name) > 1 and entry.record.distribution != CORE


def list_models(tags: Iterable[str] = (), index: PluginIndex | None = None) -> list[str]:
    """Return the names of the installed detectors that carry all of `tags`, sorted; ambiguous ones as full names."""
    return [name for name, _ in detectors(tags, index)]


def create_model(
    name: str,
    *,
    device: str = "auto",
    batch_size: int = 16,
    amp: bool = False,
    seed: int = 0,
    preset: str | None = None,
    embedder: Embedder | None = None,
    **options: Any,
) -> Detector:
    """Return a detector, not yet fitted.

    Parameters
    ----------
    name
        Short or full name (`list_models`).
    device
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    batch_size
        Images per forward pass; 0 lets the detector choose.
    amp
        Reduced precision where the device has it, for detectors that know it; others are warned of and go on in full.
    seed
        Seed of every random choice the detector makes.
    preset
        A named set of option values (``pyimgano show detector NAME`` lists them); options go before it.
    embedder
        Your own features, for detectors that take one: a callable from a list of RGB arrays to patch grids (N, h, w, D).
    options
        The detector's own options; ``pyimgano show detector NAME`` lists them.
    """
    from pyimgano.contracts import Runtime

    runtime = Runtime(device=device, batch_size=batch_size, amp=amp, seed=seed)
    entry = find("detector", name)
    return build_detector(entry, with_preset(entry.spec, preset, options), runtime, embedder)


def build_detector(entry: Entry, values: Mapping[str, Any], runtime: Runtime, embedder: Embedder | None = None) -> Detector:
    """Validate options and runtime against the spec, then import the factory and call it; nothing heavy loads before.

    What it makes may be a `Detector` or an object of another library, which is adapted as `DetectorSpec.inputs` declares.
    """
    spec: DetectorSpec = entry.spec
    options = entry.parse_options(values)
    check_device(spec, runtime.device)
    if embedder is not None and not spec.embedder:
        raise PluginError(f"{spec.name} does not take an embedder", f"pyimgano show detector {spec.name}")
    factory = entry.factory()
    if runtime.amp and not spec.amp:
        warn_of_full_precision(spec)
        runtime = replace(runtime, amp=False)
    own = {} if embedder is None else {"embedder": embedder}
    made = _made(entry, factory, options, runtime, **own)
    from pyimgano.contracts.adapter import adapt

    return adapt(made, spec, options, runtime)


def warn_of_full_precision(spec: DetectorSpec) -> None:
    """Warn that a detector knows no reduced precision."""
    logger.warning("%s knows no reduced precision (amp), so it computes in full precision", spec.name)


def check_device(spec: DetectorSpec, device: str) -> None:
    """Raise `PluginError` for a device that the detector does not run on."""
    if device.partition(":")[0] not in ("auto", *spec.devices):
        raise PluginError(f"{spec.name} does not run on device {device!r}", f"use one of: auto, {', '.join(spec.devices)}")


def with_preset(spec: DetectorSpec, preset: str | None, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the option values of a preset, overridden by those given."""
    if preset is None:
        return dict(values)
    if preset not in spec.presets:
        known = ", ".join(spec.presets) or "no presets"
        raise PluginError(f"{spec.name} has no preset {preset!r}", f"{suggestion(preset, spec.presets)} it has {known}".strip())
    return {**spec.presets[preset], **values}


def load_dataset(name: str, root: str | os.PathLike[str] | None = None, **options: Any) -> Dataset:
    """Return a dataset; ``pyimgano show dataset NAME`` lists its options. Call ``load()`` on it for the split."""
    values = options if root is None else {"root": str(root), **options}
    return build_component(find("dataset", name), values)  # type: ignore[no-any-return]


def load_benchmark_split(
    dataset: str,
    root: str | os.PathLike[str],
    category: str | None = None,
    calibration_fraction: float = 0.2,
    seed: int = 0,
    **options: Any,
) -> DatasetSplit:
    """Return images to learn from, to calibrate on and to test on.

    Parameters
    ----------
    dataset
        Name of the layout; ``pyimgano datasets list`` shows them.
    root
        Where it lies.
    category
        Which of its categories; may be left out where there is one only.
    calibration_fraction
        Share of the training images to hold out, unless the dataset brings held-out good images of its own.
    seed
        Seed of that choice.
    options
        The dataset's own options, such as ``split="test_private"`` of ``mvtec_ad2``.
    """
    values = options if category is None else {"category": category, **options}
    return load_dataset(dataset, root, **values).load().with_calibration(calibration_fraction, seed)


def build_component(entry: Entry, values: Mapping[str, Any]) -> Any:
    """Validate options, then import the factory of any kind but a detector and call it."""
    options = entry.parse_options(values)
    return _made(entry, entry.factory(), options)


def _made(entry: Entry, factory: Callable[..., Any], *given: Any, **more: Any) -> Any:
    """Return what a factory makes; whatever it raises becomes an error that names the component."""
    missing = sorted(getattr(factory, "__abstractmethods__", ()))
    if missing:
        similar = "; ".join(filter(None, (suggestion(name, vars(factory)) for name in missing)))
        raise PluginError(
            f"{entry.full_name}: {entry.spec.factory} lacks the method {', '.join(missing)}",
            f"write {', '.join(f'{name}()' for name in missing)}{f' ({similar})' if similar else ''}",
        )
    try:
        return factory(*given, **more)
    except PyimganoError:
        raise
    except TypeError as error:
        taken = "options, runtime" if entry.spec.kind == "detector" else "options"
        raise PluginError(
            f"{entry.full_name} cannot be made: {describe(error)}",
            "derive its class from that of pyimgano.contracts and leave __init__ away, "
            f"or write __init__(self, {taken}) and call super().__init__({taken})",
        ) from error
    except Exception as error:  # a plugin may raise anything
        raise PluginError(
            f"{entry.full_name} cannot be made: {describe(error)}", "run it again with --debug for the whole traceback"
        ) from error


def build_corruption(choice: Choice) -> NamedCorruption:
    """Return a corruption with its identity, which checks what the plugin's own returns."""
    from pyimgano.contracts import NamedCorruption
    from pyimgano.options import recorded

    entry = find("corruption", choice.name)
    component = build_component(entry, choice.options)
    spec = entry.spec
    options = recorded(entry.parse_options(choice.options))
    return NamedCorruption(
        component, spec.name, entry.full_name, entry.record.version, options, spec.severities, spec.moves_pixels
    )
