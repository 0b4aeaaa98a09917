"""The settings of a training: one model for Python, for a config file, for recipes and for the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from pyimgano.augmentation.options import AugmentationOptions
from pyimgano.calibration import CalibrationSettings
from pyimgano.choice import Choice
from pyimgano.defects.config import DefectsConfig
from pyimgano.defects.presets import DEFECTS_PRESETS
from pyimgano.errors import suggestion
from pyimgano.evaluation import BenchmarkConfig
from pyimgano.inference.prediction import PredictionOptions
from pyimgano.options import Options
from pyimgano.preprocessing import IlluminationOptions
from pyimgano.tiling import TilingOptions


class DatasetConfig(Options):
    """Which images."""

    name: str = Field(
        "folder",
        min_length=1,
        description="Layout of the images; 'pyimgano datasets list' lists them.",
        json_schema_extra={"flag": "--dataset"},
    )
    root: Path | None = Field(None, description="Folder of the dataset; for 'folder' it holds train/good.")
    category: str | None = Field(None, description="Category; may be left out where there is one only.")
    options: dict[str, Any] = Field({}, description="Further options of the dataset.")
    augmentation: AugmentationOptions = Field(
        AugmentationOptions(), description="Changed copies of the training images to learn from too."
    )


class ModelConfig(Options):
    """Which detector, and how it runs."""

    name: str = Field(
        min_length=1,
        description="Detector to train; 'pyimgano list-models' lists them.",
        json_schema_extra={"flag": "--model"},
    )
    preset: str | None = Field(None, description="Named option values of the detector, such as industrial-fast.")
    options: dict[str, Any] = Field({}, description="Its options; those left out have their defaults.")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    batch_size: int = Field(16, ge=0, description="Images per forward pass; 0 lets the model choose.")
    amp: bool = Field(False, description="Reduced precision where the processor has it.")
    threads: int = Field(0, ge=0, description="Threads for the heavy arithmetic; 0 leaves the library's own choice.")


class AdaptationConfig(Options):
    """What happens around the detector."""

    tiling: TilingOptions = Field(TilingOptions(), description="Whether the detector looks at tiles.")
    postprocess: tuple[Choice, ...] = Field((), description="Steps between the detector and the thresholds, in order.")


class DefectsSettings(DefectsConfig):
    """How pixels are judged, and whether `infer` lists defects without being asked."""

    enabled: bool = Field(
        False, description="Whether 'infer' lists defects without being asked.", json_schema_extra={"flag": "--defects"}
    )
    preset: str | None = Field(
        None,
        description="Named settings of the defects chain; those that are set beside it win.",
        json_schema_extra={"flag": "--defects-preset", "metavar": "|".join(DEFECTS_PRESETS)},
    )

    @field_validator("preset")
    @classmethod
    def _is_known(cls, value: str | None) -> str | None:
        if value is not None and value not in DEFECTS_PRESETS:
            hint = suggestion(value, DEFECTS_PRESETS)
            raise ValueError(f"{hint + ' ' if hint else ''}there is {', '.join(DEFECTS_PRESETS)}")
        return value

    def chain(self) -> DefectsConfig:
        """Return the settings of the chain alone."""
        return DefectsConfig(**self.model_dump(include=set(DefectsConfig.model_fields)))


class OutputConfig(Options):
    """What is written, and where to; nothing is written that is not asked for."""

    run: Path | None = Field(
        None,
        description="Folder of the run: reports, split, infer_config.json with its state; an interrupted run goes on there.",
        json_schema_extra={"flag": "--output", "metavar": "DIR"},
    )
    infer_config: Path | None = Field(
        None,
        description="Folder for an infer_config.json to edit, with its state beside it.",
        json_schema_extra={"flag": "--export-infer-config", "metavar": "DIR"},
    )
    deploy_bundle: Path | None = Field(
        None,
        description="Folder for a sealed, relocatable bundle, for 'pyimgano infer --bundle'.",
        json_schema_extra={"flag": "--export-deploy-bundle", "metavar": "DIR"},
    )
    evaluate: bool = Field(True, description="Whether a run scores the test images, where there are any with labels.")


class TrainConfig(Options):
    """A whole training, from images to a bundle."""

    recipe: str | None = Field(None, description="Recipe that this builds on; 'pyimgano train --list-recipes' lists them.")
    seed: int = Field(0, ge=0, description="Seed of the split, of the model and of augmentation.")
    dataset: DatasetConfig = Field(DatasetConfig(), description="Which images.")
    model: ModelConfig = Field(description="Which detector, and how it runs.")
    preprocessing: IlluminationOptions = Field(IlluminationOptions(), description="What is done to images before the detector.")
    adaptation: AdaptationConfig = Field(AdaptationConfig(), description="What happens around the detector.")
    calibration: CalibrationSettings = Field(CalibrationSettings(), description="How thresholds are calibrated.")
    defects: DefectsSettings = Field(DefectsSettings(), description="How pixels are judged.")
    prediction: PredictionOptions = Field(PredictionOptions(), description="What becomes of labels that are not sure.")
    output: OutputConfig = Field(OutputConfig(), description="What is written, and where to.")

    def benchmark(self) -> BenchmarkConfig:
        """Return the benchmark that fits, calibrates and tests the same detector on the same images."""
        model, dataset = self.model, self.dataset
        return BenchmarkConfig(
            dataset=dataset.name,
            root=dataset.root,
            category=dataset.category,
            dataset_options=dataset.options,
            models=(Choice(name=model.name, options=model.options),),
            preset=model.preset,
            preprocessing=self.preprocessing,
            tiling=self.adaptation.tiling,
            postprocess=self.adaptation.postprocess,
            seed=self.seed,
            device=model.device,
            batch_size=model.batch_size,
            amp=model.amp,
            threads=model.threads,
            calibration=self.calibration,
        )
