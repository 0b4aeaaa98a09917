"""Time of the defects chain: against OpenCV's labelling with statistics of the same mask, and of many regions against few.

Maps are noise with discs that stand out of it. Times are of the processor, with one thread, so that other work on the machine
does not count; each is the best of several runs, and those that are compared run in turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np

from pyimgano.defects.config import DefectsConfig
from pyimgano.defects.extract import extract_defects_from_anomaly_map

SIDE = 2048
RUNS = 41
THRESHOLD = 5.0
CONFIG = DefectsConfig(min_area=10)


def map_with(regions: int, radius: int) -> np.ndarray:
    """Return a (SIDE, SIDE) float32 map with discs on a regular grid."""
    discs = np.zeros((SIDE, SIDE), np.uint8)
    columns = int(np.ceil(np.sqrt(regions)))
    for index in range(regions):
        row, column = divmod(index, columns)
        cv2.circle(discs, (int((column + 0.5) * SIDE / columns), int((row + 0.5) * SIDE / columns)), radius, 1, -1)
    noise = np.random.default_rng(regions).normal(0, 0.5, (SIDE, SIDE))
    return (noise + 10 * discs).astype(np.float32)


def best(*jobs: Callable[[], object]) -> list[float]:
    """Return the shortest time of each job in milliseconds, over runs in turn."""
    times = [[] for _ in jobs]
    for _ in range(RUNS):
        for job, spent in zip(jobs, times, strict=True):
            started = time.process_time()
            job()
            spent.append(time.process_time() - started)
    return [1000 * min(spent) for spent in times]


def chain(values: np.ndarray) -> Callable[[], int]:
    """Return a job: threshold, area filter, regions."""
    return lambda: len(extract_defects_from_anomaly_map(values, CONFIG, pixel_threshold=THRESHOLD).regions)


def against_labelling(regions: int, radius: int) -> None:
    """Print the time of the chain, of the labelling with statistics that it cannot do without, and their ratio."""
    values = map_with(regions, radius)
    mask = (values > THRESHOLD).astype(np.uint8)
    ours, peer = best(chain(values), lambda: cv2.connectedComponentsWithStats(mask, connectivity=8))
    found = chain(values)()
    print(f"{found} regions on {SIDE}x{SIDE}: {ours:.1f} ms, cv2 labelling with statistics {peer:.1f} ms: {ours / peer:.2f} x")


def many_against_few(few: tuple[int, int], many: tuple[int, int], what: str) -> None:
    """Print the time with many regions over that with few; each is (regions, radius)."""
    first, second = map_with(*few), map_with(*many)
    short, long = best(chain(first), chain(second))
    shares = [100 * float((values > THRESHOLD).mean()) for values in (first, second)]
    print(
        f"{many[0]} regions {long:.1f} ms against {few[0]} of {what} {short:.1f} ms: {long / short:.2f} x"
        f"   (defective: {shares[1]:.1f} % and {shares[0]:.1f} % of the map)"
    )


if __name__ == "__main__":
    cv2.setNumThreads(1)
    against_labelling(500, 8)
    many_against_few((50, 40), (5000, 4), "the same area in all")
    many_against_few((50, 4), (5000, 4), "the same size each")
