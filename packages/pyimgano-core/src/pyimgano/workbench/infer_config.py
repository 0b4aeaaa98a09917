"""infer_config.json: what was trained, and how new images are to be judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from pyimgano.calibration import ImageThreshold, PixelThreshold
from pyimgano.choice import Choice
from pyimgano.contracts import Runtime
from pyimgano.defects.config import DefectsConfig
from pyimgano.errors import BundleError, OptionsError
from pyimgano.options import parse
from pyimgano.pipeline import Pipeline
from pyimgano.postprocess.step import PostprocessStep
from pyimgano.preprocessing import IlluminationOptions
from pyimgano.registry import build_detector, find
from pyimgano.tiling import TiledDetector, TilingOptions

SCHEMA_VERSION = 1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelPart(_Part):
    """Which component, with all its options."""

    name: str
    distribution: str
    version: str | None = None
    options: dict[str, Any] = {}
    device: str = "auto"
    weights: dict[str, Any] | None = None


class PostprocessPart(_Part):
    """A step between the detector and the thresholds, with all its options and what it learned."""

    name: str
    distribution: str
    version: str | None = None
    options: dict[str, Any] = {}
    state: dict[str, Any] = {}

    @classmethod
    def of(cls, step: PostprocessStep) -> PostprocessPart:
        """Return the part that describes a fitted step."""
        distribution, _, _ = step.name.rpartition(":")
        return cls(
            name=step.name,
            distribution=distribution,
            version=step.version,
            options=dict(step.options),
            state=step.component.state(),
        )

    def step(self) -> PostprocessStep:
        """Return the step, with what was learned in place."""
        step = PostprocessStep.create(Choice(name=self.name, options=self.options))
        step.component.load_state(self.state)
        return step


class AdaptationPart(_Part):
    """What happens around the detector."""

    tiling: TilingOptions = TilingOptions()
    postprocess: tuple[PostprocessPart, ...] = ()


class DefectsPart(DefectsConfig):
    """How pixels are judged, whether regions are listed by default, and where the pixel threshold comes from."""

    enabled: bool = False
    pixel_threshold_strategy: Literal["normal_pixel_quantile", "mean_std", "scaled_quantile", "fixed"] | None = None
    pixel_normal_quantile: float | None = None
    pixel_threshold_provenance: PixelThreshold | None = None

    def config(self) -> DefectsConfig:
        """Return the settings of the chain alone."""
        return DefectsConfig(**self.model_dump(include=set(DefectsConfig.model_fields)))


class StatePart(_Part):
    """The file with what was learned, beside this one."""

    file: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class InferConfig(_Part):
    """The whole file. An edited threshold counts: provenance that no longer matches is replaced by ``infer_config``."""

    schema_version: int = SCHEMA_VERSION
    created_utc: str
    pyimgano_version: str
    category: str | None = None
    model: ModelPart
    preprocessing: IlluminationOptions = IlluminationOptions()
    adaptation: AdaptationPart = AdaptationPart()
    threshold: FiniteFloat | None = None
    threshold_provenance: ImageThreshold | None = None
    defects: DefectsPart = DefectsPart()
    state: StatePart

    def score_threshold(self) -> ImageThreshold | None:
        """Return the image threshold that counts."""
        record = self.threshold_provenance
        if self.threshold is None or (record is not None and record.value == self.threshold):
            return record if self.threshold is not None else None
        return ImageThreshold(value=self.threshold, method="fixed", source="infer_config")

    def pixel_threshold(self) -> PixelThreshold | None:
        """Return the pixel threshold that counts."""
        value, record = self.defects.pixel_threshold, self.defects.pixel_threshold_provenance
        if value is None or (record is not None and record.value == value):
            return record if value is not None else None
        return PixelThreshold.by_hand(value, "infer_config", record)

    def pipeline(self, state: dict[str, Any], runtime: Runtime) -> Pipeline:
        """Return the pipeline, with what was learned in place."""
        entry = find("detector", self.model.name)
        tiling = self.adaptation.tiling
        detector = TiledDetector.wrap(build_detector(entry, self.model.options, runtime), tiling)
        try:
            detector.load_state(state)
        except KeyError as error:
            raise BundleError(f"{self.state.file} has no array {error} for {self.model.name}", "export it again") from None
        detector.threshold = self.score_threshold()
        pipeline = Pipeline(
            detector,
            entry.full_name,
            entry.record.version,
            self.model.options,
            self.model.weights,
            self.score_threshold(),
            self.pixel_threshold(),
            [part.step() for part in self.adaptation.postprocess],
            self.preprocessing,
            tiling,
            self.defects.config(),
        )
        pipeline.warn_of_another_chain()
        return pipeline


def read_infer_config(path: Path) -> InferConfig:
    """Return a validated infer_config.json.

    Raises
    ------
    BundleError
        If it is missing, not strict JSON, of a newer schema, or has a fault; the message names the file and the field.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text, parse_constant=_refuse_constant)
    except FileNotFoundError:
        raise BundleError(f"{path} does not exist", "pyimgano train --export-deploy-bundle DIR makes one") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path} is not readable JSON: {error}", "restore the file, or export it again") from None
    if not isinstance(values, dict):
        raise BundleError(f"{path} holds {type(values).__name__}, not an object", "export it again")
    version = values.get("schema_version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION:
        raise BundleError(
            f"{path} has schema version {version!r}, this pyimgano reads {SCHEMA_VERSION}", "install a newer pyimgano-core"
        )
    try:
        return parse(InferConfig, values, path.name)
    except OptionsError as error:
        raise BundleError(f"{path} is not valid:\n{error.problem}", "restore the file, or export it again") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not allowed in strict JSON")
