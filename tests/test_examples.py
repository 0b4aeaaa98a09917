"""The examples do what they say, on small surfaces in the layout of MVTec AD."""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from pyimgano import load_dataset

EXAMPLES = Path(__file__).parents[1] / "examples"
ACME = EXAMPLES / "acme-scratch-detector" / "src" / "acme_scratch_detector"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a root with one category."""
    folder = tmp_path_factory.mktemp("mvtec")
    load_dataset("surface", folder / "metal", train=25, test_good=6, test_defective=9, height=96, width=96).load()
    return folder


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run an example as a script and return what it printed."""

    def run(name: str, *arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_softpatch_and_patchcore_are_compared_on_a_category(example: Callable, root: Path) -> None:
    printed = example("softpatch_on_mvtec.py", "--root", root, "--category", "metal", "--side", 64)
    numbers = re.findall(r"^(\w+): image AUROC (\d\.\d+), SegF1 (\d\.\d+), AUPRO (\d\.\d+)$", printed, re.M)
    assert [name for name, *_ in numbers] == ["vision_patchcore", "vision_softpatch"]
    assert all(float(auroc) > 0.8 and float(aupro) > 0.5 for _, auroc, _, aupro in numbers)


def test_models_are_ranked_by_what_they_find_on_pixels(example: Callable, root: Path, tmp_path: Path) -> None:
    printed = example("compare_models.py", "--root", root, "--side", 64, "--save-run", tmp_path / "run")
    found = [float(value) for value in re.findall(r"SegF1 (\d\.\d+)", printed)]
    assert len(found) == 3
    assert found == sorted(found, reverse=True)
    assert found[0] > 0
    assert (tmp_path / "run" / "report.json").is_file()


def test_a_small_defect_on_a_large_image_is_listed_where_it_is(example: Callable, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("good/0", "good/1", "good/2", "good/3", "large"):
        surface = cv2.GaussianBlur(rng.normal(128, 40, (700, 900, 3)), (0, 0), 2)
        if name == "large":
            cv2.circle(surface, (600, 300), 9, (10, 10, 10), -1)
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), surface.clip(0, 255).astype(np.uint8))
    printed = example("tiled_inference.py", "--good", tmp_path / "good", "--image", tmp_path / "large.png", "--tile", 256)
    assert "large.png: score" in printed.splitlines()[0]
    assert printed.splitlines()[0].endswith("defective")
    left, right, top, bottom = map(int, re.search(r"columns (\d+) to (\d+), rows (\d+) to (\d+)", printed).groups())
    assert left < 600 < right
    assert top < 300 < bottom


def test_the_third_partys_detector_in_one_file_is_the_packaged_one() -> None:
    single = (EXAMPLES / "acme_scratch.py").read_text(encoding="utf-8")
    for module, name in (("options", "ScratchOptions"), ("detector", "ScratchDetector")):
        packaged = (ACME / f"{module}.py").read_text(encoding="utf-8")
        assert packaged[packaged.index(f"class {name}") :].rstrip() in single


def test_the_third_partys_file_trains(cli: Callable, root: Path, tmp_path: Path) -> None:
    flags = ["--root", root / "metal", "--model", "acme_scratch", "-o", "directions=4", "--resize", 64, 64]
    done = cli("--plugin", EXAMPLES / "acme_scratch.py", "train", *flags, "--export-deploy-bundle", tmp_path / "out")
    assert done.code == 0, done.err
