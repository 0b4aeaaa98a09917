"""A large image goes through the command line in tiles; small defects on seams, at edges and in corners are where they are."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pyimgano.defects.mask_files import read_mask_file
from pyimgano.images import read

HEIGHT, WIDTH = 4000, 6000
BLOB = 32
MAGENTA = (255, 0, 255)
TILE, STEP = 512, 384
LAST_ROW, LAST_COLUMN = HEIGHT - TILE, WIDTH - TILE
PLACES = {
    "top left corner": (0, 0),
    "top right corner": (0, WIDTH - BLOB),
    "bottom left corner": (HEIGHT - BLOB, 0),
    "bottom right corner": (HEIGHT - BLOB, WIDTH - BLOB),
    "top edge": (0, 2800),
    "bottom edge": (HEIGHT - BLOB, 2200),
    "left edge": (1600, 0),
    "right edge": (2400, WIDTH - BLOB),
    "where a tile begins": (600, 4 * STEP - BLOB // 2),
    "where a tile ends": (1000, 6 * STEP + TILE - BLOB // 2),
    "where a row begins": (3 * STEP - BLOB // 2, 200),
    "where a row ends": (5 * STEP + TILE - BLOB // 2, 3300),
    "where four tiles begin": (6 * STEP - BLOB // 2, 8 * STEP - BLOB // 2),
    "where four tiles end": (4 * STEP + TILE - BLOB // 2, 9 * STEP + TILE - BLOB // 2),
    "where the last tiles begin": (LAST_ROW - BLOB // 2, LAST_COLUMN - BLOB // 2),
    "inside one tile": (3 * STEP + 200, 12 * STEP + 200),
}
"""Top left corners (y, x) of the defects; every seam of tiles of 512, 384 apart, runs through the middle of one."""

MAGENTA_PLUGIN = """
import cv2
import numpy as np

from pyimgano import AnomalyMap, Detector, ImageScore, hookimpl
from pyimgano.specs import DetectorSpec


@hookimpl
def register_detectors():
    return [DetectorSpec(name="acme_magenta", summary="Magenta, in cells of 4 x 4", factory="acme_magenta:Magenta")]


