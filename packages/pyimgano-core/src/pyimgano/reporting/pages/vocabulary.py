"""The words of a benchmark's report: metrics, thresholds and verdicts in plain language, and how numbers are written."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pyimgano.reporting.pages.records import Images, Number, Report, Results, Table, Threshold, WorstImage

DASH = "\N{EN DASH}"


def rate(value: Number | None) -> str:
    """Write a share or an area with three decimals, one below 0.01 with three digits; only a true 1 reads as 1."""
    if value is None:
        return DASH
    if 0 < abs(value) < 1e-6:
        return f"{value:.2e}"
    if 0 < abs(value) < 0.01:
        return f"{value:.{2 - math.floor(math.log10(abs(value)))}f}"
    if 0.9995 <= value < 1:
        return f"{value:.4f}" if value < 0.9999 else ">0.9999"
    return f"{value:.3f}"


def score(value: Number | None) -> str:
    """Write a raw score with four digits."""
    return DASH if value is None else f"{value:.4g}"


def count(value: Number | None) -> str:
    """Write a whole number, thousands apart."""
    return DASH if value is None else f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def seconds(value: Number | None) -> str:
    """Write a duration."""
    if value is None:
        return DASH
    return f"{value / 60:.1f} min" if value >= 600 else f"{value:.3g} s" if value < 100 else f"{value:.0f} s"


def milliseconds(value: Number | None) -> str:
    """Write the time that one image takes."""
    return DASH if value is None else f"{value:.3g} ms"


def any_metric(value: Number | None) -> str:
    """Write a metric of unknown range."""
    return rate(value) if value is None or 0 <= value <= 1 else score(value)


def origin(threshold: Threshold | None) -> str:
    """Say where a threshold came from, as the end of a sentence."""
    if threshold is None:
        return "of unrecorded origin"
    if threshold.source != "calibration":
        return {"explicit": "set by hand", "infer_config": "set in infer_config.json"}.get(threshold.source, threshold.source)
    images = threshold.calibration_count or threshold.calibration_map_count
    return f"fixed on {plural(images, 'held-out good image')}" if images else "fixed on held-out good images"


def method(threshold: Threshold) -> str:
    """Say how a threshold was found."""
    q = "a" if threshold.q is None else f"the {threshold.q:g}"
    share = "a" if threshold.quantile is None else f"the {threshold.quantile:.3g}"
    factor = "some" if threshold.factor is None else f"{threshold.factor:g}"
    words = {
        "split_conformal": f"split-conformal: {share} quantile of held-out scores, which bounds the false-alarm rate",
        "maximum": "the largest of the held-out scores",
        "quantile": f"{share} quantile of the held-out scores",
        "normal_pixel_quantile": f"{q} quantile of normal pixels",
        "mean_std": f"mean of normal pixels plus {factor} standard deviations",
        "scaled_quantile": f"{q} quantile of normal pixels, times {factor}",
        "fixed": "none: the value was set",
    }
    return words.get(threshold.method, threshold.method)


def provenance(threshold: Threshold | None) -> dict[str, str]:
    """Return everything known about a threshold, by label; without one, the same labels with dashes."""
    known = threshold or Threshold(value=0.0)
    images = known.calibration_count or known.calibration_map_count
    pixels = known.calibration_pixel_count
    counted = [plural(images, "image") if images else "", f"{count(pixels)} pixels" if pixels else ""]
    quantile = known.quantile if known.method == "quantile" else known.q
    asked = [
        f"false-alarm rate {known.false_alarm_rate:g}" if known.false_alarm_rate is not None else "",
        f"quantile {quantile:g}" if quantile is not None else "",
    ]
    lines = {
        "Value": score(known.value),
        "Method": method(known),
        "Source": {"calibration": "held-out good images"}.get(known.source, origin(known)),
        "Split": known.split,
        "Calibrated on": ", ".join(filter(None, counted)),
        "Asked for": ", ".join(filter(None, asked)),
        "95 % interval": f"{score(known.interval[0])} to {score(known.interval[1])}" if known.interval else None,
        "Chain fingerprint": known.chain,
        "Warning": known.warning,
    }
    return {label: DASH if threshold is None else value or DASH for label, value in lines.items()}


def threshold_value(report: Report, kind: Literal["image", "pixel"]) -> Number | None:
    """Return the threshold that the results were taken at."""
    record: Threshold | None = getattr(report.thresholds, kind)
    if record is not None:
        return record.value
    return report.results.threshold if kind == "image" else (report.results.pixel_metrics or {}).get("pixel_threshold")


def at_threshold(report: Report, kind: Literal["image", "pixel"]) -> str:
    """Say at which threshold the results were taken, and where it came from."""
    value = threshold_value(report, kind)
    if value is not None:
        return f"at the threshold {score(value)}, {origin(getattr(report.thresholds, kind))}"
    return "at each category's own threshold" if len(report.categories) > 1 else "at a threshold"


def types_basis(report: Report) -> str:
    """Say which thresholds the table of defect types depends on."""
    image, pixel = (threshold_value(report, kind) is not None for kind in ("image", "pixel"))
    recall = f"Recall is taken {at_threshold(report, 'image')}. " if image else ""
    regions = f"Region recall and SegF1 are taken {at_threshold(report, 'pixel')}, " if pixel else ""
    return recall + (f"{regions}over the images of the type and all good ones." if pixel else "")


def verdict(report: Report) -> str:
    """Say in one sentence what the numbers mean for a line."""
    metrics, several = report.results.metrics, len(report.categories)
    if metrics is None:
        if report.results.auroc is None:
            return "There is no image threshold, so no part was called good or defective."
        share = rate(report.results.auroc)
        return f"There is no image threshold, so no part was called; a defective part outscores a good one with chance {share}."
    tp, fn, fp, tn = counts(report.results)
    where = (
        f"At the thresholds fixed for each of {several} categories"
        if several > 1
        else f"At the threshold {origin(report.thresholds.image)}"
    )
    found = f"{tp} of {plural(tp + fn, 'defective part')} {'was' if tp == 1 else 'were'} found"
    alarms = f"{fp} of {plural(fp + tn, 'good part')} {'was' if fp == 1 else 'were'} called defective"
    if not tp + fn:
        return f"{where}, {alarms}; no defective part was tested."
    return f"{where}, {found} and {alarms}." if fp + tn else f"{where}, {found}; no good part was tested."


def counts(results: Results) -> tuple[int, int, int, int]:
    """Return found, missed, falsely alarmed and passed images; zeros where there was no threshold."""
    found = results.metrics or {}
    tp, fn, fp, tn = (int(found.get(name) or 0) for name in ("tp", "fn", "fp", "tn"))
    return tp, fn, fp, tn


def call(image: WorstImage, threshold: Number | None) -> tuple[str, str]:
    """Say what became of one image, and the comparison that decided it."""
    if image.called is None or threshold is None:
        return "Not called", f"score {score(image.score)}, no threshold"
    sign = ">" if image.score > threshold else "\N{LESS-THAN OR EQUAL TO}"
    close = score(image.score) == score(threshold)
    numbers = (f"{value:.8g}" if close else score(value) for value in (image.score, threshold))
    outcome = {(1, 1): "Found", (1, 0): "Missed", (0, 1): "False alarm", (0, 0): "Passed"}[image.truth, image.called]
    return outcome, f"score {f' {sign} threshold '.join(numbers)}"


@dataclass(frozen=True)
class Mistakes:
    """How a gallery of images is called: with mistakes, without, without a threshold, and without images."""

    title: str
    none: str
    unknown: str
    empty: str
    close: str


MISSES = Mistakes(
    "Worst misses",
    "nothing was missed",
    "Defective parts of lowest score",
    "There are no defective images.",
    "The defective parts of lowest score.",
)
FALSE_ALARMS = Mistakes(
    "Worst false alarms",
    "no false alarm",
    "Good parts of highest score",
    "There are no good images.",
    "The good parts of highest score.",
)


def images(found: Images) -> str:
    """Say how many images there were, and what for."""
    roles = {"to learn from": found.train, "to calibrate on": found.calibration, "to test on": found.test}
    parts = [f"{count(number)} {role}" for role, number in roles.items() if number is not None]
    tested = [f"{count(n)} {kind}" for kind, n in (("good", found.good), ("defective", found.defective)) if n is not None]
    return "Images: " + ", ".join(parts) + (f" ({', '.join(tested)})" if tested else "")


def plural(number: int, noun: str) -> str:
    """Write a number with its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def short(name: str) -> str:
    """Return a component's name without its plugin."""
    return name.rpartition(":")[2]


