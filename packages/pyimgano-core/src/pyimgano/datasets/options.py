"""Options of core's datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from pyimgano.options import Options


class FolderOptions(Options):
    """Options of ``folder``."""

    root: Path = Field(description="Folder with train/good, and where there are any, test/* and ground_truth/*.")


class CategoryOptions(Options):
    """Options of ``mvtec``, ``mvtec_loco``, ``visa`` and ``btad``."""

    root: Path = Field(description="Folder that holds the categories.")
    category: str | None = Field(None, description="Category; may be left out where there is one only.")


class MVTecAD2Options(CategoryOptions):
    """Options of ``mvtec_ad2``."""

    split: Literal["test_public", "test_private", "test_private_mixed"] = Field(
        "test_public", description="Images to test on; the private ones have no labels."
    )


class ManifestOptions(Options):
    """Options of ``manifest``."""

    root: Path = Field(description="The manifest, .jsonl or .csv, or a folder with one manifest.jsonl or manifest.csv.")
    category: str | None = Field(None, description="Category; may be left out where there is one only.")
    test_fraction: float = Field(
        0.2, gt=0, lt=1, description="Share of the good images that is kept for testing, of those without a split."
    )
    seed: int = Field(0, ge=0, description="Seed of that choice.")


class ElpvOptions(Options):
    """Options of ``elpv``."""

    cells: Literal["mono", "poly", "both"] = Field("mono", description="Type of the solar cells.")
    test_fraction: float = Field(0.5, gt=0, lt=1, description="Share of the good cells that is kept for testing.")
    limit: int | None = Field(None, ge=2, description="Use at most this many good cells to learn from.")
    seed: int = Field(0, ge=0, description="Seed of the split.")
    root: Path | None = Field(None, description="Folder with labels.csv; by default that of the elpv-dataset package.")


class SurfaceOptions(Options):
    """Options of ``surface``."""

    root: Path | None = Field(None, description="Folder to write the images to; by default one in the user's cache.")
    train: int = Field(40, ge=2, description="Good images to learn from.")
    test_good: int = Field(10, ge=0, description="Good test images.")
    test_defective: int = Field(15, ge=0, description="Defective test images, shared out among the kinds of defect.")
    height: int = Field(192, ge=64, le=8192, description="Image height in pixels.")
    width: int = Field(256, ge=64, le=8192, description="Image width in pixels.")
    texture: Literal["brushed", "cast", "woven"] = Field("brushed", description="Kind of surface.")
    seed: int = Field(0, ge=0, description="Seed of every image.")
