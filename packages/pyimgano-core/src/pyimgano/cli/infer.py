"""``pyimgano infer``: score images with what was trained; one JSON line each."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from pyimgano.cli import defects_flags, flags, tiling_flags
from pyimgano.cli.settings_flags import settings_flags
from pyimgano.cli.tables import table
from pyimgano.contracts import Runtime
from pyimgano.defects.config import DefectsConfig
from pyimgano.errors import OptionsError
from pyimgano.inference.confidence import LabelConfidence, Rejection
from pyimgano.inference.contact_sheet import COUNT, ContactSheet
from pyimgano.inference.inputs import Inputs
from pyimgano.inference.outputs import ResultWriter, writer_threads
from pyimgano.inference.places import Places, guarded
from pyimgano.inference.prediction import PredictionOptions
from pyimgano.inference.profile import Stopwatch, TimedPipeline, profile_rows
from pyimgano.inference.result import InferenceResult
from pyimgano.inference.resume import Held
from pyimgano.inference.run import Run
from pyimgano.options import overridden
from pyimgano.pipeline import Pipeline
from pyimgano.progress import track
from pyimgano.reporting.files import save_run_report
from pyimgano.tiling import TileScoring
from pyimgano.workbench.bundle import Bundle

logger = logging.getLogger(__name__)

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(
    context_settings={"allow_extra_args": True},
    epilog="Example: pyimgano infer --bundle parts.bundle --input photos --save-jsonl results.jsonl --save-overlays seen",
)
@settings_flags(tiling=TileScoring, settings=DefectsConfig, prediction=PredictionOptions)
def infer(
    tiling: dict[str, Any],
    settings: dict[str, Any],
    prediction: dict[str, Any],
    context: typer.Context,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            "-i",
            metavar="PATH",
            help="Folder (searched below), file or quoted pattern; - reads paths from standard input. May be given again.",
        ),
    ] = None,
    input_list: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A file with one path per line; blank lines and lines with # first are left out."),
    ] = None,
    null: Annotated[
        bool, typer.Option("-0", "--null", help="Paths that are read end in a NUL byte, as find -print0 writes them.")
    ] = False,
    bundle: Annotated[Path | None, typer.Option(metavar="DIR", help="A sealed bundle; every digest is verified first.")] = None,
    require_signature: Annotated[
        Path | None, typer.Option(metavar="PUBLIC_KEY", help="Refuse a bundle that is not signed with this Ed25519 key.")
    ] = None,
    infer_config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A loose infer_config.json, with its state file beside it.")
    ] = None,
    save_jsonl: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the records here instead of to stdout.")
    ] = None,
    save_maps: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write anomaly maps at image size, float32 .npy.")
    ] = None,
    defects: Annotated[
        bool | None,
        typer.Option("--defects/--no-defects", help="List the defects of every image.  [default: what the config says]"),
    ] = None,
    defects_preset: defects_flags.Preset = None,
    defects_image_space: Annotated[
        bool, typer.Option("--defects-image-space", help="Give every region its box on the image too.")
    ] = False,
    save_masks: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the masks of defects; implies --defects.")
    ] = None,
    save_regions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every defect on a line of its own; implies --defects.")
    ] = None,
    save_overlays: Annotated[Path | None, typer.Option(metavar="DIR", help="Write pictures with heat and outlines.")] = None,
    contact_sheet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the highest scores on one sheet, .png or .html.")
    ] = None,
    contact_sheet_count: Annotated[int, typer.Option(min=1, max=200, help="How many images the sheet shows.")] = COUNT,
    continue_on_error: Annotated[
        bool,
        typer.Option("--continue-on-error", help="Write an error record for a bad image and go on; exit with 1 at the end."),
    ] = False,
    max_errors: Annotated[
        int | None, typer.Option(min=1, help="Stop with 1 after so many error records; implies --continue-on-error.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the file of --save-jsonl: score what it holds no score of.")
    ] = False,
    flush_every: Annotated[int, typer.Option(min=1, help="Write records out in groups of so many.")] = 1,
    audit: Annotated[
        bool | None,
        typer.Option(
            "--audit/--no-audit", help="Add bundle digest, image sha256 and time to every record.  [default: with --bundle]"
        ),
    ] = None,
    include_confidence: Annotated[
        bool, typer.Option("--include-confidence", help="Add how sure the label is, from the calibration scores.")
    ] = False,
    include_anomaly_map_values: Annotated[
        bool, typer.Option("--include-anomaly-map-values", help="Add every value of the map to its record, for debugging.")
    ] = False,
    profile: Annotated[bool, typer.Option("--profile", help="Say on stderr where the time went.")] = False,
    profile_json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write that as JSON.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random choice that a model makes.")] = 0,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.  [default: what the config says]")] = None,
    batch_size: flags.BatchSize = 16,
    amp: flags.Amp = False,
    threads: flags.Threads = 0,
    overwrite: flags.Overwrite = False,
) -> None:
    """Score images and write one JSON record each, in order, as they are done."""
    watch = Stopwatch()
    _refuse_words(context.args)
    _refuse_combinations(bundle, infer_config, require_signature, save_jsonl, resume, overwrite)
    images = Inputs(inputs or [], input_list, null)
    with watch.stage("load"):
        trained = _load(bundle, infer_config, require_signature)
        rejection = _rejection(trained, prediction)
        pipeline = trained.pipeline(Runtime(device or trained.config.model.device, batch_size, amp, threads, seed))
    _adjust(pipeline, trained, tiling, defects_preset, settings)
    _warn(trained, pipeline, include_anomaly_map_values)
    confidence = _confidence(pipeline, rejection) if include_confidence or rejection is not None else None
    places = Places(save_jsonl, save_regions, save_maps, save_masks, save_overlays, contact_sheet, profile_json)
    places.check(images.files, inputs or [], trained.folder, overwrite or resume)
    sheet = ContactSheet(contact_sheet, contact_sheet_count, pipeline.pixel_threshold) if contact_sheet is not None else None
    held = _held(save_jsonl, trained, pipeline, images) if save_jsonl is not None and resume else None
    keep_errors = continue_on_error or max_errors is not None
    listed = trained.config.defects.enabled if defects is None else defects
    writer = ResultWriter(
        pipeline,
        save_jsonl,
        save_maps,
        save_overlays,
        trained.digest is not None if audit is None else audit,
        trained.digest,
        overwrite,
        defects=listed or save_masks is not None or save_regions is not None,
        image_space=defects_image_space,
        masks=save_masks,
        regions=save_regions,
        keep_errors=keep_errors,
        held=held,
        map_values=include_anomaly_map_values,
        flush_every=flush_every,
        threads=writer_threads(),
        watch=watch,
    )
    run = Run(TimedPipeline.of(pipeline, watch), writer, held, sheet, watch, keep_errors)
    total = None if images.streams else len(images.files) - run.earlier
    chunks = guarded(images.chunks(), places.outputs, trained.folder) if images.streams else images.chunks()
    _carry_out(run, track(run.results(chunks, confidence, rejection), "infer", total), max_errors, total, save_jsonl)
    if sheet is not None:
        run.write_sheet(sheet, _score_threshold(pipeline))
    _report(run, places, profile, watch)
    if writer.failed:
        typer.echo(_failures(writer, total, max_errors), err=True)
        raise typer.Exit(1)


def _load(bundle: Path | None, infer_config: Path | None, require_signature: Path | None) -> Bundle:
    return Bundle.load(bundle, require_signature) if bundle is not None else Bundle.load_config(infer_config or "")


def _refuse_combinations(
    bundle: Path | None,
    infer_config: Path | None,
    require_signature: Path | None,
    save_jsonl: Path | None,
    resume: bool,
    overwrite: bool,
) -> None:
    """Raise for flags that do not go together."""
    if (bundle is None) == (infer_config is None):
        raise OptionsError(
            "infer needs one of --bundle and --infer-config", "pyimgano train --export-deploy-bundle DIR makes a bundle"
        )
    if require_signature is not None and bundle is None:
        raise OptionsError("a loose infer_config.json has no signature to require", "pass --bundle, or no --require-signature")
    if resume and (save_jsonl is None or overwrite):
        raise OptionsError("--resume goes on with the file of --save-jsonl", "pass --save-jsonl FILE, and no --overwrite")


def _adjust(
    pipeline: Pipeline, trained: Bundle, tiling: Mapping[str, Any], preset: str | None, defects: Mapping[str, Any]
) -> None:
    """Put what the line says about tiles and defects over what the config says."""
    before = pipeline.fingerprint(pixels=True), pipeline.pixel_threshold
    pipeline.retile(tiling_flags.resolve(pipeline.tiling, tiling))
    pipeline.defects = defects_flags.resolve(pipeline.defects, preset, defects)
    calibrated = trained.config.calibrated_pixel_threshold()
    pipeline.pixel_threshold = defects_flags.pixel_threshold(pipeline.defects, defects, pipeline.pixel_threshold, calibrated)
    if (pipeline.fingerprint(pixels=True), pipeline.pixel_threshold) != before:
        pipeline.warn_of_another_chain()


def _warn(trained: Bundle, pipeline: Pipeline, map_values: bool) -> None:
    if pipeline.score_threshold is None:
        logger.warning("%s holds no image threshold: records carry scores without labels", trained.folder)
    if map_values:
        logger.warning("--include-anomaly-map-values writes a number for every pixel: --save-maps is smaller and faster")


def _confidence(pipeline: Pipeline, rejection: Rejection | None) -> LabelConfidence:
    confidence = LabelConfidence(pipeline.score_threshold)
    if rejection is not None and confidence.most < rejection.below:
        logger.warning(
            "no defect can be surer than %.3g with so few calibration images: all of them will be rejected", confidence.most
        )
    return confidence


def _held(jsonl: Path, trained: Bundle, pipeline: Pipeline, images: Inputs) -> Held:
    """Return what an earlier run has left, which must be of the same images."""
    held = Held.read(jsonl, trained.digest, _score_threshold(pipeline))
    if not images.streams:
        held.check(images.files)
    return held


def _score_threshold(pipeline: Pipeline) -> float | None:
    return pipeline.score_threshold.value if pipeline.score_threshold is not None else None


def _carry_out(
    run: Run, results: Iterable[InferenceResult], max_errors: int | None, total: int | None, jsonl: Path | None
) -> None:
    """Write the results; whoever interrupts it is told how to go on."""
    try:
        run.write(results, max_errors)
    except KeyboardInterrupt:
        typer.echo(_interrupted(run.writer, total, jsonl), err=True)
        raise


def _report(run: Run, places: Places, profile: bool, watch: Stopwatch) -> None:
    """Say what was done and, where asked for, where the time went."""
    if places.jsonl is not None:
        typer.echo(f"{run.summary()}; records in {places.jsonl}")
    spent = watch.report(run.writer.done)
    if profile:
        typer.echo(table(["STAGE", "SECONDS", "SHARE", "IMAGES/S"], profile_rows(spent)), err=True)
    if places.profile is not None:
        save_run_report(places.profile, spent)


def _refuse_words(words: list[str]) -> None:
    """Raise for words that belong to no flag: mostly what the shell made of a pattern."""
    if not words:
        return
    if Path(words[0]).exists():
        more = f", and {len(words) - 1} more words likewise" if words[1:] else ""
        raise OptionsError(
            f"{words[0]} belongs to no flag{more}: the shell has put files in the place of a pattern",
            "quote the pattern, as in --input '*.png', or pass --input before every file",
        )
    raise OptionsError(f"{words[0]} belongs to no flag", "see pyimgano infer --help")


def _rejection(trained: Bundle, given: Mapping[str, Any]) -> Rejection | None:
    """Return which labels are left open: what the line says over what the config says."""
    options = overridden(trained.config.prediction, given, "prediction", "see pyimgano infer --help")
    if "reject_label" in given and options.reject_confidence_below is None:
        raise OptionsError("--reject-label rejects nothing by itself", "pass --reject-confidence-below too")
    return options.rejection()


def _interrupted(writer: ResultWriter, total: int | None, jsonl: Path | None) -> str:
    how = "; to go on, run the same command with --resume and without --overwrite" if jsonl is not None else ""
    return f"stopped after {_of(writer.done, total)} images; their records are whole{how}"


def _failures(writer: ResultWriter, total: int | None, max_errors: int | None) -> str:
    if max_errors is not None and writer.failed >= max_errors:
        done = f"{_of(writer.done, total)} images are done"
        return f"stopped because {writer.failed} images could not be scored (--max-errors {max_errors}); {done}"
    of = writer.done if total is None else total
    return f"{writer.failed} of {of} images could not be scored; their records have status 'error'"


def _of(done: int, total: int | None) -> str:
    return str(done) if total is None else f"{done} of {total}"
