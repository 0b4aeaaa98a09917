"""Memory of ``pyimgano infer``, as its own process reads it at its end: over many images, and for a large one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from test_large_images import MAGENTA_PLUGIN

from pyimgano import load_dataset

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="measures as Linux does")

MEASURED = """
import re
import sys
from pathlib import Path

from pyimgano.cli.app import main

try:
    main(sys.argv[1:])
finally:
    print("PEAK", int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024, file=sys.stderr)
"""


@pytest.fixture
def peak(shell: Callable, tmp_path: Path) -> Callable[..., float]:
    """Run ``pyimgano ARGS`` with the detector ``acme_magenta`` in a process of its own and return its peak memory in MiB."""
    (tmp_path / "measured.py").write_text(MEASURED, encoding="utf-8")
    (tmp_path / "acme_magenta.py").write_text(MAGENTA_PLUGIN, encoding="utf-8")

    def run(*args: object) -> float:
        done = shell(tmp_path / "measured.py", "--plugin", tmp_path / "acme_magenta.py", *args)
        assert done.code == 0, done.err
        return float(done.err.split("PEAK ")[1])

    return run


def bundle(peak: Callable, folder: Path, *flags: object) -> Path:
    """Train on a few surfaces, which lie in ``parts``, and return the bundle."""
    load_dataset("surface", folder / "parts", train=25, test_good=4, test_defective=4, height=480, width=640).load()
    line = ["train", "--root", folder / "parts", "--model", "acme_magenta", *flags]
    peak(*line, "--export-deploy-bundle", folder / "bundle")
    return folder / "bundle"


def outputs(folder: Path) -> list[object]:
    files = ["--save-masks", folder / "masks", "--save-overlays", folder / "overlays", "--save-jsonl", folder / "r.jsonl"]
    return ["--defects", *files, "--contact-sheet", folder / "sheet.png"]


def test_memory_does_not_grow_with_the_number_of_images(peak: Callable, tmp_path: Path) -> None:
    trained = bundle(peak, tmp_path)
    images = sorted((tmp_path / "parts" / "test").rglob("*.png"))
    peaks = []
    for count in (50, 170):
        listing = tmp_path / f"{count}.txt"
        listing.write_text("\n".join(str(images[place % len(images)]) for place in range(count)), encoding="utf-8")
        peaks.append(peak("infer", "--bundle", trained, "--input-list", listing, *outputs(tmp_path / str(count))))
    megabytes = 120 * 480 * 640 * (3 + 4) / 2**20
    assert peaks[1] - peaks[0] < 0.1 * megabytes, "120 more images and maps"


def test_large_images_take_little_more_than_the_pixels_of_one(peak: Callable, tmp_path: Path) -> None:
    trained = bundle(peak, tmp_path, "--tile-size", 512, "--tile-stride", 448, "--tile-map-reduce", "hann")
    small, large = tmp_path / "small.png", tmp_path / "large"
    large.mkdir()
    image = np.full((9000, 9000, 3), 90, np.uint8)
    image[4000:4040, 5000:5040] = (255, 0, 255)
    for name in "ab":
        cv2.imwrite(str(large / f"{name}.png"), image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    cv2.imwrite(str(small), image[:600, :600])
    flags = ["--pixel-threshold", 100]
    base = peak("infer", "--bundle", trained, "--input", small, *flags, *outputs(tmp_path / "few"))
    used = peak("infer", "--bundle", trained, "--input", large, *flags, *outputs(tmp_path / "many")) - base
    pixels = 9000 * 9000 / 2**20
    assert used < (3 + 1) * pixels + 350, "the image, its mask, an overlay of 2048 x 2048; its map alone would be 309 MiB"
