"""Inference on a line: paths as they come in, runs that are stopped and gone on with, full disks, what is shown at the end."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from pyimgano import infer, infer_iter
from pyimgano.calibration.image import split_conformal
from pyimgano.calibration.record import ImageThreshold
from pyimgano.errors import CalibrationError, DatasetError, ImageError, OptionsError, OutputError
from pyimgano.images import from_array, read
from pyimgano.inference import contact_sheet
from pyimgano.inference.artefacts import Artefacts
from pyimgano.inference.confidence import LabelConfidence
from pyimgano.inference.contact_sheet import ContactSheet, shortened
from pyimgano.inference.inputs import Inputs, read_list, read_stream
from pyimgano.inference.lines import Lines
from pyimgano.inference.outputs import ResultWriter
from pyimgano.inference.profile import Stopwatch
from pyimgano.inference.result import InferenceResult, result_to_jsonable
from pyimgano.inference.resume import Held
from pyimgano.pipeline import Pipeline
from pyimgano.workbench.bundle import Bundle

posix = pytest.mark.skipif(os.name == "nt", reason="signals and pipes as POSIX has them")


@pytest.fixture
def pipeline(bundle: Path) -> Pipeline:
    """Give the pipeline of the bundle."""
    return Bundle.load(bundle).pipeline()


@pytest.fixture
def line_up(surface_root: Path, tmp_path: Path) -> Path:
    """Give a folder with 8 images, 0.png to 7.png, that may be damaged."""
    folder = tmp_path / "line"
    folder.mkdir()
    sources = [*sorted((surface_root / "test").rglob("*.png"))[:12:3], *sorted((surface_root / "test").rglob("*.png"))[1:12:3]]
    for number, source in enumerate(sources):
        shutil.copy(source, folder / f"{number}.png")
    return folder


def records(source: Path | str) -> list[dict[str, Any]]:
    """Return JSONL as records without their times."""
    text = source.read_text(encoding="utf-8") if isinstance(source, Path) else source
    assert text.endswith("\n") or not text
    found = [json.loads(line) for line in text.splitlines()]
    return [{key: value for key, value in record.items() if key != "time_utc"} for record in found]


def refused(done: Any, *words: str) -> None:
    """Assert that a command ended with 2, a problem and a next step, and said nothing on stdout."""
    assert done.code == 2
    assert "Traceback" not in done.err
    assert "Error: " in done.err
    assert "\nNext:  " in done.err
    for word in words:
        assert word in done.err


def command(*args: object) -> list[str]:
    """Return the command line that runs ``pyimgano infer ARGS`` in a process of its own."""
    return [sys.executable, "-m", "pyimgano", "infer", *map(str, args)]


# Inputs


def test_a_list_gives_paths_in_its_order_and_leaves_out_blank_lines_and_comments(line_up: Path, tmp_path: Path) -> None:
    listing = tmp_path / "list.txt"
    lines = ["# parts of today", "", str(line_up / "5.png"), f"  {line_up / '1.png'}  ", "   ", str(line_up / "5.png")]
    listing.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert read_list(listing) == [str(line_up / name) for name in ("5.png", "1.png", "5.png")]


def test_paths_in_a_list_are_relative_to_the_current_folder(
    cli: Callable, bundle: Path, line_up: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(line_up)
    (tmp_path / "list.txt").write_text("3.png\n1.png\n")
    done = cli("infer", "--bundle", bundle, "--input-list", tmp_path / "list.txt", "-i", line_up / "0.png")
    assert done.code == 0, done.err
    assert [record["input"] for record in records(done.out)] == [str(line_up / "0.png"), "3.png", "1.png"]


@pytest.mark.parametrize(
    ("entry", "words"), [("gone.png", "gone.png does not exist"), (".", ". is a folder"), ("#gone.png", "lists no images")]
)
def test_a_list_is_refused_with_its_line(
    cli: Callable, bundle: Path, tmp_path: Path, entry: str, words: str, line_up: Path
) -> None:
    listing = tmp_path / "list.txt"
    listing.write_text(f"# first\n\n{entry}\n" + (f"{line_up / '0.png'}\n" if not entry.startswith("#") else ""))
    where = f"{listing}, line 3" if not entry.startswith("#") else str(listing)
    refused(cli("infer", "--bundle", bundle, "--input-list", listing), where, words)


def test_a_list_that_is_not_there_is_refused(cli: Callable, bundle: Path, tmp_path: Path) -> None:
    refused(cli("infer", "--bundle", bundle, "--input-list", tmp_path / "no.txt"), "no.txt cannot be read")
    refused(cli("infer", "--bundle", bundle, "--input-list", "-"), "--input - for paths on standard input")


def test_with_null_a_list_takes_every_name_as_it_is(line_up: Path, tmp_path: Path) -> None:
    odd = line_up / "# a\nb .png"
    (line_up / "0.png").rename(odd)
    (tmp_path / "list").write_bytes(os.fsencode(odd) + b"\0" + os.fsencode(line_up / "1.png") + b"\0")
    assert read_list(tmp_path / "list", null=True) == [str(odd), str(line_up / "1.png")]


@pytest.mark.parametrize("null", [False, True])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_stream_gives_the_same_paths_however_it_is_cut(null: bool, size: int) -> None:
    class Slow(io.BytesIO):
        def read(self, _: int | None = -1) -> bytes:
            return super().read(size)

    end = b"\0" if null else b"\r\n"
    names = ["a.png", "prüf 1.png", "# c.png", "last.png"]
    content = end.join(name.encode() for name in names[:3]) + end + end + names[3].encode()
    chunks = list(read_stream(Slow(content), null))
    assert [name for chunk in chunks for name in chunk] == names
    assert all(chunks)


def test_standard_input_takes_its_place_among_the_other_inputs(
    cli: Callable, bundle: Path, line_up: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = f"{line_up / '4.png'}\n\n{line_up / '2.png'}"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(paths.encode())))
    done = cli("infer", "--bundle", bundle, "-i", line_up / "7.png", "-i", "-", "-i", line_up / "0.png")
    assert done.code == 0, done.err
    found = records(done.out)
    assert [Path(record["input"]).name for record in found] == ["7.png", "4.png", "2.png", "0.png"]
    assert [record["index"] for record in found] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["-i", "-", "-i", "-"], "standard input is named twice"),
        (["-0"], "--null is about paths that are read"),
        (["-i", "-"], "standard input held no paths"),
        ([], "--input"),
    ],
)
def test_inputs_that_make_no_sense_are_refused(
    cli: Callable, bundle: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], words: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n\n")))
    refused(cli("infer", "--bundle", bundle, *given), words)


def test_a_pattern_that_the_shell_replaced_is_answered_by_how_to_quote_it(cli: Callable, bundle: Path, line_up: Path) -> None:
    done = cli("infer", "--bundle", bundle, "--input", *sorted(line_up.glob("*.png")))
    refused(done, f"{line_up / '1.png'} belongs to no flag, and 6 more words likewise", "--input '*.png'")
    refused(cli("infer", "--bundle", bundle, "--input", line_up, "now"), "now belongs to no flag", "infer --help")


def test_an_unknown_flag_is_still_an_error(cli: Callable, bundle: Path, line_up: Path) -> None:
    done = cli("infer", "--bundle", bundle, "--input", line_up, "--save-jsnl", "r.jsonl")
    assert done.code == 2
    assert "--save-jsnl" in done.err


@posix
@pytest.mark.parametrize("null", [False, True])
def test_a_record_is_out_before_the_next_path_is_in(bundle: Path, line_up: Path, tmp_path: Path, null: bool) -> None:
    line = command("--bundle", bundle, "-i", "-", *["-0"] * null, "--save-overlays", tmp_path / "seen")
    running = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    too_late = threading.Timer(60, running.kill)
    too_late.start()
    try:
        assert running.stdin is not None
        assert running.stdout is not None
        for name in ("3.png", "1.png"):
            running.stdin.write(os.fsencode(line_up / name) + (b"\0" if null else b"\n"))
            running.stdin.flush()
            assert json.loads(running.stdout.readline())["input"] == str(line_up / name)
        running.stdin.close()
        assert running.wait(60) == 0
    finally:
        too_late.cancel()
        running.kill()
        running.wait()
        running.stdout.close()  # type: ignore[union-attr]


@posix
def test_a_reader_that_leaves_ends_a_stream_without_traceback(bundle: Path, line_up: Path) -> None:
    running = subprocess.Popen(
        command("--bundle", bundle, "-i", "-"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert running.stdout is not None
    running.stdout.close()
    _, error = running.communicate(os.fsencode(line_up / "0.png") + b"\n", timeout=60)
    assert running.returncode == 1
    assert b"Traceback" not in error


def test_an_iterator_of_images_is_taken_batch_by_batch(pipeline: Pipeline, line_up: Path) -> None:
    taken = []

    def camera() -> Iterator[str]:
        while True:
            taken.append(len(taken))
            yield str(line_up / "0.png")

    results = infer_iter(pipeline, camera())
    assert [next(results).index for _ in range(17)] == list(range(17))
    assert len(taken) == 32


@pytest.mark.parametrize("streamed", [False, True])
def test_images_in_a_folder_for_results_are_refused_before_they_are_cleared_away(
    cli: Callable, bundle: Path, line_up: Path, monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    photo = line_up / "deep" / "000000_a.png"
    photo.parent.mkdir()
    shutil.copy(line_up / "0.png", photo)
    line = ["infer", "--bundle", bundle, "-i", "-" if streamed else photo, "--overwrite"]
    for flag, place, words in (
        ("--save-overlays", photo.parent, f"{photo.parent} holds {photo}, which is to be inspected"),
        ("--save-jsonl", photo, f"{photo} is one of the images to inspect"),
    ):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(os.fsencode(photo))))
        refused(cli(*line, flag, place), words)
    assert photo.read_bytes() == (line_up / "0.png").read_bytes()


# Errors


@pytest.mark.parametrize(("most", "done"), [(1, 2), (2, 4), (3, 8)])
def test_a_run_stops_after_so_many_errors(
    cli: Callable, bundle: Path, line_up: Path, tmp_path: Path, most: int, done: int
) -> None:
    for number in (1, 3):
        (line_up / f"{number}.png").write_bytes(b"no image")
    ended = cli("infer", "--bundle", bundle, "-i", line_up, "--max-errors", most, "--save-jsonl", tmp_path / "r.jsonl")
    assert ended.code == 1
    assert len(records(tmp_path / "r.jsonl")) == done
    if most < 3:
        assert f"stopped because {most} images could not be scored (--max-errors {most}); {done} of 8" in ended.err
    else:
        assert "2 of 8 images could not be scored" in ended.err


@pytest.mark.parametrize("flag", ["--max-errors", "--flush-every", "--contact-sheet-count"])
def test_a_count_of_zero_is_refused(cli: Callable, bundle: Path, line_up: Path, flag: str) -> None:
    done = cli("infer", "--bundle", bundle, "-i", line_up, flag, 0)
    assert done.code == 2
    assert flag in done.err


def test_an_error_record_says_at_which_stage(pipeline: Pipeline) -> None:
    bad = infer(pipeline, [np.zeros((4, 4), np.uint8)], continue_on_error=True)[0]
    assert result_to_jsonable(bad)["error"]["stage"] == "read"


# Flushing


@pytest.mark.parametrize(("every", "seen"), [(1, [1, 2, 3, 4, 5]), (2, [0, 2, 2, 4, 4]), (9, [0, 0, 0, 0, 0])])
def test_lines_are_written_in_groups_and_the_rest_at_the_end(tmp_path: Path, every: int, seen: list[int]) -> None:
    path = tmp_path / "r.jsonl"
    lines = Lines(path, every)
    counts = []
    for number in range(5):
        lines.write(str(number))
        counts.append(len(path.read_text().splitlines()))
    assert counts == seen
    lines.close()
    assert path.read_text() == "0\n1\n2\n3\n4\n"


def test_a_line_that_fits_in_part_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Small(io.FileIO):
        def write(self, data: Any) -> int:
            room = 10 - self.tell()
            if room <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(bytes(data)[:room])

    monkeypatch.setattr("pyimgano.inference.lines.open_file", lambda path, _: Small(path, "w"))
    lines = Lines(tmp_path / "r.jsonl")
    lines.write("12345")
    with pytest.raises(OutputError, match="No space left on device"):
        lines.write("67890")
    lines.close()
    assert (tmp_path / "r.jsonl").read_text() == "12345\n"


@posix
def test_a_disk_that_is_full_within_a_line_leaves_whole_lines(
    shell: Callable, bundle: Path, line_up: Path, tmp_path: Path
) -> None:
    code = (
        "import resource, sys\nfrom pyimgano.cli.app import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\nmain(sys.argv[1:])\n"
    )
    line = ["infer", "--bundle", bundle, "--input", line_up, "--save-jsonl", tmp_path / "r.jsonl"]
    done = shell("-c", code, *line)
    refused(done, f"{tmp_path / 'r.jsonl'} cannot be written")
    kept = records(tmp_path / "r.jsonl")
    assert 0 < len(kept) < 8
    again = shell("-m", "pyimgano", *line, "--resume")
    assert again.code == 0, again.err
    assert "half-written" not in again.err
    assert [record["index"] for record in records(tmp_path / "r.jsonl")] == list(range(8))


# Resuming


def test_a_resumed_run_scores_only_what_is_missing_and_equals_an_uninterrupted_one(
    cli: Callable, bundle: Path, line_up: Path, tmp_path: Path
) -> None:
    line = ["infer", "--bundle", bundle, "-i", line_up, "-i", line_up / "0.png", "--save-jsonl"]
    assert cli(*line, tmp_path / "whole.jsonl").code == 0
    whole = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    part = tmp_path / "part.jsonl"
    for held in (0, 1, 5, 9):
        part.write_bytes(b"".join(whole[:held]))
        done = cli(*line, part, "--resume")
        assert (done.code, done.err) == (0, "")
        assert done.out.startswith(f"{9 - held} images")
        assert part.read_bytes().splitlines(keepends=True)[:held] == whole[:held]
        assert records(part) == records(tmp_path / "whole.jsonl")
    part.unlink()
    assert cli(*line, part, "--resume").code == 0
    assert records(part) == records(tmp_path / "whole.jsonl")


def test_a_half_written_record_is_cut_off_with_a_warning(cli: Callable, bundle: Path, line_up: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    line = ["infer", "--bundle", bundle, "-i", line_up, "--save-jsonl", path]
    assert cli(*line).code == 0
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for cut in (1, len(lines[-1]) // 2, len(lines[-1]) - 1):
        path.write_bytes(whole[:-cut])
        done = cli(*line, "--resume")
        assert done.code == 0
        assert f"{path} ends with a half-written record" in done.err
        assert path.read_bytes().splitlines(keepends=True)[:7] == lines[:7]
        assert [record["index"] for record in records(path)] == list(range(8))


def test_images_that_failed_are_tried_again_and_take_their_place(
    cli: Callable, bundle: Path, line_up: Path, tmp_path: Path
) -> None:
    path = tmp_path / "r.jsonl"
    mended = {name: (line_up / name).read_bytes() for name in ("2.png", "5.png")}
    for name in mended:
        (line_up / name).write_bytes(b"no image")
    line = ["infer", "--bundle", bundle, "-i", line_up, "--continue-on-error", "--save-jsonl", path]
    assert cli(*line).code == 1
    path.chmod(0o640)
    (line_up / "2.png").write_bytes(mended["2.png"])
    done = cli(*line, "--resume")
    assert done.code == 1
    assert done.out.startswith("2 images")
    assert [("score" in record) for record in records(path)] == [True] * 5 + [False] + [True] * 2
    (line_up / "5.png").write_bytes(mended["5.png"])
    assert cli(*line, "--resume").code == 0
    assert cli(*line[:-1], tmp_path / "whole.jsonl").code == 0
    assert records(path) == records(tmp_path / "whole.jsonl")
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(file.name for file in tmp_path.iterdir() if file.is_file()) == ["r.jsonl", "whole.jsonl"]


def test_a_resumed_run_keeps_maps_and_overlays_of_the_earlier_one(
    cli: Callable, bundle: Path, line_up: Path, tmp_path: Path
) -> None:
    path = tmp_path / "r.jsonl"
    line = ["infer", "--bundle", bundle, "-i", line_up, "--save-jsonl", path, "--save-maps", tmp_path / "m"]
    line += ["--save-overlays", tmp_path / "o"]
    assert cli(*line).code == 0
    before = {file: file.read_bytes() for folder in ("m", "o") for file in (tmp_path / folder).iterdir()}
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]))
    next(iter((tmp_path / "o").glob("000005_*"))).unlink()
    assert cli(*line, "--resume").code == 0
    assert {file: file.read_bytes() for folder in ("m", "o") for file in (tmp_path / folder).iterdir()} == before


def test_a_file_of_another_bundle_is_refused_and_left_as_it_is(
    cli: Callable, bundle: Path, line_up: Path, surface_root: Path, tmp_path: Path
) -> None:
    path = tmp_path / "r.jsonl"
    other = tmp_path / "other.bundle"
    cli("train", "--root", surface_root, "--model", "vision_filterbank", "--export-deploy-bundle", other)
    assert cli("infer", "--bundle", other, "-i", line_up, "--save-jsonl", path).code == 0
    path.write_bytes(before := path.read_bytes()[:-1])
    refused(cli("infer", "--bundle", bundle, "-i", line_up, "--save-jsonl", path, "--resume"), "another bundle (line 1)")
    assert path.read_bytes() == before
    assert cli("infer", "--bundle", other, "-i", line_up, "--save-jsonl", path, "--no-audit", "--overwrite").code == 0
    done = cli("infer", "--bundle", bundle, "-i", line_up, "--save-jsonl", path, "--no-audit", "--resume")
    refused(done, "with the threshold")


@pytest.mark.parametrize("line", ["no json", "[1]", '{"index": "0", "input": "a"}', '{"score": 1}', "", "[" * 100_000])
def test_a_file_that_holds_something_else_is_refused(
    cli: Callable, bundle: Path, line_up: Path, tmp_path: Path, line: str
) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(f"{line}\n")
    done = cli("infer", "--bundle", bundle, "-i", line_up, "--save-jsonl", path, "--resume")
    refused(done, f"{path}, line 1 is not a record")
    assert path.read_text() == f"{line}\n"


def test_other_inputs_than_those_of_the_first_run_are_refused(
    cli: Callable, bundle: Path, line_up: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.jsonl"
    line = ["infer", "--bundle", bundle, "--save-jsonl", path]
    assert cli(*line, "-i", line_up / "1.png", "-i", line_up / "2.png").code == 0
    before = path.read_bytes()
    refused(cli(*line, "-i", line_up / "0.png", "-i", line_up, "--resume"), f"record 0 of {line_up / '1.png'}")
    refused(cli(*line, "-i", line_up / "1.png", "--resume"), f"record 1 of {line_up / '2.png'}")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(os.fsencode(line_up / "3.png"))))
    refused(cli(*line, "-i", "-", "--resume"), f"record 0 of {line_up / '1.png'}")
    assert path.read_bytes() == before
    done = cli(*line, *[word for number in (1, 2, 3) for word in ("-i", line_up / f"{number}.png")], "--resume")
    assert done.out.startswith("1 images")


def test_other_flags_than_those_of_the_first_run_are_refused(
    cli: Callable, bundle: Path, line_up: Path, tmp_path: Path
) -> None:
    path = tmp_path / "r.jsonl"
    line = ["infer", "--bundle", bundle, "--save-jsonl", path, "--no-audit", "-i"]
    assert cli(*line, line_up / "0.png").code == 0
    before = path.read_bytes()
    refused(cli(*line, line_up, "--resume", "--include-confidence"), "other flags", "label_confidence")
    assert path.read_bytes() == before
    assert cli(*line, line_up, "--resume").code == 0


@pytest.mark.parametrize("extra", [[], ["--save-jsonl", "r.jsonl", "--overwrite"]])
def test_resuming_needs_a_file_and_never_overwrites(cli: Callable, bundle: Path, line_up: Path, extra: list[str]) -> None:
    refused(cli("infer", "--bundle", bundle, "-i", line_up, "--resume", *extra), "--save-jsonl FILE, and no --overwrite")


def _wait_for_lines(path: Path, count: int, running: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert running.poll() is None
        assert time.monotonic() < end
        time.sleep(0.005)


@posix
def test_a_killed_run_can_be_resumed_and_equals_an_uninterrupted_one(
    cli: Callable, bundle: Path, line_up: Path, tmp_path: Path
) -> None:
    path, listing = tmp_path / "r.jsonl", tmp_path / "list.txt"
    listing.write_text("".join(f"{line_up / f'{number % 8}.png'}\n" for number in range(200)))
    line = ["--bundle", bundle, "--input-list", listing, "--batch-size", 2, "--save-overlays"]
    running = subprocess.Popen(command(*line, tmp_path / "o", "--save-jsonl", path))
    try:
        _wait_for_lines(path, 20, running)
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    assert 20 <= path.read_bytes().count(b"\n") < 200
    done = cli("infer", *line, tmp_path / "o", "--save-jsonl", path, "--resume")
    assert done.code == 0, done.err
    assert cli("infer", *line, tmp_path / "o2", "--save-jsonl", tmp_path / "whole.jsonl").code == 0
    assert records(path) == records(tmp_path / "whole.jsonl")
    overlays = {file.name: file.read_bytes() for file in (tmp_path / "o").glob("[0-9]*")}
    assert overlays == {file.name: file.read_bytes() for file in (tmp_path / "o2").iterdir()}


@posix
@pytest.mark.parametrize("every", [1, 50])
def test_an_interrupted_run_leaves_whole_records_and_says_how_to_go_on(
    cli: Callable, bundle: Path, line_up: Path, tmp_path: Path, every: int
) -> None:
    path, seen = tmp_path / "r.jsonl", tmp_path / "seen"
    line = ["--bundle", bundle, "-i", "-", "--save-jsonl", path, "--flush-every", every, "--save-overlays", seen]
    names = [os.fsencode(line_up / f"{number}.png") + b"\n" for number in range(8)]
    running = subprocess.Popen(command(*line), stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdin is not None
    running.stdin.writelines(names[:5])
    running.stdin.flush()
    end = time.monotonic() + 60
    while not seen.exists() or len(list(seen.glob("[0-9]*.jpg"))) < 5:
        assert running.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    _, error = running.communicate(timeout=60)
    assert running.returncode not in (0, 2)
    assert b"Traceback" not in error
    assert b"stopped after 5 images; their records are whole" in error
    assert b"--resume" in error
    assert [record["index"] for record in records(path)] == [0, 1, 2, 3, 4]
    done = cli("infer", "--bundle", bundle, "-i", line_up, "--save-jsonl", path, "--save-overlays", seen, "--resume")
    assert done.code == 0, done.err
    assert len(records(path)) == 8


def test_a_contact_sheet_of_a_resumed_run_shows_the_images_of_the_first_one_too(
    cli: Callable, bundle: Path, line_up: Path, tmp_path: Path
) -> None:
    line = ["infer", "--bundle", bundle, "-i", line_up, "--contact-sheet-count", 5, "--save-jsonl", tmp_path / "r.jsonl"]
    assert cli(*line, "--contact-sheet", tmp_path / "whole.html").code == 0
    lines = (tmp_path / "r.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "r.jsonl").write_bytes(b"".join(lines[:6]))
    assert cli(*line, "--contact-sheet", tmp_path / "part.html", "--resume").code == 0
    assert (tmp_path / "part.html").read_bytes() == (tmp_path / "whole.html").read_bytes()


# Files in threads


def test_records_stay_in_order_and_follow_their_files_however_long_each_takes(
    pipeline: Pipeline, line_up: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Artefacts._write_files

    def slow(self: Artefacts, result: InferenceResult, record: dict[str, Any]) -> None:
        time.sleep(0.05 if result.index % 3 == 0 else 0)
        real(self, result, record)

    monkeypatch.setattr(Artefacts, "_write_files", slow)
    path = tmp_path / "r.jsonl"
    files = [str(file) for file in sorted(line_up.iterdir())]
    waiting = []
    with ResultWriter(pipeline, path, tmp_path / "maps", tmp_path / "seen", threads=3) as writer:
        for result in infer_iter(pipeline, files):
            writer.write(result)
            waiting.append(len(writer._waiting))
            for record in records(path):
                assert Path(record["anomaly_map"]["path"]).exists()
                assert (tmp_path / "seen" / f"{record['index']:06d}_{Path(record['input']).stem}.jpg").exists()
    assert [record["index"] for record in records(path)] == list(range(8))
    assert max(waiting) <= 6
    with ResultWriter(pipeline, tmp_path / "one.jsonl", tmp_path / "maps1", tmp_path / "seen1") as writer:
        for result in infer_iter(pipeline, files):
            writer.write(result)
    for folder in ("maps", "seen"):
        for file in (tmp_path / folder).iterdir():
            assert file.read_bytes() == (tmp_path / f"{folder}1" / file.name).read_bytes()


def test_a_file_that_cannot_be_written_ends_the_run_with_its_name_and_the_records_before_it(
    pipeline: Pipeline, line_up: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.replace

    def full(source: Any, target: Any) -> None:
        if "000003_" in str(target):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(source, target)

    monkeypatch.setattr(os, "replace", full)
    path = tmp_path / "r.jsonl"

    def run() -> None:
        with ResultWriter(pipeline, path, overlays=tmp_path / "seen", threads=2) as writer:
            for result in infer_iter(pipeline, [str(file) for file in sorted(line_up.iterdir())]):
                writer.write(result)

    with pytest.raises(OutputError, match=r"000003_3\.jpg cannot be written \(No space left on device\)"):
        run()
    assert [record["index"] for record in records(path)] == [0, 1, 2]
    assert not [file for file in (tmp_path / "seen").iterdir() if file.name.startswith((".", "000003_"))]


def test_a_last_file_that_cannot_be_written_is_an_error_too(
    pipeline: Pipeline, line_up: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyimgano.inference.artefacts.encode_jpeg", lambda _: (time.sleep(0.2), 1 / 0)[0])
    result = infer(pipeline, [str(line_up / "0.png")])[0]
    with (
        pytest.raises(ZeroDivisionError),
        ResultWriter(pipeline, tmp_path / "r.jsonl", overlays=tmp_path / "seen", threads=2) as writer,
    ):
        writer.write(result)
    assert records(tmp_path / "r.jsonl") == []


# Confidence


def summarised(count: int, rate: float = 0.05) -> ImageThreshold:
    """Return a threshold calibrated on the scores 1, 2, ... `count`."""
    return split_conformal(np.arange(1, count + 1, dtype=float), rate)


def test_confidence_is_the_chance_that_another_sample_gives_the_same_label() -> None:
    threshold = summarised(99)
    assert threshold.value == 95
    confidence = LabelConfidence(threshold)
    rng = np.random.default_rng(0)
    for score in (60.0, 90.0, 95.0, 98.0, 200.0):
        p = (1 + sum(value <= score for value in range(1, 100))) / 101
        wins = (rng.binomial(99, p, 200_000) >= 95).mean()
        assert confidence(score, 1) == pytest.approx(wins, abs=0.006)
        assert confidence(score, 0) == pytest.approx(1 - wins, abs=0.006)


def test_confidence_rises_away_from_the_threshold_and_is_about_even_at_it() -> None:
    confidence = LabelConfidence(summarised(400))
    defective = [confidence(score, 1) for score in np.linspace(300, 500, 50)]
    assert (np.diff(defective) >= 0).all()
    assert 0.3 < confidence(381, 1) < 0.7
    assert confidence(-1e9, 0) == pytest.approx(1)
    assert confidence.most == confidence(1e9, 1) > 0.99


@pytest.mark.parametrize("count", [1, 2, 5, 20, 5000])
def test_confidence_is_a_probability_for_any_number_of_images(count: int) -> None:
    confidence = LabelConfidence(summarised(count))
    for score in (-1e300, 0.0, 1.0, count / 2, float(count), 1e300):
        assert 0 <= confidence(score, 0) <= 1
        assert confidence(score, 0) + confidence(score, 1) == pytest.approx(1)


def test_confidence_stays_low_with_few_images_however_plain_the_defect() -> None:
    assert LabelConfidence(summarised(5)).most == pytest.approx((6 / 7) ** 5)


def test_equal_calibration_scores_count_all_at_once() -> None:
    confidence = LabelConfidence(split_conformal(np.array([1.0] * 50)))
    assert confidence(1.0, 1) == confidence(2.0, 1)
    assert confidence(0.5, 0) == pytest.approx(1)


@pytest.mark.parametrize("threshold", [None, ImageThreshold(value=1.0, method="fixed", source="infer_config")])
def test_confidence_needs_a_calibrated_threshold(threshold: ImageThreshold | None) -> None:
    with pytest.raises(CalibrationError, match="needs a calibrated image threshold"):
        LabelConfidence(threshold)


def test_records_hold_confidence_and_rejection_only_where_asked_for(cli: Callable, bundle: Path, line_up: Path) -> None:
    line = ["infer", "--bundle", bundle, "-i", line_up, "--no-audit"]
    plain = records(cli(*line).out)
    sure = records(cli(*line, "--include-confidence").out)
    assert [{key: value for key, value in record.items() if key != "label_confidence"} for record in sure] == plain
    for below, label in ((0, None), (0.9, None), (1, 7), (1, 0)):
        done = cli(*line, "--reject-confidence-below", below, *([] if label is None else ["--reject-label", label]))
        assert done.code == 0
        for record, before in zip(records(done.out), sure, strict=True):
            assert record["rejected"] == (before["label_confidence"] < below)
            assert record["label"] == ((-2 if label is None else label) if record["rejected"] else before["label"])
        assert ("all of them will be rejected" in done.err) == (below > 0)


def test_a_threshold_set_by_hand_has_no_confidence(cli: Callable, bundle: Path, line_up: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "run")
    (tmp_path / "run" / "manifest.json").unlink()
    config = tmp_path / "run" / "infer_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "threshold": 3.0}))
    line = ["infer", "--infer-config", config, "-i", line_up]
    refused(cli(*line, "--include-confidence"), "needs a calibrated image threshold")
    refused(cli(*line, "--reject-confidence-below", 0.5), "needs a calibrated image threshold")
    assert cli(*line).code == 0


def test_a_reject_label_alone_is_refused(cli: Callable, bundle: Path, line_up: Path) -> None:
    refused(cli("infer", "--bundle", bundle, "-i", line_up, "--reject-label", 0), "--reject-confidence-below")


# Values, seed, profile


def test_map_values_are_in_records_only_where_asked_for(cli: Callable, bundle: Path, line_up: Path, pipeline: Pipeline) -> None:
    done = cli("infer", "--bundle", bundle, "-i", line_up / "0.png", "--include-anomaly-map-values")
    assert "--save-maps is smaller" in done.err
    record = records(done.out)[0]
    values = pipeline.detector.get_anomaly_map(line_up / "0.png")
    np.testing.assert_allclose(record["anomaly_map_values"], values, atol=1e-6)
    assert record["anomaly_map"] == {"shape": [96, 128], "dtype": "float32"}
    assert "anomaly_map_values" not in records(cli("infer", "--bundle", bundle, "-i", line_up / "0.png").out)[0]


@pytest.mark.parametrize(("given", "seed"), [([], 0), (["--seed", 0], 0), (["--seed", 5], 5)])
def test_the_seed_reaches_the_model(
    cli: Callable, bundle: Path, line_up: Path, monkeypatch: pytest.MonkeyPatch, given: list[object], seed: int
) -> None:
    seen = []
    real = Bundle.pipeline
    monkeypatch.setattr(Bundle, "pipeline", lambda self, runtime=None: (seen.append(runtime), real(self, runtime))[1])
    assert cli("infer", "--bundle", bundle, "-i", line_up / "0.png", *given).code == 0
    assert seen[0].seed == seed


def test_stages_within_stages_pause_them_and_threads_are_counted_apart() -> None:
    watch = Stopwatch()

    def beside() -> None:
        with watch.stage("save"):
            time.sleep(0.05)

    with watch.stage("write"):
        time.sleep(0.02)
        with watch.stage("render"):
            time.sleep(0.04)
        thread = threading.Thread(target=beside)
        thread.start()
        thread.join()
    report = watch.report(10)
    stages = report["stages"]
    assert stages["render"]["seconds"] >= 0.04
    assert stages["write"]["seconds"] >= 0.07
    assert stages["render"]["seconds"] + stages["write"]["seconds"] <= report["wall_seconds"]
    assert report["threads"]["save"] >= 0.05
    assert sum(stage["seconds"] for stage in stages.values()) == pytest.approx(report["wall_seconds"])
    assert sum(stage["share"] for stage in stages.values()) == pytest.approx(1)
    assert stages["write"]["images_per_second"] == pytest.approx(10 / stages["write"]["seconds"])


def test_the_profile_tells_waiting_for_images_from_scoring_them(
    cli: Callable, bundle: Path, line_up: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyimgano import images
    from pyimgano.detectors.filterbank import FilterBank

    real_read, real_score = images._read_up_to, FilterBank._score
    line = ["infer", "--bundle", bundle, "-i", line_up, "--no-audit"]
    plain = cli(*line)
    for slow, fast in (("read", "score"), ("score", "read")):
        monkeypatch.setattr(
            images, "_read_up_to", lambda *args, slow=slow: (slow == "read" and time.sleep(0.1), real_read(*args))[1]
        )
        monkeypatch.setattr(
            FilterBank,
            "_score",
            lambda self, batch, slow=slow: (slow == "score" and time.sleep(0.4), real_score(self, batch))[1],
        )
        done = cli(*line, "--profile", "--profile-json", tmp_path / f"{slow}.json")
        assert done.out == plain.out
        report = json.loads((tmp_path / f"{slow}.json").read_text())
        assert report["images"] == 8
        assert report["stages"][slow]["seconds"] > 0.3
        assert report["stages"][slow]["seconds"] > report["stages"][fast]["seconds"]
        assert re.search(r"^wait for images: read, decode +\d+\.\d\d +\d+% +[\d.]+$", done.err, re.M)
        assert re.search(r"^all +\d+\.\d\d +100% +[\d.]+ without loading$", done.err, re.M)


def test_a_profile_alone_goes_to_its_file(cli: Callable, bundle: Path, line_up: Path, tmp_path: Path) -> None:
    line = [
        "infer",
        "--bundle",
        bundle,
        "-i",
        line_up,
        "--profile-json",
        tmp_path / "p.json",
        "--save-overlays",
        tmp_path / "o",
    ]
    done = cli(*line)
    assert (done.code, done.err) == (0, "")
    assert json.loads((tmp_path / "p.json").read_text())["threads"].keys() == {"render", "save"}
    refused(cli(*line[:-1], tmp_path / "o2"), f"{tmp_path / 'p.json'} exists already")


def test_reduced_precision_where_there_is_none_changes_nothing(cli: Callable, bundle: Path, line_up: Path) -> None:
    line = ["infer", "--bundle", bundle, "-i", line_up, "--no-audit"]
    done = cli(*line, "--amp")
    assert (done.code, done.err.count("vision_filterbank knows no reduced precision (amp)")) == (0, 1)
    assert done.out == cli(*line).out


# Contact sheet


class Page(HTMLParser):
    """Collects the pictures and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.mark.parametrize(("given", "count"), [([], 8), (["--contact-sheet-count", 3], 3), (["--contact-sheet-count", 200], 8)])
