"""infer_config.json: what was trained, and how new images are to be judged."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from pyimgano.calibration import ImageThreshold, PixelThreshold
from pyimgano.choice import Choice
from pyimgano.contracts import Detector, Runtime
from pyimgano.defects.config import DefectsConfig
from pyimgano.errors import BundleError, OptionsError
from pyimgano.guard import named_errors
from pyimgano.inference.prediction import PredictionOptions
from pyimgano.options import parse
from pyimgano.pipeline import Pipeline
from pyimgano.postprocess.step import PostprocessStep
from pyimgano.preprocessing import IlluminationOptions
from pyimgano.registry import Entry, build_detector, find
from pyimgano.tiling import TiledDetector, TilingOptions
from pyimgano.workbench.config_file import check_versions, read_object
from pyimgano.workbench.seal import SCHEMA_VERSION

logger = logging.getLogger(__name__)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ModelPart(_Part):
    """Which component, with all its options."""

    name: str = Field(description="Full name, `distribution:name`.")
    distribution: str = Field(description="The distribution that provides it.")
    version: str | None = Field(None, description="The version that trained it.")
    options: dict[str, Any] = Field({}, description="All options, defaults included.")
    device: str = Field(
        "auto", description="Where it runs unless the line says; exported as auto, because bundles move between machines."
    )
    weights: dict[str, Any] | None = Field(
        None, description="Where the pretrained weights come from, and their licence where it is known."
    )


class PostprocessPart(_Part):
    """A step between the detector and the thresholds, with all its options and what it learned."""

    name: str = Field(description="Full name, `distribution:name`.")
    distribution: str = Field(description="The distribution that provides it.")
    version: str | None = Field(None, description="The version that fitted it.")
    options: dict[str, Any] = Field({}, description="All options, defaults included.")
    state: dict[str, Any] = Field({}, description="What it learned.")

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
        with named_errors(self.name):
            step = PostprocessStep.create(Choice(name=self.name, options=self.options))
            step.component.load_state(self.state)
        return step


class AdaptationPart(_Part):
    """What happens around the detector."""

    tiling: TilingOptions = Field(TilingOptions(), description="Whether the detector looks at tiles.")
    postprocess: tuple[PostprocessPart, ...] = Field(
        (), description="Steps between the detector and the thresholds, in order; N counts from 0."
    )


class DefectsPart(DefectsConfig):
    """How pixels are judged, whether regions are listed by default, and where the pixel threshold comes from."""

    enabled: bool = Field(False, description="Whether `infer` lists defects without being asked.")
    pixel_threshold_strategy: Literal["normal_pixel_quantile", "mean_std", "scaled_quantile", "fixed"] | None = Field(
        None, description="How the pixel threshold was found."
    )
    pixel_normal_quantile: float | None = Field(None, description="The quantile of held-out normal pixels that was taken.")
    pixel_threshold_provenance: PixelThreshold | None = Field(
        None, description="Where the pixel threshold comes from; ignored once it was edited."
    )

    @classmethod
    def of(cls, config: DefectsConfig, pixel: PixelThreshold | None, enabled: bool) -> DefectsPart:
        """Return the part for settings of the chain and the pixel threshold that was calibrated with them."""
        return cls(
            **config.model_dump(exclude={"pixel_threshold"}),
            enabled=enabled,
            pixel_threshold=pixel.value if pixel is not None else None,
            pixel_normal_quantile=pixel.q if pixel is not None else None,
            pixel_threshold_strategy=pixel.method if pixel is not None else None,
            pixel_threshold_provenance=pixel,
        )

    def config(self) -> DefectsConfig:
        """Return the settings of the chain alone."""
        return DefectsConfig(**self.model_dump(include=set(DefectsConfig.model_fields)))


class StatePart(_Part):
    """The file with what was learned, beside this one."""

    file: str = Field(pattern=r"\.safetensors$", description="Its name.")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="Its digest.")


class InferConfig(_Part):
    """The whole file. An edited threshold counts: provenance that no longer matches is replaced by ``infer_config``."""

    schema_version: int = Field(
        SCHEMA_VERSION, description="Version of this file's keys; a newer one than the program knows is refused."
    )
    created_utc: str = Field(description="When it was written.")
    pyimgano_version: str = Field(description="What wrote it; a newer one than the program is refused.")
    category: str | None = Field(None, description="What was learned, if the dataset had a name for it.")
    model: ModelPart = Field(description="The detector, with all its options.")
    preprocessing: IlluminationOptions = Field(IlluminationOptions(), description="What is done to images before the detector.")
    adaptation: AdaptationPart = Field(AdaptationPart(), description="What happens around the detector.")
    threshold: FiniteFloat | None = Field(
        None, description="The image threshold that counts; none gives scores without labels."
    )
    threshold_provenance: ImageThreshold | None = Field(
        None, description="Where it comes from; ignored once the threshold was edited."
    )
    defects: DefectsPart = Field(DefectsPart(), description="How pixels are judged.")
    prediction: PredictionOptions = Field(PredictionOptions(), description="What becomes of labels that are not sure.")
    state: StatePart = Field(description="The file with what was learned, beside this one.")

    def score_threshold(self) -> ImageThreshold | None:
        """Return the image threshold that counts."""
        record = self.threshold_provenance
        if self.threshold is None or (record is not None and record.value == self.threshold):
            return record if self.threshold is not None else None
        return ImageThreshold(value=self.threshold, method="fixed", source="infer_config")

    def pixel_threshold(self) -> PixelThreshold | None:
        """Return the pixel threshold that counts; none is the calibrated one."""
        value, record = self.defects.pixel_threshold, self.defects.pixel_threshold_provenance
        if value is None:
            return self.calibrated_pixel_threshold()
        return record if record is not None and record.value == value else PixelThreshold.by_hand(value, "infer_config", record)

    def calibrated_pixel_threshold(self) -> PixelThreshold | None:
        """Return what was calibrated, whatever has been set since; None where nothing was."""
        record = self.defects.pixel_threshold_provenance
        return record if record is not None and record.source == "calibration" else None

    def pipeline(self, state: dict[str, Any], runtime: Runtime) -> Pipeline:
        """Return the pipeline, with what was learned in place; thresholds of another chain are warned of."""
        pipeline = self.build(state, runtime)
        pipeline.warn_of_another_chain()
        return pipeline

    def _built_model(self, entry: Entry, runtime: Runtime) -> Detector:
        try:
            return build_detector(entry, self.model.options, runtime)
        except OptionsError as error:
            raise BundleError(
                f"{self.model.name} {entry.record.version or ''} does not take the options of this file: {error.problem}",
                f"it was written with version {self.model.version or 'unknown'}: install that one, or train again",
            ) from error

    def build(self, state: dict[str, Any], runtime: Runtime) -> Pipeline:
        """Return the pipeline, with what was learned in place.

        Raises
        ------
        BundleError
            If the state lacks an array.
        PyimganoError
            If a component is not installed, does not take its options, or fails on its state.
        """
        entry = find("detector", self.model.name)
        with named_errors(self.model.name):
            alone = self._built_model(entry, runtime)
            detector = TiledDetector.wrap(alone, self.adaptation.tiling)
            try:
                detector.load_state(state)
            except KeyError as error:
                raise BundleError(
                    f"{self.state.file} has no array {error} for {self.model.name}",
                    "train again; if that does not help, its load_state() asks for more than its state() returned",
                ) from error
            if not alone._fitted:
                raise BundleError(
                    f"{self.model.name}: after load_state it is not fitted", "end its load_state() with self.mark_fitted()"
                )
        detector.threshold = self.score_threshold()
        return Pipeline(
            detector,
            entry.full_name,
            entry.record.version,
            self.model.options,
            self.model.weights,
            self.score_threshold(),
            self.pixel_threshold(),
            [part.step() for part in self.adaptation.postprocess],
            self.preprocessing,
            self.adaptation.tiling,
            self.defects.config(),
        )


def read_infer_config(path: Path) -> InferConfig:
    """Return a validated infer_config.json.

    Raises
    ------
    BundleError
        If it is missing, not strict JSON, of a newer schema or a newer pyimgano, or has a fault; the message names the file
        and the field.
    """
    values = read_object(path)
    check_versions(values, path)
    if "schema_version" not in values:
        logger.warning("%s has no schema_version; it is read as version %d", path, SCHEMA_VERSION)
    try:
        return parse(InferConfig, values, path.name)
    except OptionsError as error:
        raise BundleError(
            f"{path} is not valid:\n{error.problem}", f"pyimgano validate-infer-config {path} lists every problem"
        ) from None
