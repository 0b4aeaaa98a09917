"""Bundles: a sealed folder with everything that inference needs, and the digests that prove it is whole."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from pyimgano import __version__
from pyimgano.clock import utc_now
from pyimgano.contracts import Runtime
from pyimgano.errors import BundleError
from pyimgano.inference.prediction import PredictionOptions
from pyimgano.pipeline import Pipeline
from pyimgano.reporting.environment import environment
from pyimgano.reporting.strict_json import document, plain
from pyimgano.workbench.completeness import check_complete, doubts
from pyimgano.workbench.folders import Content, check_writable, write_folder
from pyimgano.workbench.infer_config import (
    AdaptationPart,
    DefectsPart,
    InferConfig,
    ModelPart,
    PostprocessPart,
    StatePart,
    read_infer_config,
)
from pyimgano.workbench.portable import without_paths
from pyimgano.workbench.seal import (
    AGAIN,
    CONFIG,
    ENVIRONMENT,
    MANIFEST,
    REPORT,
    SCHEMA_VERSION,
    SEAL,
    SIGNATURE,
    STATE,
    Seal,
    entry_of,
    inside,
    manifest_of,
    seal_lines,
    sha256_of,
)
from pyimgano.workbench.signing import SigningKey, check_signature

logger = logging.getLogger(__name__)

__all__ = ["Bundle", "bundle_files", "check_writable", "infer_config", "write_bundle", "write_folder"]


@dataclass(frozen=True)
class Bundle:
    """A verified bundle, or a loose folder with an infer_config.json (`digest` is then None)."""

    folder: Path
    config: InferConfig
    digest: str | None

    @classmethod
    def load(cls, folder: str | os.PathLike[str], require_signature: Path | None = None) -> Bundle:
        """Verify every digest of a bundle and read its config; no file of it is parsed before it is verified.

        Parameters
        ----------
        require_signature
            The public key that it must be signed with.

        Raises
        ------
        BundleError
            Naming the file that is missing, changed, unexpected or outside the folder.
        """
        folder = Path(folder)
        seal = Seal.read(folder)
        if require_signature is not None:
            check_signature(seal, require_signature)
        seal.check()
        return cls(folder, read_infer_config(folder / CONFIG), seal.digest)

    @classmethod
    def load_config(cls, path: str | os.PathLike[str]) -> Bundle:
        """Read a loose infer_config.json, meant to be edited, with its state file beside it; a sealed one is verified."""
        path = Path(path)
        if (path.parent / MANIFEST).exists() and path.name == CONFIG:
            return cls.load(path.parent)
        return cls(path.parent, read_infer_config(path), None)

    def pipeline(self, runtime: Runtime | None = None) -> Pipeline:
        """Return the pipeline that was trained, ready to score; by default it runs as the config says.

        What in the config does not count, or comes from another version of a plugin, is warned of.
        """
        for doubt in doubts(self.config):
            logger.warning("%s", doubt)
        return self.config.pipeline(self.arrays(), runtime or Runtime(self.config.model.device))

    def arrays(self) -> dict[str, Any]:
        """Return what was learned, from the state file.

        Raises
        ------
        BundleError
            If it is missing, not the one that the config was written with, or no safetensors file.
        """
        path = inside(self.folder, self.config.state.file)
        if not path.is_file():
            raise BundleError(f"{path} does not exist", AGAIN)
        if self.digest is None and sha256_of(path) != self.config.state.sha256:
            raise BundleError(f"{path} is not the file that {CONFIG} was written with (sha256 differs)", AGAIN)
        try:
            arrays: dict[str, Any] = load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise BundleError(f"{path} is not a readable safetensors file: {error}", AGAIN) from None
        return arrays


def bundle_files(
    pipeline: Pipeline,
    report: Mapping[str, Any],
    category: str | None = None,
    *,
    defects_enabled: bool = False,
    prediction: PredictionOptions | None = None,
) -> dict[str, bytes]:
    """Return the files of a run or bundle, by name. Equal pipelines give equal bytes, timestamps aside.

    Parameters
    ----------
    report
        What training has to say of itself; of paths only the last part is kept.
    category
        What the images show.
    defects_enabled
        Whether inference lists defects without being asked.
    prediction
        What becomes of labels that are not sure.

    Raises
    ------
    BundleError
        If defects are enabled and cannot be judged.
    """
    state = state_bytes(pipeline)
    part = StatePart(file=STATE, sha256=hashlib.sha256(state).hexdigest())
    config = infer_config(pipeline, part, category, defects_enabled, prediction)
    texts = {CONFIG: config, REPORT: without_paths(plain(report)), ENVIRONMENT: environment()}
    return {STATE: state, **{name: document(content).encode() for name, content in texts.items()}}


def state_bytes(pipeline: Pipeline) -> bytes:
    """Return what a pipeline's detector has learned, as a safetensors file."""
    return save(dict(sorted(pipeline.detector.learned().items())))


def infer_config(
    pipeline: Pipeline,
    state: StatePart,
    category: str | None = None,
    defects_enabled: bool = False,
    prediction: PredictionOptions | None = None,
) -> InferConfig:
    """Return the config of a trained pipeline; parameters and errors as in `bundle_files`."""
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
            weights=dict(pipeline.weights) if pipeline.weights is not None else None,
        ),
        preprocessing=pipeline.preprocessing,
        adaptation=AdaptationPart(
            tiling=pipeline.tiling, postprocess=tuple(PostprocessPart.of(step) for step in pipeline.postprocess)
        ),
        threshold=score.value if score is not None else None,
        threshold_provenance=score,
        defects=DefectsPart.of(pipeline.defects, pixel, defects_enabled),
        prediction=prediction or PredictionOptions(),
        state=state,
    )
    check_complete(config)
    return config


def write_bundle(
    folder: Path, files: Mapping[str, Content], overwrite: bool = False, sign_key: SigningKey | None = None
) -> str:
    """Seal files as a bundle and return its digest.

    It is written beside its place, verified there, and renamed: an older bundle stays whole until then.

    Parameters
    ----------
    files
        By name: bytes, or the path of a file to copy.
    sign_key
        What to sign it with.
    """
    manifest = manifest_of({name: entry_of(content) for name, content in files.items()})
    digest = hashlib.sha256(manifest).hexdigest()
    signature = sign_key.signature(digest) if sign_key is not None else None
    signed = {SIGNATURE: signature} if signature is not None else {}
    everything = {**files, MANIFEST: manifest, **signed, SEAL: seal_lines(manifest, signature)}
    write_folder(folder, everything, overwrite, check=lambda written: Seal.read(written).check())
    return digest
