"""Folders of finished runs, of training and of benchmarks, read back to be listed and compared."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyimgano.errors import OutputError
from pyimgano.evaluation.run_folder import CATEGORIES
from pyimgano.workbench.seal import CONFIG, MANIFEST, REPORT
from pyimgano.workbench.training_folder import SETTINGS, SPLIT

_ANOTHER = "name the folder of a run: pyimgano train --output DIR, or pyimgano benchmark --save-run DIR"


@dataclass(frozen=True)
class SavedRun:
    """A run of one model.

    Attributes
    ----------
    folder
        Where it lies.
    report, settings
        What its report.json and its config.json hold.
    data
        The digest of the images of every category, by name.
    """

    folder: Path
    report: Mapping[str, Any]
    settings: Mapping[str, Any]
    data: Mapping[str, str]

    @classmethod
    def read(cls, folder: Path) -> SavedRun:
        """Return the run in a folder.

        Raises
        ------
        OutputError
            If it holds no run, an unfinished one, or several.
        """
        report = _object(folder / REPORT)
        if report is None or _object(folder / SETTINGS) is None:
            unfinished = (folder / SETTINGS).is_file() and not (folder / REPORT).exists()
            what = "an unfinished run: finish it first" if unfinished else "no run"
            raise OutputError(f"{folder} holds {what}", _ANOTHER)
        if "runs" in report:
            names = ", ".join(str(folder / str(run.get("folder"))) for run in report["runs"])
            raise OutputError(f"{folder} holds several runs", f"name one of them: {names}")
        parts = {path.parent.name: _object(path) or {} for path in sorted(folder.glob(f"{CATEGORIES}/*/{REPORT}"))}
        data = {str(part.get("category", name)): str(part.get("data_sha256")) for name, part in parts.items()}
        return cls(folder, report, _object(folder / SETTINGS) or {}, data)

    @property
    def kind(self) -> str:
        """Return ``training`` or ``benchmark``."""
        return str(self.report.get("kind", "benchmark"))

    @property
    def created(self) -> str:
        """Return when it was made, in UTC: as it says, or when its report was written."""
        said = self.report.get("created_utc")
        written = datetime.fromtimestamp((self.folder / REPORT).stat().st_mtime, UTC)
        return str(said or written.isoformat(timespec="seconds").replace("+00:00", "Z"))

    @property
    def metrics(self) -> dict[str, float | None]:
        """Return every metric by its name; those that only test labels could tell are not among them."""
        results = self.report.get("results") or {}
        parts = [results, *(results.get(name) or {} for name in ("metrics", "pixel_metrics", "extra_metrics"))]
        skipped = ("threshold", "pixel_threshold", "aupro_limit", "tp", "tn", "fp", "fn")
        return {
            name: value
            for part in parts
            for name, value in part.items()
            if name not in skipped and (value is None or isinstance(value, (int, float))) and not isinstance(value, bool)
            if name not in ("metrics", "pixel_metrics")
        }

    @property
    def images(self) -> dict[str, Any]:
        """Return a digest of the images by role, where it is known, or of all of them by category."""
        split = self.report.get("split")
        if isinstance(split, Mapping):
            roles = {role: part.get("sha256") for role, part in split.items()}
            return {**roles, **{f"data {name}": digest for name, digest in self.data.items()}}
        return {f"data {name}": digest for name, digest in self.data.items()}


def find_runs(root: Path) -> Iterator[SavedRun | Path]:
    """Yield the runs in a folder and below it, in the order of their paths; of one that is not finished its folder.

    Raises
    ------
    OutputError
        If there is no such folder.
    """
    if not root.is_dir():
        raise OutputError(f"{root} is not a folder", _ANOTHER)
    folders = [path.parent for path in sorted(root.rglob(SETTINGS)) if not (path.parent / MANIFEST).exists()]
    for folder in folders:
        if "runs" in (_object(folder / REPORT) or {}):
            continue
        training = (folder / SPLIT).exists()
        if (folder / REPORT).exists() and (not training or (folder / CONFIG).exists()):
            yield SavedRun.read(folder)
        elif not any(other != folder and folder in other.parents for other in folders):
            yield folder


def _object(path: Path) -> dict[str, Any] | None:
    """Return the object that a JSON file holds; None where there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
