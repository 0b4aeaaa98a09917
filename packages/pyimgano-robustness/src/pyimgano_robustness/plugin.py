"""What this distribution provides."""

from __future__ import annotations

from collections.abc import Iterable

from pyimgano import hookimpl
from pyimgano.specs import CommandSpec, CorruptionSpec, DatasetSpec


@hookimpl
def register_corruptions() -> Iterable[CorruptionSpec]:
    rows = [
        ("lighting", "exposure, contrast, gamma and channel gains drift", "light:Lighting"),
        ("color_temperature", "lamps get warmer or colder", "light:ColorTemperature"),
        ("glare", "lamps are reflected as discs and streaks", "light:Glare"),
        ("low_contrast", "stray light greys everything", "light:LowContrast"),
        ("blur", "gaussian blur", "lens:Blur"),
        ("defocus", "the lens is out of focus", "lens:Defocus"),
        ("motion_blur", "a belt moves while the shutter is open", "lens:MotionBlur"),
        ("vignetting", "corners darken", "lens:Vignetting"),
        ("dust", "specks on the lens", "lens:Dust"),
        ("sensor_noise", "shot and read noise", "sensor:SensorNoise"),
        ("resolution_loss", "a camera with fewer pixels", "sensor:ResolutionLoss"),
        ("jpeg", "blocks and ringing of JPEG", "sensor:Jpeg"),
        ("geo_jitter", "the part lies turned, shifted, nearer or further away", "fixture:GeoJitter"),
    ]
    return [
        CorruptionSpec(
            name=name,
            summary=summary,
            factory=f"pyimgano_robustness.corruptions.{factory}",
            tags=frozenset({"drift", factory.partition(":")[0]}),
            moves_pixels=name == "geo_jitter",
        )
        for name, summary, factory in rows
    ]


@hookimpl
def register_datasets() -> Iterable[DatasetSpec]:
    return [
        DatasetSpec(
            name="conditions",
            summary="a folder per lamp, exposure or camera: CONDITION/train/good, CONDITION/test/TYPE",
            factory="pyimgano_robustness.folders:ConditionsDataset",
            options="pyimgano.datasets.options:FolderOptions",
            tags=frozenset({"local", "drift"}),
            masks=True,
        )
    ]


@hookimpl
def register_commands() -> Iterable[CommandSpec]:
    return [
        CommandSpec(
            name="robust-benchmark",
            summary="Test models on corrupted images at thresholds fixed on clean ones",
            app="pyimgano_robustness.cli:app",
        )
    ]
