"""What preprocessing gains and loses: the same benchmark without it and with it, condition by condition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pyimgano.preprocessing import IlluminationOptions
from pyimgano_robustness.summary import METRICS, NAMES, TOLD, Place, corrupted, loss, metric, taken

CLEAN = "clean"
COMPARED = (*METRICS, "false_alarm_rate")


def compared(off: Mapping[str, Any], on: Mapping[str, Any], preprocessing: IlluminationOptions) -> dict[str, Any]:
    """Return two blocks ``robustness`` beside each other.

    Parameters
    ----------
    off, on
        Without and with preprocessing, under the same conditions.
    preprocessing
        What was done.

    Returns
    -------
    dict
        ``preprocessing`` (what of it is not the default), ``sentence``, and by name and metric ``conditions``: the means over
        severities ``off`` and ``on``, and the ``gain``, which is above 0 where preprocessing helps, whichever way is better.
    """
    chosen = preprocessing.model_dump(exclude_defaults=True)
    before, after = _means(off), _means(on)
    conditions = {name: {key: _pair(key, values[key], after[name][key]) for key in COMPARED} for name, values in before.items()}
    return {"preprocessing": chosen, "conditions": conditions, "sentence": _sentence(conditions, chosen)}


def _means(robustness: Mapping[str, Any]) -> dict[str, dict[str, float | None]]:
    """Return the mean of every metric over the severities of every condition."""
    by_name: dict[str, list[Mapping[str, Any]]] = {CLEAN: [robustness["clean"]]}
    places: Iterable[Place] = (*corrupted(robustness), *taken(robustness))
    for place in places:
        by_name.setdefault(place.name, []).append(place.record)
    return {name: {key: _mean(records, key) for key in COMPARED} for name, records in by_name.items()}


def _mean(records: list[Mapping[str, Any]], name: str) -> float | None:
    values = [value for record in records if (value := metric(record, name)) is not None]
    return sum(values) / len(values) if values else None


def _pair(name: str, off: float | None, on: float | None) -> dict[str, float | None]:
    return {"off": off, "on": on, "gain": None if off is None or on is None else loss(name, on, off)}


def _sentence(conditions: Mapping[str, Mapping[str, Mapping[str, float | None]]], chosen: Mapping[str, Any]) -> str:
    """Return what is gained and lost, by SegF1, or F1 or AUROC where there is none."""
    with_it = f"with {describe(chosen)}"
    for key in TOLD:
        gains = {name: gain for name, values in conditions.items() if (gain := values[key]["gain"]) is not None}
        if CLEAN not in gains or len(gains) < 2:
            continue
        clean = gains.pop(CLEAN)
        ranked = sorted(gains.items(), key=lambda pair: -pair[1])
        changes = ", ".join(f"{gain:+.3f} under {name}" for name, gain in ranked)
        return f"{with_it}, {NAMES[key]} changes by {changes}, and by {clean:+.3f} on clean images (means over severities)"
    return f"{with_it}, there is no metric to compare"


def describe(chosen: Mapping[str, Any]) -> str:
    """Return preprocessing in words, such as ``homomorphic and white_balance=gray_world``."""
    parts = [name if value is True else f"{name}={value}" for name, value in sorted(chosen.items())]
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts) or "no preprocessing"
