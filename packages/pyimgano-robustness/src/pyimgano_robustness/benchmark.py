"""The robustness benchmark of one detector: fit, freeze both thresholds, then every condition at them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pyimgano.calibration import CalibrationSettings
from pyimgano.choice import Choice
from pyimgano.contracts import DatasetSplit, Detector, Metric, NamedCorruption
from pyimgano.discovery import installed_plugins
from pyimgano.errors import OptionsError, UnknownComponentError
from pyimgano.evaluation.category import common_folder
from pyimgano.evaluation.results import AUPRO_LIMIT
from pyimgano.evaluation.split import refuse_unlabelled
from pyimgano.logs import collected_warnings
from pyimgano.pipeline import Pipeline
from pyimgano.preprocessing import IlluminationOptions
from pyimgano.registry import build_corruption
from pyimgano.reporting.strict_json import plain
from pyimgano_robustness.conditions import Condition, Conditions
from pyimgano_robustness.drift import RealDrift
from pyimgano_robustness.evaluate import Protocol, evaluate_condition
from pyimgano_robustness.options import DEFAULT_REMEDY, DEFAULT_SEVERITIES, default_corruptions
from pyimgano_robustness.remedy import compared
from pyimgano_robustness.summary import summarise, taken

Evaluate = Callable[[Condition], Mapping[str, Any]]


def run_robustness_benchmark(
    detector: Pipeline | Detector,
    split: DatasetSplit,
    corruptions: Iterable[str | Choice] | None = None,
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
    condition_key: str | None = None,
    calibrate_on: str | None = None,
    compare_preprocessing: bool | IlluminationOptions = False,
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
        Names of corruptions, or with their options; ``pyimgano list-plugins`` shows what is there. By default lighting, jpeg,
        blur, glare and geo_jitter, and none with a `condition_key`.
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
    condition_key
        What tells in `Sample.meta` under what an image was taken, such as ``condition`` of a manifest or ``lighting`` of
        ``mvtec_ad2``. The detector then learns and is calibrated on images of one condition only, the reference; clean are its
        test images, corruptions are applied to those, and every other condition is tested at the same thresholds.
    calibrate_on
        The reference; may be left out where all training images were taken under one.
    compare_preprocessing
        Whether to do all of it twice, without preprocessing and with it: with that of the pipeline, or gray-world white balance
        and homomorphic filtering where it has none, or with the options that are given. The detector is fitted twice.
    jobs
        Threads that read and corrupt images while the detector scores; the numbers do not depend on it.

    Returns
    -------
    dict
        ``model``, ``thresholds``, ``robustness``, ``robustness_summary``, ``warnings``. Under ``robustness`` are ``clean`` and,
        by name and severity, ``corruptions``, each with ``latency_ms_per_image`` and ``results`` as `pyimgano.evaluate_split`
        gives them; with a `condition_key` also ``condition_key``, ``reference_condition`` and, by name, ``conditions``. What
        the test labels would have chosen stands in the block ``oracle`` of each. With `compare_preprocessing` these are without
        it, ``with_preprocessing`` has the same with it, and ``preprocessing_comparison`` says what was gained and lost.

    Raises
    ------
    UnknownComponentError
        For a corruption that no plugin has.
    OptionsError
        For a severity that a corruption does not have, where it is not clear which condition is the reference, and where a
        pipeline with thresholds would have to be fitted again.
    DatasetError
        For images of which nobody knows the condition, and a reference that no image was taken under.
    """
    if calibrate_on is not None and condition_key is None:
        raise OptionsError("calibrate_on says which condition, but not what tells conditions apart", "pass condition_key too")
    named = build_corruptions(default_corruptions(condition_key) if corruptions is None else corruptions)
    refuse_unlabelled(split.test)
    pipeline = detector if isinstance(detector, Pipeline) else Pipeline.around(detector)
    if compare_preprocessing is not False and pipeline.score_threshold is not None:
        raise OptionsError("a pipeline with thresholds cannot be fitted again to compare preprocessing", "pass a new one")
    settings = CalibrationSettings(
        calibration_fraction=calibration_fraction,
        false_alarm_rate=false_alarm_rate,
        pixel_threshold_strategy=pixel_threshold_strategy if pixel_segf1 else "none",
        pixel_normal_quantile=pixel_normal_quantile,
    )
    root = root or common_folder(split)
    drift = RealDrift.of(split, condition_key, calibrate_on) if condition_key is not None else None
    split = drift.select(split) if drift is not None else split
    conditions = Conditions.of(named, severities, seed, root, drift)
    protocol = Protocol(aupro_limit=aupro_limit, metrics=extra_metrics or {}, jobs=jobs)

    def report(pipeline: Pipeline) -> dict[str, Any]:
        learned = split
        with collected_warnings() as warnings:
            if pipeline.score_threshold is None:
                learned, _ = pipeline.learn(split, settings, seed)
        part = evaluate_conditions(
            pipeline, conditions, lambda condition: evaluate_condition(pipeline, learned.test, condition, protocol)
        )
        return {"model": pipeline.name, **part, "warnings": [*warnings, *part["warnings"]]}

    if compare_preprocessing is False:
        return plain(report(pipeline))  # type: ignore[no-any-return]
    chosen = pipeline.preprocessing if compare_preprocessing is True else compare_preprocessing
    off, on = both_ways(chosen)
    without = report(replace(pipeline, preprocessing=off))
    pair = with_comparison(without, report(replace(pipeline, preprocessing=on)), on)
    return plain(pair)  # type: ignore[no-any-return]


