"""Small trees in the official layouts of public datasets, with the traps that their downloads contain."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

SIZE = (24, 16)
"""(width, height) of every image; not square, so that a swap is seen."""
SPOT = (slice(4, 9), slice(6, 14))
"""Where the masks of defects are marked."""


def spot(value: int = 255, dtype: str = "uint8") -> NDArray[Any]:
    """Return a mask array with one marked rectangle."""
    mask = np.zeros(SIZE[::-1], dtype)
    mask[SPOT] = value
    return mask


def image(path: Path, size: tuple[int, int] = SIZE, grey: bool = False) -> Path:
    """Write an image whose noise its path determines, so that no two are alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = size[::-1] if grey else (*size[::-1], 3)
    pixels = np.random.default_rng(zlib.crc32(path.as_posix().encode())).integers(0, 256, shape, dtype=np.uint8)
    PillowImage.fromarray(pixels).save(path)
    return path


def mask(path: Path, values: NDArray[Any] | None = None) -> Path:
    """Write a mask as it is: 8 or 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.fromarray(spot() if values is None else values).save(path)
    return path


def junk(root: Path) -> None:
    """Leave in every folder what archives and file managers leave."""
    for folder in [root, *(place for place in root.rglob("*") if place.is_dir())]:
        for name in ("Thumbs.db", ".DS_Store", "._000.png", "license.txt", "readme.txt"):
            (folder / name).write_bytes(b"junk")


def mvtec(root: Path, *categories: str) -> Path:
    """Write MVTec AD: 12 good images without leading zeros, so that their natural order is not that of their names."""
    for category in categories or ("bottle", "grid"):
        base = root / category
        for number in range(12):
            image(base / f"train/good/{number}.png", grey=category == "grid")
        image(base / "test/good/000.png")
        for kind in ("broken_large", "contamination"):
            for number in range(2):
                image(base / f"test/{kind}/{number:03d}.png")
                mask(base / f"ground_truth/{kind}/{number:03d}_mask.png")
    junk(root)
    return root


def visa_raw(root: Path, *categories: str) -> Path:
    """Write raw VisA: upper-case .JPG, masks with ids of defect types, empty cells for good images."""
    lines = ["object,split,label,image,mask"]
    for category in categories or ("candle", "pcb1"):
        for number in range(4):
            place = f"{category}/Data/Images/Normal/{number:04d}.JPG"
            image(root / place)
            lines.append(f"{category},{'train' if number < 3 else 'test'},normal,{place},")
        for number in range(2):
            place, truth = f"{category}/Data/Images/Anomaly/{number:03d}.JPG", f"{category}/Data/Masks/Anomaly/{number:03d}.png"
            image(root / place)
            mask(root / truth, spot(number + 1))
            lines.append(f"{category},test,anomaly,{place},{truth}")
        (root / category / "image_anno.csv").write_text("image,label,mask\n", encoding="utf-8")
    (root / "split_csv").mkdir()
    (root / "split_csv/1cls.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    junk(root)
    return root


def visa_prepared(root: Path) -> Path:
    """Write VisA as the authors' script prepares it."""
    base = root / "1cls/candle"
    for number in range(3):
        image(base / f"train/good/{number:04d}.JPG")
    image(base / "test/good/0003.JPG")
    for number in range(2):
        image(base / f"test/bad/{number:03d}.JPG")
        mask(base / f"ground_truth/bad/{number:03d}.png")
    junk(root)
    return root


def btad(root: Path) -> Path:
    """Write BTAD: .bmp images with .png masks, .png with .png, .bmp with .bmp."""
    for category, suffix, truth in (("01", "bmp", "png"), ("02", "png", "png"), ("03", "bmp", "bmp")):
        base = root / category
        for number in range(3):
            image(base / f"train/ok/{number:04d}.{suffix}")
        image(base / f"test/ok/0000.{suffix}")
        image(base / f"test/ko/0001.{suffix}")
        mask(base / f"ground_truth/ko/0001.{truth}")
    junk(root)
    return root


LOCO_DEFECTS = [
    {"defect_name": "missing_pin", "pixel_value": 255, "saturation_threshold": 1.0, "relative_saturation": True},
    {"defect_name": "extra_pin", "pixel_value": 7, "saturation_threshold": 40, "relative_saturation": False},
]


def loco(root: Path, category: str = "pushpins") -> Path:
    """Write MVTec LOCO: one folder of masks per image, whose pixel values are types of defect."""
    base = root / category
    for number in range(3):
        image(base / f"train/good/{number:03d}.png")
    for number in range(2):
        image(base / f"validation/good/{number:03d}.png")
    image(base / "test/good/000.png")
    for kind in ("logical_anomalies", "structural_anomalies"):
        image(base / f"test/{kind}/000.png")
        mask(base / f"ground_truth/{kind}/000/000.png", spot(7))
    other = np.zeros(SIZE[::-1], np.uint8)
    other[12:, :3] = 255
    mask(base / "ground_truth/logical_anomalies/000/001.png", other)
    (base / "defects_config.json").write_text(json.dumps(LOCO_DEFECTS), encoding="utf-8")
    junk(root)
    return root


def ad2(root: Path, category: str = "can") -> Path:
    """Write MVTec AD 2: lighting in file names, masks inside the public test set, flat private ones."""
    base = root / category
    for number in range(3):
        image(base / f"train/good/{number:03d}_regular.png")
    image(base / "validation/good/000_regular.png")
    for light in ("regular", "overexposed", "underexposed", "shift_1"):
        image(base / f"test_public/good/000_{light}.png")
        image(base / f"test_public/bad/000_{light}.png")
        mask(base / f"test_public/ground_truth/bad/000_{light}_mask.png")
    for number in range(2):
        image(base / f"test_private/{number:03d}_regular.png")
        image(base / f"test_private_mixed/{number:03d}_mixed.png")
    junk(root)
    return root
