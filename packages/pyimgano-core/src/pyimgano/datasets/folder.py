"""``folder``: train/good, test/<type>, ground_truth/<type>, as in MVTec AD (Bergmann et al. 2019)."""

from __future__ import annotations

from pyimgano.contracts import DatasetSplit
from pyimgano.datasets.files import existing_folder
from pyimgano.datasets.findings import Report
from pyimgano.datasets.layout import LayoutDataset, folder_split


class FolderDataset(LayoutDataset):
    """Good images in ``train/good``; every folder of ``test`` but ``good`` is a type of defect.

    Masks are paired by stem (``007.png`` with ``007_mask.png`` or ``007.png``) and must have the size of their image. If
    there is a ``ground_truth`` folder, a defective image without a mask is an error; without one there are no masks.
    """

    def scan(self, report: Report) -> DatasetSplit:
        return folder_split(existing_folder(self.options.root, "dataset root"), report)