class Magenta(Detector):
    def _fit(self, images):
        pass

    def _score(self, images):
        return [self._one(image) for image in images]

    def _one(self, image):
        height, width = image.shape[:2]
        small = cv2.resize(image, (width // 4, height // 4), interpolation=cv2.INTER_AREA).astype(np.float32)
        grid = np.minimum(small[:, :, 0], small[:, :, 2]) - small[:, :, 1]
        return ImageScore(float(grid.max()), AnomalyMap(grid, (height, width)))

    def state(self):
        return {}

    def load_state(self, arrays):
        self.mark_fitted()
"""


@dataclass(frozen=True)
class Photographs:
    """A folder to learn from, and a large photograph with a defect at every place."""

    root: Path
    large: Path


def _surfaces(folder: str, count: int) -> list[NDArray[np.uint8]]:
    """Return photographs of ball screws, or generated textures where there are none."""
    data = Path(os.environ.get("PYIMGANO_DEV_DATA", "/nowhere")) / "bsdata" / "ballscrew" / folder
    if data.is_dir():
        return [read(path) for path in sorted(data.iterdir())[:count]]
    rng = np.random.default_rng(count)
    return [cv2.GaussianBlur(rng.integers(60, 200, (460, 1130, 3), dtype=np.uint8), (0, 0), 2.0) for _ in range(count)]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Photographs:
    """Give six good photographs, and a mosaic of others of 6000 x 4000 pixels that has the defects."""
    folder = tmp_path_factory.mktemp("large")
    good = folder / "parts" / "train" / "good"
    good.mkdir(parents=True)
    for number, surface in enumerate(_surfaces("train/good", 6)):
        cv2.imwrite(str(good / f"{number}.png"), surface[:, :, ::-1])
    part = np.concatenate(_surfaces("test/good", 3))
    down, across = -(-HEIGHT // part.shape[0]), -(-WIDTH // part.shape[1])
    mosaic = np.ascontiguousarray(np.tile(part, (down, across, 1))[:HEIGHT, :WIDTH])
    for y, x in PLACES.values():
        mosaic[y : y + BLOB, x : x + BLOB] = MAGENTA
    path = folder / "large" / "mosaic.bmp"
    path.parent.mkdir()
    cv2.imwrite(str(path), mosaic[:, :, ::-1])
    return Photographs(folder / "parts", path)


def inspect(
    cli: Callable, photographs: Photographs, folder: Path, training: list[Any], inspecting: list[Any]
) -> dict[str, Any]:
    """Train on tiles, inspect the large photograph, and return its record."""
    bundle = folder / "out.bundle"
    trained = cli("train", "--root", photographs.root, *training, "--export-deploy-bundle", bundle)
    assert trained.code == 0, trained.err
    files = ["--save-masks", folder / "masks", "--save-overlays", folder / "overlays", "--save-jsonl", folder / "r.jsonl"]
    line = ["infer", "--bundle", bundle, "--input", photographs.large, "--defects", "--defects-image-space"]
    inferred = cli(*line, *files, *inspecting)
    assert inferred.code == 0, inferred.err
    record: dict[str, Any] = json.loads((folder / "r.jsonl").read_text(encoding="utf-8"))
    return record


def found_at(record: dict[str, Any], place: str) -> dict[str, Any]:
    """Return the one region whose box on the image holds the middle of the defect at `place`."""
    y, x = (start + BLOB // 2 for start in PLACES[place])
    boxes = [region["bbox_xyxy_image"] for region in record["defects"]["regions"]]
    hits = [number for number, (left, top, right, bottom) in enumerate(boxes) if left <= x <= right and top <= y <= bottom]
    assert len(hits) == 1, f"{place}: {len(hits)} regions"
    region: dict[str, Any] = record["defects"]["regions"][hits[0]]
    return region


def assert_within(region: dict[str, Any], place: str, reach: int) -> None:
    """Assert that a region's box on the image is that of the defect, up to `reach` pixels at each side but never outside."""
    y, x = PLACES[place]
    box = region["bbox_xyxy_image"]
    expected = [x, y, x + BLOB - 1, y + BLOB - 1]
    assert np.abs(np.subtract(box, expected)).max() <= reach, f"{place}: {box} instead of {expected}"
    assert min(box) >= 0, place
    assert box[2] < WIDTH, place
    assert box[3] < HEIGHT, place


def is_outlined(overlay: NDArray[np.uint8], place: str) -> bool:
    """Return whether the right half of an overlay has red around the defect at `place`, and the left half has none."""
    panel_width = (overlay.shape[1] - 4) // 2
    scale = panel_width / WIDTH
    head = overlay.shape[0] - round(HEIGHT * scale)
    y, x = (round(start * scale) for start in PLACES[place])
    side, reach = round(BLOB * scale), 8
    rows = slice(max(head + y - reach, head), head + y + side + reach)

    def redness(offset: int) -> int:
        part = overlay[rows, max(offset + x - reach, offset) : offset + min(x + side + reach, panel_width)].astype(int)
        red = (part[:, :, 0] > 170) & (part[:, :, 1] < 110) & (part[:, :, 2] < 110)
        return int(red.sum())

    return redness(0) == 0 and redness(panel_width + 4) >= 20


@pytest.mark.parametrize("blend", ["max", "mean", "hann", "gaussian"])
def test_small_defects_of_a_large_photograph_lie_where_they_are_whatever_the_blend(
    cli: Callable, distribution: Callable, photographs: Photographs, tmp_path: Path, blend: str
) -> None:
    distribution("acme-magenta", MAGENTA_PLUGIN)
    tiles = ["--tile-size", TILE, "--tile-stride", STEP, "--tile-map-reduce", blend]
    record = inspect(cli, photographs, tmp_path, ["--model", "acme_magenta", *tiles], ["--pixel-threshold", 127])
    defects = record["defects"]
    assert (record["label"], defects["space"]["shape"]) == (1, [HEIGHT, WIDTH])
    mask = read_mask_file(Path(defects["mask"]["path"]))
    (overlay,) = (read(path) for path in (tmp_path / "overlays").iterdir())
    for place, (y, x) in PLACES.items():
        region = found_at(record, place)
        assert_within(region, place, reach=4)
        assert region["score_max"] > 250, place
        assert mask[y + 2 : y + BLOB - 2, x + 2 : x + BLOB - 2].all(), place
        mask[max(y - 4, 0) : y + BLOB + 4, max(x - 4, 0) : x + BLOB + 4] = 0
        assert is_outlined(overlay, place), place
    assert len(defects["regions"]) == len(PLACES)
    assert not mask.any()


def test_tiles_side_by_side_cut_a_defect_and_list_it_as_one(
    cli: Callable, distribution: Callable, photographs: Photographs, tmp_path: Path
) -> None:
    distribution("acme-magenta", MAGENTA_PLUGIN)
    record = inspect(cli, photographs, tmp_path, ["--model", "acme_magenta", "--tile-size", STEP], ["--pixel-threshold", 127])
    for place in PLACES:
        assert_within(found_at(record, place), place, reach=4)
    assert len(record["defects"]["regions"]) == len(PLACES)


def test_a_real_detector_finds_small_defects_of_a_large_photograph_in_tiles(
    cli: Callable, photographs: Photographs, tmp_path: Path
) -> None:
    model = ["--model", "vision_filterbank", "--resize", 128, 128, "-o", "distance=mahalanobis"]
    tiles = ["--tile-size", TILE // 2, "--tile-stride", STEP // 2, "--tile-map-reduce", "hann"]
    record = inspect(cli, photographs, tmp_path, [*model, *tiles], ["--defect-max-regions", len(PLACES)])
    assert record["label"] == 1
    for place in PLACES:
        assert_within(found_at(record, place), place, reach=64)  # its filters see that far
