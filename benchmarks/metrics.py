"""Pixel metrics: AUPRO against anomalib's on the CPU at equal value, and the memory of evaluating thousands of large maps.

Needs anomalib (`nox -s bench` installs it). Maps are smooth random fields, higher inside elliptical defects.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from pyimgano.maps import AnomalyMap
from pyimgano.metrics.pixel import PixelTruth, count_pixels, pixel_curves

MAPS, SIDE = 200, 512
LARGE, LARGE_SIDE = 2000, 1024
RUNS = 3


def defect(index: int, side: int) -> np.ndarray:
    """Return the mask of image `index`: two ellipses in every second image, nothing in the others."""
    mask = np.zeros((side, side), np.uint8)
    rng = np.random.default_rng(index)
    for _ in range(2 if index % 2 else 0):
        centre = tuple(int(v) for v in rng.integers(side // 8, side - side // 8, 2))
        axes = tuple(int(v) for v in rng.integers(side // 50, side // 20, 2))
        cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    return mask.astype(bool)


def grid(index: int, side: int) -> np.ndarray:
    """Return the (32, 32) map of image `index`, raised where the defect is."""
    raised = cv2.resize(defect(index, side).astype(np.float32), (32, 32), interpolation=cv2.INTER_AREA)
    return np.random.default_rng(index + 10**6).standard_normal((32, 32)).astype(np.float32) + 4 * raised


def compare_aupro() -> None:
    """Print the time of both implementations on the same arrays, in turn, and the difference of their values."""
    import torch
    from anomalib.metrics.aupro import _AUPRO

    maps = np.stack([AnomalyMap(grid(i, SIDE), (SIDE, SIDE)).render() for i in range(MAPS)])
    masks = np.stack([defect(i, SIDE) for i in range(MAPS)])
    truths = [PixelTruth(m, k if k.any() else None) for m, k in zip(maps, masks, strict=True)]
    ours, theirs, values = [], [], (0.0, 0.0)
    for _ in range(RUNS):
        started = time.perf_counter()
        value = pixel_curves(truths).regions.area(0.3)
        ours.append(time.perf_counter() - started)
        started = time.perf_counter()
        peer = _AUPRO(fpr_limit=0.3)
        peer.update(torch.from_numpy(maps), torch.from_numpy(masks))
        peer_value = float(peer.compute())
        theirs.append(time.perf_counter() - started)
        values = (value or 0.0, peer_value)
    a, b = statistics.median(ours), statistics.median(theirs)
    print(f"AUPRO of {MAPS} maps of {SIDE}x{SIDE}: pyimgano {a:.2f} s   anomalib {b:.2f} s   {b / a:.1f} times faster")
    print(f"values: {values[0]:.9f} and {values[1]:.9f}, difference {abs(values[0] - values[1]):.1e}")


def evaluate_large() -> None:
    """Evaluate thousands of large maps from small grids and print time and peak memory of this process."""
    truths = [
        PixelTruth(
            AnomalyMap(grid(i, LARGE_SIDE), (LARGE_SIDE, LARGE_SIDE)), (lambda i=i: defect(i, LARGE_SIDE)) if i % 2 else None
        )
        for i in range(LARGE)
    ]
    started = time.perf_counter()
    curves = pixel_curves(truths)
    counts = count_pixels(truths, 3.0)
    seconds = time.perf_counter() - started
    # not ru_maxrss, which a process that another one started takes over from that one
    peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 2**20
    print(f"{LARGE} maps of {LARGE_SIDE}x{LARGE_SIDE}: {seconds:.0f} s, peak memory {peak:.2f} GiB")
    print(f"AUROC {curves.pixels.area():.6f}, AP {curves.pixels.average_precision():.6f}")
    print(f"AUPRO {curves.regions.area(0.3):.6f}, SegF1 {counts.segf1:.6f}")


if __name__ == "__main__":
    if sys.argv[1:] == ["large"]:
        evaluate_large()
    else:
        compare_aupro()
        subprocess.run([sys.executable, __file__, "large"], check=True)
