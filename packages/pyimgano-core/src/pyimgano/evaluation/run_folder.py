"""The folder of a run: what is finished stays, so that the same command goes on where it stopped."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyimgano.errors import OutputError
from pyimgano.evaluation.category import CategoryRun
from pyimgano.reporting.environment import environment
from pyimgano.reporting.files import save_run_report, write_whole
from pyimgano.reporting.strict_json import line, plain

REPORT, CONFIG, ENVIRONMENT = "report.json", "config.json", "environment.json"
CATEGORIES, RECORDS, WORST = "categories", "per_image.jsonl", "worst"
OWN = frozenset({REPORT, CONFIG, ENVIRONMENT, CATEGORIES, "report.html"})


class RunFolder:
    """The results of one model, or of several, each in a folder of its own below."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, config: Mapping[str, Any], overwrite: bool = False) -> None:
        """Start the run, or take up the same one again.

        Raises
        ------
        OutputError
            If the folder holds something else, or a run with another config. What no run has written is never replaced.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise OutputError(f"{self.folder} is not a folder", "name a new folder")
        old = self._old_config()
        if old is None and self.folder.exists() and any(self.folder.iterdir()):
            raise OutputError(f"{self.folder} holds files that are no run", "name a new folder")
        if old is not None and overwrite:
            self._clear()
        elif old is not None and old != plain(config):
            raise OutputError(
                f"{self.folder} holds a run that differs in {', '.join(_differences(old, plain(config)))}",
                "name a new folder, or pass --overwrite to replace that run",
            )
        save_run_report(self.folder / CONFIG, config)
        save_run_report(self.folder / ENVIRONMENT, environment())

    def _old_config(self) -> Any:
        """Return the config of the run that is there, or None where there is none."""
        try:
            old = json.loads((self.folder / CONFIG).read_text(encoding="utf-8"))
        except OSError:
            return None
        except ValueError:
            raise OutputError(f"{self.folder / CONFIG} is not valid JSON", "remove the folder, or name a new one") from None
        return old if isinstance(old, dict) and {"schema_version", "models", "settings"} <= old.keys() else None

    def _clear(self) -> None:
        foreign = self._foreign()
        if foreign:
            raise OutputError(
                f"{foreign[0]} was not written by pyimgano, so --overwrite leaves its folder alone",
                "move it away, or name a new folder",
            )
        for path in self.folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _foreign(self) -> list[Path]:
        """Return what lies in the folder besides the run and, below it, the runs of several models."""
        found = []
        for path in sorted(self.folder.iterdir()):
            below = RunFolder(path)
            if path.is_dir() and path.name not in OWN and below._old_config() is not None:
                found += below._foreign()
            elif path.name not in OWN and path.suffix != ".part":
                found.append(path)
        return found

    def below(self, name: str) -> RunFolder:
        """Return the folder of one of several models."""
        return RunFolder(self.folder / name)

    def finished(self, category: str, data_sha256: str) -> dict[str, Any] | None:
        """Return the report of a category that is done, or None if it is not, or its images have changed since."""
        try:
            report = json.loads((self._place(category) / REPORT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return report if isinstance(report, dict) and report.get("data_sha256") == data_sha256 else None

    def write_category(self, category: str, run: CategoryRun) -> None:
        """Write what a category gave; its report comes last, because that is what makes it finished."""
        place = self._place(category)
        shutil.rmtree(place, ignore_errors=True)
        for name, picture in run.pictures.items():
            write_whole(place / WORST / name, picture)
        write_whole(place / RECORDS, "".join(line(record) + "\n" for record in run.records).encode())
        save_run_report(place / REPORT, run.report)

    def finish(self, report: Mapping[str, Any]) -> None:
        """Write the report of the whole run."""
        save_run_report(self.folder / REPORT, report)

    def _place(self, category: str) -> Path:
        return self.folder / CATEGORIES / safe_name(category)


def safe_name(text: str) -> str:
    """Return text as the name of a folder on any system."""
    return re.sub(r"[^\w.-]+", "_", text).strip("._") or "_"


def _differences(old: Any, new: Any, place: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        names = sorted({*old, *new})
        return [found for name in names for found in _differences(old.get(name), new.get(name), f"{place}.{name}".lstrip("."))]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [found for number, pair in pairs for found in _differences(*pair, f"{place}.{number}")]
    return [] if old == new else [place]
