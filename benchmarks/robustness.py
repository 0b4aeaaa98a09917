"""What a robustness run costs beside as many clean evaluations, less the time that the corruptions themselves take."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import cv2

from pyimgano import create_model, load_dataset
from pyimgano.calibration import CalibrationSettings
from pyimgano.evaluation.results import results_block
from pyimgano.evaluation.split import collect_evidence, score_samples
from pyimgano.pipeline import Pipeline
from pyimgano_robustness.benchmark import build_corruptions
from pyimgano_robustness.conditions import conditions_of
from pyimgano_robustness.evaluate import Protocol, evaluate_condition

CORRUPTIONS, SEVERITIES, LIMIT = ("lighting", "jpeg", "glare", "geo_jitter"), (1, 3, 5), 1.1


def main() -> None:
    cv2.setNumThreads(1)
    root = Path(tempfile.mkdtemp()) / "parts"
    split = load_dataset("surface", root, train=40, test_good=20, test_defective=20, height=384, width=512).load()
    pipeline = Pipeline.around(create_model("vision_filterbank"))
    split, _ = pipeline.learn(split, CalibrationSettings(), 0)

    def clean() -> None:
        evidence, _ = collect_evidence(pipeline, split.test, score_samples(pipeline, split.test))
        results_block(evidence)

    clean()
    times = []
    for _ in range(3):
        started = time.process_time()
        clean()
        times.append(time.process_time() - started)
    conditions = conditions_of(build_corruptions(CORRUPTIONS), SEVERITIES, 0, root)
    started = time.process_time()
    records = [evaluate_condition(pipeline, split.test, condition, Protocol()) for condition in conditions]
    taken = time.process_time() - started
    corrupting = sum(record["corruption_ms_per_image"] for record in records) * len(split.test) / 1000
    ratio = (taken - corrupting) / (len(conditions) * min(times))
    print(f"one clean evaluation             {min(times):7.2f} s of processor time")
    print(f"{len(conditions)} conditions                    {taken:7.2f} s, of which corruptions {corrupting:.2f} s")
    print(f"ratio without the corruptions    {ratio:7.3f} (limit {LIMIT})")


if __name__ == "__main__":
    main()
