"""The page of one model: the whole run, then each of its categories."""

from __future__ import annotations

from dataclasses import dataclass

from pyimgano.reporting.pages import pictures, tables
from pyimgano.reporting.pages import vocabulary as words
from pyimgano.reporting.pages.records import Report
from pyimgano.reporting.pages.saved_run import Category, Run


@dataclass(frozen=True)
class Numbers:
    """A report in words and tables."""

    report: Report
    verdict: str
    warnings: tuple[str, ...]
    cards: tuple[tables.Card, ...]
    groups: tuple[tables.Group, ...]


@dataclass(frozen=True)
class Section:
    """What there is beyond the numbers of a category; `anchor` is its id in the page."""

    anchor: str
    numbers: Numbers
    figures: tuple[pictures.Figure, ...]
    defect_types: tuple[tables.Line, ...]
    galleries: tuple[pictures.Gallery, ...]


@dataclass(frozen=True)
class Page:
    """A run: the whole, and its categories."""

    name: str
    whole: Numbers
    sections: tuple[Section, ...]
    categories: tuple[tables.Line, ...]

    @property
    def several(self) -> bool:
        """Tell whether the whole is more than its only category."""
        return len(self.sections) > 1


def build(run: Run) -> Page:
    """Return the page of a run."""
    sections = tuple(_section(category, f"c{number}") for number, category in enumerate(run.categories, 1))
    overview = tables.categories([category.report for category in run.categories])
    return Page(words.short(run.report.model), _numbers(run.report), sections, overview)


def _numbers(report: Report) -> Numbers:
    warnings = tables.all_warnings(report)
    return Numbers(
        report,
        words.verdict(report),
        tables.listed(warnings, report.categories, report.failed),
        tables.cards(report, warnings),
        tables.groups(report, warnings),
    )


def _section(category: Category, anchor: str) -> Section:
    warnings = tables.all_warnings(category.report)
    return Section(
        anchor,
        _numbers(category.report),
        pictures.draw(category, anchor, warnings),
        tables.defect_types(category.report, warnings),
        pictures.galleries(category),
    )
