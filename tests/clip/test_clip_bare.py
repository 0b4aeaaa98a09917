"""The plugin as its specs describe it: listed and shown without torch, and honest about what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from pyimgano.discovery import requirements
from pyimgano.errors import MissingDependencyError
from pyimgano.registry import create_model

DETECTORS = ("vision_openclip_patchknn", "vision_openclip_promptscore", "vision_winclip")
HEAVY = "{'torch', 'open_clip', 'timm', 'cv2', 'numpy', 'faiss'}"


def installed_as(site: Path, name: str, version: str) -> None:
    """Put the metadata of a distribution in front of those that are installed."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")


def test_it_is_listed_with_its_detectors(cli: Callable) -> None:
    (line,) = [line.split() for line in cli("list-plugins").out.splitlines() if line.startswith("pyimgano-models-clip")]
    assert line[3:] == ["4", "detectors"]
    names = [row["name"] for row in json.loads(cli("list-models", "--tag", "clip", "--json").out)]
    assert set(names) == {*DETECTORS, "winclip"}


@pytest.mark.parametrize("name", DETECTORS)
def test_showing_a_detector_imports_nothing_heavy(shell: Callable, name: str) -> None:
    code = (
        "import sys; from pyimgano.cli.app import main\n"
        f"try: main(['show', 'detector', '{name}'])\n"
        f"finally: print(sorted({HEAVY} & set(sys.modules)), file=sys.stderr)"
    )
    done = shell("-c", code)
    assert done.code == 0, done.err
    assert "ViT-B-16-plus-240" in done.out
    assert done.err.strip().endswith("[]")


def test_describing_it_imports_no_options_either(shell: Callable) -> None:
    code = (
        "import sys, pyimgano_clip.plugin as p; assert len(p.register_detectors()) == 4;"
        f"assert not ({HEAVY} | {{'pydantic', 'yaml'}}) & set(sys.modules), sorted(sys.modules)"
    )
    done = shell("-c", code)
    assert done.code == 0, done.err


def test_an_older_open_clip_is_named_with_the_command(cli: Callable, site: Path) -> None:
    installed_as(site, "open-clip-torch", "2.20.0")
    requirements._version.cache_clear()
    assert metadata.version("open-clip-torch") == "2.20.0"
    listed = cli("list-plugins").out
    assert "needs open-clip-torch>=3.0, but 2.20.0 is installed" in listed
    assert "install" in next(line for line in listed.splitlines() if line.strip().startswith("fix"))
    assert '"open-clip-torch>=3.0"' in listed
    with pytest.raises(MissingDependencyError, match=r"needs open-clip-torch>=3\.0, but 2\.20\.0 is installed") as caught:
        create_model("vision_winclip")
    assert "open-clip-torch>=3.0" in caught.value.next_step


def test_without_open_clip_the_command_comes_from_the_metadata(cli: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    found = metadata.version

    def version(name: str) -> str:
        if name == "open-clip-torch":
            raise metadata.PackageNotFoundError(name)
        return found(name)

    monkeypatch.setattr(metadata, "version", version)
    requirements._version.cache_clear()
    listed = cli("list-plugins", "--strict")
    assert listed.code == 1
    assert "needs open-clip-torch>=3.0, which is not installed" in listed.out
    with pytest.raises(MissingDependencyError, match="which is not installed"):
        create_model("vision_openclip_promptscore")
    assert cli("show", "detector", "vision_winclip").code == 0
