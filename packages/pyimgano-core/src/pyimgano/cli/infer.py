"""``pyimgano infer``: score images with what was trained; one JSON line each."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from pyimgano.cli import flags
from pyimgano.contracts import Runtime
from pyimgano.errors import OptionsError
from pyimgano.inference import infer_iter
from pyimgano.inference.inputs import expand
from pyimgano.inference.outputs import ResultWriter, refuse_places
from pyimgano.progress import track
from pyimgano.workbench.bundle import Bundle

logger = logging.getLogger(__name__)

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(
    epilog="Example: pyimgano infer --bundle parts.bundle --input photos --save-jsonl results.jsonl --save-overlays seen"
)
def infer(
    inputs: Annotated[
        list[str], typer.Option("--input", "-i", help="Folder (searched below), file or quoted pattern; may be given again.")
    ],
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
    save_overlays: Annotated[Path | None, typer.Option(metavar="DIR", help="Write pictures with heat and outlines.")] = None,
    continue_on_error: Annotated[
        bool,
        typer.Option("--continue-on-error", help="Write an error record for a bad image and go on; exit with 1 at the end."),
    ] = False,
    audit: Annotated[
        bool | None,
        typer.Option(
            "--audit/--no-audit", help="Add bundle digest, image sha256 and time to every record.  [default: with --bundle]"
        ),
    ] = None,
    device: flags.Device = "auto",
    batch_size: flags.BatchSize = 16,
    amp: flags.Amp = False,
    threads: flags.Threads = 0,
    overwrite: flags.Overwrite = False,
) -> None:
    """Score images and write one JSON record each, in order, as they are done."""
    if (bundle is None) == (infer_config is None):
        raise OptionsError(
            "infer needs one of --bundle and --infer-config", "pyimgano train --export-deploy-bundle DIR makes a bundle"
        )
    files = expand(inputs)
    loaded = Bundle.load(bundle) if bundle is not None else Bundle.load_config(infer_config or "")
    pipeline = loaded.pipeline(Runtime(device, batch_size, amp, threads))
    if pipeline.score_threshold is None:
        logger.warning("%s holds no image threshold: records carry scores without labels", loaded.folder)
    refuse_places((save_jsonl, save_maps, save_overlays), files, inputs, loaded.folder)
    wanted = loaded.digest is not None if audit is None else audit
    tally = Counter[str]()
    try:
        with ResultWriter(pipeline, save_jsonl, save_maps, save_overlays, wanted, loaded.digest, overwrite) as writer:
            for result in track(infer_iter(pipeline, files, continue_on_error=continue_on_error), "infer", len(files)):
                writer.write(result)
                tally["done"] += 1
                tally["defective"] += result.label == 1
                if result.error is not None:
                    tally["failed"] += 1
                    logger.error(result.error.problem)
    except KeyboardInterrupt:
        typer.echo(f"stopped after {tally['done']} of {len(files)} images; their records are whole", err=True)
        raise
    if save_jsonl is not None:
        typer.echo(f"{tally['done']} images, {tally['defective']} called defective; records in {save_jsonl}")
    if tally["failed"]:
        typer.echo(f"{tally['failed']} of {len(files)} images could not be scored; their records have status 'error'", err=True)
        raise typer.Exit(1)
