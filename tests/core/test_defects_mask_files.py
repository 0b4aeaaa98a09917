"""Masks as files: what is written is read back, and what is no mask is refused by name."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyimgano.defects.mask_files import read_mask_file, write_mask_file
from pyimgano.errors import ImageError, OutputError

FORMATS = ["png", "npy", "npz"]
MASK = np.array([[0, 255, 0], [255, 255, 0]], np.uint8)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_mask_comes_back_as_it_was(kind: Any, tmp_path: Path) -> None:
    path = write_mask_file(MASK, tmp_path, "000012_Prüfling 3", kind)
    assert path == tmp_path / f"000012_Prüfling 3.{kind}"
    again = read_mask_file(path)
    assert again.dtype == np.uint8
    assert np.array_equal(again, MASK)
    again[0, 0] = 255  # it belongs to the reader


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), kind=st.sampled_from(FORMATS))
def test_any_mask_comes_back(tmp_path_factory: pytest.TempPathFactory, seed: int, kind: Any) -> None:
    rng = np.random.default_rng(seed)
    mask = (rng.random(rng.integers(1, 70, 2)) < rng.random()) * np.uint8(255)
    folder = tmp_path_factory.mktemp("masks")
    assert np.array_equal(read_mask_file(write_mask_file(np.asfortranarray(mask), folder, "m", kind)), mask)


@pytest.mark.parametrize("kind", FORMATS)
def test_equal_masks_give_equal_bytes(kind: Any, tmp_path: Path) -> None:
    first = write_mask_file(MASK, tmp_path, "a", kind)
    second = write_mask_file(MASK.copy(), tmp_path, "b", kind)
    os.utime(first, (0, 0))
    assert first.read_bytes() == second.read_bytes()


def test_others_read_the_files(tmp_path: Path) -> None:
    assert np.array_equal(cv2.imread(str(write_mask_file(MASK, tmp_path, "a", "png")), cv2.IMREAD_UNCHANGED), MASK)
    assert np.array_equal(np.load(write_mask_file(MASK, tmp_path, "a", "npy")), MASK)
    with np.load(write_mask_file(MASK, tmp_path, "a", "npz")) as archive:
        assert archive.files == ["mask"]
        assert np.array_equal(archive["mask"], MASK)


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_pickles_are_refused_and_never_run(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"hostile.{kind}"
    payload = np.array([[Hostile()]], dtype=object)
    if kind == "npy":
        np.save(path, payload, allow_pickle=True)
    else:
        np.savez(path, mask=payload)
    with pytest.raises(ImageError, match=f"hostile.{kind} is no mask file"):
        read_mask_file(path)
    bare = tmp_path / f"bare.{kind}"
    bare.write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(ImageError, match=f"bare.{kind} is no mask file"):
        read_mask_file(bare)
    assert not (tmp_path / "executed").exists()


def faulty(tmp_path: Path) -> dict[str, Path]:
    """Write one file of each fault."""
    paths = {name: tmp_path / name for name in ("key.npz", "grey.npy", "float.npy", "deep.npz", "empty.npy", "colour.png")}
    np.savez(paths["key.npz"], masks=MASK)
    np.save(paths["grey.npy"], MASK // 2)
    np.save(paths["float.npy"], MASK.astype(np.float32))
    np.savez(paths["deep.npz"], mask=MASK[None])
    np.save(paths["empty.npy"], MASK[:0])
    cv2.imwrite(str(paths["colour.png"]), np.full((3, 3, 3), 255, np.uint8))
    for kind in FORMATS:
        whole = write_mask_file(MASK, tmp_path, "whole", kind)  # type: ignore[arg-type]
        for name, data in ((f"cut.{kind}", whole.read_bytes()[:-20]), (f"nothing.{kind}", b""), (f"text.{kind}", b"mask" * 9)):
            paths[name] = tmp_path / name
            paths[name].write_bytes(data)
    paths["mask.bmp"] = tmp_path / "mask.bmp"
    cv2.imwrite(str(paths["mask.bmp"]), MASK)
    paths["array_in_zip.npy"] = tmp_path / "array_in_zip.npy"
    paths["array_in_zip.npy"].write_bytes((tmp_path / "whole.npz").read_bytes())
    paths["bare_array.npz"] = tmp_path / "bare_array.npz"
    paths["bare_array.npz"].write_bytes((tmp_path / "whole.npy").read_bytes())
    return paths


def test_what_is_no_mask_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    for name, path in faulty(tmp_path).items():
        with pytest.raises(ImageError) as caught:
            read_mask_file(path)
        assert f"{path} is no mask file" in str(caught.value), name
        assert caught.value.next_step, name


def test_a_damaged_byte_is_an_error_or_a_mask(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for kind in FORMATS:
        data = write_mask_file(np.kron(MASK, np.ones((9, 9), np.uint8)), tmp_path, "whole", kind).read_bytes()  # type: ignore[arg-type]
        path = tmp_path / f"damaged.{kind}"
        for _ in range(60):
            place = int(rng.integers(len(data)))
            path.write_bytes(data[:place] + bytes([int(rng.integers(256))]) + data[place + 1 :])
            try:
                mask = read_mask_file(path)
            except ImageError as error:
                assert str(path) in str(error)  # noqa: PT017
            else:
                assert set(np.unique(mask)) <= {0, 255}


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"none\.png cannot be read"):
        read_mask_file(tmp_path / "none.png")
    with pytest.raises(ImageError, match="cannot be read"):
        read_mask_file(tmp_path)


@pytest.mark.parametrize("mask", [MASK * 0.5, MASK // 2, MASK[0], MASK[None], MASK[:0], MASK > 0, [[0, 255]]])
def test_what_is_no_mask_is_not_written(mask: Any, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"m\.png: not written"):
        write_mask_file(mask, tmp_path, "m")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"gone/m\.npz cannot be written"):
        write_mask_file(MASK, tmp_path / "gone", "m", "npz")