def pieces(name: str) -> list[str]:
    """Return a name in the parts between which a line may break."""
    return re.split("(?<=[,=_/:.-])", name)


def text(value: Any) -> str:
    """Write a setting for a reader."""
    if value is None:
        return DASH
    if isinstance(value, Mapping) and value:
        return ", ".join(f"{key}={text(item)}" for key, item in value.items())
    if isinstance(value, list) and value:
        return ", ".join(text(item) for item in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


STAGES = {"fit_s": "Fitting", "calibrate_s": "Calibrating", "score_s": "Scoring the test images"}


def times(timing: Table) -> list[tuple[str, str]]:
    """Return how long each stage took, and one image."""
    found = [(label, seconds(timing.get(key))) for key, label in STAGES.items()]
    return [*found, ("One image", milliseconds(timing.get("ms_per_image")))]


def steps(postprocess: Sequence[Mapping[str, Any]]) -> list[tuple[str, Any]]:
    """Return each step between the model and the thresholds with its options."""
    return [(short(str(step.get("name", DASH))), step.get("options") or "default options") for step in postprocess]


def environment(found: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return versions of everything, flat: what ran, libraries, plugins."""
    rows: list[tuple[str, Any]] = []
    for name, value in sorted(found.items(), key=lambda item: isinstance(item[1], Mapping)):
        for key, item in value.items() if isinstance(value, Mapping) else ((name, value),):
            plugin = isinstance(item, Mapping) and "version" in item
            rows.append((key, f"{item['version']}, {text(item.get('status'))}" if plugin else item))
    return rows
