"""What core itself provides, registered through the same hooks as everyone's."""

from __future__ import annotations

from collections.abc import Iterable

from pyimgano.hookspecs import hookimpl
from pyimgano.specs import CommandSpec, DatasetSpec, DetectorSpec


@hookimpl
def register_detectors() -> Iterable[DetectorSpec]:
    return [
        DetectorSpec(
            name="vision_filterbank",
            summary="Colour, gradient and Gabor statistics per patch; numpy and OpenCV only",
            factory="pyimgano.detectors.filterbank:FilterBank",
            options="pyimgano.detectors.options:FilterBankOptions",
            tags=frozenset({"vision", "classical", "patchknn", "cpu"}),
            presets={
                "industrial-fast": {"distance": "mahalanobis"},
                "industrial-balanced": {},
                "industrial-accurate": {"resize": [384, 384], "bank_size": 20000},
            },
        )
    ]


@hookimpl
def register_datasets() -> Iterable[DatasetSpec]:
    options = "pyimgano.datasets.options"
    return [
        DatasetSpec(
            name="folder",
            summary="train/good, test/<type>, ground_truth/<type>, as in MVTec AD",
            factory="pyimgano.datasets.folder:FolderDataset",
            options=f"{options}:FolderOptions",
            tags=frozenset({"local"}),
            masks=True,
        ),
        DatasetSpec(
            name="custom",
            summary="another name of folder",
            factory="pyimgano.datasets.folder:FolderDataset",
            options=f"{options}:FolderOptions",
            tags=frozenset({"local"}),
            masks=True,
        ),
        DatasetSpec(
            name="manifest",
            summary="a table of images, JSON Lines or CSV, with splits, labels, masks and groups",
            factory="pyimgano.datasets.manifest:ManifestDataset",
            options=f"{options}:ManifestOptions",
            tags=frozenset({"local"}),
            masks=True,
        ),
        *_benchmarks(),
        DatasetSpec(
            name="elpv",
            summary="photographs of solar cells, good and cracked (package elpv-dataset)",
            factory="pyimgano.datasets.elpv:ElpvDataset",
            options=f"{options}:ElpvOptions",
            tags=frozenset({"packaged"}),
        ),
        DatasetSpec(
            name="surface",
            summary="synthetic textured surfaces with defects and masks, seeded",
            factory="pyimgano.datasets.surface:SurfaceDataset",
            options=f"{options}:SurfaceOptions",
            tags=frozenset({"synthetic"}),
            masks=True,
        ),
    ]


def _benchmarks() -> Iterable[DatasetSpec]:
    """Yield the public benchmarks, which users download themselves."""
    rows = [
        ("mvtec", "MVTec AD, 15 categories of objects and textures", "mvtec:MVTecDataset", "CategoryOptions"),
        ("mvtec_ad", "another name of mvtec", "mvtec:MVTecDataset", "CategoryOptions"),
        ("mvtec_loco", "MVTec LOCO AD, logical and structural anomalies", "mvtec_loco:MVTecLOCODataset", "CategoryOptions"),
        ("mvtec_ad2", "MVTec AD 2, eight scenarios under several lightings", "mvtec_ad2:MVTecAD2Dataset", "MVTecAD2Options"),
        ("visa", "VisA, 12 categories, raw with split_csv or prepared as 1cls", "visa:VisADataset", "CategoryOptions"),
        ("btad", "beanTech AD, three industrial products", "btad:BTADDataset", "CategoryOptions"),
    ]
    for name, summary, factory, options in rows:
        yield DatasetSpec(
            name=name,
            summary=summary,
            factory=f"pyimgano.datasets.{factory}",
            options=f"pyimgano.datasets.options:{options}",
            tags=frozenset({"benchmark"}),
            masks=True,
        )


@hookimpl
def register_commands() -> Iterable[CommandSpec]:
    commands = {
        "demo": "Train and inspect on real photographs, and print how well it went",
        "train": "Learn from good images, calibrate thresholds, write a bundle",
        "infer": "Score images with a trained bundle; one JSON line each",
        "list-plugins": "Show every plugin, whether it works, and how to mend it",
        "list-models": "List the detectors of all installed plugins",
        "datasets": "List dataset layouts, summarise a dataset, find what is wrong with one",
        "show": "Show a component and its options",
    }
    return [
        CommandSpec(name=name, summary=summary, app=f"pyimgano.cli.{name.replace('-', '_')}:app")
        for name, summary in commands.items()
    ]
