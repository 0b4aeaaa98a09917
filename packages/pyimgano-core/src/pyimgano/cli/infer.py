"""``pyimgano infer``: score images with what was trained; one JSON line each."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from pyimgano.calibration import PixelThreshold
from pyimgano.cli import defects_flags, flags
from pyimgano.cli.settings_flags import settings_flags
from pyimgano.cli.tables import table
from pyimgano.contracts import Runtime
from pyimgano.defects.config import DefectsConfig
from pyimgano.errors import OptionsError
from pyimgano.inference.confidence import REJECT_LABEL, LabelConfidence, Rejection
from pyimgano.inference.contact_sheet import COUNT, ContactSheet
from pyimgano.inference.inputs import Inputs
from pyimgano.inference.lines import check_new
from pyimgano.inference.outputs import ResultWriter, writer_threads
from pyimgano.inference.places import guarded, refuse_places
from pyimgano.inference.profile import Stopwatch, TimedPipeline, profile_rows
from pyimgano.inference.resume import Held
from pyimgano.inference.run import Run
from pyimgano.pipeline import Pipeline
from pyimgano.progress import track
from pyimgano.reporting.files import save_run_report
from pyimgano.workbench.bundle import Bundle

logger = logging.getLogger(__name__)

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(
    context_settings={"allow_extra_args": True},
    epilog="Example: pyimgano infer --bundle parts.bundle --input photos --save-jsonl results.jsonl --save-overlays seen",
)
@settings_flags(settings=DefectsConfig)
def infer(
    settings: dict[str, Any],
    context: typer.Context,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            "-i",
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
    reject_confidence_below: Annotated[
        float | None, typer.Option(min=0, max=1, help="Leave labels of a lower confidence open.")
    ] = None,
    reject_label: Annotated[int | None, typer.Option(help=f"The label of those.  [default: {REJECT_LABEL}]")] = None,
    include_anomaly_map_values: Annotated[
        bool, typer.Option("--include-anomaly-map-values", help="Add every value of the map to its record, for debugging.")
    ] = False,
    profile: Annotated[bool, typer.Option("--profile", help="Say on stderr where the time went.")] = False,
    profile_json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write that as JSON.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random choice that a model makes.")] = 0,
    device: flags.Device = "auto",
    batch_size: flags.BatchSize = 16,
    amp: flags.Amp = False,
    threads: flags.Threads = 0,
    overwrite: flags.Overwrite = False,
) -> None:
    """Score images and write one JSON record each, in order, as they are done."""
    watch = Stopwatch()
    _refuse_words(context.args)
    if (bundle is None) == (infer_config is None):
        raise OptionsError(
            "infer needs one of --bundle and --infer-config", "pyimgano train --export-deploy-bundle DIR makes a bundle"
        )
    if resume and (save_jsonl is None or overwrite):
        raise OptionsError("--resume goes on with the file of --save-jsonl", "pass --save-jsonl FILE, and no --overwrite")
    rejection = _rejection(reject_confidence_below, reject_label)
    images = Inputs(inputs or [], input_list, null)
    with watch.stage("load"):
        loaded = Bundle.load(bundle) if bundle is not None else Bundle.load_config(infer_config or "")
        pipeline = loaded.pipeline(Runtime(device, batch_size, amp, threads, seed))
    _set_defects(pipeline, defects_preset, settings)
    wanted = loaded.config.defects.enabled if defects is None else defects
    wanted = wanted or save_masks is not None
    threshold = pipeline.score_threshold.value if pipeline.score_threshold is not None else None
    if threshold is None:
        logger.warning("%s holds no image threshold: records carry scores without labels", loaded.folder)
    confidence = LabelConfidence(pipeline.score_threshold) if include_confidence or rejection is not None else None
    if confidence is not None and rejection is not None and confidence.most < rejection.below:
        logger.warning(
            "no defect can be surer than %.3g with so few calibration images: all of them will be rejected", confidence.most
        )
    if include_anomaly_map_values:
        logger.warning("--include-anomaly-map-values writes a number for every pixel: --save-maps is smaller and faster")
    outputs = (save_jsonl, save_maps, save_masks, save_overlays, contact_sheet, profile_json)
    refuse_places(outputs, images.files, inputs or [], loaded.folder)
    for path in (contact_sheet, profile_json):
        if path is not None:
            check_new(path, overwrite or resume)
    sheet = ContactSheet(contact_sheet, contact_sheet_count, pipeline.pixel_threshold) if contact_sheet is not None else None
    held = Held.read(save_jsonl, loaded.digest, threshold) if save_jsonl is not None and resume else None
    if held is not None and not images.streams:
        held.check(images.files)
    writer = ResultWriter(
        pipeline,
        save_jsonl,
        save_maps,
        save_overlays,
        loaded.digest is not None if audit is None else audit,
        loaded.digest,
        overwrite,
        defects=wanted,
        image_space=defects_image_space,
        masks=save_masks,
        held=held,
        map_values=include_anomaly_map_values,
        flush_every=flush_every,
        threads=writer_threads(),
        watch=watch,
    )
    run = Run(TimedPipeline.of(pipeline, watch), writer, held, sheet, watch)
    total = None if images.streams else len(images.files) - run.earlier
    chunks = images.chunks() if total is not None else guarded(images.chunks(), outputs, loaded.folder)
    results = run.results(chunks, continue_on_error or max_errors is not None, confidence, rejection)
    try:
        run.write(track(results, "infer", total), max_errors)
    except KeyboardInterrupt:
        typer.echo(_interrupted(run, total, save_jsonl), err=True)
        raise
    if sheet is not None:
        run.write_sheet(sheet, threshold)
    if save_jsonl is not None:
        typer.echo(f"{run.summary()}; records in {save_jsonl}")
    if profile:
        typer.echo(table(["STAGE", "SECONDS", "SHARE", "IMAGES/S"], profile_rows(watch.report(run.done))), err=True)
    if profile_json is not None:
        save_run_report(profile_json, watch.report(run.done))
    if run.failed:
        typer.echo(_failures(run, total, max_errors), err=True)
        raise typer.Exit(1)


def _set_defects(pipeline: Pipeline, preset: str | None, given: Mapping[str, Any]) -> None:
    """Put what the line says about defects over what the config says."""
    chain = pipeline.fingerprint(pixels=True)
    pipeline.defects = defects_flags.resolve(pipeline.defects, preset, given)
    if given.get("pixel_threshold") is not None and pipeline.defects.pixel_threshold is not None:
        pipeline.pixel_threshold = PixelThreshold.by_hand(
            pipeline.defects.pixel_threshold, "explicit", pipeline.pixel_threshold
        )
    elif pipeline.fingerprint(pixels=True) != chain:
        pipeline.warn_of_another_chain()


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


def _rejection(below: float | None, label: int | None) -> Rejection | None:
    if below is not None:
        return Rejection(below, REJECT_LABEL if label is None else label)
    if label is not None:
        raise OptionsError("--reject-label rejects nothing by itself", "pass --reject-confidence-below too")
    return None


def _interrupted(run: Run, total: int | None, jsonl: Path | None) -> str:
    how = "; to go on, run the same command with --resume and without --overwrite" if jsonl is not None else ""
    return f"stopped after {_of(run.done, total)} images; their records are whole{how}"


def _failures(run: Run, total: int | None, max_errors: int | None) -> str:
    if max_errors is not None and run.failed >= max_errors:
        done = f"{_of(run.done, total)} images are done"
        return f"stopped because {run.failed} images could not be scored (--max-errors {max_errors}); {done}"
    of = run.done if total is None else total
    return f"{run.failed} of {of} images could not be scored; their records have status 'error'"


def _of(done: int, total: int | None) -> str:
    return str(done) if total is None else f"{done} of {total}"
