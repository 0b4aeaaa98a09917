"""The whole job in small: learn, calibrate, seal a bundle, load it, score; in a process of its own, which may crash."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pyimgano.doctor.report import Finding
from pyimgano.errors import PyimganoError

if TYPE_CHECKING:
    from pyimgano.pipeline import Pipeline

SECONDS = 5.0
PATIENCE = 60.0
_AGAIN = "pyimgano --debug -v demo --dataset surface --model vision_filterbank"
_CORE = str(Path(__file__).parents[2])
_CODE = "import sys; sys.path.append(sys.argv[2]); from pyimgano.doctor.self_test import main; main(sys.argv[1])"


def check_self_test() -> Iterator[Finding]:
    """Yield whether the job gives what it must, and how long it took from the start of the interpreter."""
    with tempfile.TemporaryDirectory(prefix="pyimgano-doctor-") as folder:
        line = [sys.executable, "-c", _CODE, folder, _CORE]
        started = time.perf_counter()
        try:
            done = subprocess.run(  # noqa: S603
                line,
                capture_output=True,
                text=True,
                errors="replace",
                cwd=folder,
                env={**os.environ, "PYIMGANO_PLUGINS": "", "PYIMGANO_PLUGIN_FILES": ""},
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            yield Finding(f"vision_filterbank was not done in {PATIENCE:.0f} seconds", "broken", _AGAIN)
            return
        seconds = time.perf_counter() - started
    yield _outcome(done.returncode, done.stderr, seconds)


def _outcome(code: int, errors: str, seconds: float) -> Finding:
    if code == 0:
        message = f"vision_filterbank learned, was sealed and loaded, and scored the same, in {seconds:.1f} s"
        slow = seconds > SECONDS
        return Finding(f"{message}; {SECONDS:.0f} s would be usual" if slow else message, "note" if slow else "ok")
    if code < 0:
        return Finding(f"vision_filterbank was killed by {_signal(-code)}", "broken", _AGAIN)
    reason = next((line for line in reversed(errors.splitlines()) if line.strip()), f"exit code {code}")
    return Finding(f"vision_filterbank failed: {reason}", "broken", _AGAIN)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def main(folder: str) -> None:
    """Do the job in an empty folder; exit with what went wrong, in one line."""
    try:
        _job(Path(folder))
    except PyimganoError as error:
        sys.exit(" ".join(error.problem.split()))


def _job(folder: Path) -> None:
    """Learn from drawn images, find a spot, and get the very same scores from a sealed bundle."""
    from pyimgano.calibration import CalibrationSettings
    from pyimgano.contracts import Runtime
    from pyimgano.pipeline import Pipeline
    from pyimgano.workbench.bundle import Bundle, bundle_files, write_bundle

    good, spotted = _draw(folder)
    pipeline = Pipeline.create("vision_filterbank", {"resize": (64, 64)}, Runtime(device="cpu"))
    pipeline.fit(good[:8]).calibrate(good[8:], CalibrationSettings())
    threshold = pipeline.score_threshold.value if pipeline.score_threshold else float("nan")
    scores = _scores(pipeline, [good[-1], spotted])
    if not scores[0] <= threshold < scores[1]:
        sys.exit(f"good and defective scored {scores}, which the threshold {threshold} does not part")
    write_bundle(folder / "bundle", bundle_files(pipeline, {}))
    again = _scores(Bundle.load(folder / "bundle").pipeline(Runtime(device="cpu")), [good[-1], spotted])
    if again != scores:
        sys.exit(f"the bundle scores {again}, the model that it came from {scores}")


def _draw(folder: Path) -> tuple[list[str], str]:
    """Write twelve images of noise and one with a bright spot; return their paths."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    files = []
    for number in range(13):
        pixels = rng.normal(120, 8, (64, 64, 3)).clip(0, 255).astype(np.uint8)
        if number == 12:
            pixels[24:36, 24:36] = 255
        files.append(str(folder / f"{number:02d}.png"))
        Image.fromarray(pixels).save(files[-1])
    return files[:12], files[12]


def _scores(pipeline: Pipeline, files: list[str]) -> list[float]:
    scored = list(pipeline.score(files))
    for one in scored:
        if one.error is not None:
            raise one.error
    return [one.result.score for one in scored if one.result is not None]
