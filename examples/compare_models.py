"""Several models on one category, by what they find on pixels, at thresholds fixed before the test images are seen.

python examples/compare_models.py --root mvtec_ad --category bottle --save-run runs/bottle

Needs pyimgano-models-patchknn[offline]. With --save-run, the same command goes on with an interrupted run, and
`pyimgano benchmark` does all this without Python.
"""

import argparse
from pathlib import Path

import pyimgano

MODELS = (
    "vision_filterbank",
    "vision_patchcore,backbone=efficientnet_lite0",
    "vision_softpatch,backbone=efficientnet_lite0",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="mvtec", help="layout of the dataset: pyimgano datasets list")
    parser.add_argument("--root", type=Path, required=True, help="where the dataset lies")
    parser.add_argument("--category", help="may be left out where there is one only")
    parser.add_argument("--side", type=int, default=256, help="height and width the detectors see")
    parser.add_argument("--save-run", type=Path, help="folder for reports")
    arguments = parser.parse_args()

    config = pyimgano.BenchmarkConfig(
        dataset=arguments.dataset,
        root=arguments.root,
        category=arguments.category,
        models=MODELS,
        resize=(arguments.side, arguments.side),
        device="cpu",
    )
    report = pyimgano.run_benchmark(config, arguments.save_run)
    runs = sorted(report["runs"], key=lambda run: run["results"]["pixel_metrics"]["pixel_segf1"], reverse=True)
    for run in runs:
        auroc, pixels = run["results"]["auroc"], run["results"]["pixel_metrics"]
        print(f"{run['model']}: SegF1 {pixels['pixel_segf1']:.3f}, AUPRO {pixels['aupro']:.3f}, image AUROC {auroc:.3f}")


if __name__ == "__main__":
    main()
