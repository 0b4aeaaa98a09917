"""SoftPatch on one category of a dataset in MVTec AD's or VisA's layout, against PatchCore on the same images.

python examples/softpatch_on_mvtec.py --root mvtec_ad --category bottle
python examples/softpatch_on_mvtec.py --dataset visa --root VisA --category candle

Needs pyimgano-models-patchknn[offline]; see docs/noisy-normals.md for when SoftPatch is the better of the two.
"""

import argparse

import pyimgano


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="mvtec", choices=["mvtec", "visa"])
    parser.add_argument("--root", required=True, help="where the dataset lies")
    parser.add_argument("--category", help="may be left out where there is one only")
    parser.add_argument("--side", type=int, default=256, help="height and width the detectors see")
    arguments = parser.parse_args()

    split = pyimgano.load_benchmark_split(arguments.dataset, arguments.root, arguments.category)
    settings = {"backbone": "efficientnet_lite0", "resize": (arguments.side, arguments.side)}
    for name in ("vision_patchcore", "vision_softpatch"):
        results = pyimgano.evaluate_split(pyimgano.create_model(name, device="cpu", **settings), split)
        pixels = results["pixel_metrics"]
        print(f"{name}: image AUROC {results['auroc']:.3f}, SegF1 {pixels['pixel_segf1']:.3f}, AUPRO {pixels['aupro']:.3f}")


if __name__ == "__main__":
    main()
