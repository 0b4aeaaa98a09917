"""``mvtec``: MVTec AD, 15 categories of objects and textures (Bergmann et al., CVPR 2019; CC BY-NC-SA 4.0)."""

from __future__ import annotations

from pathlib import Path

from pyimgano.contracts import DatasetSplit
from pyimgano.datasets.findings import Report
from pyimgano.datasets.layout import CategoryDataset, folder_split


class MVTecDataset(CategoryDataset):
    """``<category>/train/good``, ``test/<type>``, ``ground_truth/<type>/NNN_mask.png``."""

    CATEGORIES = (
        "bottle",
        "cable",
        "capsule",
        "carpet",
        "grid",
        "hazelnut",
        "leather",
        "metal_nut",
        "pill",
        "screw",
        "tile",
        "toothbrush",
        "transistor",
        "wood",
        "zipper",
    )

    def scan_category(self, folder: Path, report: Report) -> DatasetSplit:
        return folder_split(folder, report)
