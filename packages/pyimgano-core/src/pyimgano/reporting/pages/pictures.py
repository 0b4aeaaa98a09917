"""The pictures of a category: its figures, and the strips of the images that went most wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyimgano.reporting import figures
from pyimgano.reporting.pages import vocabulary as words
from pyimgano.reporting.pages.metrics import BY_KEY
from pyimgano.reporting.pages.records import WorstImage
from pyimgano.reporting.pages.saved_run import Category, Picture, read_picture

Warnings = Sequence[str]


@dataclass(frozen=True)
class Figure:
    """A figure as SVG, or the reason why there is none."""

    title: str
    caption: str
    svg: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Strip:
    """An image with its map and mask, and what became of it."""

    record: WorstImage
    outcome: str
    comparison: str
    wrong: bool
    pictures: tuple[tuple[str, Picture], ...]


@dataclass(frozen=True)
class Gallery:
    """The strips of one kind of error under a title that says whether there was any."""

    title: str
    text: str
    strips: tuple[Strip, ...]


def draw(category: Category, anchor: str, warnings: Warnings) -> tuple[Figure, ...]:
    """Return ROC, PR, score and PRO figures; `anchor` makes their ids unique in the page."""
    return (*_curves(category, anchor, warnings), _scores(category, anchor), _pro(category, anchor, warnings))


def galleries(category: Category) -> tuple[Gallery, ...]:
    """Return the worst misses and the worst false alarms, or the closest calls where nothing went wrong."""
    worst, counts = category.report.worst, words.counts(category.report.results)
    return (
        _gallery(category, worst.misses, words.MISSES, counts[1]),
        _gallery(category, worst.false_alarms, words.FALSE_ALARMS, counts[2]),
    )


def _gallery(category: Category, records: Sequence[WorstImage], kind: words.Mistakes, number: int) -> Gallery:
    strips = tuple(_strip(category, record) for record in records)
    if not strips:
        return Gallery(kind.title, kind.empty, ())
    if any(record.called is None for record in records):
        return Gallery(kind.unknown, "There is no threshold, so nothing was called.", strips)
    if not any(strip.wrong for strip in strips):
        return Gallery(f"Closest calls: {kind.none}", kind.close, strips)
    shown = sum(strip.wrong for strip in strips)
    rest = "" if shown >= number else f" {shown} of {number} are shown."
    return Gallery(kind.title, kind.close + rest, strips)


def _curves(category: Category, anchor: str, warnings: Warnings) -> tuple[Figure, Figure]:
    results, scores = category.report.results, category.scores
    at = results.metrics or {}
    captions = (f"Area (image AUROC) {words.rate(results.auroc)}.", f"Area (image AP) {words.rate(results.average_precision)}.")
    roc, pr = ("ROC curve", "Precision-recall curve")
    if scores is None or scores.truth.all() or not scores.truth.any():
        problem = BY_KEY["auroc"].reason(results, warnings) or "the test images are all good or all defective"
        problem = "per_image.jsonl is missing" if scores is None else problem
        return Figure(roc, captions[0], problem=problem), Figure(pr, captions[1], problem=problem)
    recall, alarms, precision = (at.get(name) for name in ("recall", "false_alarm_rate", "precision"))
    on_roc = None if recall is None or alarms is None else (alarms, recall)
    on_pr = None if recall is None or precision is None else (recall, precision)
    return (
        Figure(roc, captions[0], figures.roc_figure(scores.truth, scores.values, on_roc, f"{anchor}-roc")),
        Figure(pr, captions[1], figures.precision_recall_figure(scores.truth, scores.values, on_pr, f"{anchor}-pr")),
    )


def _scores(category: Category, anchor: str) -> Figure:
    report, scores = category.report, category.scores
    if scores is None or not scores.values.size:
        return Figure("Scores", "", problem="per_image.jsonl is missing or empty")
    record = report.thresholds.image
    threshold, interval = words.threshold_value(report, "image"), record.interval if record else None
    caption = "Good images above, defective ones below. "
    if threshold is not None:
        caption += f"Dashed line: threshold {words.score(threshold)}, {words.origin(record)}."
    if interval is not None:
        caption += f" Grey band: its 95 % interval, {words.score(interval[0])} to {words.score(interval[1])}."
    svg = figures.score_figure(scores.truth, scores.values, threshold, interval, f"{anchor}-scores")
    return Figure("Scores", caption, svg)


def _pro(category: Category, anchor: str, warnings: Warnings) -> Figure:
    results, curve = category.report.results, category.report.curves.pro
    limit = (results.pixel_metrics or {}).get("aupro_limit")
    caption = f"Area up to the limit (AUPRO) {words.rate(BY_KEY['aupro'].value(results))}."
    if curve is None:
        problem = BY_KEY["aupro"].reason(results, warnings) or "the run stored no curve"
        return Figure("PRO curve", caption, problem=problem)
    return Figure("PRO curve", caption, figures.pro_figure(curve.fpr, curve.pro, limit, f"{anchor}-pro"))


def _strip(category: Category, record: WorstImage) -> Strip:
    kinds = (("image", record.panels.image), ("map", record.panels.map), ("mask", record.panels.mask))
    found = ((kind, read_picture(category.folder, name)) for kind, name in kinds)
    pictures = tuple((kind, picture) for kind, picture in found if picture is not None)
    threshold = words.threshold_value(category.report, "image")
    wrong = record.called is not None and record.called != record.truth
    return Strip(record, *words.call(record, threshold), wrong, pictures)
