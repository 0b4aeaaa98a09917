"""Inference in bounded memory: peak memory over the number of images, and what huge images cost in tiles."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from pyimgano import load_dataset

ALLOWED = 1024
"""MiB beside the decoded image."""
SIDE = 512
"""Of the surfaces, and of the tiles."""


def measure(line: list[str]) -> None:
    """Run ``pyimgano LINE`` and print the peak memory of this process in MiB to stderr."""
    from pyimgano.cli.app import main

    try:
        main(line)
    finally:
        # not ru_maxrss, which a process that another one started takes over from that one
        peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) // 1024
        print(f"PEAK {peak}", file=sys.stderr)


def run(*line: object) -> tuple[int, float]:
    """Return the peak memory of a command in a process of its own, in MiB, and its seconds."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, __file__, "--measure", *map(str, line)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return int(re.search(r"PEAK (\d+)", done.stderr)[1]), time.perf_counter() - began


def train(folder: Path, *flags: object) -> Path:
    """Train on good surfaces and return the bundle; the surfaces with defects lie in ``parts/test``."""
    parts, bundle = folder / "parts", folder / f"{len(flags)}.bundle"
    if not parts.exists():
        load_dataset("surface", parts, train=25, test_good=10, test_defective=10, height=SIDE, width=SIDE).load()
    run("train", "--root", parts, "--model", "vision_filterbank", *flags, "--export-deploy-bundle", bundle)
    return bundle


def outputs(folder: Path) -> list[object]:
    """Return flags for defects, masks and overlays."""
    files = ["--save-masks", folder / "masks", "--save-overlays", folder / "overlays", "--save-jsonl", folder / "r.jsonl"]
    return ["--defects", "--defects-image-space", *files]


def many_images(folder: Path, few: int, many: int) -> None:
    """Print peak memory for few and for many images."""
    bundle = train(folder)
    images = sorted((folder / "parts" / "test").rglob("*.png"))
    peaks = []
    for count in (few, many):
        listing = folder / f"{count}.txt"
        listing.write_text("\n".join(str(images[place % len(images)]) for place in range(count)))
        peak, seconds = run("infer", "--bundle", bundle, "--input-list", listing, *outputs(folder / str(count)))
        print(f"{count} images: {peak} MiB, {seconds:.0f} s")
        peaks.append(peak)
    print(f"growth {peaks[1] / peaks[0] - 1:+.1%}")


def huge_images(folder: Path, side: int, count: int) -> None:
    """Print peak memory for square images in tiles, one after the other, beside that of one decoded image."""
    bundle = train(folder, "--tile-size", SIDE)
    surface = cv2.imread(str(next((folder / "parts" / "test" / "good").iterdir())))
    repeats = -(-side // SIDE)
    image = np.ascontiguousarray(np.tile(surface, (repeats, repeats, 1))[:side, :side])
    cv2.circle(image, (side // 3, side // 2), 40, (0, 0, 255), -1)
    parts = folder / "huge"
    parts.mkdir()
    for place in range(count):
        cv2.imwrite(str(parts / f"{place}.jpg"), image)
    decoded = image.nbytes // 2**20
    del image
    for name, flags in (("records alone", ["--save-jsonl", folder / "alone.jsonl"]), ("all outputs", outputs(folder / "all"))):
        peak, seconds = run("infer", "--bundle", bundle, "--input", parts, *flags)
        verdict = "within" if peak <= decoded + ALLOWED else "ABOVE"
        print(f"{count} of {side} x {side}, {name}: {peak} MiB, {verdict} {decoded} + {ALLOWED} MiB, {seconds:.0f} s")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2:])
        raise SystemExit
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs=2, default=[500, 5000], metavar=("FEW", "MANY"), help="0 0 leaves it out.")
    parser.add_argument("--side", type=int, default=20_000, help="Of a huge image; 0 leaves them out.")
    parser.add_argument("--huge", type=int, default=3, help="How many huge images, one after the other.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        if arguments.images[1]:
            many_images(Path(temporary), *arguments.images)
        if arguments.side:
            huge_images(Path(temporary), arguments.side, arguments.huge)
