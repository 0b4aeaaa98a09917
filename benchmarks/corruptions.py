"""How long every corruption takes on a 1024 x 1024 colour image on one core: the longest of its severities, the best of ten."""

from __future__ import annotations

import time

import cv2
import numpy as np

from pyimgano.choice import Choice
from pyimgano.registry import build_corruption
from pyimgano_robustness.plugin import register_corruptions

SIDE, REPEATS, LIMIT_MS = 1024, 10, 25


def milliseconds(name: str, image: np.ndarray) -> float:
    corruption = build_corruption(Choice(name=f"pyimgano-robustness:{name}"))
    params = corruption.draw(image.shape, seed=0, key="benchmark.png")
    slowest = 0.0
    for severity in range(1, corruption.severities + 1):
        best = float("inf")
        for _ in range(REPEATS):
            started = time.perf_counter()
            corruption.apply(image, params, severity)
            best = min(best, time.perf_counter() - started)
        slowest = max(slowest, best)
    return 1000 * slowest


def main() -> None:
    cv2.setNumThreads(1)
    small = np.random.default_rng(0).integers(0, 256, (SIDE // 8, SIDE // 8, 3), dtype=np.uint8)
    image = np.asarray(cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    times = {spec.name: milliseconds(spec.name, image) for spec in register_corruptions()}
    for name, taken in times.items():
        print(f"{name:18} {taken:6.1f} ms")
    slow = [name for name, taken in times.items() if taken > LIMIT_MS]
    print(f"limit {LIMIT_MS} ms: {'exceeded by ' + ', '.join(slow) if slow else 'kept by all'}")
    raise SystemExit(bool(slow))


if __name__ == "__main__":
    main()
