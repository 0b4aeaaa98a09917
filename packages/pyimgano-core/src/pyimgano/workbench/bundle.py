"""Bundles: a sealed folder with everything that inference needs, and the digests that prove it is whole."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from pyimgano import __version__
from pyimgano.clock import utc_now
from pyimgano.contracts import Runtime
from pyimgano.errors import BundleError, OutputError
from pyimgano.pipeline import Pipeline
from pyimgano.reporting.environment import environment
from pyimgano.reporting.strict_json import document
from pyimgano.workbench.infer_config import (
    SCHEMA_VERSION,
    AdaptationPart,
    DefectsPart,
    InferConfig,
    ModelPart,
    PostprocessPart,
    StatePart,
    read_infer_config,
)

CONFIG, STATE, REPORT, ENVIRONMENT = "infer_config.json", "state.safetensors", "report.json", "environment.json"
MANIFEST, SEAL = "manifest.json", "manifest.sha256"
_ALLOWED = frozenset({".json", ".safetensors"})
_AGAIN = "copy the bundle again from where it was exported, or export it again"


@dataclass(frozen=True)
class Bundle:
    """A verified bundle, or a loose folder with an infer_config.json (`digest` is then None)."""

    folder: Path
    config: InferConfig
    digest: str | None

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Bundle:
        """Verify every digest of a bundle and read its config; no file of it is parsed before it is verified.

        Raises
        ------
        BundleError
            Naming the file that is missing, changed, unexpected or outside the folder.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise BundleError(f"bundle {folder} is not a folder", "pyimgano train --export-deploy-bundle DIR makes one")
        digest = _verify(folder)
        return cls(folder, read_infer_config(folder / CONFIG), digest)

    @classmethod
    def load_config(cls, path: str | os.PathLike[str]) -> Bundle:
        """Read a loose infer_config.json, meant to be edited, with its state file beside it; a sealed one is verified."""
        path = Path(path)
        if (path.parent / MANIFEST).exists() and path.name == CONFIG:
            return cls.load(path.parent)
        return cls(path.parent, read_infer_config(path), None)

    def pipeline(self, runtime: Runtime | None = None) -> Pipeline:
        """Return the pipeline that was trained, ready to score."""
        name = self.config.state.file
        path = _inside(self.folder, name)
        if not path.is_file():
            raise BundleError(f"{path} does not exist", _AGAIN)
        if self.digest is None and _sha256(path) != self.config.state.sha256:
            raise BundleError(f"{path} is not the file that {CONFIG} was written with (sha256 differs)", _AGAIN)
        try:
            arrays = load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise BundleError(f"{path} is not a readable safetensors file: {error}", _AGAIN) from None
        return self.config.pipeline(arrays, runtime or Runtime())


def bundle_files(pipeline: Pipeline, report: Mapping[str, Any], category: str | None = None) -> dict[str, bytes]:
    """Return the files of a run or bundle, by name. Equal pipelines give equal bytes, timestamps aside."""
    # safetensors writes the buffer of an array as it lies in memory, whatever its strides
    state = save({name: np.asarray(array, order="C") for name, array in sorted(pipeline.detector.state().items())})
    distribution, _, _ = pipeline.name.rpartition(":")
    pixel, score = pipeline.pixel_threshold, pipeline.score_threshold
    config = InferConfig(
        schema_version=SCHEMA_VERSION,
        created_utc=utc_now(),
        pyimgano_version=__version__,
        category=category,
        model=ModelPart(
            name=pipeline.name,
            distribution=distribution,
            version=pipeline.version,
            options=dict(pipeline.options),
            device=pipeline.detector.runtime.device,
            weights=dict(pipeline.weights) if pipeline.weights is not None else None,
        ),
        preprocessing=pipeline.preprocessing,
        adaptation=AdaptationPart(
            tiling=pipeline.tiling, postprocess=tuple(PostprocessPart.of(step) for step in pipeline.postprocess)
        ),
        threshold=score.value if score is not None else None,
        threshold_provenance=score,
        defects=DefectsPart(
            **pipeline.defects.model_dump(exclude={"pixel_threshold"}),
            pixel_threshold=pixel.value if pixel is not None else None,
            pixel_normal_quantile=pixel.q if pixel is not None else None,
            pixel_threshold_strategy=pixel.method if pixel is not None else None,
            pixel_threshold_provenance=pixel,
        ),
        state=StatePart(file=STATE, sha256=hashlib.sha256(state).hexdigest()),
    )
    texts = {CONFIG: config, REPORT: report, ENVIRONMENT: environment()}
    return {STATE: state, **{name: document(content).encode() for name, content in texts.items()}}


