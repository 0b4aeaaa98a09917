"""`infer_iter` from files to results against the least that it must do: the backbone's forward pass and the search.

PatchCore on EfficientNet-Lite0 and on WideResNet-50 (random weights) over solar cells; both sides take turns.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from pyimgano import create_model, infer_iter, load_dataset
from pyimgano.images import ImageSource, batched, resize

BACKBONES = {"efficientnet_lite0": {}, "wide_resnet50": {"pretrained": False}}
LEARNED, SCORED, BATCH = 60, 96, 8


def seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def compare(backbone: str, rounds: int) -> None:
    """Print the median ratio of both times."""
    split = load_dataset("elpv").load()
    learned, scored = [[sample.path for sample in part] for part in (split.train[:LEARNED], split.test[:SCORED])]
    detector = create_model("vision_patchcore", backbone=backbone, device="cpu", batch_size=BATCH, **BACKBONES[backbone]).fit(
        learned
    )
    images = [resize(image, detector.options.resize) for image in ImageSource(scored)]

    def bare() -> None:
        for batch in batched(images, BATCH):
            patches = np.concatenate([grid.reshape(-1, grid.shape[-1]) for grid in detector._network(batch)])
            detector.banks_[0].search(patches, 1)

    def whole() -> None:
        for _ in infer_iter(detector, scored):
            pass

    times = [(seconds(bare), seconds(whole)) for _ in range(rounds)]
    ratio = statistics.median(slow / fast for fast, slow in times)
    rates = [SCORED / statistics.median(column) for column in zip(*times, strict=True)]
    print(f"{backbone}: {rates[1]:.1f} images/s, backbone and search alone {rates[0]:.1f}; {ratio:.2f} times the time")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    for name in BACKBONES:
        compare(name, arguments.rounds)
