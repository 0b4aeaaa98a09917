"""Greedy k-centre coresets: time and covering radius against anomalib's `KCenterGreedy`, on the same patch features.

Needs anomalib (`nox -s bench` installs it). Features are EfficientNet-Lite0 patches of solar cells, of 152 channels, or with
`--random` gaussian noise. The default takes 20,000 of them and runs both in turn; `--full` takes 100,000, runs anomalib's once
between two runs of ours, and takes many minutes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from pyimgano import load_dataset
from pyimgano.contracts import Runtime
from pyimgano.images import ImageSource
from pyimgano_patchknn.backbone import Backbone
from pyimgano_patchknn.coreset import k_center_greedy
from pyimgano_patchknn.index import FaissKNNIndex

DIMENSIONS = 152
PATCHES = 1024
RATIO = 0.1


def patches(count: int) -> np.ndarray:
    """Return (count, 152) features of solar cells at 256x256."""
    network = Backbone("efficientnet_lite0", None, (256, 256), 3, Runtime(device="cpu"))
    network.load(None, pretrained=True)
    images = [sample.path for sample in load_dataset("elpv").load().train[: -(-count // PATCHES)]]
    grids = [grid.reshape(-1, DIMENSIONS) for batch in ImageSource(images).batches(8) for grid in network(batch)]
    return np.concatenate(grids)[:count]


def radius(features: np.ndarray, chosen: np.ndarray) -> float:
    """Return the largest distance of any vector to the nearest chosen one."""
    return float(FaissKNNIndex(features[chosen]).search(features, 1)[0].max())


def timed(function: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    """Return seconds and the indices chosen."""
    started = time.perf_counter()
    chosen = function()
    return time.perf_counter() - started, np.asarray(chosen)


def main() -> None:
    """Print times, their ratio, and both covering radii."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="100,000 vectors instead of 20,000")
    parser.add_argument("--random", action="store_true", help="gaussian noise instead of patch features")
    arguments = parser.parse_args()
    from anomalib.models.components import KCenterGreedy

    count = 100_000 if arguments.full else 20_000
    noise = np.random.default_rng(0).standard_normal
    features = noise((count, DIMENSIONS), dtype=np.float32) if arguments.random else patches(count)
    select, tensor = int(count * RATIO), torch.from_numpy(features)
    ours, theirs = [timed(lambda: k_center_greedy(features, select, 0))], []
    for seed in range(1 if arguments.full else 2):
        torch.manual_seed(seed)
        theirs.append(timed(lambda: np.array(KCenterGreedy(tensor, RATIO).select_coreset_idxs())))
        ours.append(timed(lambda: k_center_greedy(features, select, 0)))
    (a, chosen), (b, peer) = min(ours, key=lambda run: run[0]), min(theirs, key=lambda run: run[0])
    print(f"{select} of {count} vectors: pyimgano {a:.2f} s   anomalib {b:.2f} s   {b / a:.1f} times faster")
    ours_radius, peer_radius = radius(features, chosen), radius(features, peer)
    print(f"covering radius: {ours_radius:.4f} and {peer_radius:.4f}, {ours_radius / peer_radius - 1:+.2%}")
    torch.manual_seed(0)
    seconds, exact = timed(lambda: np.array(KCenterGreedy(tensor[:, :, None], RATIO).select_coreset_idxs()))  # not projected
    exact_radius = radius(features, exact)
    print(f"anomalib without its projection: {seconds:.2f} s, radius {exact_radius:.4f}, {ours_radius / exact_radius - 1:+.2%}")


if __name__ == "__main__":
    main()
