"""The folder of a training: what was learned is kept as soon as it is, so that the same command goes on after it."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.numpy import load

from pyimgano.errors import OutputError
from pyimgano.evaluation.category import CategoryRun
from pyimgano.evaluation.run_folder import CATEGORIES, RunFolder
from pyimgano.guard import named_errors
from pyimgano.pipeline import Pipeline
from pyimgano.reporting.environment import environment
from pyimgano.reporting.files import save_run_report, write_whole
from pyimgano.workbench.bundle import state_bytes
from pyimgano.workbench.seal import CONFIG, ENVIRONMENT, HISTORY, MANIFEST, REPORT, SEAL, SIGNATURE, STATE

SETTINGS, SPLIT, FIT, PAGE = "config.json", "split.json", "fit.json", "report.html"
_OF_BUNDLES = {STATE, CONFIG, REPORT, ENVIRONMENT, HISTORY, MANIFEST, SEAL, SIGNATURE}
_OWN = frozenset({SETTINGS, SPLIT, FIT, PAGE, CATEGORIES, *_OF_BUNDLES})

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fit:
    """What fitting has left besides its state: how long it took (seconds), and what it warned of."""

    seconds: float
    warnings: tuple[str, ...]


class TrainingFolder:
    """The run of one training. Its infer_config.json comes last, because that is what makes it finished."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def check(self, overwrite: bool = False) -> None:
        """Raise before any work is done if the folder is not new, holds no unfinished training, and may not be replaced.

        Raises
        ------
        OutputError
            Naming what is in the way. What pyimgano has not written is never replaced.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise OutputError(f"{self.folder} is a file, not a folder", "name a new folder")
        names = {path.name for path in self.folder.iterdir()} if self.folder.exists() else set()
        foreign = sorted(name for name in names - _OWN if not name.endswith(".part"))
        if overwrite and foreign:
            raise OutputError(
                f"{self.folder / foreign[0]} was not written by pyimgano, so --overwrite leaves its folder alone",
                "move it away, or name a new folder",
            )
        unfinished = SPLIT in names and CONFIG not in names and not foreign
        if names and not overwrite and not unfinished:
            raise OutputError(f"folder {self.folder} exists already", "name a new folder, or pass --overwrite")
        self._try_to_write()

    def _try_to_write(self) -> None:
        place = self.folder if self.folder.exists() else self.folder.parent
        try:
            place.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{self.folder.name}.", dir=place):
                return
        except OSError as error:
            reason = f"{self.folder} cannot be written ({error.strerror})"
            raise OutputError(reason, "name a folder that you may write to") from None

    def open(self, config: Mapping[str, Any], split: Mapping[str, Any], overwrite: bool = False) -> None:
        """Write what the training is of, once it has been learned; with `overwrite`, in the place of what is there."""
        self.check(overwrite)
        for path in self.folder.iterdir() if overwrite and self.folder.exists() else ():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        save_run_report(self.folder / SETTINGS, config)
        save_run_report(self.folder / SPLIT, split)
        save_run_report(self.folder / ENVIRONMENT, environment())

    def restore(self, pipeline: Pipeline, fingerprint: str) -> Fit | None:
        """Put what an earlier try has learned into a new pipeline; None where it left nothing, or learned something else."""
        try:
            fit = json.loads((self.folder / FIT).read_text(encoding="utf-8"))
            state = (self.folder / STATE).read_bytes()
            same = fit["fingerprint"] == fingerprint
            whole = fit["state_sha256"] == hashlib.sha256(state).hexdigest()
        except OSError:
            return None
        except (ValueError, KeyError, TypeError):
            same = whole = False
        if not same or not whole:
            reason = "comes from other settings or images" if not same else "is damaged"
            logger.warning("what an earlier training has left in %s %s: it is learned again", self.folder, reason)
            return None
        with named_errors(pipeline.name):
            pipeline.detector.load_state(load(state))
        pipeline.weights = fit["weights"]
        return Fit(fit["seconds"], tuple(fit["warnings"]))

    def keep(self, pipeline: Pipeline, fingerprint: str, fit: Fit) -> None:
        """Keep what was learned; the note that makes it count comes after it."""
        state = state_bytes(pipeline)
        (self.folder / FIT).unlink(missing_ok=True)
        write_whole(self.folder / STATE, state)
        note = {"schema_version": 1, "fingerprint": fingerprint, "state_sha256": hashlib.sha256(state).hexdigest()}
        save_run_report(self.folder / FIT, {**note, **vars(fit), "weights": pipeline.weights})

    def write_category(self, category: str, run: CategoryRun) -> None:
        """Write what the test images gave."""
        RunFolder(self.folder).write_category(category, run)

    def write_report(self, report: Mapping[str, Any]) -> None:
        """Write the report of the run."""
        save_run_report(self.folder / REPORT, report)

    def finish(self, files: Mapping[str, bytes]) -> None:
        """Write what inference needs, the config last."""
        for name in (STATE, CONFIG):
            write_whole(self.folder / name, files[name])
