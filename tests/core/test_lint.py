"""``pyimgano datasets``: every fault that is put into a dataset is found at once, and a sound one is left in peace."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import layouts
import numpy as np
import pytest
from layouts import SIZE, image, mask, spot

from pyimgano.datasets.lint import guess_layout, lint
from pyimgano.errors import DatasetError
from pyimgano.registry import load_dataset

BUILDERS = {
    "mvtec": layouts.mvtec,
    "visa": layouts.visa_raw,
    "btad": layouts.btad,
    "mvtec_loco": layouts.loco,
    "mvtec_ad2": layouts.ad2,
}


def kinds(name: str, root: Path, **options: str) -> list[tuple[str, str]]:
    """Return kind and file of all that is wrong; everything has a way to mend it."""
    findings, _ = lint(load_dataset(name, root, **options))
    assert all(finding.mend for finding in findings)
    return sorted((finding.kind, finding.path.relative_to(root).as_posix()) for finding in findings)


@pytest.mark.parametrize("name", BUILDERS)
def test_a_sound_dataset_has_no_faults_and_its_layout_is_recognised(cli: Callable, tmp_path: Path, name: str) -> None:
    root = BUILDERS[name](tmp_path)
    assert guess_layout(root) == name
    done = cli("datasets", "lint", root)
    assert done.code == 0, done.out
    assert done.out.startswith("no problems in ")
    assert done.out.endswith(f"images of {root}, read as {name}\n")


def test_every_fault_is_found_at_once(tmp_path: Path) -> None:
    root = layouts.mvtec(tmp_path, "bottle")
    base = root / "bottle"
    (base / "train/good/3.png").write_bytes(b"no image")
    whole = (base / "train/good/4.png").read_bytes()
    (base / "train/good/4.png").write_bytes(whole[: len(whole) // 2])
    (base / "test/good/copy.png").write_bytes((base / "train/good/5.png").read_bytes())
    (base / "ground_truth/broken_large/000_mask.png").unlink()
    mask(base / "ground_truth/broken_large/007_mask.png")
    mask(base / "ground_truth/broken_large/001.bmp")
    mask(base / "ground_truth/contamination/000_mask.png", np.zeros(SIZE[::-1], np.uint8))
    mask(base / "ground_truth/contamination/001_mask.png", np.ones(SIZE, np.uint8))
    mask(base / "ground_truth/bent/000_mask.png")
    assert kinds("mvtec", root) == [
        ("duplicate", "bottle/test/good/copy.png"),
        ("mask-ambiguous", "bottle/ground_truth/broken_large/001_mask.png"),
        ("mask-empty", "bottle/ground_truth/contamination/000_mask.png"),
        ("mask-missing", "bottle/test/broken_large/000.png"),
        ("mask-orphan", "bottle/ground_truth/bent"),
        ("mask-orphan", "bottle/ground_truth/broken_large/007_mask.png"),
        ("mask-size", "bottle/ground_truth/contamination/001_mask.png"),
        ("unreadable", "bottle/train/good/3.png"),
        ("unreadable", "bottle/train/good/4.png"),
    ]


def test_a_mask_that_cannot_be_read_is_reported_once(tmp_path: Path) -> None:
    root = layouts.loco(tmp_path)
    (root / "pushpins/ground_truth/logical_anomalies/000/001.png").write_bytes(b"no image")
    assert kinds("mvtec_loco", root) == [("unreadable", "pushpins/ground_truth/logical_anomalies/000/001.png")]


def test_an_image_to_calibrate_on_that_is_learnt_from_too_is_found(tmp_path: Path) -> None:
    root = layouts.ad2(tmp_path)
    copied = root / "can/validation/good/009_regular.png"
    copied.write_bytes((root / "can/train/good/001_regular.png").read_bytes())
    assert kinds("mvtec_ad2", root) == [("duplicate", "can/validation/good/009_regular.png")]


def test_copies_inside_one_split_are_no_fault(tmp_path: Path) -> None:
    root = layouts.mvtec(tmp_path, "bottle")
    (root / "bottle/train/good/99.png").write_bytes((root / "bottle/train/good/5.png").read_bytes())
    assert kinds("mvtec", root) == []


def test_all_faulty_lines_of_a_manifest_are_found(cli: Callable, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        image(tmp_path / f"{name}.png")
    mask(tmp_path / "m.png", spot())
    rows = [
        '{"image_path": "a.png", "split": "train"}',
        "{",
        '{"image_path": "none.png", "split": "train"}',
        '{"image_path": "b.png", "label": 3}',
        '{"image_path": "b.png", "label": 0, "split": "test", "mask_path": "m.png"}',
        '{"image_path": "c.png", "label": 1, "split": "train"}',
    ]
    (tmp_path / "manifest.jsonl").write_text("\n".join(rows), encoding="utf-8")
    done = cli("datasets", "lint", tmp_path, "--json")
    assert done.code == 1
    found = json.loads(done.out)
    assert (found["dataset"], found["images"]) == ("manifest", 2)
    assert sorted(row["kind"] for row in found["findings"]) == ["image-missing", "label", "mask-of-good", "row", "row"]


def test_faults_of_every_category_are_printed_with_the_way_to_mend_them(cli: Callable, tmp_path: Path) -> None:
    root = layouts.btad(tmp_path)
    (root / "01/ground_truth/ko/0001.png").unlink()
    (root / "03/train/ok/0000.bmp").write_bytes(b"")
    done = cli("datasets", "lint", root)
    assert done.code == 1
    assert f"mask-missing: {root / '01/test/ko/0001.bmp'} has no mask" in done.out
    assert f"unreadable: {root / '03/train/ok/0000.bmp'}: is empty" in done.out
    assert done.out.count("  mend: ") == 2
    assert "2 problems in 15 images" in done.out
    assert cli("datasets", "lint", root, "--dataset", "btad", "--category", "02").code == 0


def test_a_folder_that_is_broken_as_a_whole_is_one_finding(cli: Callable, tmp_path: Path) -> None:
    (tmp_path / "parts/train").mkdir(parents=True)
    done = cli("datasets", "lint", tmp_path / "parts", "--dataset", "folder", "--json")
    assert done.code == 1
    assert [row["kind"] for row in json.loads(done.out)["findings"]] == ["layout"]


def test_a_folder_that_looks_like_nothing_is_a_user_error(cli: Callable, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="has no layout that is known"):
        guess_layout(tmp_path)
    assert cli("datasets", "lint", tmp_path).code == 2
    assert "does not exist" in cli("datasets", "lint", tmp_path / "none").err


def test_a_dataset_that_cannot_collect_faults_is_linted_too(tmp_path: Path) -> None:
    tiny = {"train": 4, "test_good": 1, "test_defective": 3, "height": 64, "width": 64}
    dataset = load_dataset("surface", tmp_path / "s", **tiny)
    split = dataset.load()
    assert lint(dataset) == ([], 8)
    assert split.test[0].mask_path is not None
    mask(split.test[0].mask_path, np.zeros((64, 64), np.uint8))
    assert [finding.kind for finding in lint(dataset)[0]] == ["mask-empty"]


def test_info_counts_images_types_masks_and_sizes(cli: Callable, tmp_path: Path) -> None:
    root = layouts.mvtec(tmp_path)
    image(root / "bottle/train/good/12.png", (30, 20))
    done = cli("datasets", "info", "mvtec", "--root", root, "--json")
    assert done.code == 0, done.err
    bottle, grid = json.loads(done.out)
    assert (bottle["category"], grid["category"]) == ("bottle", "grid")
    assert {key: bottle[key] for key in ("train", "calibration", "test", "defective", "masks")} == {
        "train": 13,
        "calibration": 0,
        "test": 5,
        "defective": 4,
        "masks": 4,
    }
    assert bottle["types"] == {"broken_large": 2, "contamination": 2, "good": 1}
    assert bottle["sizes"] == {"24x16": 17, "30x20": 1}
    shown = cli("datasets", "info", "mvtec", "--root", root, "--category", "bottle").out
    assert shown.splitlines()[0] == "bottle"
    assert "5 images: 2 broken_large, 2 contamination, 1 good" in shown
    assert "for 4 of 4 defective images" in shown


def test_info_takes_the_options_of_the_dataset(cli: Callable, tmp_path: Path) -> None:
    root = layouts.ad2(tmp_path)
    done = cli("datasets", "info", "mvtec_ad2", "--root", root, "-d", "split=test_private")
    assert "2 images: 2 unlabelled" in done.out
    assert cli("datasets", "info", "mvtec_ad2").code == 2


def test_the_list_names_every_layout(cli: Callable) -> None:
    rows = {row["name"]: row for row in json.loads(cli("datasets", "list", "--json").out)}
    for name in (*BUILDERS, "mvtec_ad", "folder", "custom", "manifest", "elpv", "surface"):
        assert name in rows
    assert rows["btad"]["full_name"] == "pyimgano-core:btad"
    assert (rows["btad"]["masks"], rows["elpv"]["masks"]) == (True, False)
    assert cli("datasets", "list").out.startswith("DATASET")


@pytest.mark.parametrize("line", [["datasets", "list"], ["datasets", "--help"], ["datasets", "lint", "--help"]])
def test_listing_datasets_imports_nothing_heavy(shell: Callable, line: list[str]) -> None:
    code = (
        "import sys\nfrom pyimgano.cli.app import main\n"
        f"try:\n    main({line!r})\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "heavy = [name for name in ('numpy', 'cv2', 'PIL', 'torch', 'rich') if name in sys.modules]\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = shell("-c", code)
    assert done.code == 0, done.err
