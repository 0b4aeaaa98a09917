"""The figures of a benchmark's report as SVG for one HTML page: curves and score histograms, drawn by matplotlib.

Text stays text in the reader's own font, ids carry a prefix because many figures share a document, and the same numbers give
the same bytes.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

INK, GREY, PALE = "#1b1f24", "#5b6570", "#d8dee4"
GOOD, DEFECT = "#0072b2", "#d55e00"  # Okabe and Ito 2008: told apart without colour vision too
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#1b1f24")  # of the same authors
MARKERS = "osD^vXPp*<>hd"
SIZE = (5.0, 4.1)  # inches of 72 units: text of 13 units is readable from 330 px on
LOG_RATIO = 20.0
BINS = 26

STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "pyimgano",
    "font.size": 13,
    "axes.labelsize": 13,
    "xtick.labelsize": 12,
    "ytick.labelsize": 12,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": PALE,
    "grid.linewidth": 0.8,
    "hatch.linewidth": 1.0,
    "text.parse_math": False,
}
FONTS = "system-ui, sans-serif"

Floats = NDArray[np.float64]
Point = tuple[float, float]


def roc_figure(truth: NDArray[np.bool_], scores: Floats, point: Point | None, prefix: str) -> str:
    """Return the ROC curve; `truth` (N,) of both classes, `point` the (false-alarm rate, recall) to mark."""
    true, false = _counts(truth, scores)

    def draw(figure: Figure) -> None:
        axes = _square(figure, "false-alarm rate", "recall")
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate("guessing", (0.72, 0.72), (6, -6), textcoords="offset points", color=GREY, va="top")
        axes.plot(false / false[-1], true / true[-1], color=GOOD, linewidth=2.2)
        if point is not None:
            _mark(axes, point, ("at the threshold:", f"recall {point[1]:.3f}", f"false-alarm rate {point[0]:.3f}"))

    return _drawn(draw, prefix, "ROC curve: recall against false-alarm rate")


def precision_recall_figure(truth: NDArray[np.bool_], scores: Floats, point: Point | None, prefix: str) -> str:
    """Return the precision-recall curve in steps, whose area is the average precision; `point` is (recall, precision)."""
    true, false = _counts(truth, scores)
    recall, precision = true[1:] / true[-1], true[1:] / (true[1:] + false[1:])
    chance = float(truth.mean())

    def draw(figure: Figure) -> None:
        axes = _square(figure, "recall", "precision")
        axes.axhline(chance, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        shift, side = ((0, -5), "top") if chance > 0.15 else ((0, 5), "bottom")
        axes.annotate("guessing", (0.02, chance), shift, textcoords="offset points", color=GREY, va=side)
        axes.step(np.r_[0, recall], np.r_[precision[:1], precision], where="pre", color=GOOD, linewidth=2.2)
        if point is not None:
            _mark(axes, point, ("at the threshold:", f"recall {point[0]:.3f}", f"precision {point[1]:.3f}"))

    return _drawn(draw, prefix, "Precision-recall curve")


def pro_figure(fpr: Sequence[float], pro: Sequence[float], limit: float | None, prefix: str) -> str:
    """Return the curve of per-region overlap against the false-positive rate of pixels, filled up to `limit`."""
    x, y = np.asarray(fpr, np.float64), np.asarray(pro, np.float64)
    end = min(1.0, 2 * limit) if limit else 1.0

    def draw(figure: Figure) -> None:
        axes = _square(figure, "false-positive rate of pixels", "per-region overlap", end)
        axes.plot(x, y, color=GOOD, linewidth=2.2)
        if limit is not None and x.size:
            inside = np.r_[x[x < limit], limit]
            axes.fill_between(inside, np.interp(inside, x, y), color=GOOD, alpha=0.15, linewidth=0)
            axes.axvline(limit, color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
            shift, side = ((6, 6), "left") if limit < 0.9 * end else ((-6, 6), "right")
            axes.annotate(f"limit {limit:g}", (limit, 0), shift, textcoords="offset points", ha=side)

    return _drawn(draw, prefix, "PRO curve: per-region overlap against false-positive rate")


def score_figure(truth: NDArray[np.bool_], scores: Floats, threshold: float | None, interval: Point | None, prefix: str) -> str:
    """Return histograms of good and of defective images, one above the other; what the threshold calls wrong is hatched.

    A bin never straddles the threshold, so that every bar lies wholly on the side where its images are called.
    """
    log = (
        scores.size > 0
        and scores.min() > 0
        and scores.max() > LOG_RATIO * scores.min()
        and (threshold is None or threshold > 0)
    )
    edges, places = _bins(np.log10(scores) if log else scores, _maybe_log(threshold, log))
    edges = 10**edges if log else edges

    def draw(figure: Figure) -> None:
        panels = figure.subplots(2, 1, sharex=True)
        figure.subplots_adjust(left=0.135, right=0.975, top=0.9, bottom=0.145, hspace=0.34)
        for axes, kind, colour in zip(panels, (False, True), (GOOD, DEFECT), strict=True):
            heights = np.bincount(places[truth == kind], minlength=len(edges) - 1)
            _bars(axes, edges, heights, colour, threshold, wrong_above=not kind)
            _threshold_line(axes, threshold, interval)
            axes.set_title(_title(truth, scores, threshold, kind), loc="left", fontsize=13, color=colour, pad=5)
        if log:
            axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))
        if not log:
            axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel("score, log scale" if log else "score")
        axes.set_xlim(edges[0], edges[-1])
        figure.supylabel("images", x=0.005, fontsize=13)

    return _drawn(draw, prefix, "Histograms of the scores of good and of defective images")


def severity_figure(lines: Mapping[str, Mapping[int, float]], clean: float, metric: str, prefix: str) -> str:
    """Return how a metric changes with severity, a line per corruption that starts at the clean value at severity 0."""

    def draw(figure: Figure) -> None:
        axes = figure.add_axes((0.135, 0.145, 0.56, 0.825))
        axes.axhline(clean, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        for number, (name, values) in enumerate(lines.items()):
            marker, colour = MARKERS[number % len(MARKERS)], COLOURS[number % len(COLOURS)]
            places = [0, *values]
            axes.plot(places, [clean, *values.values()], color=colour, marker=marker, markersize=5, linewidth=1.8, label=name)
        axes.set(xlabel="severity", ylabel=metric, ylim=(-0.02, 1.03))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y")
        figure.legend(loc="center left", bbox_to_anchor=(0.7, 0.55), frameon=False, fontsize=10, handlelength=1.6)

    return _drawn(draw, prefix, f"{metric} against severity, a line per corruption")


def _title(truth: NDArray[np.bool_], scores: Floats, threshold: float | None, defective: bool) -> str:
    own = scores[truth == defective]
    name = f"{own.size} {'defective' if defective else 'good'}"
    if threshold is None or not own.size:
        return name if own.size else f"no {name[2:]} images"
    wrong = int((own <= threshold).sum() if defective else (own > threshold).sum())
    words = "missed" if defective else "false alarm" if wrong == 1 else "false alarms"
    return f"{name}, {wrong or 'no' if not defective else wrong or 'none'} {words}" + (" (hatched)" if wrong else "")


def _maybe_log(value: float | None, log: bool) -> float | None:
    return float(np.log10(value)) if log and value is not None else value


def _bins(values: Floats, anchor: float | None) -> tuple[Floats, NDArray[np.intp]]:
    """Return bin edges, one of them at `anchor`, and each value's bin; a bin holds its upper edge, as ``score > value`` is."""
    reach = values if anchor is None else np.r_[values, anchor]
    low, high = (float(reach.min()), float(reach.max())) if reach.size else (0.0, 1.0)
    width = ((high - low) or abs(high) or 1.0) / BINS
    start = low if anchor is None else float(anchor)
    places = np.ceil((values - start) / width).astype(np.intp)
    first = min(int(np.floor((low - start) / width)), int(places.min(initial=0))) - 1
    last = max(int(np.ceil((high - start) / width)), int(places.max(initial=0))) + 1
    return np.asarray(start + width * np.arange(first, last + 1), np.float64), places - first - 1


