"""``pyimgano defects``: judge saved anomaly maps again, with other settings and without the model."""

from __future__ import annotations

import glob
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from pyimgano.cli import defects_flags, flags
from pyimgano.cli.settings_flags import settings_flags
from pyimgano.datasets.files import natural
from pyimgano.defects.config import DefectsConfig
from pyimgano.defects.extract import extract_defects_from_anomaly_map
from pyimgano.defects.mask_files import write_mask_file
from pyimgano.errors import DatasetError, OutputError
from pyimgano.inference.outputs import new_folder
from pyimgano.progress import track
from pyimgano.reporting.strict_json import line
from pyimgano.workbench.infer_config import read_infer_config

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(epilog="Example: pyimgano defects maps --infer-config parts.bundle/infer_config.json --defect-min-area 20")
@settings_flags(settings=DefectsConfig)
def defects(
    settings: dict[str, Any],
    maps: Annotated[
        list[str],
        typer.Argument(metavar="MAPS", help="Maps as 'infer --save-maps' writes them: .npy files, folders or patterns."),
    ],
    infer_config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Take settings and the pixel threshold from an infer_config.json.")
    ] = None,
    preset: defects_flags.Preset = None,
    save_jsonl: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the records here instead of to stdout.")
    ] = None,
    save_masks: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the masks of defects.")] = None,
    overwrite: flags.Overwrite = False,
) -> None:
    """Find defects in saved maps and write one JSON record per map, with its mask and regions."""
    config, threshold, calibrated = DefectsConfig(), None, None
    if infer_config is not None:
        trained = read_infer_config(infer_config)
        config, threshold = trained.defects.config(), trained.pixel_threshold()
        calibrated = trained.calibrated_pixel_threshold()
    config = defects_flags.resolve(config, preset, settings)
    threshold = defects_flags.pixel_threshold(config, settings, threshold, calibrated)
    files = _files(maps)
    if save_masks is not None:
        new_folder(save_masks, overwrite)
    if save_jsonl is not None and save_jsonl.exists() and not overwrite:
        raise OutputError(f"{save_jsonl} exists already", "name a new file, or pass --overwrite")
    found = 0
    with nullcontext(sys.stdout) if save_jsonl is None else save_jsonl.open("w", encoding="utf-8") as stream:
        for index, file in enumerate(track(files, "defects", len(files))):
            judged = extract_defects_from_anomaly_map(
                _read_map(file),
                config,
                pixel_threshold=threshold,
                normal_median=threshold.normal_median if threshold is not None else None,
            )
            path = None
            if save_masks is not None:
                path = write_mask_file(judged.mask, save_masks, f"{index:06d}_{file.stem}", config.mask_format)
            stream.write(line({"index": index, "input": str(file), "defects": judged.record(path)}) + "\n")
            found += len(judged.regions)
    if save_jsonl is not None:
        sys.stdout.write(f"{len(files)} maps, {found} regions; records in {save_jsonl}\n")


def _files(given: list[str]) -> list[Path]:
    """Return the map files that folders, patterns and names mean, in natural order."""
    files: list[Path] = []
    for text in given:
        path = Path(text)
        found = sorted(path.glob("*.npy"), key=natural) if path.is_dir() else [path] if path.is_file() else []
        found = found or [Path(match) for match in sorted(glob.glob(text)) if Path(match).is_file()]
        if not found:
            raise DatasetError(f"there are no .npy maps at {text}", "make them with: pyimgano infer --save-maps DIR")
        files += found
    return files


def _read_map(path: Path) -> NDArray[Any]:
    try:
        values: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DatasetError(f"{path} is not a readable .npy map ({error})", "write it again with infer --save-maps") from None
    return values
