"""All pages of the reference, and their place in the navigation."""

from __future__ import annotations

from typing import Any

from pyimgano.discovery import installed_plugins
from pyimgano_reference import commands, components, settings
from pyimgano_reference.checks import checks_page
from pyimgano_reference.hooks import hooks_page
from pyimgano_reference.python_names import python_page

FOLDER = "reference"


def pages() -> dict[str, str]:
    """Return every page by its path below the folder of the documentation."""
    index = installed_plugins()
    found = {"models.md": components.model_index(index)}
    found |= {f"detectors/{name}.md": text for name, text in components.detector_pages(index).items()}
    found |= {f"{kind}s.md": components.kind_page(index, kind) for kind in components.KINDS}
    found |= {f"settings/{name}.md": settings.settings_page(name) for name in settings.FILES}
    found["settings/recipes.md"] = settings.recipes_page()
    found["cli/index.md"] = commands.overview_page(index)
    found |= {f"cli/{name}.md": text for name, text in commands.command_pages(index).items()}
    found["hooks.md"] = hooks_page()
    found["checks.md"] = checks_page()
    found["python.md"] = python_page()
    return {f"{FOLDER}/{name}": text for name, text in found.items()}


def navigation(found: dict[str, str]) -> list[Any]:
    """Return the entries of the reference in the navigation."""

    def below(folder: str) -> list[str]:
        return [path for path in found if path.startswith(f"{FOLDER}/{folder}/")]

    return [
        {"Model index": f"{FOLDER}/models.md"},
        {"Detectors": below("detectors")},
        *(f"{FOLDER}/{kind}s.md" for kind in components.KINDS),
        {"Settings": below("settings")},
        {"Command line": below("cli")},
        f"{FOLDER}/hooks.md",
        f"{FOLDER}/checks.md",
        f"{FOLDER}/python.md",
    ]
