"""Datasets: every way to lay out a folder wrongly is answered with the right place, and synthetic ones are reproducible."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage

from pyimgano.datasets.options import SurfaceOptions
from pyimgano.datasets.surface import draw_surface
from pyimgano.errors import DatasetError, ImageError, MissingDependencyError, OptionsError, PyimganoError
from pyimgano.images import read
from pyimgano.registry import load_dataset

TINY = {"train": 4, "test_good": 2, "test_defective": 6, "height": 64, "width": 80}


def put(path: Path, size: tuple[int, int] = (20, 10), **settings: Any) -> Path:
    """Write a small image, (width, height), with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.new("L", size).save(path, **settings)
    return path


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Give a whole folder dataset: 2 good images, and a good one and 2 types of defect to test on, with masks."""
    root = tmp_path / "parts"
    for name in ("train/good/0.png", "train/good/1.png", "test/good/0.png", "test/crack/0.png", "test/dirt/7.png"):
        put(root / name)
    put(root / "ground_truth/crack/0_mask.png")
    put(root / "ground_truth/dirt/7.png")
    return root


def refused(root: Path, **options: Any) -> PyimganoError:
    """Return the error that loading a folder dataset gives; it has a next step."""
    with pytest.raises((DatasetError, ImageError)) as caught:
        load_dataset("folder", root, **options).load()
    assert caught.value.next_step
    return caught.value


# Folders


def test_a_folder_is_read_with_labels_types_and_masks(parts: Path) -> None:
    split = load_dataset("folder", parts).load()
    assert [sample.path for sample in split.train] == [parts / "train/good/0.png", parts / "train/good/1.png"]
    assert {sample.label for sample in split.train} == {0}
    assert split.calibration == ()
    assert [(sample.path, sample.label, sample.defect_type, sample.mask_path) for sample in split.test] == [
        (parts / "test/crack/0.png", 1, "crack", parts / "ground_truth/crack/0_mask.png"),
        (parts / "test/dirt/7.png", 1, "dirt", parts / "ground_truth/dirt/7.png"),
        (parts / "test/good/0.png", 0, "good", None),
    ]


def test_good_images_alone_are_enough(tmp_path: Path) -> None:
    put(tmp_path / "train/good/0.png")
    split = load_dataset("folder", tmp_path).load()
    assert (len(split.train), split.test) == (1, ())


def test_files_are_in_natural_order_whatever_their_suffix(tmp_path: Path) -> None:
    names = ["img2.png", "img10.PNG", "img10a.JPG", "img100.bmp", "x1_2.TIFF", "x1_10.webp", "x02.jpeg"]
    for name in reversed(names):
        put(tmp_path / "train/good" / name)
    assert [sample.path.name for sample in load_dataset("folder", tmp_path).load().train] == names


def test_what_file_managers_leave_behind_is_ignored(parts: Path) -> None:
    before = load_dataset("folder", parts).load()
    for folder in ("train/good", "test/good", "test/crack", "ground_truth/crack", "test", "ground_truth", "train", "."):
        for name in ("Thumbs.db", ".DS_Store", "._0.png", ".hidden.png", "notes.txt"):
            (parts / folder / name).write_bytes(b"junk")
    put(parts / "test/.ipynb_checkpoints/0-checkpoint.png")
    (parts / "train/good/nested.png").mkdir()
    assert load_dataset("folder", parts).load() == before


def test_a_root_that_is_not_there_suggests_its_neighbour(parts: Path) -> None:
    error = refused(parts.parent / "prats")
    assert f"{parts.parent / 'prats'} does not exist" in error.problem
    assert error.next_step == "did you mean parts?"


def test_a_root_without_neighbours_is_still_named(tmp_path: Path) -> None:
    assert refused(tmp_path / "no" / "where").problem == f"dataset root {tmp_path / 'no' / 'where'} does not exist"


def test_a_root_that_is_a_file_says_so(parts: Path) -> None:
    assert "is a file, not a folder" in refused(parts / "train/good/0.png").problem


@pytest.mark.parametrize("wrong", ["..", "train", "test", "train/good"])
def test_a_root_near_the_right_one_is_told_the_right_one(parts: Path, wrong: str) -> None:
    error = refused((parts / wrong).resolve())
    assert "has no folder train/good" in error.problem
    assert error.next_step == f"{parts} has one: did you mean that?"


def test_a_relative_root_is_told_the_right_one_too(parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(parts / "train")
    assert refused(Path()).next_step == f"{parts} has one: did you mean that?"


def test_images_in_the_root_itself_are_to_be_moved(tmp_path: Path) -> None:
    put(tmp_path / "0.png")
    assert refused(tmp_path).next_step == (
        f"the images lie in {tmp_path} itself: move those of good parts to {tmp_path / 'train/good'}"
    )


def test_an_empty_root_is_told_where_images_belong(tmp_path: Path) -> None:
    assert refused(tmp_path).next_step == f"put images of good parts in {tmp_path / 'train/good'}"


@pytest.mark.parametrize("junk", [None, "Thumbs.db", "0.gif", "0.npy"])
def test_a_train_folder_without_images_says_so(tmp_path: Path, junk: str | None) -> None:
    (tmp_path / "train/good").mkdir(parents=True)
    if junk:
        (tmp_path / "train/good" / junk).write_bytes(b"junk")
    assert refused(tmp_path).problem == f"{tmp_path / 'train/good'} holds no image files"


def test_a_missing_mask_is_named(parts: Path) -> None:
    (parts / "ground_truth/crack/0_mask.png").unlink()
    error = refused(parts)
    assert str(parts / "test/crack/0.png") in error.problem
    assert str(parts / "ground_truth/crack/0_mask.png") in error.problem


def test_a_missing_folder_of_masks_is_a_missing_mask(parts: Path) -> None:
    put(parts / "test/bent/3.png")
    assert str(parts / "ground_truth/bent/3_mask.png") in refused(parts).problem


def test_a_mask_of_another_size_names_both_sizes(parts: Path) -> None:
    put(parts / "ground_truth/crack/0_mask.png", (20, 11))
    error = refused(parts)
    assert error.problem == f"{parts / 'ground_truth/crack/0_mask.png'} is 20x11 pixels but its image is 20x10"


def test_sizes_are_compared_upright(parts: Path) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    put(parts / "test/crack/0.png", (10, 20), exif=exif)
    mask_of_crack = load_dataset("folder", parts).load().test[0].mask_path
    assert mask_of_crack == parts / "ground_truth/crack/0_mask.png"
    assert read(parts / "test/crack/0.png").shape == (10, 20, 3)


def test_two_masks_of_one_image_are_refused(parts: Path) -> None:
    put(parts / "ground_truth/crack/0.bmp")
    error = refused(parts)
    assert "0.bmp" in error.problem
    assert "0_mask.png" in error.problem


@pytest.mark.parametrize("name", ["test/crack/0.png", "ground_truth/crack/0_mask.png"])
def test_a_damaged_image_or_mask_is_named(parts: Path, name: str) -> None:
    (parts / name).write_bytes(b"no image")
    assert str(parts / name) in refused(parts).problem


def test_without_ground_truth_there_are_no_masks(parts: Path) -> None:
    for path in sorted((parts / "ground_truth").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (parts / "ground_truth").rmdir()
    split = load_dataset("folder", parts).load()
    assert [sample.mask_path for sample in split.test] == [None] * 3
    assert [sample.label for sample in split.test] == [1, 1, 0]


def test_a_folder_dataset_needs_a_root() -> None:
    with pytest.raises(OptionsError, match="root: is required"):
        load_dataset("folder")


# Synthetic surfaces


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("texture", ["brushed", "cast", "woven"])
def test_the_same_seed_writes_the_same_bytes_and_another_others(tmp_path: Path, texture: str) -> None:
    roots = [tmp_path / name for name in ("a", "b", "c")]
    for root, seed in zip(roots, (0, 0, 1), strict=True):
        split = load_dataset("surface", root, texture=texture, seed=seed, **TINY).load()
        assert (len(split.train), len(split.test)) == (4, 8)
    first, second, other = map(tree, roots)
    assert first == second
    assert first.keys() == other.keys()
    assert not [name for name in first if name.startswith("train") and first[name] == other[name]]


def test_every_surface_has_the_size_asked_for_and_differs_from_the_others(tmp_path: Path) -> None:
    split = load_dataset("surface", tmp_path / "s", **TINY).load()
    pictures = [read(sample.path) for sample in (*split.train, *split.test)]
    assert {picture.shape for picture in pictures} == {(64, 80, 3)}
    assert len({picture.tobytes() for picture in pictures}) == 12


def test_masks_cover_exactly_what_the_defect_changed(tmp_path: Path) -> None:
    settings = {**TINY, "test_defective": 9, "height": 128, "width": 160}
    split = load_dataset("surface", tmp_path / "s", **settings).load()
    options = SurfaceOptions(**settings)
    defective = [sample for sample in split.test if sample.label]
    assert sorted(sample.defect_type for sample in defective) == ["dent"] * 3 + ["scratch"] * 3 + ["stain"] * 3
    for sample in defective:
        assert sample.mask_path is not None
        mask = read(sample.mask_path)[:, :, 0]
        assert set(np.unique(mask)) == {0, 255}
        before = draw_surface(options, ("bad", int(sample.path.stem))).astype(int)
        changed = np.abs(read(sample.path).astype(int) - before).max(axis=2) > 0
        around = cv2.dilate(mask, np.ones((9, 9), np.uint8)) > 0
        assert not (changed & ~around).any(), sample.path
        assert changed[mask > 0].mean() > 0.95, sample.path


def test_one_image_does_not_depend_on_how_many_others_are_drawn(tmp_path: Path) -> None:
    load_dataset("surface", tmp_path / "few", **TINY).load()
    load_dataset("surface", tmp_path / "many", **{**TINY, "train": 9, "test_good": 5, "test_defective": 11}).load()
    few, many = tree(tmp_path / "few"), tree(tmp_path / "many")
    pictures = few.keys() - {"surface.json"}
    assert len(pictures) == 4 + 2 + 6 + 6
    assert {name: many[name] for name in pictures} == {name: few[name] for name in pictures}


def test_a_surface_is_written_once_and_found_again(tmp_path: Path) -> None:
    first = load_dataset("surface", tmp_path / "s", **TINY).load()
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "s").rglob("*")}
    assert load_dataset("surface", tmp_path / "s", **TINY).load() == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "s").rglob("*")} == times


def test_without_a_root_each_set_of_options_has_its_place_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folders = {load_dataset("surface", seed=seed, **TINY).load().train[0].path.parents[2] for seed in (0, 1, 0)}
    assert len(folders) == 2
    assert {folder.parent for folder in folders} == {tmp_path / "cache/pyimgano"}


def test_a_root_in_use_is_refused_and_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "s"
    put(root / "holiday.png")
    before = tree(root)
    with pytest.raises(DatasetError, match="was not written with these options") as caught:
        load_dataset("surface", root, **TINY).load()
    assert str(root) in caught.value.problem
    assert caught.value.next_step
    assert tree(root) == before


def test_a_root_that_was_written_with_other_options_is_refused(tmp_path: Path) -> None:
    load_dataset("surface", tmp_path / "s", **TINY).load()
    before = tree(tmp_path / "s")
    with pytest.raises(DatasetError, match="was not written with these options"):
        load_dataset("surface", tmp_path / "s", **{**TINY, "seed": 5}).load()
    assert tree(tmp_path / "s") == before


def test_an_empty_root_is_used(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    assert len(load_dataset("surface", tmp_path / "s", **TINY).load().train) == 4


@pytest.mark.parametrize("root", ["file", "file/below"])
def test_a_root_that_cannot_be_a_folder_is_refused(tmp_path: Path, root: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError) as caught:
        load_dataset("surface", tmp_path / root, **TINY).load()
    assert str(tmp_path / root) in caught.value.problem
    assert caught.value.next_step


@pytest.fixture
def interruption() -> Iterator[Callable[[float], None]]:
    """Give a way to press Ctrl-C some seconds from now."""
    before = signal.signal(signal.SIGALRM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds) and None
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(os.name == "nt", reason="interrupts as POSIX does")
def test_an_interrupted_write_leaves_nothing(tmp_path: Path, interruption: Callable[[float], None]) -> None:
    dataset = load_dataset("surface", tmp_path / "s", train=100_000, height=64, width=64)
    interruption(0.3)
    with pytest.raises(KeyboardInterrupt):
        dataset.load()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="limits the size of files as POSIX does")
def test_a_write_onto_a_full_disk_is_an_error_that_leaves_nothing(shell: Callable, tmp_path: Path) -> None:
    code = (
        "import resource, sys\nfrom pyimgano import load_dataset\nfrom pyimgano.errors import DatasetError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        f"try:\n    load_dataset('surface', sys.argv[1], **{TINY!r}).load()\n"
        "except DatasetError as error:\n    print(error)\n"
    )
    (tmp_path / "place").mkdir()
    done = shell("-c", code, tmp_path / "place" / "s")
    assert "cannot be written" in done.out, done.err
    assert list((tmp_path / "place").iterdir()) == []


# Solar cells


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """Give a folder as the elpv-dataset package brings it: 12 good, 4 defective and 4 uncertain cells, half mono, half poly."""
    root = tmp_path / "elpv"
    lines = []
    for number, probability in enumerate([0.0] * 12 + [1.0] * 4 + [0.3333333333333333] * 2 + [0.6666666666666666] * 2):
        put(root / f"images/cell{number:04d}.png")
        lines.append(f"images/cell{number:04d}.png  {probability}   {'mono' if number % 2 else 'poly'}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    return root


def numbers(samples: tuple[Any, ...]) -> list[int]:
    return [int(sample.path.stem.removeprefix("cell")) for sample in samples]


def test_cells_are_split_by_probability_and_type(cells: Path) -> None:
    split = load_dataset("elpv", cells, cells="both").load()
    good = [sample for sample in split.test if not sample.label]
    assert (len(split.train), len(good)) == (6, 6)
    assert sorted(numbers((*split.train, *good))) == list(range(12))
    assert numbers(tuple(sample for sample in split.test if sample.label)) == [12, 13, 14, 15]
    assert {sample.label for sample in split.train} == {0}
    assert all(sample.path.is_file() for sample in (*split.train, *split.test))


@pytest.mark.parametrize(("kind", "remainder"), [("mono", 1), ("poly", 0)])
def test_one_type_of_cell_can_be_chosen(cells: Path, kind: str, remainder: int) -> None:
    split = load_dataset("elpv", cells, cells=kind).load()
    chosen = numbers((*split.train, *split.test))
    assert len(chosen) == 8
    assert {number % 2 for number in chosen} == {remainder}
    assert {sample.meta["cells"] for sample in (*split.train, *split.test)} == {kind}


def test_the_split_of_cells_is_seeded_and_can_be_limited(cells: Path) -> None:
    def split(**options: Any) -> tuple[list[int], list[int]]:
        loaded = load_dataset("elpv", cells, cells="both", **options).load()
        return numbers(loaded.train), numbers(loaded.test)

    assert split() == split()
    assert len({tuple(split(seed=seed)[0]) for seed in range(5)}) > 1
    train, test = split(limit=3)
    assert len(train) == 3
    assert set(train) <= set(split()[0])
    assert test == split()[1]
    assert len(split(test_fraction=0.25)[0]) == 9


def test_a_folder_without_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"has no file labels.csv") as caught:
        load_dataset("elpv", tmp_path).load()
    assert caught.value.next_step


@pytest.mark.parametrize("line", ["images/cell0000.png 0.0", "images/cell0000.png good mono", "a b 0.0 mono"])
def test_a_line_that_is_not_a_label_is_named_with_its_number(cells: Path, line: str) -> None:
    table = cells / "labels.csv"
    table.write_text("images/cell0001.png 0.0 mono\n\n" + line + "\n", encoding="utf-8")
    with pytest.raises(DatasetError) as caught:
        load_dataset("elpv", cells).load()
    assert caught.value.problem.startswith(f"{table}:3: ")


def test_without_the_package_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "elpv_dataset", None)  # as Python notes a module that is not there
    with pytest.raises(MissingDependencyError, match="elpv-dataset, which is not installed") as caught:
        load_dataset("elpv").load()
    assert " install " in caught.value.next_step
    assert caught.value.next_step.endswith(" elpv-dataset")


def test_with_the_package_its_own_folder_is_read(cells: Path, monkeypatch: pytest.MonkeyPatch, site: Path) -> None:
    monkeypatch.delitem(sys.modules, "elpv_dataset", raising=False)
    (site / "elpv_dataset").mkdir()
    (site / "elpv_dataset/__init__.py").touch()
    cells.rename(site / "elpv_dataset/data")
    assert len(load_dataset("elpv").load().train) == 3


def test_the_command_line_trains_on_a_dataset_option(cli: Callable, cells: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    line = ["train", "--dataset", "elpv", "--root", cells, "-d", "cells=both", "--model", "vision_filterbank"]
    done = cli(*line, "--resize", "32", "32", "--output", run)
    assert done.code == 0, done.err
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    assert report["dataset"] == "pyimgano-core:elpv"
    assert [report["images"][role] for role in ("train", "calibration", "test")] == [5, 1, 10]