def _bars(
    axes: Axes, edges: Floats, heights: NDArray[np.intp], colour: str, threshold: float | None, wrong_above: bool
) -> None:
    middles = (edges[1:] + edges[:-1]) / 2
    wrong = np.zeros(len(heights), bool) if threshold is None else (middles > threshold) == wrong_above
    for chosen, face, hatch in ((~wrong, colour, ""), (wrong, "white", "////")):
        kept = chosen & (heights > 0)
        place = edges[:-1][kept], heights[kept], np.diff(edges)[kept]
        axes.bar(*place, align="edge", facecolor=face, edgecolor=colour, hatch=hatch, linewidth=0.8)
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.set_ylim(0, max(int(heights.max(initial=0)), 1) * 1.08)
    axes.grid(axis="y")


def _threshold_line(axes: Axes, threshold: float | None, interval: Point | None) -> None:
    if interval is not None:
        axes.axvspan(*interval, color=PALE, linewidth=0, zorder=0)
    if threshold is not None:
        axes.axvline(threshold, color=INK, linewidth=1.6, linestyle=(0, (4, 2)))


def _counts(truth: NDArray[np.bool_], scores: Floats) -> tuple[Floats, Floats]:
    """Return defective and good images at or above each distinct score, from the highest down, after a first (0, 0)."""
    order = np.argsort(-scores, kind="stable")
    last = np.r_[np.flatnonzero(np.diff(scores[order])), len(scores) - 1]
    hits = truth[order]
    return np.r_[0.0, np.cumsum(hits)[last]], np.r_[0.0, np.cumsum(~hits)[last]]


