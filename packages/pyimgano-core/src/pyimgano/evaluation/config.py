"""The settings of a benchmark: one model for Python, for a config file and for the command line."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from pyimgano.calibration import CalibrationSettings
from pyimgano.choice import Choice
from pyimgano.errors import OptionsError
from pyimgano.evaluation.results import AUPRO_LIMIT
from pyimgano.options import Options, Side
from pyimgano.preprocessing import IlluminationOptions
from pyimgano.tiling import TilingOptions

ALL = "all"


class BenchmarkConfig(Options):
    """What is compared on what, and how."""

    dataset: str = Field("folder", min_length=1, description="Layout of the images.")
    root: Path | None = Field(None, description="Folder of the dataset.")
    category: str | None = Field(None, description="One category, or 'all'; may be left out where there is one only.")
    dataset_options: dict[str, Any] = Field({}, description="Further options of the dataset.")
    models: tuple[Choice, ...] = Field(min_length=1, description="Detectors, each with its options.")
    preset: str | None = Field(None, description="Named option values of every detector, such as industrial-fast.")
    resize: tuple[Side, Side] | None = Field(
        None, description="Height and width that every detector sees.", json_schema_extra={"metavar": "H W"}
    )
    preprocessing: IlluminationOptions = Field(
        IlluminationOptions(), description="What is done to images before every detector."
    )
    tiling: TilingOptions = Field(TilingOptions(), description="Whether every detector looks at tiles.")
    postprocess: tuple[Choice, ...] = Field((), description="Steps between the detector and the thresholds, in order.")
    metrics: tuple[Choice, ...] = Field((), description="Metrics beyond those that every report has.")
    pixel: bool = Field(True, description="Whether to compute pixel metrics where there are masks and maps.")
    pixel_segf1: bool = Field(True, description="Whether to fix a pixel threshold, for SegF1 and false positives.")
    aupro_limit: float = Field(AUPRO_LIMIT, gt=0, le=1, description="False-positive rate up to which AUPRO integrates.")
    limit_train: int | None = Field(None, ge=2, description="Learn from at most this many images.")
    limit_test: int | None = Field(
        None, ge=2, description="Test on at most this many images, good and defective in proportion."
    )
    seed: int = Field(0, ge=0, description="Seed of every choice.")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    batch_size: int = Field(16, ge=0, description="Images per forward pass; 0 lets the detector choose.")
    amp: bool = Field(False, description="Reduced precision where the processor has it.")
    threads: int = Field(0, ge=0, description="Threads for the heavy arithmetic; 0 leaves the library's own choice.")
    calibration: CalibrationSettings = Field(CalibrationSettings(), description="How thresholds are calibrated.")


def read_config(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML, TOML or JSON file, by its suffix.

    Raises
    ------
    OptionsError
        If it cannot be read, is none of these, or holds no mapping.
    """
    readers: dict[str, Callable[[str], Any]] = {
        ".yaml": yaml.safe_load,
        ".yml": yaml.safe_load,
        ".toml": tomllib.loads,
        ".json": json.loads,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise OptionsError(f"{path}: a config is a file {', '.join(readers)}", "rename it, or pass another file")
    try:
        values = reader(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionsError(f"{path} cannot be read ({error.strerror})", "check the path of --config") from None
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise OptionsError(f"{path} is not valid {path.suffix[1:].upper()}: {error}", "mend the file") from None
    if not isinstance(values, Mapping):
        raise OptionsError(f"{path} holds {type(values).__name__}, not keys with values", "write it as key: value")
    return dict(values)
