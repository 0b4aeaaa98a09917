"""What a dataset holds, in numbers."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pyimgano.contracts import DatasetSplit
from pyimgano.images import upright_size


def summarise(split: DatasetSplit) -> dict[str, Any]:
    """Return the number of images per split and type of defect, of masks, and of images per size (width x height)."""
    samples = (*split.train, *split.calibration, *split.test)
    defective = [sample for sample in split.test if sample.label]
    sizes = Counter(upright_size(sample.path) for sample in samples)
    return {
        "train": len(split.train),
        "calibration": len(split.calibration),
        "test": len(split.test),
        "types": dict(Counter(sample.defect_type for sample in split.test)),
        "defective": len(defective),
        "masks": sum(sample.mask_path is not None for sample in defective),
        "sizes": {f"{width}x{height}": count for (width, height), count in sizes.most_common()},
    }
