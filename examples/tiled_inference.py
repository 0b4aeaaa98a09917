"""Small defects on a large image: learn from tiles of good images, and list where the defects of another one are.

python examples/tiled_inference.py --good good_parts --image large.png --tile 512

The detector sees tiles at full resolution. Thresholds are calibrated through the same tiles, on good images that were not
learned from.
"""

import argparse
from pathlib import Path

import numpy as np

import pyimgano
from pyimgano.images import SUFFIXES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--good", type=Path, required=True, help="folder with images of good parts, at least four")
    parser.add_argument("--image", type=Path, required=True, help="the large image")
    parser.add_argument("--tile", type=int, default=512, help="side of the tiles in pixels")
    arguments = parser.parse_args()

    paths = sorted(path for path in arguments.good.rglob("*") if path.suffix.lower() in SUFFIXES)
    learned, held_out = paths[: len(paths) * 3 // 4], paths[len(paths) * 3 // 4 :]
    side = (arguments.tile, arguments.tile)
    model = pyimgano.create_model("vision_filterbank", resize=side)
    tiled = pyimgano.TiledDetector(model, arguments.tile, arguments.tile * 3 // 4, map_reduce="hann", fit_on="tiles")
    tiled.fit(learned)
    pyimgano.calibrate_threshold(tiled, held_out)
    normal_pixels = np.concatenate([tiled.get_anomaly_map(path).ravel() for path in held_out])
    threshold = pyimgano.calibrate_normal_pixel_quantile_threshold(normal_pixels)

    (result,) = pyimgano.infer(tiled, [arguments.image])
    print(f"{arguments.image.name}: score {result.score:.2f}, {'defective' if result.label else 'good'}")
    config = pyimgano.DefectsConfig(min_area=16)
    for region in pyimgano.extract_defects_from_anomaly_map(result.anomaly_map, config, pixel_threshold=threshold).regions:
        left, top, right, bottom = region.bbox_xyxy
        print(f"  columns {left} to {right}, rows {top} to {bottom}: {region.area} pixels, at most {region.score_max:.2f}")


if __name__ == "__main__":
    main()
