"""``elpv``: 2,624 electroluminescence photographs of solar cells, from the package ``elpv-dataset``.

Buerhop-Lutz et al., EU PVSEC 2018; Deitsch et al., Solar Energy 185, 2019. CC BY-NC-SA 4.0.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from pyimgano.contracts import Dataset, DatasetSplit, Sample
from pyimgano.discovery.requirements import install_command
from pyimgano.errors import DatasetError, MissingDependencyError


class ElpvDataset(Dataset):
    """Good cells have defect probability 0, defective ones 1; the two uncertain levels between are left out."""

    def load(self) -> DatasetSplit:
        options = self.options
        root = options.root or _package_folder()
        rows = [row for row in _labels(root) if options.cells in (row[2], "both")]
        good = [Sample(path, meta={"cells": cells}) for path, probability, cells in rows if probability == 0]
        defective = [
            Sample(path, 1, defect_type="defective", meta={"cells": cells})
            for path, probability, cells in rows
            if probability == 1
        ]
        order = np.random.default_rng(options.seed).permutation(len(good))
        held_out = round(len(good) * options.test_fraction)
        test = [good[i] for i in sorted(order[:held_out])]
        train = [good[i] for i in sorted(order[held_out:][: options.limit])]
        return DatasetSplit(tuple(train), test=tuple(test + defective))


def _package_folder() -> Path:
    spec = importlib.util.find_spec("elpv_dataset")
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError(
            "dataset elpv needs the package elpv-dataset, which is not installed", install_command("elpv-dataset")
        )
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def _labels(root: Path) -> list[tuple[Path, float, str]]:
    """Return (image path, defect probability, type of cell) of every line of labels.csv."""
    table = root / "labels.csv"
    if not table.is_file():
        raise DatasetError(f"{root} has no file labels.csv", "leave the option root away to use the elpv-dataset package")
    rows = []
    for number, line in enumerate(table.read_text(encoding="utf-8").splitlines(), 1):
        fields = line.split()
        try:
            name, probability, cells = fields
            rows.append((root / name, float(probability), cells))
        except ValueError:
            if fields:
                raise DatasetError(f"{table}:{number}: expected 'path probability type', got {line!r}") from None
    return rows
