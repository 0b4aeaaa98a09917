"""Changing a bundle on purpose: values and thresholds, each time with a new seal and a line in its history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pyimgano.calibration import CalibrationSettings, ThresholdRules
from pyimgano.contracts import Runtime
from pyimgano.errors import BundleError, OptionsError, suggestion
from pyimgano.images import ImageLike
from pyimgano.options import overridden, parse
from pyimgano.reporting.strict_json import document, plain
from pyimgano.workbench.bundle import Bundle, write_bundle
from pyimgano.workbench.completeness import check_complete
from pyimgano.workbench.config_file import read_object
from pyimgano.workbench.folders import Content
from pyimgano.workbench.history import Change, History, Step, changes_between
from pyimgano.workbench.infer_config import DefectsPart, InferConfig
from pyimgano.workbench.seal import CONFIG, HISTORY, MANIFEST, REPORT, SEAL, SIGNATURE
from pyimgano.workbench.signing import SigningKey
from pyimgano.workbench.threshold_sources import settled

SETTABLE = ("category", "threshold", "defects", "prediction", "preprocessing", "adaptation.tiling")
"""What may be set, with everything below it; the rest says what was learned, and only training changes that."""
_RECORDS = (
    "threshold_provenance",
    "model",
    "state",
    "adaptation.postprocess",
    "defects.pixel_threshold_strategy",
    "defects.pixel_normal_quantile",
    "defects.pixel_threshold_provenance",
    "adaptation.tiling.fit_on",
)
_CHAIN = ("preprocessing", "adaptation", "defects.border", "defects.roi", "defects.map_smoothing")
"""What comes before a threshold, which is then one of another chain."""


@dataclass(frozen=True)
class Edited:
    """What an edit has done: identity before and after, and the values that changed."""

    before: str
    after: str
    changes: tuple[Change, ...]


def set_values(bundle: Bundle, values: Mapping[str, Any], target: Path, sign_key: SigningKey | None = None) -> Edited:
    """Write a verified bundle with other values of its config, sealed anew.

    Parameters
    ----------
    values
        By dotted key, such as ``defects.min_area``; see `SETTABLE`.
    target
        Where to: the bundle's own folder, or a new one.

    Raises
    ------
    OptionsError
        For a key that is unknown or not to be set, or a value that does not fit it.
    BundleError
        If the bundle could not do its work with them.
    """
    content = plain(bundle.config)
    paths = {tuple(_steps(key)): value for key, value in values.items()}
    for steps, value in paths.items():
        _check_settable(".".join(steps))
        _put(content, steps, value)
    config = parse(InferConfig, content, CONFIG, "pyimgano bundle set --help")
    check_complete(config)
    if any(".".join(steps).startswith(_CHAIN) for steps in paths):
        Bundle(bundle.folder, config, bundle.digest).pipeline()  # warns of thresholds that this takes to another chain
    return _reseal(bundle, config, "set", None, target, sign_key)


def recalibrate(
    bundle: Bundle,
    images: Sequence[ImageLike],
    rules: Mapping[str, Any],
    target: Path,
    runtime: Runtime | None = None,
    sign_key: SigningKey | None = None,
) -> Edited:
    """Write a verified bundle with thresholds from other normal images, through its whole chain; nothing is fitted again.

    Parameters
    ----------
    images
        Of good parts; none that was trained on.
    rules
        What of `ThresholdRules` to do otherwise than training did; a number brings the strategy that it belongs to.
    target
        Where to: the bundle's own folder, or a new one.

    Raises
    ------
    CalibrationError
        If there are no images, or no threshold follows from them.
    ImageError
        For an image that cannot be read.
    """
    wanted = settled({"calibration": dict(rules)}).get("calibration", {})
    chosen = overridden(rules_of(bundle), wanted, "calibration", "pyimgano bundle recalibrate --help")
    pipeline = bundle.config.build(bundle.arrays(), runtime or Runtime()).recalibrate(images, chosen)
    image, pixel = pipeline.score_threshold, pipeline.pixel_threshold
    defects = DefectsPart.of(bundle.config.defects.config(), pixel, bundle.config.defects.enabled)
    update = {"threshold": image.value if image else None, "threshold_provenance": image, "defects": defects}
    config = bundle.config.model_copy(update=update)
    check_complete(config)
    return _reseal(bundle, config, "recalibrate", len(images), target, sign_key)


def rules_of(bundle: Bundle) -> ThresholdRules:
    """Return the rules that the thresholds of a bundle were calibrated by, as its report says; the defaults without one."""
    try:
        report = read_object(bundle.folder / REPORT)
        settings = parse(CalibrationSettings, report["calibration"], "calibration")
    except (BundleError, OptionsError, KeyError, TypeError, ValueError):
        return ThresholdRules()
    return ThresholdRules(**settings.model_dump(include=set(ThresholdRules.model_fields)))


def sign(bundle: Bundle, key: SigningKey) -> None:
    """Write a verified bundle with a signature; its identity stays."""
    assert bundle.digest is not None
    write_bundle(bundle.folder, _files(bundle), overwrite=True, sign_key=key)


def _reseal(
    bundle: Bundle,
    config: InferConfig,
    command: Literal["set", "recalibrate"],
    images: int | None,
    target: Path,
    sign_key: SigningKey | None,
) -> Edited:
    if bundle.digest is None:
        raise BundleError(f"{bundle.folder} is not sealed", f"edit its {CONFIG} instead")
    changes = changes_between(plain(bundle.config), plain(config))
    in_place = target.resolve() == bundle.folder.resolve()
    if in_place and not changes:
        return Edited(bundle.digest, bundle.digest, ())
    history = History.read(bundle.folder)
    step = Step.now(command, bundle.digest, changes, images)
    history = history.model_copy(update={"steps": (*history.steps, step)})
    texts = {CONFIG: config, HISTORY: history}
    files = _files(bundle) | {name: document(content).encode() for name, content in texts.items()}
    after = write_bundle(target.resolve() if in_place else target, files, in_place, sign_key)
    return Edited(bundle.digest, after, changes)


def _files(bundle: Bundle) -> dict[str, Content]:
    """Return what the manifest lists, each as a copy of itself."""
    return {path.name: path for path in sorted(bundle.folder.iterdir()) if path.name not in (MANIFEST, SEAL, SIGNATURE)}


def _steps(key: str) -> list[str]:
    """Return the steps of a dotted key, or of a JSON pointer as the validator prints it."""
    return key[1:].split("/") if key.startswith("/") else key.split(".")


def _check_settable(key: str) -> None:
    if any(_is_below(key, record) for record in _RECORDS):
        raise OptionsError(
            f"{key} says how the bundle was trained and calibrated, so it is not set by hand",
            "pyimgano bundle recalibrate calibrates again; anything else takes training again",
        )
    if not any(_is_below(key, part) for part in SETTABLE):
        hint = suggestion(key, [*SETTABLE, *(f"defects.{name}" for name in DefectsPart.model_fields)])
        raise OptionsError(f"{key!r} is not a key that can be set", hint or f"settable: {', '.join(SETTABLE)}")


def _is_below(key: str, part: str) -> bool:
    return f"{key}.".startswith(f"{part}.")


def _put(content: dict[str, Any], steps: Sequence[str], value: Any) -> None:
    for depth, step in enumerate(steps[:-1], start=1):
        below = content.setdefault(step, {})
        if not isinstance(below, dict):
            raise OptionsError(
                f"{'.'.join(steps[:depth])} is one value and has no {steps[depth]}", "pyimgano bundle info BUNDLE"
            )
        content = below
    content[steps[-1]] = value
