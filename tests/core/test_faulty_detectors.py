"""What a detector's author gets wrong is said in words, with the place in the author's file and never as a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pyimgano import Runtime
from pyimgano.errors import DetectorError

SPOT = """
import numpy as np
from pyimgano import AnomalyMap, Detector, ImageScore, hookimpl
from pyimgano.options import Options
from pyimgano.specs import DetectorSpec


class SpotOptions(Options):
    pass


@hookimpl
def register_detectors():
    return [DetectorSpec(name="acme_spot", summary="Spots", factory="acme_spot:Spot", options="acme_spot:SpotOptions")]


class Spot(Detector):
    def _fit(self, images):
        self.level_ = np.mean([image.mean() for image in images])

    def _score(self, images):
        grids = [abs(image.mean(axis=2) - self.level_)[::2, ::2] for image in images]
        return [ImageScore(grid.max(), AnomalyMap(grid, image.shape[:2])) for grid, image in zip(grids, images)]

    def state(self):
        return {"level": np.array(self.level_)}

    def load_state(self, arrays):
        self.level_ = float(arrays["level"])
        self.mark_fitted()
"""
RESULTS = "return [ImageScore"
FAULTS = {
    # what is changed, the error, and its next step
    "a misspelt method": (
        ("def _score(", "def _scores("),
        "acme-spot:acme_spot: acme_spot:Spot lacks the method _score",
        "write _score() (did you mean _scores?)",
    ),
    "a constructor of its own": (
        ("    def _fit", "    def __init__(self):\n        self.level_ = 0\n\n    def _fit"),
        "acme-spot:acme_spot cannot be made: TypeError: Spot.__init__() takes 1 positional argument but 3 were given",
        "write __init__(self, options, runtime) and call super().__init__(options, runtime)",
    ),
    "a constructor that forgets its base class": (
        ("    def _fit", "    def __init__(self, options, runtime):\n        self.level_ = 0\n\n    def _fit"),
        "acme_spot: __init__ of Spot does not call that of its base class",
        "begin it with super().__init__(options, runtime)",
    ),
    "no base class": (
        ("class Spot(Detector)", "class Spot"),
        "acme-spot:acme_spot cannot be made: TypeError: Spot() takes no arguments",
        "derive its class from that of pyimgano.contracts",
    ),
    "a factory that is misspelt": (
        ('acme_spot:Spot"', 'acme_spot:Spott"'),
        "acme-spot:acme_spot: acme_spot has no Spott",
        "did you mean Spot? correct 'acme_spot:Spott' in its spec",
    ),
    "no state": (
        ('return {"level": np', '{"level": np'),
        "Spot.state returned NoneType, not a dict",
        "state must return a dict of numpy arrays",
    ),
    "a state of words": (
        ("np.array(self.level_)}", "None}"),
        "Spot.state gave 'level' as NoneType, not an array of numbers",
        "state must return a dict of numpy arrays",
    ),
    "a grid of three axes": (
        ("AnomalyMap(grid,", "AnomalyMap(image,"),
        "an anomaly map must be (h, w) and not empty, got shape (96, 128, 3)",
        "give AnomalyMap a grid of two axes",
    ),
    "options of another kind": (
        ("class SpotOptions(Options):", "class SpotOptions:"),
        "acme-spot:acme_spot: acme_spot:SpotOptions is no subclass of pyimgano.options.Options",
        "derive the options model from it",
    ),
    "an array for a map": (
        ("AnomalyMap(grid, image.shape[:2])", "grid"),
        "Spot gave image 0 of the batch ndarray for a map",
        "write ImageScore(score, AnomalyMap(grid, image.shape[:2]))",
    ),
    "the size of the grid for that of the image": (
        ("AnomalyMap(grid, image.shape[:2])", "AnomalyMap(grid, grid.shape)"),
        "Spot gave an image of 96 x 128 pixels the map of one of 48 x 64",
        "write AnomalyMap(grid, image.shape[:2])",
    ),
    "swapped axes": (
        ("AnomalyMap(grid, image.shape[:2])", "AnomalyMap(grid, image.shape[1::-1])"),
        "Spot gave an image of 96 x 128 pixels the map of one of 128 x 96",
        "write AnomalyMap(grid, image.shape[:2])",
    ),
    "one answer too few": (
        ("zip(grids, images)]", "zip(grids[1:], images)]"),
        "Spot returned 0 results for 1 images",
        "_score must return a list with one ImageScore per image",
    ),
    "no answer": ((RESULTS, "[ImageScore"), "Spot._score returned NoneType, not a list", "_score must return a list"),
    "an error while it learns": (
        ("image.mean() for", "image.maen() for"),
        "acme-spot:acme_spot failed: AttributeError: 'numpy.ndarray' object has no attribute 'maen'",
        "--debug",
    ),
    "an error inside a library": (
        ("np.mean([image.mean() for image in images])", "np.concatenate([])"),
        "acme-spot:acme_spot failed: ValueError: need at least one array to concatenate",
        "--debug",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_a_detector_is_told_in_words(cli: Callable, tmp_path: Path, surface_root: Path, fault: str) -> None:
    (old, new), error, step = FAULTS[fault]
    assert SPOT.count(old) == 1
    plugin = tmp_path / "acme_spot.py"
    plugin.write_text(SPOT.replace(old, new), encoding="utf-8")
    line = ["train", "--dataset", "folder", "--root", surface_root, "--model", "acme_spot", "--batch-size", 8]
    done = cli("--plugin", plugin, *line, "--export-deploy-bundle", tmp_path / "spot.bundle")
    assert done.code == 2
    assert error in done.err
    assert step in done.err.partition("Next:")[2]
    assert "Traceback" not in done.err
    if "failed: " in error:
        assert f"({tmp_path.name}/acme_spot.py, line 19)" in done.err


def test_a_state_without_its_mark_or_array_says_what_load_state_must_do(
    cli: Callable, tmp_path: Path, surface_root: Path
) -> None:
    plugin = tmp_path / "acme_spot.py"
    bundle = tmp_path / "spot.bundle"
    plugin.write_text(SPOT, encoding="utf-8")
    line = ["train", "--dataset", "folder", "--root", surface_root, "--model", "acme_spot"]
    assert cli("--plugin", plugin, *line, "--export-deploy-bundle", bundle).code == 0
    for old, new, words in (
        ("        self.mark_fitted()\n", "", "end its load_state() with self.mark_fitted()"),
        ('arrays["level"]', 'arrays["levels"]', "its load_state() asks for more than its state() returned"),
        ("class SpotOptions(Options):\n    pass", "class SpotOptions(Options):\n    side: int", "or train again"),
    ):
        plugin.write_text(SPOT.replace(old, new), encoding="utf-8")
        del sys.modules["acme_spot"]
        done = cli("--plugin", plugin, "infer", "--bundle", bundle, "--input", surface_root / "test")
        assert done.code == 2
        assert words in done.err


def test_an_error_that_nobody_foresaw_is_two_lines_and_its_traceback_is_for_the_asking(
    cli: Callable, shell: Callable, tmp_path: Path
) -> None:
    plugin = tmp_path / "acme_rows.py"
    plugin.write_text(
        "from pyimgano import hookimpl\n"
        "from pyimgano.contracts import Dataset\n"
        "from pyimgano.specs import DatasetSpec\n"
        "@hookimpl\ndef register_datasets():\n"
        "    return [DatasetSpec(name='acme_rows', summary='Rows', factory='acme_rows:Rows')]\n"
        "class Rows(Dataset):\n    def load(self):\n        return {}['rows']\n",
        encoding="utf-8",
    )
    line = ["--plugin", plugin, "train", "--dataset", "acme_rows", "--model", "vision_filterbank", "--output", tmp_path / "run"]
    done = cli(*line)
    assert (done.code, done.err.count("\n")) == (1, 2)
    assert f"Error: KeyError: 'rows' ({tmp_path.name}/acme_rows.py, line 9)" in done.err
    assert "Next:  run it again with --debug for the traceback" in done.err
    assert "Traceback" in shell("-m", "pyimgano", "--debug", *line).err


@pytest.mark.parametrize(
    ("asked", "here", "chosen"),
    [("auto", True, "cuda"), ("auto", False, "cpu"), ("cpu", True, "cpu"), ("cuda:1", True, "cuda:1")],
)
def test_auto_is_cuda_where_it_is_there_and_anything_else_is_as_asked(asked: str, here: bool, chosen: str) -> None:
    assert Runtime(device=asked).chosen_device(has_cuda=here) == chosen


def test_a_device_that_is_not_there_is_never_replaced_by_another() -> None:
    with pytest.raises(DetectorError, match="device 'cuda' was asked for") as caught:
        Runtime(device="cuda").chosen_device(has_cuda=False)
    assert caught.value.next_step == "use --device cpu"
