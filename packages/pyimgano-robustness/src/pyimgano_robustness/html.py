"""The report of a robustness run as one HTML file: no network, no script, no second file."""

from __future__ import annotations

import importlib
import logging
from pathlib import Path

from pyimgano.discovery.requirements import install_command
from pyimgano.reporting.files import write_whole

logger = logging.getLogger(f"pyimgano.{__name__}")

FILE = "report.html"
NEEDED = ("jinja2", "matplotlib")


def write_html_where_possible(folder: Path) -> Path | None:
    """Render ``report.html`` into the folder of a run and return its path; without jinja2 or matplotlib warn and return None.

    Raises
    ------
    OutputError
        If the report is missing or not as a robustness run writes it, or the page cannot be written.
    """
    if not all(_is_there(name) for name in NEEDED):
        logger.warning("%s needs jinja2 and matplotlib. Next: %s", FILE, install_command("pyimgano-robustness[report]"))
        return None
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    from pyimgano_robustness.page import build

    loader = ChoiceLoader([PackageLoader("pyimgano_robustness"), PackageLoader("pyimgano.reporting")])
    templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = templates.get_template("robustness.html.j2").render(sections=build(folder))
    write_whole(folder / FILE, page.encode("utf-8", "replace"))
    return folder / FILE


def _is_there(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True
