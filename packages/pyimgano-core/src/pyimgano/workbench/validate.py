"""Every problem of an infer_config.json or a bundle at once; nothing is scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyimgano.contracts import Runtime
from pyimgano.errors import BundleError, PyimganoError
from pyimgano.options import parse
from pyimgano.registry import find
from pyimgano.workbench.bundle import Bundle
from pyimgano.workbench.completeness import doubts, incomplete
from pyimgano.workbench.config_file import check_versions, read_object
from pyimgano.workbench.faults import NOTHING, Fault, model_faults, shown
from pyimgano.workbench.infer_config import InferConfig
from pyimgano.workbench.seal import CONFIG, MANIFEST, SCHEMA_VERSION, SEAL, Seal

RECALIBRATE = "calibrate again (pyimgano bundle recalibrate, or train), or set the threshold by hand"


@dataclass(frozen=True)
class Validation:
    """What was found in a file or bundle; `digest` is the identity of a whole bundle."""

    target: Path
    digest: str | None
    faults: tuple[Fault, ...]

    @property
    def errors(self) -> int:
        """Return how many faults are no mere warnings."""
        return sum(fault.severity == "error" for fault in self.faults)

    def to_json(self) -> dict[str, Any]:
        """Return the findings as plain data."""
        return {
            "target": str(self.target),
            "bundle": self.digest,
            "errors": self.errors,
            "warnings": len(self.faults) - self.errors,
            "findings": [vars(fault) for fault in self.faults],
        }


def validate_infer_config(target: Path) -> Validation:
    """Check an infer_config.json, or a bundle with its seal: schema, versions, plugins, options, state file, sense.

    A detector is built and given its state only where all else is well, so heavy plugins load last.
    """
    faults: list[Fault] = []
    digest = None
    file = target / CONFIG if target.is_dir() else target
    if file.name == CONFIG and any((file.parent / name).exists() for name in (MANIFEST, SEAL)):
        digest, found = _seal_faults(file.parent)
        faults += found
    faults += _config_faults(file)
    return Validation(target, digest if not faults else None, tuple(faults))


def _seal_faults(folder: Path) -> tuple[str | None, list[Fault]]:
    """Return the identity of a bundle, and what does not agree with its seal."""
    try:
        seal = Seal.read(folder)
        found = list(seal.faults())
    except BundleError as error:
        return None, [_of_file(error, MANIFEST)]
    return (None if found else seal.digest), [_of_file(error, MANIFEST) for error in found]


def _config_faults(file: Path) -> Iterator[Fault]:
    try:
        values = read_object(file)
        check_versions(values, file)
    except BundleError as error:
        yield _of_file(error, file.name)
        return
    if "schema_version" not in values:
        yield Fault(
            "/schema_version", str(SCHEMA_VERSION), NOTHING, f"read as {SCHEMA_VERSION}; write it", "warning", file.name
        )
    faults = list(model_faults(InferConfig, values))
    yield from faults
    yield from _component_faults(values)
    if faults:
        return
    config = parse(InferConfig, values, file.name)
    yield from incomplete(config)
    yield from doubts(config)
    yield from _loading_faults(Bundle(file.parent, config, None))


def _component_faults(values: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield what is wrong with the detector and the postprocessors: not installed, or options they do not take."""
    adaptation = values.get("adaptation")
    steps = adaptation.get("postprocess") if isinstance(adaptation, Mapping) else None
    parts = [("/model", "detector", values.get("model"))]
    parts += [
        (f"/adaptation/postprocess/{place}", "postprocessor", step)
        for place, step in enumerate(steps if isinstance(steps, list) else ())
    ]
    for where, kind, part in parts:
        if isinstance(part, Mapping) and isinstance(part.get("name"), str):
            yield from _options_faults(where, kind, part)


def _options_faults(where: str, kind: str, part: Mapping[str, Any]) -> Iterator[Fault]:
    try:
        entry = find(kind, part["name"])
        entry.check_installed()
        model = entry.options_model()
    except PyimganoError as error:
        yield Fault(f"{where}/name", f"a {kind} that is installed", f"{shown(part['name'])}: {error.problem}", error.next_step)
        return
    options = part.get("options", {})
    if isinstance(options, Mapping):
        yield from model_faults(model, options, f"{where}/options")


def _loading_faults(bundle: Bundle) -> Iterator[Fault]:
    """Yield what keeps the state file from being read, or the pipeline from being built with it, and foreign thresholds."""
    try:
        arrays = bundle.arrays()
    except BundleError as error:
        yield Fault("/state", "the file that the config was written with", error.problem, error.next_step)
        return
    try:
        pipeline = bundle.config.build(arrays, Runtime(bundle.config.model.device))
    except PyimganoError as error:
        yield Fault("/model", "a detector that takes its options and its state", error.problem, error.next_step)
        return
    places = {"image": "/threshold_provenance/chain", "pixel": "/defects/pixel_threshold_provenance/chain"}
    for level, chain in pipeline.from_another_chain().items():
        found = f"another: the {level} threshold was calibrated through another chain"
        yield Fault(places[level], f"{shown(chain)}, the fingerprint of this config's chain", found, RECALIBRATE, "warning")


def _of_file(error: BundleError, name: str) -> Fault:
    return Fault("", "a file that is there, whole and of this version", error.problem, error.next_step, file=name)
