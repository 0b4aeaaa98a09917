"""The robustness benchmark of one detector: fit, freeze both thresholds, then every condition at them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pyimgano.calibration import CalibrationSettings
from pyimgano.choice import Choice
from pyimgano.contracts import DatasetSplit, Detector, Metric, NamedCorruption
from pyimgano.discovery import installed_plugins
from pyimgano.errors import UnknownComponentError
from pyimgano.evaluation.category import common_folder
from pyimgano.evaluation.results import AUPRO_LIMIT
from pyimgano.evaluation.split import refuse_unlabelled
from pyimgano.logs import collected_warnings
from pyimgano.pipeline import Pipeline
from pyimgano.registry import build_corruption
from pyimgano.reporting.strict_json import plain
from pyimgano_robustness.conditions import Condition, conditions_of
from pyimgano_robustness.evaluate import Protocol, evaluate_condition
from pyimgano_robustness.options import DEFAULT_CORRUPTIONS, DEFAULT_SEVERITIES
from pyimgano_robustness.summary import summarise

Evaluate = Callable[[Condition], Mapping[str, Any]]


def run_robustness_benchmark(
    detector: Pipeline | Detector,
    split: DatasetSplit,
    corruptions: Iterable[str | Choice] = DEFAULT_CORRUPTIONS,
    severities: Sequence[int] = DEFAULT_SEVERITIES,
    *,
    seed: int = 0,
    root: Path | None = None,
    pixel_segf1: bool = True,
    pixel_threshold_strategy: Literal["normal_pixel_quantile", "none"] = "normal_pixel_quantile",
    pixel_normal_quantile: float = 0.999,
    calibration_fraction: float = 0.2,
    false_alarm_rate: float = 0.05,
    aupro_limit: float = AUPRO_LIMIT,
    extra_metrics: Mapping[str, Metric] | None = None,
    jobs: int = 1,
) -> dict[str, Any]:
    """Evaluate a detector on clean and on corrupted test images, at thresholds that are fixed once.

    Parameters
    ----------
    detector
        A detector or a pipeline around one that is not fitted yet; it is fitted on ``split.train``, and both thresholds are
        calibrated on held-out good images through the whole chain. A pipeline that has an image threshold, as out of a bundle,
        is used with what it was shipped with.
    split
        If it has no calibration images, `calibration_fraction` of train is held out with `seed`.
    corruptions
        Names of corruptions, or with their options; ``pyimgano list-plugins`` shows what is there.
    severities
        From 1.
    seed
        Of the corruptions and of the held-out images.
    root
        Folder of the dataset, by default the one that all images lie below. What a corruption draws for an image depends on the
        seed, on its own name and on the path of the image below this folder, on nothing else.
    pixel_segf1
        Whether to fix a pixel threshold, for SegF1 and false positives.
    extra_metrics
        Further metrics, by the name they get in ``extra_metrics``.
    jobs
        Threads that read and corrupt images while the detector scores; the numbers do not depend on it.

    Returns
    -------
    dict
        ``model``, ``thresholds``, ``robustness``, ``robustness_summary``, ``warnings``. Under ``robustness`` are ``clean`` and,
        by name and severity, ``corruptions``, each with ``latency_ms_per_image`` and ``results`` as `pyimgano.evaluate_split`
        gives them. What the test labels would have chosen stands in the block ``oracle`` of each.

    Raises
    ------
    UnknownComponentError
        For a corruption that no plugin has.
    OptionsError
        For a severity that a corruption does not have.
    """
    named = build_corruptions(corruptions)
    refuse_unlabelled(split.test)
    settings = CalibrationSettings(
        calibration_fraction=calibration_fraction,
        false_alarm_rate=false_alarm_rate,
        pixel_threshold_strategy=pixel_threshold_strategy if pixel_segf1 else "none",
        pixel_normal_quantile=pixel_normal_quantile,
    )
    conditions = conditions_of(named, severities, seed, root or common_folder(split))
    pipeline = detector if isinstance(detector, Pipeline) else Pipeline.around(detector)
    with collected_warnings() as warnings:
        if pipeline.score_threshold is None:
            split, _ = pipeline.learn(split, settings, seed)
    protocol = Protocol(aupro_limit=aupro_limit, metrics=extra_metrics or {}, jobs=jobs)
    report = evaluate_conditions(
        pipeline, conditions, lambda condition: evaluate_condition(pipeline, split.test, condition, protocol)
    )
    return plain({"model": pipeline.name, **report, "warnings": [*warnings, *report["warnings"]]})  # type: ignore[no-any-return]


def build_corruptions(chosen: Iterable[str | Choice]) -> list[NamedCorruption]:
    """Return corruptions by name; the error for an unknown one lists those that there are."""
    try:
        return [build_corruption(Choice.read(one) if isinstance(one, str) else one) for one in chosen]
    except UnknownComponentError as error:
        known = sorted({spec.name for _, spec in installed_plugins().components("corruption")})
        raise UnknownComponentError(error.problem, f"{error.next_step}; there are {', '.join(known)}") from None


def evaluate_conditions(pipeline: Pipeline, conditions: Sequence[Condition], evaluate: Evaluate) -> dict[str, Any]:
    """Return the part of a report that is about conditions, the first of which is the clean one."""
    clean, *corrupted = conditions
    robustness: dict[str, Any] = {
        "pixel_threshold_strategy": pipeline.pixel_threshold.method if pipeline.pixel_threshold else "none",
        "pixel_normal_quantile": pipeline.pixel_threshold.q if pipeline.pixel_threshold else None,
        "clean": evaluate(clean),
        "corruptions": {},
    }
    for condition in corrupted:
        assert condition.corruption is not None
        by_severity = robustness["corruptions"].setdefault(condition.corruption.short_name, {})
        by_severity[f"severity_{condition.severity}"] = evaluate(condition)
    return {
        "seed": clean.seed,
        "corruptions": _identities(corrupted),
        "thresholds": {"image": pipeline.score_threshold, "pixel": pipeline.pixel_threshold},
        "robustness": robustness,
        "robustness_summary": summarise(robustness, pipeline.name.rpartition(":")[2]),
        "warnings": _warnings(robustness),
    }


def _identities(corrupted: Sequence[Condition]) -> dict[str, dict[str, Any]]:
    named = {one.corruption.short_name: one.corruption for one in corrupted if one.corruption is not None}
    return {short: {"name": one.name, "version": one.version, "options": one.options} for short, one in named.items()}


def _warnings(robustness: Mapping[str, Any]) -> list[str]:
    """Return what the clean condition warns of; the others say the same of more images."""
    return list(robustness["clean"]["results"]["warnings"])
