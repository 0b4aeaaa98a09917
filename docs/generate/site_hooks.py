"""What MkDocs calls while it builds the site: the reference is generated, and nothing may be fetched from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pyimgano_reference.pages import FOLDER, navigation, pages
from site_html import description, listed_tables, whole_names

FETCHED = re.compile(r"<(?:script|img|iframe)[^>]+src=\"https?:|<link[^>]+rel=\"(?:stylesheet|preconnect)\"[^>]*href=\"https?:")
_PAGES: dict[str, str] = {}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the generated pages where the navigation says ``reference``."""
    _PAGES.update(pages())
    _fill(config.nav, navigation(_PAGES))
    return config


def _fill(nav: Any, entries: list[Any]) -> None:
    for section in nav:
        for name, content in section.items() if isinstance(section, dict) else ():
            if content == FOLDER:
                section[name] = entries
            elif isinstance(content, list) and FOLDER in content:
                place = content.index(FOLDER)
                content[place : place + 1] = entries


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for path, text in _PAGES.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Leave the words of links that lead out of the documentation to files of the repository; name blocks for readers."""
    depth = page.file.src_uri.count("/")
    inside = re.sub(rf"(?<!!)\[([^]]+)\]\((?:\.\./){{{depth + 1}}}[^)]*\)", r"\1", markdown)
    return inside.replace(' title="install"', "").replace(' title="prints"', ' title="It prints, among others"')


def on_page_content(html: str, *, page: Page, **_: Any) -> str:
    """Give the page a description, and its code and tables a shape that fits a phone."""
    page.meta.setdefault("description", description(html))
    return listed_tables(whole_names(html))


def on_post_template(output_content: str, **_: Any) -> str:
    """Say on the page of a lost link how to go on."""
    return output_content.replace(
        "Not found</h1>", "Not found</h1>\n<p>There is no such page. The search and the menu lead on.</p>"
    )


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a site that fetches scripts, styles, fonts or pictures from another host."""
    for page in Path(config.site_dir).rglob("*.html"):
        found = FETCHED.search(page.read_text(encoding="utf-8"))
        if found:
            raise PluginError(f"{page} fetches from another host: {found[0]}")
