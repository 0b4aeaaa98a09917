"""What a model loses under corruptions and real drift: means, worst cases, and one sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

METRICS = (
    "auroc",
    "average_precision",
    "f1",
    "pixel_auroc",
    "pixel_average_precision",
    "aupro",
    "pixel_segf1",
    "bg_fpr",
)
LOWER_IS_BETTER = frozenset({"bg_fpr", "false_alarm_rate", "good_image_bg_fpr"})
NAMES = {
    "auroc": "AUROC",
    "average_precision": "AP",
    "f1": "F1",
    "false_alarm_rate": "false alarms",
    "pixel_auroc": "pixel AUROC",
    "pixel_average_precision": "pixel AP",
    "aupro": "AUPRO",
    "pixel_segf1": "SegF1",
    "bg_fpr": "background FPR",
}
TOLD = ("pixel_segf1", "f1", "auroc")


class Place(NamedTuple):
    """A condition that is not the clean one, with its record; what was not made by a corruption has no severity."""

    name: str
    severity: int | None
    record: Mapping[str, Any]


def metric(record: Mapping[str, Any], name: str) -> float | None:
    """Return a metric of a condition's record at the frozen thresholds; None where it has none."""
    results = record["results"]
    for block in (results, results["metrics"], results["pixel_metrics"]):
        if block is not None and name in block:
            value: float | None = block[name]
            return value
    return None


def corrupted(robustness: Mapping[str, Any]) -> Iterator[Place]:
    """Yield every corruption of a report at every severity."""
    for name, severities in robustness["corruptions"].items():
        for key, record in severities.items():
            yield Place(name, int(key.removeprefix("severity_")), record)


def taken(robustness: Mapping[str, Any]) -> Iterator[Place]:
    """Yield every condition of a report that images were taken under, the reference left out."""
    for name, record in robustness.get("conditions", {}).items():
        yield Place(f"{robustness['condition_key']}={name}", None, record)


def loss(name: str, clean: float, value: float) -> float:
    """Return by how much a value is worse than the clean one; below 0 where it is better."""
    return value - clean if name in LOWER_IS_BETTER else clean - value


def summarise(robustness: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Return the block ``robustness_summary`` of a report.

    A mean is taken over the corrupted conditions that have the metric. A drop is by how much it is worse than clean, whichever
    way is better; the worst is the one with the largest drop. Conditions that images were taken under have the same four
    numbers with ``condition`` in the place of ``corruption``, where there are any.
    """
    clean = robustness["clean"]
    kinds = {"corruption": list(corrupted(robustness)), "condition": list(taken(robustness))}
    summary: dict[str, Any] = {}
    for name in METRICS:
        summary[f"clean_{name}"] = metric(clean, name)
        for kind, found in kinds.items():
            values = [value for place in found if (value := metric(place.record, name)) is not None]
            if found or kind == "corruption":
                summary |= _of_metric(kind, name, metric(clean, name), values)
    latencies = [place.record["latency_ms_per_image"] for place in kinds["corruption"]]
    summary["clean_latency_ms_per_image"] = clean["latency_ms_per_image"]
    summary["mean_corruption_latency_ms_per_image"] = sum(latencies) / len(latencies) if latencies else None
    return {**summary, "sentence": sentence(robustness, model)}


def _of_metric(kind: str, name: str, clean: float | None, values: list[float]) -> dict[str, float | None]:
    mean = sum(values) / len(values) if values else None
    worst = None if not values else max(values) if name in LOWER_IS_BETTER else min(values)
    known = clean is not None and mean is not None and worst is not None
    return {
        f"mean_{kind}_{name}": mean,
        f"worst_{kind}_{name}": worst,
        f"mean_{kind}_drop_{name}": loss(name, clean, mean) if known else None,  # type: ignore[arg-type]
        f"worst_{kind}_drop_{name}": loss(name, clean, worst) if known else None,  # type: ignore[arg-type]
    }


def sentence(robustness: Mapping[str, Any], model: str) -> str:
    """Return where a model loses most, by SegF1, or F1 or AUROC where there is none."""
    others = [*corrupted(robustness), *taken(robustness)]
    for name in TOLD:
        clean = metric(robustness["clean"], name)
        known = [(value, place) for place in others if (value := metric(place.record, name)) is not None]
        if clean is None or not known:
            continue
        value, worst = min(known, key=lambda pair: pair[0])
        if value >= clean:
            return f"{model} loses no {NAMES[name]} under any condition: {clean:.3f} and more"
        change = f"{NAMES[name]} {clean:.3f} -> {value:.3f}"
        return f"{model} loses most under {worst.name}: {change}" + (f" at severity {worst.severity}" if worst.severity else "")
    return f"{model} has no metric to compare"
