"""One condition: score the test images under it once, at the thresholds that the pipeline came with."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pyimgano.contracts import Evidence, Metric, Sample
from pyimgano.errors import CalibrationError
from pyimgano.evaluation.results import AUPRO_LIMIT, results_block
from pyimgano.evaluation.split import collect_evidence
from pyimgano.images import Image, batched
from pyimgano.inference import InferenceResult, infer
from pyimgano.logs import collected_warnings
from pyimgano.pipeline import Pipeline
from pyimgano.progress import track
from pyimgano.reporting.strict_json import plain
from pyimgano_robustness.conditions import Condition, ConditionSource


@dataclass(frozen=True)
class Protocol:
    """How every condition is evaluated: what is computed, and by how many threads images are made."""

    pixel: bool = True
    aupro_limit: float = AUPRO_LIMIT
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    jobs: int = 1


def evaluate_condition(pipeline: Pipeline, test: Sequence[Sample], condition: Condition, protocol: Protocol) -> dict[str, Any]:
    """Return the record of a condition: ``images``, ``latency_ms_per_image``, ``corruption_ms_per_image`` and ``results``.

    Latency is the time that the pipeline takes, not that of reading and corrupting.

    Parameters
    ----------
    test
        All test images; the condition chooses its own.

    Raises
    ------
    CalibrationError
        If the pipeline has no image threshold.
    """
    if pipeline.score_threshold is None:
        raise CalibrationError("the pipeline has no image threshold", "calibrate it on held-out good images first")
    samples = condition.samples(test)
    source = ConditionSource(samples, condition, protocol.jobs)
    with collected_warnings() as warned:
        results, seconds = _scored(pipeline, samples, source)
        evidence, reasons = collect_evidence(pipeline, samples, results, protocol.pixel)
        block = results_block(_moved(evidence, condition), extra=protocol.metrics, aupro_limit=protocol.aupro_limit)
    block["warnings"] = [*warned, *reasons, *block["warnings"]]
    record = {
        "images": len(samples),
        "latency_ms_per_image": round(1000 * seconds / len(samples), 3),
        "corruption_ms_per_image": round(1000 * source.seconds / len(samples), 3),
        "results": block,
    }
    return plain(record)  # type: ignore[no-any-return]


def _scored(pipeline: Pipeline, samples: Sequence[Sample], source: ConditionSource) -> tuple[list[InferenceResult], float]:
    """Return results without images, and the seconds that the pipeline took."""
    size = 1 if pipeline.tiling.tile_size is not None else pipeline.detector.runtime.images_per_batch
    results: list[InferenceResult] = []
    spent = 0.0
    for batch in batched(_shown(source), size):
        started = time.perf_counter()
        scored = infer(pipeline, batch, continue_on_error=True)
        spent += time.perf_counter() - started
        for result in scored:
            sample = samples[len(results)]
            if result.error is not None:
                result.error.problem = f"{sample.path}, {source.condition.name}: {result.error.problem}"
                raise result.error
            results.append(replace(result, index=len(results), item=str(sample.path), image=None))
    return results, spent


def _shown(source: ConditionSource) -> Iterator[Image]:
    return track(source, source.condition.name, len(source.samples))


def _moved(evidence: Evidence, condition: Condition) -> Evidence:
    """Return the evidence with masks where the condition moved what they mark."""
    if evidence.truths is None or evidence.samples is None:
        return evidence
    truths = []
    for sample, truth in zip(evidence.samples, evidence.truths, strict=True):
        size = getattr(truth.anomaly_map, "source", None) or truth.anomaly_map.shape  # type: ignore[union-attr]
        truths.append(condition.truth(sample, truth, size))
    return replace(evidence, truths=truths)