def test_the_page_shows_the_highest_scores_in_order_and_needs_no_other_file(
    cli: Callable, bundle: Path, line_up: Path, tmp_path: Path, given: list[object], count: int
) -> None:
    done = cli("infer", "--bundle", bundle, "-i", line_up, "--contact-sheet", tmp_path / "s.html", *given)
    assert done.code == 0, done.err
    page = Page((tmp_path / "s.html").read_text(encoding="utf-8"))
    best = sorted(records(done.out), key=lambda record: -record["score"])[:count]
    assert [text for text in page.texts if re.match(r"\d+\. score", text)] == [
        f"{place}. score {record['score']:.4g}" for place, record in enumerate(best, start=1)
    ]
    assert [text for text in page.texts if text.startswith("line/")] == [f"line/{Path(one['input']).name}" for one in best]
    assert [text for text in page.texts if text in ("DEFECT", "good")] == [("good", "DEFECT")[one["label"]] for one in best]
    assert len(page.sources) == count
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert not {"script", "link"} & set(page.tags)


def result(
    index: int, score: float, name: str = "", label: int | None = None, size: tuple[int, int] = (40, 60)
) -> InferenceResult:
    """Return a result without a map."""
    return InferenceResult(index, name or f"parts/{index}.png", score, label, image=np.full((*size, 3), 90, np.uint8))


