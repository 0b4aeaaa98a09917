"""``infer --save-regions``: every defect on a line of its own, whatever stops the run and goes on with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def line(bundle: Path, surface_root: Path) -> list[object]:
    """Give a line that infers with defects on 6 good and 9 defective images."""
    return ["infer", "--bundle", bundle, "--input", surface_root / "test"]


def lines_of(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n") or not text
    return [json.loads(one) for one in text.splitlines()]


def expected(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what the lines of these records should be."""
    return [
        {"index": record["index"], "input": record["input"], **region}
        for record in records
        for region in record.get("defects", {"regions": []})["regions"]
    ]


@pytest.mark.parametrize("more", [[], ["--defects-image-space", "--flush-every", 4], ["--no-defects"]])
def test_every_region_of_every_record_is_one_line_in_order(
    cli: Callable, line: list[object], tmp_path: Path, more: list[object]
) -> None:
    jsonl, regions = tmp_path / "r.jsonl", tmp_path / "new" / "regions.jsonl"
    done = cli(*line, "--save-jsonl", jsonl, "--save-regions", regions, *more)
    assert done.code == 0, done.err
    found = lines_of(regions)
    assert found == expected(lines_of(jsonl))
    assert len({one["index"] for one in found}) >= 9
    assert all(("bbox_xyxy_image" in one) == ("--defects-image-space" in more) for one in found)
    assert list(found[0])[:4] == ["index", "input", "id", "bbox_xyxy"]


def test_records_may_go_to_stdout_meanwhile(cli: Callable, line: list[object], tmp_path: Path) -> None:
    done = cli(*line, "--save-regions", tmp_path / "regions.jsonl")
    assert done.code == 0
    assert lines_of(tmp_path / "regions.jsonl") == expected([json.loads(one) for one in done.out.splitlines()])


def test_regions_are_on_disk_before_the_record_that_lists_them(
    cli: Callable, line: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyimgano.inference.lines import Lines

    jsonl, regions = tmp_path / "r.jsonl", tmp_path / "regions.jsonl"
    real, seen = Lines.flush, []

    def flush(self: Lines) -> None:
        real(self)
        seen.append(jsonl.exists() and lines_of(regions)[: len(known := expected(lines_of(jsonl)))] == known)

    monkeypatch.setattr(Lines, "flush", flush)
    assert cli(*line, "--save-jsonl", jsonl, "--save-regions", regions, "--flush-every", 2).code == 0
    assert len(seen) == 2 * 8
    assert all(seen)


@pytest.mark.parametrize("kept", [0, 7, 15])
@pytest.mark.parametrize("rest", ["", '{"index": 9, "half'])
def test_a_resumed_run_ends_with_the_file_of_an_uninterrupted_one(
    cli: Callable, line: list[object], tmp_path: Path, kept: int, rest: str
) -> None:
    jsonl, regions = tmp_path / "r.jsonl", tmp_path / "regions.jsonl"
    line = [*line, "--save-jsonl", jsonl, "--save-regions", regions]
    assert cli(*line).code == 0
    whole = regions.read_bytes()
    jsonl.write_bytes(b"".join(jsonl.read_bytes().splitlines(keepends=True)[:kept]))
    regions.write_bytes(b"".join(whole.splitlines(keepends=True)[: kept + 2]) + rest.encode())
    done = cli(*line, "--resume")
    assert done.code == 0, done.err
    assert regions.read_bytes() == whole


def test_an_image_that_failed_first_takes_its_place_among_the_regions(
    cli: Callable, line: list[object], surface_root: Path, tmp_path: Path
) -> None:
    folder, jsonl, regions = tmp_path / "line", tmp_path / "r.jsonl", tmp_path / "regions.jsonl"
    kind = next(path for path in (surface_root / "test").iterdir() if path.name != "good")
    shutil.copytree(kind, folder)
    first = sorted(folder.iterdir())[0]
    first.write_bytes(b"no image")
    line = [*line[:3], "--input", folder, "--save-jsonl", jsonl, "--save-regions", regions, "--continue-on-error"]
    assert cli(*line).code == 1
    assert {one["index"] for one in lines_of(regions)} == set(range(1, len(lines_of(jsonl))))
    shutil.copy(kind / first.name, first)
    assert cli(*line, "--resume").code == 0
    assert lines_of(regions) == expected(lines_of(jsonl))
    assert lines_of(regions)[0]["index"] == 0


def test_records_without_defects_cannot_be_gone_on_with(cli: Callable, line: list[object], tmp_path: Path) -> None:
    line = [*line, "--save-jsonl", tmp_path / "r.jsonl"]
    assert cli(*line).code == 0
    done = cli(*line, "--save-regions", tmp_path / "regions.jsonl", "--resume")
    assert done.code == 2
    assert "was written without --defects" in done.err


def test_regions_never_replace_other_files_unasked(
    cli: Callable, line: list[object], surface_root: Path, tmp_path: Path
) -> None:
    regions = tmp_path / "regions.jsonl"
    regions.write_text("mine\n")
    for place, problem in (
        (regions, f"{regions} exists already"),
        (surface_root / "test" / "regions.jsonl", "which is read from"),
        (tmp_path, "is a folder, not a file"),
    ):
        done = cli(*line, "--save-regions", place)
        assert (done.code, done.out) == (2, "")
        assert problem in done.err
    assert regions.read_text() == "mine\n"
    assert cli(*line, "--save-regions", regions, "--overwrite").code == 0
    assert lines_of(regions)
    done = cli(*line, "--save-jsonl", tmp_path / "same", "--save-regions", tmp_path / "same")
    assert (done.code, "is named twice" in done.err) == (2, True)
