"""``btad``: beanTech anomaly detection, three industrial products (Mishra et al., ISIE 2021)."""

from __future__ import annotations

from pathlib import Path

from pyimgano.contracts import DatasetSplit
from pyimgano.datasets.findings import Report
from pyimgano.datasets.layout import CategoryDataset, folder_split


class BTADDataset(CategoryDataset):
    """``<category>/train/ok``, ``test/{ok,ko}``, ``ground_truth/ko``; images and masks are PNG or BMP, not always alike."""

    CATEGORIES = ("01", "02", "03")
    NORMAL = "train/ok"

    def scan_category(self, folder: Path, report: Report) -> DatasetSplit:
        return folder_split(folder, report, good="ok", mask_name="{}.png")
