"""``mvtec_loco``: MVTec LOCO AD, logical and structural anomalies (Bergmann et al., IJCV 2022; CC BY-NC-SA 4.0)."""

from __future__ import annotations

from pathlib import Path

from pyimgano.contracts import DatasetSplit, Sample
from pyimgano.datasets.files import image_files, sub_folders
from pyimgano.datasets.findings import Report
from pyimgano.datasets.layout import CategoryDataset, good_samples
from pyimgano.datasets.masks import DefectConfig, read_defects_config
from pyimgano.datasets.pairing import GOOD, defective_samples

CONFIG = "defects_config.json"


class MVTecLOCODataset(CategoryDataset):
    """``<category>/{train,validation}/good``, ``test/{good,logical_anomalies,structural_anomalies}``, ``ground_truth``.

    The mask of ``NNN.png`` is a folder ``NNN`` of images, one per defect, whose pixel value is the type of the defect;
    ``meta["defects_config"]`` names the file that rates the types. An anomaly folder may hold one more level of folders, which
    then names the defect: ``meta["defect"]``. The validation images are the split's calibration images.
    ``load_dataset("mvtec_loco", root, category=...)`` makes one.
    """

    CATEGORIES = ("breakfast_box", "juice_bottle", "pushpins", "screw_bag", "splicing_connectors")

    def scan_category(self, folder: Path, report: Report) -> DatasetSplit:
        train = good_samples(folder, f"train/{GOOD}")
        calibration = folder / "validation" / GOOD
        held_out = [Sample(path) for path in image_files(calibration)] if calibration.is_dir() else []
        tests = sub_folders(folder / "test") if (folder / "test").is_dir() else []
        test = [sample for place in tests for sample in self._test_samples(place, folder, report)]
        return DatasetSplit(train, tuple(held_out), tuple(test))

    def _test_samples(self, place: Path, category: Path, report: Report) -> list[Sample]:
        if place.name == GOOD:
            return [Sample(path) for path in image_files(place)]
        ground_truth = category / "ground_truth"
        masks = ground_truth / place.name if ground_truth.is_dir() else None
        meta = {"defects_config": category / CONFIG}
        samples = defective_samples(place, masks, place.name, report, "{}", meta)
        for inner in sub_folders(place):
            inner_masks = masks / inner.name if masks is not None else None
            samples += defective_samples(inner, inner_masks, place.name, report, "{}", {**meta, "defect": inner.name})
        return samples

    def defects_config(self) -> dict[int, DefectConfig]:
        """Return the types of defect of the category, by the pixel value they have in masks."""
        return read_defects_config(self.category_folder() / CONFIG)
