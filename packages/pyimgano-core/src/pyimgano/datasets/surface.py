"""``surface``: synthetic textured surfaces with defects and masks, seeded, written once as a folder dataset."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pyimgano.contracts import Dataset, DatasetSplit
from pyimgano.datasets.folder import FolderDataset
from pyimgano.datasets.options import FolderOptions, SurfaceOptions
from pyimgano.errors import DatasetError
from pyimgano.images import Image

Field = NDArray[np.float32]
RECEIPT = "surface.json"
FORMAT = 1


class SurfaceDataset(Dataset):
    """Brushed metal, cast metal or woven cloth, with scratches, dents and stains whose masks are exact."""

    def load(self) -> DatasetSplit:
        options: SurfaceOptions = self.options
        wanted = json.dumps({"format": FORMAT, **options.model_dump(exclude={"root"})}, sort_keys=True)
        root = options.root or _cache_folder() / f"surface-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
        receipt = root / RECEIPT
        if not (receipt.is_file() and receipt.read_text(encoding="utf-8") == wanted):
            if root.exists() and (not root.is_dir() or any(root.iterdir())):
                raise DatasetError(f"{root} exists and was not written with these options", "name another folder as root")
            try:
                _write(root, options, wanted)
            except OSError as error:
                raise DatasetError(f"{root} cannot be written ({error.strerror})", "name another folder as root") from None
        return FolderDataset(FolderOptions(root=root)).load()


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "pyimgano"


def _write(root: Path, options: SurfaceOptions, receipt: str) -> None:
    """Write all images beside `root`, then rename, so that an interrupted run leaves nothing half done."""
    root.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{root.name}.", dir=root.parent))
    try:
        for number in range(options.train):
            _save(beside / "train" / "good" / f"{number:03d}.png", draw_surface(options, ("train", number)))
        for number in range(options.test_good):
            _save(beside / "test" / "good" / f"{number:03d}.png", draw_surface(options, ("good", number)))
        kinds = sorted(DEFECTS)
        for number in range(options.test_defective):
            kind = kinds[number % len(kinds)]
            image, mask = draw_defect(draw_surface(options, ("bad", number)), kind, _generator(options, ("defect", number)))
            _save(beside / "test" / kind / f"{number:03d}.png", image)
            _save(beside / "ground_truth" / kind / f"{number:03d}_mask.png", mask)
        (beside / RECEIPT).write_text(receipt, encoding="utf-8")
        if root.exists():
            root.rmdir()
        beside.rename(root)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def _save(path: Path, image: Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = image[:, :, ::-1] if image.ndim == 3 else image
    if not cv2.imwrite(str(path), pixels):
        raise DatasetError(f"{path} cannot be written", "check the folder's permissions and free space")


def _generator(options: SurfaceOptions, key: tuple[str, int]) -> np.random.Generator:
    """Return a generator of its own for each image, so that none depends on how many others are drawn."""
    text = f"{options.seed}/{options.texture}/{key[0]}/{key[1]}"
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))


def draw_surface(options: SurfaceOptions, key: tuple[str, int]) -> Image:
    """Return one good surface, RGB uint8 (height, width, 3); `key` names it."""
    rng = _generator(options, key)
    shape = (options.height, options.width)
    texture = TEXTURES[options.texture](shape, rng)
    rows = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    columns = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :]
    light = 1 + 0.08 * (rng.uniform(-1, 1) * columns + rng.uniform(-1, 1) * rows)
    tint = np.array([0.98, 1.0, 1.03], dtype=np.float32)
    base = np.float32(rng.uniform(128, 140))
    return np.clip((base + texture)[:, :, None] * light[:, :, None] * tint, 0, 255).astype(np.uint8)


def _brushed(shape: tuple[int, int], rng: np.random.Generator) -> Field:
    noise = rng.standard_normal(shape).astype(np.float32)
    return _scaled(cv2.blur(noise, (41, 1)), 14) + _scaled(cv2.GaussianBlur(noise, (0, 0), 0.8), 3)


def _cast(shape: tuple[int, int], rng: np.random.Generator) -> Field:
    noise = rng.standard_normal(shape).astype(np.float32)
    return _scaled(cv2.GaussianBlur(noise, (0, 0), 4), 9) + _scaled(cv2.GaussianBlur(noise, (0, 0), 1.2), 6)


def _woven(shape: tuple[int, int], rng: np.random.Generator) -> Field:
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    phase = rng.uniform(0, 2 * np.pi, 2)
    weave = np.sin(2 * np.pi * rows / 10 + phase[0]) * np.sin(2 * np.pi * columns / 10 + phase[1])
    noise = cv2.GaussianBlur(rng.standard_normal(shape).astype(np.float32), (0, 0), 1.0)
    return np.asarray(18 * weave + _scaled(noise, 5), dtype=np.float32)


def _scaled(texture: NDArray[np.generic], deviation: float) -> Field:
    values = np.asarray(texture, dtype=np.float32)
    return np.asarray(values * np.float32(deviation / max(float(values.std()), 1e-6)), dtype=np.float32)


TEXTURES: dict[str, Callable[[tuple[int, int], np.random.Generator], Field]] = {
    "brushed": _brushed,
    "cast": _cast,
    "woven": _woven,
}


def draw_defect(surface: Image, kind: str, rng: np.random.Generator) -> tuple[Image, Image]:
    """Return the surface with one defect, and its mask, uint8 {0, 255} (height, width)."""
    height, width = surface.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    shade = DEFECTS[kind](mask, rng)
    edge = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), 0.7)[:, :, None]
    image = np.clip(surface.astype(np.float32) + edge * np.asarray(shade, dtype=np.float32), 0, 255)
    return image.astype(np.uint8), mask


def _place(mask: Image, rng: np.random.Generator) -> tuple[tuple[int, int], float]:
    """Return a centre away from the border, and the short side that defects scale with."""
    height, width = mask.shape
    return (int(rng.integers(width // 6, width - width // 6)), int(rng.integers(height // 6, height - height // 6))), float(
        min(height, width)
    )


def _scratch(mask: Image, rng: np.random.Generator) -> tuple[float, float, float]:
    (x, y), side = _place(mask, rng)
    angle = rng.uniform(0.25, 1.3) * rng.choice([-1, 1])
    length = rng.uniform(0.2, 0.4) * side
    across = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    start, end = np.rint(np.array([x, y]) - across).astype(int), np.rint(np.array([x, y]) + across).astype(int)
    cv2.line(mask, tuple(start.tolist()), tuple(end.tolist()), 255, max(2, round(side / 90)), cv2.LINE_8)
    return (70.0, 70.0, 70.0) if rng.random() < 0.5 else (-65.0, -65.0, -65.0)


def _dent(mask: Image, rng: np.random.Generator) -> tuple[float, float, float]:
    centre, side = _place(mask, rng)
    axes = tuple(int(value) for value in rng.uniform(0.03, 0.07, 2) * side)
    cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 255, -1)
    return (-48.0, -48.0, -48.0)


def _stain(mask: Image, rng: np.random.Generator) -> tuple[float, float, float]:
    centre, side = _place(mask, rng)
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    radius = rng.uniform(0.05, 0.1) * side * (1 + 0.25 * rng.standard_normal(24)).clip(0.4, 1.6)
    outline = np.stack([centre[0] + radius * np.cos(angles), centre[1] + radius * np.sin(angles)], axis=1)
    cv2.fillPoly(mask, [np.rint(outline).astype(np.int32)], 255)
    return (10.0, -14.0, -40.0)


DEFECTS: dict[str, Callable[[Image, np.random.Generator], tuple[float, float, float]]] = {
    "dent": _dent,
    "scratch": _scratch,
    "stain": _stain,
}
