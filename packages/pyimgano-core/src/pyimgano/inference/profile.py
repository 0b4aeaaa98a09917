"""Where the seconds of a run go, stage by stage."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from pyimgano.contracts import ImageScore
from pyimgano.errors import PyimganoError
from pyimgano.images import ImageLike
from pyimgano.pipeline import Pipeline
from pyimgano.postprocess.step import PostprocessStep

T = TypeVar("T")

STAGES = {
    "load": "load the model",
    "read": "wait for images: read, decode",
    "score": "prepare and score",
    "render": "render maps and overlays",
    "save": "encode and save files",
    "write": "write records, wait for files",
    "sheet": "draw the contact sheet",
    "other": "everything else",
}
"""What each stage is, in the order of a run."""


class Stopwatch:
    """Counts wall seconds by stage. A stage within another pauses it, so that the stages of one thread never overlap.

    Seconds of the thread that made the watch add up to no more than the wall's; those of other threads run beside them and are
    counted apart.
    """

    def __init__(self) -> None:
        self._owner = threading.get_ident()
        self._began = time.perf_counter()
        self._main: Counter[str] = Counter()
        self._beside: Counter[str] = Counter()
        self._local = threading.local()
        self._lock = threading.Lock()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the seconds of the block, less those of stages within it."""
        inside: list[float] = self._local.__dict__.setdefault("inside", [])
        inside.append(0.0)
        began = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - began
            own = took - inside.pop()
            if inside:
                inside[-1] += took
            with self._lock:
                (self._main if threading.get_ident() == self._owner else self._beside)[name] += own  # type: ignore[assignment]

    def timed(self, name: str, items: Iterator[T]) -> Iterator[T]:
        """Yield `items`; waiting for each is a stage."""
        while True:
            with self.stage(name):
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item
            del item  # it may hold a large image, and the next one is made before the name is given anew

    def report(self, images: int) -> dict[str, Any]:
        """Return the profile up to now, for `images` results, as JSON.

        ``stages`` are seconds of wall time: they add up to ``wall_seconds``. ``threads`` are the seconds of the writing threads
        together, which run beside the stages. ``images_per_second`` is what a stage would do if it were the only one; the run's
        own leaves loading out.
        """
        with self._lock:
            wall = time.perf_counter() - self._began
            main: dict[str, float] = {**self._main, "other": max(0.0, wall - sum(self._main.values()))}
            beside = dict(self._beside)
        loading = main.get("load", 0.0)
        stages = {
            name: {
                "seconds": main[name],
                "share": main[name] / wall,
                "images_per_second": _rate(images, main[name]) if name not in ("load", "other") else None,
            }
            for name in STAGES
            if name in main
        }
        return {
            "images": images,
            "wall_seconds": wall,
            "images_per_second": _rate(images, wall - loading),
            "stages": stages,
            "threads": {name: beside[name] for name in STAGES if name in beside},
        }


def _rate(images: int, seconds: float) -> float | None:
    return images / seconds if images and seconds > 0 else None


def profile_rows(report: dict[str, Any]) -> list[list[str]]:
    """Return the rows of a report's table: stage, seconds, share of the wall, images per second."""
    rows = [
        [STAGES[name], f"{stage['seconds']:.2f}", f"{stage['share']:.0%}", _shown(stage["images_per_second"])]
        for name, stage in report["stages"].items()
    ]
    rows.append(["all", f"{report['wall_seconds']:.2f}", "100%", f"{_shown(report['images_per_second'])} without loading"])
    rows += [[f"beside, in threads: {STAGES[name]}", f"{seconds:.2f}", "", ""] for name, seconds in report["threads"].items()]
    return rows


def _shown(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.1f}"


@dataclass
class TimedPipeline(Pipeline):
    """A pipeline that counts what is done to decoded images, preparing and postprocessing included, as scoring."""

    watch: Stopwatch = field(default_factory=Stopwatch)

    @classmethod
    def of(cls, pipeline: Pipeline, watch: Stopwatch) -> TimedPipeline:
        """Return the pipeline with a watch."""
        return cls(**{each.name: getattr(pipeline, each.name) for each in fields(pipeline)}, watch=watch)

    def _score_batch(self, images: Sequence[ImageLike], steps: Sequence[PostprocessStep]) -> list[ImageScore | PyimganoError]:
        with self.watch.stage("score"):
            return super()._score_batch(images, steps)