def _square(figure: Figure, x: str, y: str, end: float = 1.0) -> Axes:
    axes = figure.add_axes((0.135, 0.145, 0.83, 0.825))
    axes.set(xlabel=x, ylabel=y, xlim=(-0.02 * end, 1.02 * end), ylim=(-0.02, 1.03))
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.grid()
    return axes


def _mark(axes: Axes, point: Point, lines: Sequence[str]) -> None:
    """Mark an operating point and name it, towards the middle of the axes."""
    axes.plot(*point, marker="o", markersize=9, color=DEFECT, markeredgecolor="white", markeredgewidth=1.5, clip_on=False)
    left, high = point[0] < 0.5, point[1] > 0.5
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
    for number, line in enumerate(lines):
        down = -10 - 16 * number if high else 10 + 16 * (len(lines) - 1 - number)
        shift, side = ((10, down), "left") if left else ((-10, down), "right")
        axes.annotate(line, point, shift, textcoords="offset points", ha=side, va="top" if high else "bottom", bbox=box)


def _drawn(draw: Callable[[Figure], None], prefix: str, title: str) -> str:
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)  # type: ignore[arg-type,unused-ignore]
        figure = Figure(figsize=SIZE, facecolor="none")
        FigureCanvasSVG(figure)
        draw(figure)
        page = io.StringIO()
        figure.savefig(page, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _inline(page.getvalue(), prefix, title)


def _inline(page: str, prefix: str, title: str) -> str:
    """Return matplotlib's document as an element of a page: no prolog, no metadata, own ids, as wide as its place."""
    svg = page[page.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda found: f' id="{prefix}-{found[1]}"' if found[1] in used else "", svg)
    svg = re.sub(r'(url\(|href=")#', rf"\g<1>#{prefix}-", svg)
    svg = re.sub(r"'DejaVu Sans'.*?sans-serif", FONTS, svg)
    box = re.search(r'viewBox="[^"]*"', svg)
    assert box is not None
    name = html.escape(title)
    head = f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" {box[0]} role="img" aria-label="{name}"><title>{name}</title>'
    return head + svg[svg.index(">") + 1 :].strip()