def write_bundle(folder: Path, files: Mapping[str, bytes], overwrite: bool = False) -> str:
    """Seal files as a bundle and return its digest. Written beside and renamed: an older bundle stays whole until then."""
    entries = {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in files.items()}
    manifest = document({"schema_version": SCHEMA_VERSION, "files": entries}).encode()
    digest = hashlib.sha256(manifest).hexdigest()
    write_folder(folder, {**files, MANIFEST: manifest, SEAL: f"{digest}  {MANIFEST}\n".encode()}, overwrite)
    return digest


def check_writable(folder: Path, overwrite: bool = False) -> None:
    """Raise before any work is done if a folder could not be written at the end of it."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file, not a folder", "name a new folder")
    if folder.is_dir() and any(folder.iterdir()):
        if not overwrite:
            raise OutputError(f"folder {folder} exists already", "name a new folder, or pass --overwrite")
        foreign = sorted({path.name for path in folder.iterdir()} - {CONFIG, STATE, REPORT, ENVIRONMENT, MANIFEST, SEAL})
        if foreign:
            raise OutputError(
                f"{folder / foreign[0]} was not written by pyimgano, so --overwrite leaves its folder alone",
                "move it away, or name a new folder",
            )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent):
            return
    except OSError as error:
        raise OutputError(f"{folder} cannot be written ({error.strerror})", "name a folder that you may write to") from None


def write_folder(folder: Path, files: Mapping[str, bytes], overwrite: bool = False) -> None:
    """Write files into a new folder, beside it first, then rename."""
    check_writable(folder, overwrite)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        beside.chmod(0o755)
        for name, data in files.items():
            (beside / name).write_bytes(data)
        if folder.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
            folder.rename(old / folder.name)
            try:
                beside.rename(folder)
            except OSError:
                (old / folder.name).rename(folder)
                raise
            finally:
                shutil.rmtree(old, ignore_errors=True)
        else:
            beside.rename(folder)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written ({error.strerror})", "free some space, or name another folder"
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _verify(folder: Path) -> str:
    """Return the bundle's digest if its seal, manifest and files agree."""
    manifest_path, seal_path = folder / MANIFEST, folder / SEAL
    for path in (manifest_path, seal_path):
        if path.is_symlink() or not path.is_file():
            raise BundleError(
                f"{path} is missing: this is not a sealed bundle", "use --infer-config for a loose infer_config.json"
            )
    manifest = manifest_path.read_bytes()
    digest = hashlib.sha256(manifest).hexdigest()
    if seal_path.read_bytes() != f"{digest}  {MANIFEST}\n".encode():
        raise BundleError(f"{seal_path} does not match {MANIFEST}: one of them was changed", _AGAIN)
    try:
        content = json.loads(manifest)
        version = content["schema_version"]
        entries = {str(name): (str(entry["sha256"]), int(entry["bytes"])) for name, entry in content["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise BundleError(f"{manifest_path} is not a bundle's manifest ({error})", _AGAIN) from None
    if version != SCHEMA_VERSION:
        raise BundleError(
            f"{manifest_path} has schema version {version}, this pyimgano reads {SCHEMA_VERSION}",
            "install a newer pyimgano-core",
        )
    if not {CONFIG, STATE} <= entries.keys():
        raise BundleError(f"{manifest_path} names no {CONFIG} or no {STATE}", _AGAIN)
    for name, (sha256, size) in entries.items():
        _verify_file(folder, name, sha256, size)
    for path in sorted(folder.rglob("*")):
        if path.relative_to(folder).as_posix() not in {*entries, MANIFEST, SEAL}:
            raise BundleError(f"{path} does not belong to the bundle", "remove the file: it is not in the manifest")
    return digest


def _verify_file(folder: Path, name: str, sha256: str, size: int) -> None:
    path = _inside(folder, name)
    if path.suffix not in _ALLOWED:
        raise BundleError(f"{path}: bundles hold JSON and safetensors only, never code or pickles", "do not use this bundle")
    if path.is_symlink() or not path.is_file():
        raise BundleError(f"{path} is missing", _AGAIN)
    if path.stat().st_size != size or _sha256(path) != sha256:
        raise BundleError(f"{path} was changed since the bundle was sealed (sha256 differs)", _AGAIN)


def _inside(folder: Path, name: str) -> Path:
    """Return the path of a file directly inside the folder."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or len(pure.parts) != 1 or name in ("", ".", "..") or "\\" in name or ":" in name:
        raise BundleError(f"{folder}: the file name {name!r} leads out of the folder", "do not use this bundle")
    return folder / name


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
