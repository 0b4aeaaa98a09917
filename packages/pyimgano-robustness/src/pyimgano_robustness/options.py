"""Settings of a robustness run: those of a benchmark, and under what it is repeated."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from pyimgano.choice import Choice
from pyimgano.evaluation import BenchmarkConfig
from pyimgano.preprocessing import IlluminationOptions

DEFAULT_CORRUPTIONS = ("lighting", "jpeg", "blur", "glare", "geo_jitter")
DEFAULT_SEVERITIES = (1, 2, 3, 4, 5)
DEFAULT_REMEDY = IlluminationOptions(white_balance="gray_world", homomorphic=True)
"""What `compare_preprocessing` compares with where no preprocessing was chosen."""


class RobustnessConfig(BenchmarkConfig):
    """What is compared on what, clean and under which corruptions and real conditions."""

    corruptions: tuple[Choice, ...] | None = Field(
        None,
        description="What the test images go through; by default five, and none where images have conditions of their own.",
    )
    severities: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        DEFAULT_SEVERITIES, min_length=1, description="How strongly, from 1."
    )
    condition_key: str | None = Field(
        None,
        min_length=1,
        description="What tells under what an image was taken: 'condition' in a manifest, 'lighting' in mvtec_ad2.",
    )
    calibrate_on: str | None = Field(
        None,
        min_length=1,
        description="The condition to learn from and to calibrate on; may be left out where training images have one.",
    )
    compare_preprocessing: bool = Field(
        False,
        description="Do everything without preprocessing and with it; where none is set, with gray-world white balance and "
        "homomorphic filtering.",
    )
    limit_test: int | None = Field(
        None, ge=2, description="Test on at most this many images of each condition, good and defective in proportion."
    )
    jobs: int = Field(1, ge=1, le=64, description="Threads that read and corrupt images while the detector scores.")

    @model_validator(mode="after")
    def _something_to_test(self) -> Self:
        if self.calibrate_on is not None and self.condition_key is None:
            raise ValueError("calibrate_on says which condition, and condition_key has to say what tells conditions apart")
        if self.corruptions == () and self.condition_key is None:
            raise ValueError("there are neither corruptions nor a condition_key: there is nothing to test under")
        return self

    @property
    def chosen_corruptions(self) -> tuple[Choice, ...]:
        """Return the corruptions, or what they are where nobody chose any."""
        if self.corruptions is not None:
            return self.corruptions
        return default_corruptions(self.condition_key)


def default_corruptions(condition_key: str | None) -> tuple[Choice, ...]:
    """Return what images go through where nobody chose any: nothing where they have conditions of their own."""
    return tuple(Choice(name=name) for name in DEFAULT_CORRUPTIONS) if condition_key is None else ()
