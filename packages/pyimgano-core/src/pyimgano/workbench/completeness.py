"""Whether a config says all that it takes to do what it says, and what in it does not count."""

from __future__ import annotations

from collections.abc import Iterator

from pyimgano.discovery import installed_plugins
from pyimgano.errors import BundleError
from pyimgano.registry import Entry
from pyimgano.workbench.faults import NOTHING, Fault, shown
from pyimgano.workbench.infer_config import InferConfig, ModelPart, PostprocessPart

WAYS_OUT = (
    "calibrate one (--pixel-threshold-strategy normal_pixel_quantile, or pyimgano bundle recalibrate), "
    "or set one (--pixel-threshold VALUE)"
)


def check_complete(config: InferConfig) -> None:
    """Raise `BundleError` for a config that cannot do what it says, with the ways out."""
    for fault in incomplete(config):
        raise BundleError(str(fault), fault.mend)


def incomplete(config: InferConfig) -> Iterator[Fault]:
    """Yield what keeps enabled defects from being judged, and labels from being left open."""
    if config.defects.enabled:
        yield from unjudged(config.model.name, config.pixel_threshold() is not None)
    threshold = config.score_threshold()
    below = config.prediction.reject_confidence_below
    if below is not None and (threshold is None or threshold.score_summary is None):
        yield Fault(
            "/prediction/reject_confidence_below",
            "null, because no image threshold was calibrated",
            shown(below),
            "calibrate one (pyimgano bundle recalibrate), or leave no labels open",
        )


def unjudged(model: str, threshold: bool) -> Iterator[Fault]:
    """Yield what keeps enabled defects from being judged: a detector without maps, or no pixel threshold."""
    if not makes_maps(model):
        yield Fault(
            "/defects/enabled",
            f"false, because {model} makes no anomaly maps",
            "true",
            "choose a detector with maps (pyimgano list-models), or do not enable defects",
        )
    elif not threshold:
        yield Fault("/defects/pixel_threshold", "a number, because defects are enabled", NOTHING, WAYS_OUT)


def doubts(config: InferConfig) -> Iterator[Fault]:
    """Yield warnings: values without an effect, and components of another version than the one that was trained with."""
    defects, record = config.defects, config.calibrated_pixel_threshold()
    if record is not None:
        pairs = {"pixel_normal_quantile": record.q, "pixel_threshold_strategy": record.method}
        for name, calibrated in pairs.items():
            if getattr(defects, name) != calibrated:
                yield Fault(
                    f"/defects/{name}",
                    f"{shown(calibrated)}, by which the threshold was calibrated",
                    f"{shown(getattr(defects, name))}, which changes nothing",
                    "pyimgano bundle recalibrate calibrates again; or edit pixel_threshold",
                    "warning",
                )
    if config.threshold is None:
        yield Fault("/threshold", "a number", "null: records carry scores without labels", severity="warning")
    yield from _of_another_version("/model", "detector", config.model)
    for place, step in enumerate(config.adaptation.postprocess):
        yield from _of_another_version(f"/adaptation/postprocess/{place}", "postprocessor", step)


def makes_maps(model: str) -> bool:
    """Return whether a detector makes anomaly maps; taken for granted where it is not installed."""
    entry = _entry("detector", model)
    return entry is None or bool(entry.spec.maps)


def _of_another_version(where: str, kind: str, part: ModelPart | PostprocessPart) -> Iterator[Fault]:
    entry = _entry(kind, part.name)
    installed = entry.record.version if entry is not None else None
    if installed is None or part.version is None or _line(installed) == _line(part.version):
        return
    yield Fault(
        f"{where}/version",
        f"that of the installed {part.distribution}, {installed}",
        f"{part.version}: scores may differ from those that thresholds were calibrated on",
        f"install {part.distribution}=={part.version}, or calibrate again: pyimgano bundle recalibrate",
        "warning",
    )


def _entry(kind: str, name: str) -> Entry | None:
    entries = (Entry(spec, record) for record, spec in installed_plugins().components(kind))
    return next((entry for entry in entries if name in (entry.full_name, entry.spec.name)), None)


def _line(version: str) -> list[str]:
    """Return major and minor number."""
    return version.split(".")[:2]
