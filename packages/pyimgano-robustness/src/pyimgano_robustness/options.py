"""Settings of a robustness run: those of a benchmark, and under what it is repeated."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pyimgano.choice import Choice
from pyimgano.evaluation import BenchmarkConfig

DEFAULT_CORRUPTIONS = ("lighting", "jpeg", "blur", "glare", "geo_jitter")
DEFAULT_SEVERITIES = (1, 2, 3, 4, 5)


class RobustnessConfig(BenchmarkConfig):
    """What is compared on what, clean and under which corruptions."""

    corruptions: tuple[Choice, ...] = Field(
        tuple(Choice(name=name) for name in DEFAULT_CORRUPTIONS), min_length=1, description="What the test images go through."
    )
    severities: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        DEFAULT_SEVERITIES, min_length=1, description="How strongly, from 1."
    )
    jobs: int = Field(1, ge=1, le=64, description="Threads that read and corrupt images while the detector scores.")