def both_ways(preprocessing: IlluminationOptions) -> tuple[IlluminationOptions, IlluminationOptions]:
    """Return no preprocessing, and what it is compared with: what was chosen, or else the default remedy."""
    off = IlluminationOptions()
    return off, preprocessing if preprocessing != off else DEFAULT_REMEDY


def with_comparison(without: Mapping[str, Any], preprocessed: Mapping[str, Any], on: IlluminationOptions) -> dict[str, Any]:
    """Return the report without preprocessing, with the other one and what was gained and lost beside it."""
    comparison = compared(without["robustness"], preprocessed["robustness"], on)
    return {**without, "with_preprocessing": preprocessed, "preprocessing_comparison": comparison}


def build_corruptions(chosen: Iterable[str | Choice]) -> list[NamedCorruption]:
    """Return corruptions by name; the error for an unknown one lists those that there are."""
    try:
        return [build_corruption(Choice.read(one) if isinstance(one, str) else one) for one in chosen]
    except UnknownComponentError as error:
        known = sorted({spec.name for _, spec in installed_plugins().components("corruption")})
        raise UnknownComponentError(error.problem, f"{error.next_step}; there are {', '.join(known)}") from None


def evaluate_conditions(pipeline: Pipeline, conditions: Conditions, evaluate: Evaluate) -> dict[str, Any]:
    """Return the part of a report that is about conditions."""
    robustness: dict[str, Any] = {
        "pixel_threshold_strategy": pipeline.pixel_threshold.method if pipeline.pixel_threshold else "none",
        "pixel_normal_quantile": pipeline.pixel_threshold.q if pipeline.pixel_threshold else None,
        "clean": evaluate(conditions.clean),
        "corruptions": {},
    }
    for condition in conditions.corrupted:
        assert condition.corruption is not None
        by_severity = robustness["corruptions"].setdefault(condition.corruption.short_name, {})
        by_severity[f"severity_{condition.severity}"] = evaluate(condition)
    drift = conditions.clean.drift
    if drift is not None:
        robustness |= {"condition_key": drift.key, "reference_condition": drift.reference}
        robustness["conditions"] = {condition.taken: evaluate(condition) for condition in conditions.real}
    return {
        "seed": conditions.clean.seed,
        "corruptions": _identities(conditions.corrupted),
        "thresholds": {"image": pipeline.score_threshold, "pixel": pipeline.pixel_threshold},
        "robustness": robustness,
        "robustness_summary": summarise(robustness, pipeline.name.rpartition(":")[2]),
        "warnings": _warnings(robustness),
    }


def _identities(corrupted: Sequence[Condition]) -> dict[str, dict[str, Any]]:
    named = {one.corruption.short_name: one.corruption for one in corrupted if one.corruption is not None}
    return {short: {"name": one.name, "version": one.version, "options": one.options} for short, one in named.items()}


def _warnings(robustness: Mapping[str, Any]) -> list[str]:
    """Return what the clean condition and real ones warn of; corrupted ones say the same of more images."""
    found = list(robustness["clean"]["results"]["warnings"])
    for place in taken(robustness):
        found += [f"{place.name}: {sentence}" for sentence in place.record["results"]["warnings"]]
    return found
