"""Fitting in bounded memory: peak memory over the number of images, and what a bank of a fifth costs on solar cells."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from pyimgano import create_model, evaluate_split, load_dataset

BACKBONE = {"backbone": "efficientnet_lite0", "device": "cpu"}
RATIO = 0.1
BOUND = 5_000
LIMIT = 300


def measure(count: int, bound: int | None) -> None:
    """Fit on `count` solar cells, repeated as needed, and print the peak memory of this process in MiB."""
    paths = [str(sample.path) for sample in load_dataset("elpv").load().train]
    images = (paths * (count // len(paths) + 1))[:count]
    create_model("vision_patchcore", coreset_sampling_ratio=RATIO, max_bank_size=bound, **BACKBONE).fit(images)
    # not ru_maxrss, which a process that another one started takes over from that one
    print(int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) // 1024)


def peak(count: int, bound: int | None) -> int:
    """Return the peak memory of fitting in a process of its own, in MiB."""
    line = [sys.executable, __file__, "--measure", str(count), str(bound or 0)]
    return int(subprocess.run(line, check=True, capture_output=True, text=True).stdout)


def compare_memory(few: int, many: int) -> None:
    """Print peak memory with a bound on the bank for few and for many images, and without one for few."""
    small, large, free = peak(few, BOUND), peak(many, BOUND), peak(few, None)
    print(f"max_bank_size={BOUND}: {few} images {small} MiB, {many} images {large} MiB, {large / small - 1:+.1%}")
    print(f"no bound: {few} images {free} MiB")


def compare_auroc() -> None:
    """Print image AUROC on solar cells with the full bank and with one bounded to a fifth of it."""
    split = load_dataset("elpv", limit=LIMIT).load().with_calibration(0.2, 0)
    bound, full = None, 0.0
    for label in ("full bank", "a fifth"):
        model = create_model("vision_patchcore", coreset_sampling_ratio=RATIO, max_bank_size=bound, **BACKBONE)
        auroc = evaluate_split(model, split)["auroc"]
        print(f"{label}: {model.memory_bank_size_} patches, image AUROC {auroc:.4f}{f', {auroc - full:+.4f}' if full else ''}")
        bound, full = model.memory_bank_size_ // 5, auroc


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", type=int, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--images", type=int, nargs=2, default=[400, 2000], metavar=("FEW", "MANY"))
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure[0], arguments.measure[1] or None)
    else:
        compare_auroc()
        compare_memory(*arguments.images)
