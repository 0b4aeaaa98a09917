"""Training here, judging elsewhere: the same images by the pipeline that was trained, and by its bundle in a new process."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pyimgano import infer_iter
from pyimgano.inference.outputs import ResultWriter
from pyimgano.pipeline import Pipeline
from pyimgano.workbench.layers import resolve
from pyimgano.workbench.training import run_training

GUARD = """
import socket


def refuse(*args, **kwargs):
    raise PermissionError("the network is blocked")


for name in ("connect", "connect_ex", "sendto", "sendmsg", "bind", "listen"):
    setattr(socket.socket, name, refuse)
for name in ("create_connection", "getaddrinfo", "gethostbyname", "gethostbyname_ex"):
    setattr(socket, name, refuse)
"""
BATCH = 8


def judged_here_and_there(
    shell: Callable[..., Any],
    data: Path,
    folder: Path,
    model: Mapping[str, Any],
    *,
    test: Sequence[Path],
) -> tuple[list[dict[str, Any]], int]:
    """Train a recipe on a copy of `data`, judge `test`, move the bundle, delete the copy, judge again without a network.

    Both must agree to the byte in records, masks and overlays. `model` is put over the recipe's.

    Returns
    -------
    tuple
        The records, and how many regions they have.
    """
    copy = Path(shutil.copytree(data, folder / "training" / "data"))
    line = folder / "line"
    line.mkdir()
    images = [Path(shutil.copy(path, line / f"{place:03d}_{path.name}")) for place, path in enumerate(test)]
    made = folder / "training" / "parts.bundle"
    settings = {
        "dataset": {"root": copy},
        "model": {**model, "batch_size": BATCH, "threads": 1},
        "calibration": {"false_alarm_rate": 0.2},
        "output": {"deploy_bundle": made},
    }
    run = run_training(resolve(settings, recipe="industrial-adapt-fp40"))
    write_here(run.pipeline, images, folder / "here")

    (folder / "elsewhere").mkdir()
    bundle = made.rename(folder / "elsewhere" / "moved.bundle")
    shutil.rmtree(folder / "training")
    (folder / "guard").mkdir()
    (folder / "guard" / "sitecustomize.py").write_text(GUARD, encoding="utf-8")
    there, home = folder / "there", folder / "home"
    home.mkdir()
    guarded = {"path": [folder / "guard"], "HOME": str(home), "HF_HOME": str(home), "XDG_CACHE_HOME": str(home)}
    assert "the network is blocked" in shell("-c", "import socket; socket.create_connection(('127.0.0.1', 9))", **guarded).err
    done = shell(
        *("-m", "pyimgano", "infer", "--bundle", bundle, "--input", line, "--defects", "--no-audit"),
        *("--save-jsonl", there / "records.jsonl", "--save-masks", there / "masks", "--save-overlays", there / "overlays"),
        *("--batch-size", BATCH, "--threads", 1),
        **guarded,
    )
    assert done.code == 0, done.err
    for name in ("masks", "overlays"):
        first, second = ({path.name: path.read_bytes() for path in (one / name).iterdir()} for one in (folder / "here", there))
        assert len(first) == len(images)
        assert first == second, name
    records = [_records(one / "records.jsonl") for one in (folder / "here", there)]
    assert records[0] == records[1]
    return records[0], sum(len(record["defects"]["regions"]) for record in records[0])


def write_here(pipeline: Pipeline, images: Sequence[Path], folder: Path) -> None:
    """Judge images in this process, by the pipeline that was trained."""
    folder.mkdir()
    places = {"overlays": folder / "overlays", "masks": folder / "masks"}
    with ResultWriter(pipeline, folder / "records.jsonl", defects=True, **places) as writer:
        for result in infer_iter(pipeline, [str(path) for path in images]):
            writer.write(result)


def _records(path: Path) -> list[dict[str, Any]]:
    """Return records without the folder that their files are in."""
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for record in records:
        record["defects"]["mask"]["path"] = Path(record["defects"]["mask"]["path"]).name
    return records
