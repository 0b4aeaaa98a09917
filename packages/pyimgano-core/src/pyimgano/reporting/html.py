"""The benchmark's report as one HTML file, rendered from a run's folder alone: no network, no script, no second file."""

from __future__ import annotations

import importlib
import logging
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pyimgano.discovery.requirements import install_command
from pyimgano.errors import MissingDependencyError
from pyimgano.reporting.files import write_whole

if TYPE_CHECKING:
    from jinja2 import Environment

logger = logging.getLogger(__name__)

FILE = "report.html"


def write_html(folder: Path) -> Path:
    """Render ``report.html`` into the folder of a benchmark's run and return its path.

    Where the folder compares several models, the page links to theirs, which are rendered too.

    Parameters
    ----------
    folder
        Holds ``report.json`` and the files that it names; nothing outside it is read.

    Raises
    ------
    MissingDependencyError
        jinja2 or matplotlib is not installed.
    OutputError
        A file is missing or not as the benchmark writes it, or the page cannot be written.
    """
    _check_extra()
    from pyimgano.reporting.pages import comparison, run
    from pyimgano.reporting.pages.saved_run import is_comparison, read_run

    if not is_comparison(folder):
        return _write(folder, "report.html.j2", run.build(read_run(folder)))
    page = comparison.build(folder)
    for model in page.models:
        if model.run is not None:
            _write(model.run.folder, "report.html.j2", run.build(model.run))
    return _write(folder, "comparison.html.j2", page)


def write_html_where_possible(folder: Path) -> Path | None:
    """Render the page as `write_html` does; without jinja2 or matplotlib warn, with the command, and return None."""
    try:
        return write_html(folder)
    except MissingDependencyError as error:
        logger.warning("%s; everything else is in %s. Next: %s", error.problem, folder, error.next_step)
        return None


def _write(folder: Path, template: str, page: object) -> Path:
    target = folder / FILE
    write_whole(target, _templates().get_template(template).render(page=page).encode("utf-8", "replace"))
    return target


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from pyimgano.reporting.pages import metrics, tables, vocabulary

    templates = Environment(
        loader=PackageLoader("pyimgano.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"rate": vocabulary.rate, "text": vocabulary.text}
    templates.globals |= {"Notes": tables.Notes, "metrics": metrics.BY_KEY, "tables": tables, "words": vocabulary}
    return templates


def _check_extra() -> None:
    for module in ("jinja2", "matplotlib"):
        try:
            importlib.import_module(module)
        except ImportError:
            fix = f"{install_command('pyimgano-core[report]')}, then run the same command again"
            raise MissingDependencyError(f"{FILE} needs jinja2 and matplotlib", fix) from None
