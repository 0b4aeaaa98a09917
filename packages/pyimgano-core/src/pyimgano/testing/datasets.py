"""Checks of datasets: that their splits keep learning, calibration and test apart, and that masks fit their images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from pyimgano.contracts import Dataset, DatasetSplit, Sample
from pyimgano.datasets.masks import read_mask
from pyimgano.errors import DatasetError
from pyimgano.images import upright_size
from pyimgano.testing.checks import Checks
from pyimgano.testing.randomness import seeded, untouched
from pyimgano.testing.results import CheckFailure, CheckSkipped
from pyimgano.testing.subject import ComponentSubject

checks = Checks(needs=("loads",))

MOST = 200
"""How many images of a split are opened."""


class Subject(ComponentSubject):
    """A dataset under test. `split` is what it loads, with its own options."""

    @cached_property
    def split(self) -> DatasetSplit:
        return self.load()

    def load(self) -> DatasetSplit:
        """Load it anew."""
        dataset: Dataset = self.make()
        return dataset.load()

    @property
    def normal(self) -> tuple[Sample, ...]:
        """Return the samples that hold normal images only."""
        return (*self.split.train, *self.split.calibration)


@checks.add(needs=("factory_resolves", "options_resolve"))
def loads(subject: Subject) -> None:
    """It lists images to learn from."""
    required = [name for name, field in subject.entry.options_model().model_fields.items() if field.is_required()]
    missing = [name for name in required if name not in subject.values]
    if missing:
        raise CheckSkipped(
            f"its options {', '.join(missing)} have no default", f"pass -o {subject.spec.name}.{missing[0]}=VALUE"
        )
    if not isinstance(subject.split, DatasetSplit):
        raise CheckFailure(f"load returned {type(subject.split).__name__}", "return a DatasetSplit")
    if not subject.split.train:
        raise CheckFailure("it has no images to learn from", "put good images into train")


@checks.add()
def files_exist(subject: Subject) -> None:
    """Every image is a file that can be opened."""
    for sample in _some(subject.normal) + _some(subject.split.test):
        upright_size(sample.path)


@checks.add()
def disjoint(subject: Subject) -> None:
    """No image is in two splits, or twice in one."""
    split = subject.split
    counts = Counter(sample.path.resolve() for sample in (*split.train, *split.calibration, *split.test))
    twice = [path for path, count in counts.items() if count > 1]
    if twice:
        raise CheckFailure(
            f"{len(twice)} images are listed more than once, such as {twice[0]}", "an image belongs to one split, once"
        )


@checks.add()
def only_good_in_train(subject: Subject) -> None:
    """Images to learn from and to calibrate on are good, and say so."""
    for sample in subject.normal:
        if sample.label != 0 or sample.defect_type != "good" or sample.mask_path is not None:
            raise CheckFailure(
                f"{sample.path} is to learn from, but has label {sample.label}, type {sample.defect_type!r} and mask "
                f"{sample.mask_path}",
                "learn from good parts only",
            )


@checks.add()
def labels(subject: Subject) -> None:
    """Test labels are 0, 1 or None, and agree with the type of defect."""
    for sample in subject.split.test:
        if sample.label not in (0, 1, None) or isinstance(sample.label, bool):
            raise CheckFailure(f"{sample.path} has the label {sample.label!r}", "use 0, 1, or None where it is withheld")
        if sample.label is not None and (sample.defect_type == "good") != (sample.label == 0):
            raise CheckFailure(
                f"{sample.path} has label {sample.label} and type {sample.defect_type!r}", "good parts have label 0, others 1"
            )


@checks.add()
def masks_flag(subject: Subject) -> None:
    """`masks` tells the truth, and only defective images have one."""
    masked = [sample for sample in subject.split.test if sample.mask_path is not None]
    defective = [sample for sample in subject.split.test if sample.label == 1]
    if masked and not subject.spec.masks:
        raise CheckFailure(f"masks=False, but {len(masked)} test images have one", "say masks=True in its spec")
    if defective and subject.spec.masks and not masked:
        raise CheckFailure(f"masks=True, but none of {len(defective)} defective test images has one", "set mask_path")
    of_good = [sample.path for sample in masked if sample.label == 0]
    if of_good:
        raise CheckFailure(f"the good image {of_good[0]} has a mask", "leave mask_path None for good images")


@checks.add(when=lambda spec: spec.masks)
def masks_fit(subject: Subject) -> None:
    """A mask has the size of its image and marks something, each image its own."""
    masked = [sample for sample in subject.split.test if sample.mask_path is not None]
    counts = Counter(sample.mask_path for sample in masked)
    shared = [path for path, count in counts.items() if count > 1]
    if shared:
        raise CheckFailure(f"several images have the mask {shared[0]}", "pair masks with images by name")
    for sample in _some(masked):
        assert sample.mask_path is not None
        width, height = upright_size(sample.path)
        mask = read_mask(sample.mask_path, (height, width))
        if not mask.any():
            raise CheckFailure(
                f"the mask {sample.mask_path} of a defective image marks nothing",
                "leave mask_path None where there is no mask; every value but 0 is a defect",
            )
        if mask.all():
            raise CheckFailure(f"the mask {sample.mask_path} marks the whole image", "mark defects, not the background")


@checks.add(when=lambda spec: spec.masks)
def masks_paired(subject: Subject) -> None:
    """The name of a mask holds the name of its image, or that of the folder it lies in."""
    for sample in subject.split.test:
        if sample.mask_path is not None and sample.path.stem not in (sample.mask_path.stem, *_words(sample.mask_path)):
            if sample.mask_path.stem.startswith(sample.path.stem):
                continue
            raise CheckFailure(
                f"{sample.path.name} has the mask {sample.mask_path.name}", "pair masks with images by name, not by order"
            )


@checks.add()
def stable_order(subject: Subject) -> None:
    """The same options give the same split in the same order, whatever the shared random generators hold."""
    with seeded(1):
        first = subject.load()
    with seeded(2):
        second = subject.load()
    for name in ("train", "calibration", "test"):
        if getattr(first, name) != getattr(second, name):
            raise CheckFailure(
                f"{name} differs from one load to the next", "sort what a folder holds, and draw from a seed in the options"
            )


@checks.add()
def global_random_state(subject: Subject) -> None:
    """The shared random generators are left alone."""
    with untouched("loading"):
        subject.load()


@checks.add()
def missing_root(subject: Subject) -> None:
    """A root that is not there is an error that names it, not an empty dataset."""
    if "root" not in subject.values:
        raise CheckSkipped("it is used without a root here")
    root = subject.folder / "no_such_root"
    try:
        split = subject.make(root=root).load()
    except DatasetError as error:
        if root.name not in str(error):
            raise CheckFailure(f"the error for a missing root does not name it: {error.problem}", "name the path") from error
    else:
        if not split.train:
            raise CheckFailure("a missing root gives an empty dataset", "raise DatasetError that names the path")


def _some(samples: Sequence[Sample]) -> list[Sample]:
    """Return at most `MOST` samples, evenly spread."""
    step = max(1, -(-len(samples) // MOST))
    return list(samples[::step])


def _words(path: Path) -> tuple[str, ...]:
    return (path.parent.name, path.name)
