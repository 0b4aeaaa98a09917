"""A plugin file as written, or with one thing changed, and what the kit finds in it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from pyimgano.discovery import Selection, discover
from pyimgano.testing import Result, Settings
from pyimgano.testing.images import defective, textures
from pyimgano.testing.run import trials

GOOD = (Path(__file__).parent / "good_plugin.py").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def parts_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder of the layout that the plugin's dataset reads; its files end in .PNG as those of some cameras do."""
    root = tmp_path_factory.mktemp("parts")
    good, bad = textures(6), [defective(image, n) for n, image in enumerate(textures(3, first=10))]
    for folder in ("good", "test", "masks", "bad"):
        (root / folder).mkdir()
    for number, image in enumerate(good):
        PillowImage.fromarray(image).save(root / ("good" if number < 4 else "test") / f"ok{number}.PNG")
    for number, image in enumerate(bad):
        PillowImage.fromarray(image).save(root / "test" / f"bump{number}.PNG")
        PillowImage.fromarray(image).save(root / "bad" / f"bump{number}.PNG")
        mask = np.uint8(255) * (image[:, :, 2] < 70)
        PillowImage.fromarray(mask).save(root / "masks" / f"bump{number}.png")
    PillowImage.fromarray(np.zeros((64, 96), np.uint8)).save(root / "empty.png")
    return root


@pytest.fixture
def examined(tmp_path: Path, parts_root: Path) -> Iterator[Callable[..., list[Result]]]:
    """Return what the kit finds about one component of the plugin, after texts of its file were replaced."""
    written = []

    def examine(component: str, *changes: tuple[str, str], **settings: object) -> list[Result]:
        code = GOOD
        for old, new in changes:
            assert code.count(old) == 1, f"{old!r} is {code.count(old)} times in the plugin"
            code = code.replace(old, new)
        path = tmp_path / "acme_parts.py"
        path.write_text(code, encoding="utf-8")
        written.append(path.stem)
        sys.modules.pop(path.stem, None)
        given = Settings(options={"acme_parts": {"root": str(parts_root)}}, **settings)
        index = discover(Selection(allow=(), files=(str(path),)))
        found = trials("acme-parts", given, index=index)
        return [trial.result() for trial in found if trial.target.name in (component, "acme-parts")]

    yield examine
    for name in written:
        sys.modules.pop(name, None)
