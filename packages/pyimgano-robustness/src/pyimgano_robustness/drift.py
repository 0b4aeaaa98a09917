"""Real drift: images that were taken under several conditions, of which the detector learns one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pyimgano.contracts import DatasetSplit, Sample
from pyimgano.datasets.files import natural
from pyimgano.datasets.splits import sample_evenly
from pyimgano.errors import DatasetError, OptionsError, suggestion


@dataclass(frozen=True)
class RealDrift:
    """The conditions of a dataset.

    Attributes
    ----------
    key
        What `Sample.meta` calls them, such as ``condition`` or ``lighting``.
    reference
        The one that the detector learns and is calibrated on.
    others
        Those that test images were taken under besides.
    """

    key: str
    reference: str
    others: tuple[str, ...]

    @classmethod
    def of(cls, split: DatasetSplit, key: str, reference: str | None = None) -> RealDrift:
        """Return the conditions of a split; without `reference` it is the only one of the training images.

        A split without training images is one for a pipeline that has learned already.

        Raises
        ------
        DatasetError
            For images without a condition, for a reference without images, and where there is nothing to compare it with.
        OptionsError
            If the training images do not have one condition and `reference` does not say which.
        """
        _check_all_have(key, (*split.train, *split.calibration, *split.test))
        trained, tested = (_conditions(samples, key) for samples in (split.train, split.test))
        listing = f"{key} of the training images: {', '.join(trained) or 'none'}; of the test images: {', '.join(tested)}"
        if reference is None and len(trained) != 1:
            raise OptionsError(
                f"the training images were taken under {len(trained) or 'no'} conditions, and none was chosen",
                f"choose one with --calibrate-on; {listing}",
            )
        reference = reference if reference is not None else trained[0]
        for role, found in (("training", trained), ("test", tested)):
            if found and reference not in found:
                hint = suggestion(reference, found)
                raise DatasetError(f"no {role} image has the {key} {reference!r}", f"{hint} {listing}".strip())
        others = tuple(name for name in tested if name != reference)
        if not others:
            raise DatasetError(
                f"every test image has the {key} {reference!r}", "add images of another condition to the test set"
            )
        return cls(key, reference, others)

    def select(self, split: DatasetSplit) -> DatasetSplit:
        """Return the split with training and calibration images of the reference only, and test images of all conditions."""
        return replace(
            split, train=self.under(split.train, self.reference), calibration=self.under(split.calibration, self.reference)
        )

    def under(self, samples: Sequence[Sample], condition: str) -> tuple[Sample, ...]:
        """Return the samples that were taken under a condition."""
        return tuple(sample for sample in samples if condition_of(sample, self.key) == condition)

    def limit_test(self, split: DatasetSplit, limit: int, seed: int) -> DatasetSplit:
        """Return the split with at most `limit` test images of each condition, good and defective in proportion."""
        kept: list[Sample] = []
        for condition in (self.reference, *self.others):
            samples = self.under(split.test, condition)
            kept += sample_evenly(samples, [sample.label for sample in samples], limit, seed)
        chosen = {sample.path for sample in kept}
        return replace(split, test=tuple(sample for sample in split.test if sample.path in chosen))


def condition_of(sample: Sample, key: str) -> str | None:
    """Return the condition that a sample was taken under; None where nobody knows."""
    value = sample.meta.get(key)
    return None if value is None else str(value)


def _conditions(samples: Sequence[Sample], key: str) -> list[str]:
    """Return the conditions of samples in natural order."""
    return sorted({str(sample.meta[key]) for sample in samples}, key=lambda name: natural(Path(name)))


def _check_all_have(key: str, samples: Sequence[Sample]) -> None:
    without = [sample for sample in samples if condition_of(sample, key) is None]
    if not without:
        return
    known = sorted({name for sample in samples for name in sample.meta})
    listing = f"what is known of images: {', '.join(known)}" if known else "nothing is known of any image of this dataset"
    raise DatasetError(
        f"{len(without)} of {len(samples)} images have no {key!r}, the first is {without[0].path}",
        f"{suggestion(key, known)} {listing}; a manifest has a column 'condition'".strip(),
    )