def test_names_are_text_and_never_markup(tmp_path: Path) -> None:
    sheet = ContactSheet(tmp_path / "s.html")
    evil = '<script>alert("1")</script>&amp;.png'
    sheet.add(result(0, 1.0, f"parts/{evil}"))
    sheet.add(result(1, 0.5, "parts/\udcff.png"))
    sheet.write(None)
    page = Page((tmp_path / "s.html").read_text(encoding="utf-8"))
    assert "script" not in page.tags
    assert f"{Path('parts') / evil}".rpartition("/")[2] in "".join(page.texts)


def test_only_the_pictures_of_the_highest_scores_are_drawn_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    real = contact_sheet.encode_jpeg
    monkeypatch.setattr(contact_sheet, "encode_jpeg", lambda image: drawn.append(1) or real(image))
    sheet = ContactSheet(tmp_path / "s.html", 3)
    for index in range(300):
        sheet.add(result(index, float(300 - index if index % 100 else 1000 + index)))
    assert [entry.index for entry in sheet.entries()] == [200, 100, 0]
    assert len(drawn) < 10
    ties = ContactSheet(tmp_path / "t.html", 2)
    for index in range(5):
        ties.add(result(index, 1.0))
    assert [entry.index for entry in ties.entries()] == [0, 1]


