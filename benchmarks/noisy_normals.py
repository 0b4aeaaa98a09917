"""Defective images among the training images: SoftPatch against PatchCore, on a folder dataset with masks.

At each noise level that share of the training set is added in defective test images that nobody marked; they stay in the test
set too. Thresholds come from held-out normal images. EfficientNet-Lite0 features, embedded once and shared by all runs.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pyimgano import create_model, evaluate_split, load_dataset
from pyimgano.contracts import DatasetSplit, Runtime
from pyimgano.images import Image
from pyimgano_patchknn.backbone import Backbone

NOISE = (0.0, 0.05, 0.10, 0.15, 0.20)
METHODS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "PatchCore": ("vision_patchcore", {}),
    "SoftPatch": ("vision_softpatch", {}),
    "SoftPatch, anywhere": ("vision_softpatch", {"discrimination": "anywhere"}),
    "SoftPatch, as published": ("vision_softpatch", {"train_patch_outlier_quantile": 0.15, "soft_weights": True}),
}


class Remembered:
    """An embedder that computes the features of every image once."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._network = Backbone("efficientnet_lite0", None, size, 3, Runtime(device="cpu"))
        self._network.load(None, pretrained=True)
        self._known: dict[int, np.ndarray] = {}

    def __call__(self, images: Sequence[Image]) -> list[np.ndarray]:
        keys = [hash(image.tobytes()) for image in images]
        for key, image in zip(keys, images, strict=True):
            if key not in self._known:
                self._known[key] = self._network([image])[0]
        return [self._known[key] for key in keys]


def noisy(split: DatasetSplit, noise: float, seed: int) -> DatasetSplit:
    """Return the split with normal images held out for thresholds and defective test images added to the training set."""
    split = split.with_calibration(0.2, seed)
    defective = [sample for sample in split.test if sample.label]
    chosen = np.random.default_rng(seed).permutation(len(defective))[: int(noise * len(split.train))]
    unmarked = tuple(replace(defective[place], label=0, mask_path=None) for place in chosen)
    return replace(split, train=split.train + unmarked)


def main() -> None:
    """Print a table of means over seeds, with the standard deviation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, nargs="?", help="folder with train/good, test/* and ground_truth/*")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    arguments = parser.parse_args()
    root = arguments.root or Path(os.environ.get("PYIMGANO_DEV_DATA", "")) / "bsdata" / "ballscrew"
    if not root.is_dir():
        parser.error(f"{root} is no folder; pass one, or set PYIMGANO_DEV_DATA")
    split, embedder = load_dataset("folder", root).load(), Remembered((256, 256))
    print("| noise | method | image AUROC | pixel AUROC | SegF1 | SegF1 oracle |")
    print("|---|---|---|---|---|---|")
    for noise in NOISE:
        for label in arguments.methods:
            name, options = METHODS[label]
            rows = []
            for seed in range(arguments.seeds):
                model = create_model(name, embedder=embedder, seed=seed, **options)
                results = evaluate_split(model, noisy(split, noise, seed))
                pixels, oracle = results["pixel_metrics"], results["oracle"]
                rows.append([results["auroc"], pixels["pixel_auroc"], pixels["pixel_segf1"], oracle["pixel_segf1"]])
            mean, spread = np.mean(rows, axis=0), np.std(rows, axis=0)
            cells = [f"{value:.3f} ± {deviation:.3f}" for value, deviation in zip(mean, spread, strict=True)]
            print(f"| {noise:.0%} | {label} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
