"""What a robustness run costs beside as many clean evaluations, and what a second thread for corruptions saves.

Without a folder on the line the images are generated; ``python benchmarks/robustness.py FOLDER`` takes those of the layout
``folder``. Measure on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2

from pyimgano import create_model, load_dataset
from pyimgano.calibration import CalibrationSettings
from pyimgano.contracts import DatasetSplit
from pyimgano.evaluation.results import results_block
from pyimgano.evaluation.split import collect_evidence, score_samples
from pyimgano.images import batched
from pyimgano.inference import infer
from pyimgano.pipeline import Pipeline
from pyimgano_robustness.benchmark import build_corruptions
from pyimgano_robustness.conditions import Conditions, ConditionSource
from pyimgano_robustness.evaluate import Protocol, evaluate_condition

CORRUPTIONS, SEVERITIES, LIMIT, ROUNDS = ("lighting", "jpeg", "glare", "geo_jitter"), (1, 3, 5), 1.1, 3


def main() -> None:
    cv2.setNumThreads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, nargs="?", help="folder of a dataset; left out, surfaces are made")
    root = parser.parse_args().root or Path(tempfile.mkdtemp()) / "parts"
    split = _split(root)
    print(f"{len(split.test)} test images, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    corruptions = build_corruptions(CORRUPTIONS)
    pipeline, learned = _learned(split)
    _cost(pipeline, learned, Conditions.of(corruptions, SEVERITIES, 0, root))
    few = Conditions.of(corruptions, (3,), 0, root)
    _jobs("as it is", pipeline, learned, few)
    _jobs("seeing 64 x 64 pixels", *_learned(split, resize=[64, 64]), few)


def _learned(split: DatasetSplit, **options: Any) -> tuple[Pipeline, DatasetSplit]:
    pipeline = Pipeline.around(create_model("vision_filterbank", **options))
    learned, _ = pipeline.learn(split, CalibrationSettings(), 0)
    return pipeline, learned


def _split(root: Path) -> DatasetSplit:
    if root.exists():
        return load_dataset("folder", root).load()
    return load_dataset("surface", root, train=40, test_good=20, test_defective=20, height=384, width=512).load()


def _cost(pipeline: Pipeline, split: DatasetSplit, conditions: Conditions) -> None:
    """Print processor time of a run against that of as many clean evaluations, without what the corruptions took."""

    def clean() -> None:
        evidence, _ = collect_evidence(pipeline, split.test, score_samples(pipeline, split.test))
        results_block(evidence)

    clean()
    once = min(_timed(clean, time.process_time) for _ in range(ROUNDS))
    started = time.process_time()
    records = [evaluate_condition(pipeline, split.test, condition, Protocol()) for condition in conditions]
    taken = time.process_time() - started
    corrupting = sum(record["corruption_ms_per_image"] for record in records) * len(split.test) / 1000
    ratio = (taken - corrupting) / (len(conditions) * once)
    print(f"one clean evaluation             {once:7.2f} s of processor time")
    print(f"{len(conditions)} conditions                    {taken:7.2f} s, of which corruptions {corrupting:.2f} s")
    print(f"ratio without the corruptions    {ratio:7.3f} (limit {LIMIT})")


def _jobs(name: str, pipeline: Pipeline, split: DatasetSplit, conditions: Conditions) -> None:
    """Print the wall time of scoring all conditions with one and with two threads that make images; the two take turns."""

    def run(jobs: int) -> None:
        for condition in conditions:
            source = ConditionSource(split.test, condition, jobs)
            for batch in batched(source, pipeline.detector.runtime.images_per_batch):
                infer(pipeline, batch)

    pairs = [[_timed(lambda jobs=jobs: run(jobs), time.perf_counter) for jobs in (1, 2)] for _ in range(ROUNDS)]
    one, two = (min(pair[place] for pair in pairs) for place in (0, 1))
    print(f"{name}: --jobs 1 {one:.2f} s, --jobs 2 {two:.2f} s of wall time for scoring, {one / two:.2f} times as fast")


def _timed(what: Callable[[], None], clock: Callable[[], float]) -> float:
    started = clock()
    what()
    return clock() - started


if __name__ == "__main__":
    main()
