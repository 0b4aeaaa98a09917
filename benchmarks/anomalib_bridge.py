"""Our PatchCore against anomalib's through the bridge: AUROC, seconds to fit, images per second, memory, size of the bundle.

Needs anomalib and the package of EfficientNet-Lite0 weights. Both sides have the same backbone, layers, input size, share of
patches kept and one neighbour, on the same photographs of solar cells, each in a process of its own; anomalib's import is a
row of its own and is not part of its fit. A share of 0.01 is kept because anomalib's choice of a tenth takes it many minutes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from pyimgano import Runtime, load_dataset
from pyimgano.calibration import CalibrationSettings
from pyimgano.contracts import Sample
from pyimgano.images import ImageSource, batched
from pyimgano.metrics.image import roc_auc
from pyimgano.pipeline import Pipeline
from pyimgano.workbench.bundle import bundle_files, write_bundle

LAYERS = ["blocks.2", "blocks.4"]
SIZE = [256, 256]
BATCH = 8
HELD_OUT = 10
SIDES = ("vision_patchcore", "vision_patchcore_anomalib")
ROWS = {
    "auroc": ("AUROC", "{:.3f}"),
    "import": ("import, s", "{:.1f}"),
    "fit": ("fit, s", "{:.1f}"),
    "speed": ("images per second", "{:.1f}"),
    "memory": ("peak memory, MiB", "{:.0f}"),
    "bundle": ("bundle, MiB", "{:.1f}"),
}


def options_of(name: str, ratio: float) -> dict[str, Any]:
    """Return the same model in the words of each side."""
    if name == SIDES[0]:
        return {"backbone": "efficientnet_lite0", "layers": LAYERS, "coreset_sampling_ratio": ratio, "resize": SIZE}
    arguments = {"backbone": "tf_efficientnet_lite0", "layers": LAYERS, "coreset_sampling_ratio": ratio, "num_neighbors": 1}
    return {"arguments": arguments, "image_size": SIZE}


def samples(root: Path | None, learned: int, scored: int) -> tuple[list[str], list[Sample]]:
    """Return files of good parts to learn from and hold out, and as many good as defective ones to score."""
    split = (load_dataset("elpv") if root is None else load_dataset("folder", root)).load()
    train = [str(sample.path) for sample in split.train][: learned + HELD_OUT]
    groups = ([sample for sample in split.test if sample.label == label][: scored // 2] for label in (0, 1))
    return train, [sample for group in groups for sample in group]


def peak_memory() -> float:
    """Return the most memory that this process has held, in MiB."""
    (line,) = (line for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def measure(name: str, settings: argparse.Namespace) -> dict[str, float]:
    """Fit, score and save one side in this process."""
    train, test = samples(settings.root, settings.learned, settings.scored)
    started = time.perf_counter()
    if name == SIDES[1]:
        from anomalib.engine import Engine

        from pyimgano_anomalib.library import image_models

        assert Engine
        assert image_models()
    imported = time.perf_counter() - started
    runtime = Runtime(device="cpu", batch_size=BATCH)
    pipeline = Pipeline.create(name, options_of(name, settings.ratio), runtime)
    started = time.perf_counter()
    pipeline.fit(train[:-HELD_OUT])
    fit = time.perf_counter() - started
    images = list(ImageSource([sample.path for sample in test]))
    pipeline.detector.score_images(images[:BATCH])
    started = time.perf_counter()
    batches = [pipeline.detector.score_images(batch) for batch in batched(images, BATCH)]
    scores = [result.score for batch in batches for result in batch]
    speed = len(images) / (time.perf_counter() - started)
    memory = peak_memory()
    pipeline.calibrate(train[-HELD_OUT:], CalibrationSettings(false_alarm_rate=0.2))
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "parts.bundle"
        write_bundle(bundle, bundle_files(pipeline, {}))
        size = sum(path.stat().st_size for path in bundle.iterdir()) / 2**20
    auroc = roc_auc(np.array([sample.label for sample in test]), np.array(scores))
    assert auroc is not None
    return {"auroc": auroc, "import": imported, "fit": fit, "speed": speed, "memory": memory, "bundle": size}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="a folder dataset instead of solar cells")
    parser.add_argument("--learned", type=int, default=100, help="images to learn from")
    parser.add_argument("--scored", type=int, default=100, help="images to score, half of them defective")
    parser.add_argument("--ratio", type=float, default=0.01, help="share of patches kept")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    settings = parser.parse_args()
    if settings.side:
        print("RESULT" + json.dumps(measure(settings.side, settings)))
        return
    results = {}
    for name in SIDES:
        command = [sys.executable, __file__, *sys.argv[1:], "--side", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr)
        results[name] = json.loads(done.stdout.partition("RESULT")[2])
    print(
        f"EfficientNet-Lite0, {' and '.join(LAYERS)}, {SIZE[0]}x{SIZE[1]}; {settings.learned} images, {settings.ratio:g} kept\n"
    )
    print(f"| | `{SIDES[0]}` | `{SIDES[1]}` |\n|---|---|---|")
    for key, (label, form) in ROWS.items():
        print("| " + " | ".join([label, *(form.format(results[name][key]) for name in SIDES)]) + " |")


if __name__ == "__main__":
    main()