@pytest.mark.parametrize("count", [0, 1, 7, 50])
@pytest.mark.parametrize("size", [(8, 3000), (3000, 8), (40, 60)])
def test_the_sheet_as_a_picture_has_room_for_every_image(tmp_path: Path, count: int, size: tuple[int, int]) -> None:
    sheet = ContactSheet(tmp_path / "s.png", 60)
    for index in range(count):
        sheet.add(result(index, float(index), "x" * 200 + ".png", index % 2, size))
    sheet.write(0.5)
    with PillowImage.open(tmp_path / "s.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    border = [pixels[:5], pixels[-5:], pixels[:, :5], pixels[:, -5:]]
    assert all((edge == 255).all() for edge in border)
    if count:
        assert (pixels == (90, 90, 90)).all(axis=2).any()


@pytest.mark.parametrize("text", ["a.png", "x" * 300 + "_end.png", "部品" * 80 + ".png", "\udcff.png", ""])
@pytest.mark.parametrize("width", [40, 320])
def test_long_names_are_shortened_in_the_middle_until_they_fit(text: str, width: int) -> None:
    shown = shortened(text, width, 15)
    assert contact_sheet._font(15).getlength(shown) <= width
    if len(text) > 100:
        assert "..." in shown
        assert shown[-1] == text[-1]


@pytest.mark.parametrize("name", ["s.pdf", "s", "s.jpg"])
def test_other_kinds_of_sheets_are_refused_before_scoring(
    cli: Callable, bundle: Path, line_up: Path, tmp_path: Path, name: str
) -> None:
    refused(cli("infer", "--bundle", bundle, "-i", line_up, "--contact-sheet", tmp_path / name), ".html or .png")
    assert not (tmp_path / name).exists()


# Arrays


def test_arrays_say_what_they_hold(pipeline: Pipeline, line_up: Path) -> None:
    image = read(line_up / "0.png")
    expected = infer(pipeline, [image])[0].score
    forms: list[tuple[np.ndarray, dict[str, Any]]] = [
        (image, {"channels": "rgb", "layout": "hwc", "u16_max": 65535}),
        (image[:, :, ::-1], {"channels": "bgr"}),
        (np.moveaxis(image, -1, 0), {"layout": "chw"}),
        (np.moveaxis(image[:, :, ::-1], -1, 0), {"layout": "chw", "channels": "bgr"}),
        (np.rint(image.astype(np.float64) * 4095 / 255).astype(np.uint16), {"u16_max": 4095}),
    ]
    for array, form in forms:
        found = infer(pipeline, [array, line_up / "0.png"], **form)
        assert [one.score for one in found] == [expected, expected]
        assert found[0].item is array
    assert infer(pipeline, [image[:, :, ::-1]])[0].score != expected


def test_values_above_white_are_an_error_of_their_array_alone(pipeline: Pipeline) -> None:
    array = np.full((20, 20), 4095, np.uint16)
    np.testing.assert_array_equal(from_array(array, u16_max=4095), 255)
    assert from_array(array).max() == 16
    too_bright = array.copy()
    too_bright[3, 3] = 4096
    with pytest.raises(ImageError, match="holds 4096, more than u16_max=4095"):
        infer(pipeline, [too_bright], u16_max=4095)
    found = infer(pipeline, [array, too_bright, array], u16_max=4095, continue_on_error=True)
    assert [one.error is None for one in found] == [True, False, True]


@pytest.mark.parametrize("form", [{"channels": "gbr"}, {"layout": "cwh"}, {"u16_max": 0}, {"u16_max": 65536}])
def test_other_words_for_an_array_are_refused_at_once(pipeline: Pipeline, form: dict[str, Any]) -> None:
    with pytest.raises(OptionsError, match=next(iter(form))):
        infer_iter(pipeline, [], **form)


def test_inputs_and_held_records_can_be_used_from_python(pipeline: Pipeline, line_up: Path, tmp_path: Path) -> None:
    inputs = Inputs([str(line_up)])
    assert (inputs.streams, len(inputs.files), list(inputs.chunks())) == (False, 8, [inputs.files])
    assert Held.read(tmp_path / "none.jsonl", None, None).inputs == {}
    with pytest.raises(DatasetError, match="nothing to inspect"):
        Inputs([])
