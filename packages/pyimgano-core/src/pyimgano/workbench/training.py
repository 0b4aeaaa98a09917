"""A training run: from settings to a fitted, calibrated pipeline, and the files that it is shipped as."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyimgano.clock import utc_now
from pyimgano.contracts import DatasetSplit
from pyimgano.errors import OutputError, PyimganoError
from pyimgano.evaluation.category import CategoryRun, judge_category
from pyimgano.evaluation.reports import head, run_report
from pyimgano.logs import collected_warnings
from pyimgano.pipeline import Pipeline
from pyimgano.reporting.environment import environment
from pyimgano.reporting.html import write_html_where_possible
from pyimgano.reporting.strict_json import plain
from pyimgano.workbench.bundle import bundle_files, write_bundle
from pyimgano.workbench.config import TrainConfig
from pyimgano.workbench.folders import check_writable, write_folder
from pyimgano.workbench.layers import recorded
from pyimgano.workbench.preparation import Preparation
from pyimgano.workbench.signing import SigningKey
from pyimgano.workbench.training_folder import Fit, TrainingFolder

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingRun:
    """What a training has made.

    Attributes
    ----------
    config
        Its settings.
    pipeline
        Fitted and calibrated.
    split
        Which images it learned from, calibrated on, and left for testing.
    seconds
        How long each stage took.
    report
        What it has to say of itself, without times and paths of this machine.
    resumed
        Whether fitting was taken over from an interrupted training.
    evaluation
        The benchmark's report on the test images; None where they were not scored.
    """

    config: TrainConfig
    pipeline: Pipeline
    split: DatasetSplit
    seconds: Mapping[str, float]
    report: Mapping[str, Any]
    resumed: bool = False
    evaluation: Mapping[str, Any] | None = None

    def files(self) -> dict[str, bytes]:
        """Return the files of a bundle."""
        enabled, prediction = self.config.defects.enabled, self.config.prediction
        category = self.report["category"]
        return bundle_files(self.pipeline, self.report, category, defects_enabled=enabled, prediction=prediction)


def run_training(config: TrainConfig, *, overwrite: bool = False, sign_key: SigningKey | None = None) -> TrainingRun:
    """Fit, calibrate on held-out good images, and write what the config asks for.

    In the folder of a run, fitting is kept as soon as it is done: after an interruption the same settings and images go on
    from there.

    Parameters
    ----------
    config
        What to learn from what, and where to write it.
    overwrite
        Replace what lies in those places.
    sign_key
        What to sign the bundle with.

    Raises
    ------
    PlanError
        Before anything heavy loads, if the components do not fit together.
    OutputError
        Before anything is learned, if something may not be written where it should.
    """
    prepared = Preparation.of(config)
    pipeline = prepared.build_pipeline()
    pipeline.detector.check_savable()
    check_outputs(config, overwrite)
    folder = TrainingFolder(config.output.run) if config.output.run is not None else None
    run = _learn(prepared, pipeline, folder, overwrite)
    files = run.files()
    if folder is not None:
        run = _write_run(prepared, run, folder, files)
    if config.output.infer_config is not None:
        write_folder(config.output.infer_config, files, overwrite)
    if config.output.deploy_bundle is not None:
        write_bundle(config.output.deploy_bundle, files, overwrite, sign_key)
    return run


def check_outputs(config: TrainConfig, overwrite: bool = False) -> None:
    """Raise `OutputError` if something may not be written where the config says, or two things go to one folder."""
    output = config.output
    targets = [folder for folder in (output.run, output.infer_config, output.deploy_bundle) if folder is not None]
    places = [folder.resolve() for folder in targets]
    for folder, place in zip(targets, places, strict=True):
        if places.count(place) > 1:
            raise OutputError(f"{folder} is named twice", "give --output and each --export a folder of its own")
        if any(other in place.parents for other in places):
            raise OutputError(f"{folder} lies inside another folder that is written", "give each a place of its own")
    if output.run is not None:
        TrainingFolder(output.run).check(overwrite)
    for export in (output.infer_config, output.deploy_bundle):
        if export is not None:
            check_writable(export, overwrite)


def _learn(prepared: Preparation, pipeline: Pipeline, folder: TrainingFolder | None, overwrite: bool) -> TrainingRun:
    """Return the pipeline fitted, or as an earlier try has left it, and calibrated."""
    config, split = prepared.config, prepared.split
    fit = folder.restore(pipeline, prepared.fingerprint) if folder is not None and not overwrite else None
    resumed = fit is not None
    if fit is None:
        fit = _fit(prepared, pipeline)
    if folder is not None:
        folder.open(recorded(config), prepared.split_record(), overwrite)
        if not resumed:
            folder.keep(pipeline, prepared.fingerprint, fit)
    if resumed:
        for sentence in fit.warnings:
            logger.warning("%s", sentence)
    started = time.perf_counter()
    with collected_warnings() as warnings:
        pipeline.calibrate([str(sample.path) for sample in split.calibration], config.calibration)
    seconds = {"fit": fit.seconds, "calibrate": time.perf_counter() - started}
    report = _report(prepared, pipeline, [*fit.warnings, *warnings])
    return TrainingRun(config, pipeline, split, seconds, report, resumed)


def _fit(prepared: Preparation, pipeline: Pipeline) -> Fit:
    started = time.perf_counter()
    with collected_warnings() as warnings:
        pipeline.fit([str(sample.path) for sample in prepared.split.train], prepared.config.dataset.augmentation)
    return Fit(time.perf_counter() - started, tuple(warnings))


def _report(prepared: Preparation, pipeline: Pipeline, warnings: list[str]) -> dict[str, Any]:
    config = prepared.config
    report = {
        "schema_version": 1,
        "recipe": config.recipe,
        "dataset": prepared.plan.dataset.entry.full_name,
        "category": prepared.category_name,
        "model": pipeline.name,
        "version": pipeline.version,
        "preset": config.model.preset,
        "options": pipeline.options,
        "preprocessing": pipeline.preprocessing,
        "tiling": pipeline.tiling,
        "postprocess": [{"name": step.name, "options": step.options} for step in pipeline.postprocess],
        "augmentation": config.dataset.augmentation,
        "weights": pipeline.weights,
        "seed": config.seed,
        "calibration": config.calibration,
        "images": {role: len(getattr(prepared.split, role)) for role in ("train", "calibration", "test")},
        "split": prepared.split_digests,
        "thresholds": {"image": pipeline.score_threshold, "pixel": pipeline.pixel_threshold},
        "warnings": warnings,
    }
    return plain(report)  # type: ignore[no-any-return]


def _write_run(prepared: Preparation, run: TrainingRun, folder: TrainingFolder, files: Mapping[str, bytes]) -> TrainingRun:
    """Write the run into its folder, with the report on the test images where they have labels."""
    judged, failed = _judge(prepared, run)
    timing = {f"{stage}_s": round(value, 4) for stage, value in run.seconds.items()}
    report = {**run.report, "timing": timing, "environment": environment()}
    if judged is not None:
        one = {**head(prepared.plan, prepared.model), **judged.report, "environment": environment()}
        folder.write_category(prepared.category.name, CategoryRun(plain(one), judged.records, judged.pictures))
        whole = run_report(prepared.plan, prepared.model, {prepared.category.name: one})
        report = {**report, **whole, "warnings": [*run.report["warnings"], *judged.report["warnings"]]}
    report |= {"kind": "training", "created_utc": utc_now(), "resumed": run.resumed, "failed": failed}
    folder.write_report(report)
    if judged is not None:
        write_html_where_possible(folder.folder)
    folder.finish(files)
    return TrainingRun(
        run.config, run.pipeline, run.split, run.seconds, run.report, run.resumed, plain(report) if judged else None
    )


def _judge(prepared: Preparation, run: TrainingRun) -> tuple[CategoryRun | None, dict[str, str]]:
    """Return what the test images gave, and why they gave nothing if they failed: what was learned is no worse for that.

    Nothing is tested where it is not wanted, or where there are no labels, which is said.
    """
    if not run.config.output.evaluate:
        return None, {}
    test = run.split.test
    if not test or any(sample.label is None for sample in test):
        which = "no test images" if not test else "test images without labels"
        logger.warning("there are %s, so the report of this run says nothing of how good it is", which)
        return None, {}
    try:
        return judge_category(prepared.category, run.split, run.pipeline, prepared.plan.config, {}, run.seconds), {}
    except PyimganoError as error:
        logger.warning("the test images could not be scored, so the report says nothing of them: %s", error.problem)
        return None, {prepared.category.name: str(error)}
