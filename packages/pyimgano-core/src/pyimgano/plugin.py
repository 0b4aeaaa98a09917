"""What core itself provides, registered through the same hooks as everyone's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pyimgano.hookspecs import hookimpl
from pyimgano.specs import CommandSpec, DatasetSpec, DetectorSpec, MetricSpec, PostprocessorSpec


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
def register_postprocessors() -> Iterable[PostprocessorSpec]:
    return [
        PostprocessorSpec(
            name="anomaly_map",
            summary="normalise, smooth, open and close maps, flatten small regions",
            factory="pyimgano.postprocess.anomaly_map:AnomalyMapPostprocess",
            options="pyimgano.postprocess.options:AnomalyMapOptions",
            fits=True,
        )
    ]


@hookimpl
def register_metrics() -> Iterable[MetricSpec]:
    image: list[tuple[str, str]] = [
        ("auroc", "area under the ROC curve of image scores"),
        ("average_precision", "area under the precision-recall curve of image scores"),
        ("precision", "share of the images called defective that are"),
        ("recall", "share of the defective images that were found"),
        ("f1", "harmonic mean of precision and recall"),
        ("specificity", "share of the good images that were called good"),
        ("accuracy", "share of all images that were called right"),
    ]
    pixel = [
        ("pixel_auroc", "area under the ROC curve of pixels"),
        ("pixel_average_precision", "area under the precision-recall curve of pixels"),
        ("pixel_segf1", "F1 over all pixels at the pixel threshold"),
    ]
    return [
        *(_metric("image", name, summary) for name, summary in image),
        _metric("image", "false_alarm_rate", "share of the good images that were called defective", higher_is_better=False),
        *(_metric("pixel", name, summary) for name, summary in pixel),
        _metric("pixel", "bg_fpr", "share of the defect-free pixels that were called abnormal", higher_is_better=False),
        _metric(
            "pixel", "good_image_bg_fpr", "share of the pixels of good images that were called abnormal", higher_is_better=False
        ),
        _metric("pixel", "good_image_alarm_rate", "share of the good images with any abnormal pixel", higher_is_better=False),
        _metric("region", "region_recall", "share of the defects of which any pixel was found"),
        _metric("region", "false_regions_per_image", "regions per image that touch no defect", higher_is_better=False),
        _metric("region", "aupro", "area under the per-region overlap curve", options="AUPROOptions"),
        _metric("region", "spro", "saturated per-region overlap of MVTec LOCO", options="SPROOptions"),
    ]


def _metric(
    level: Literal["image", "pixel", "region"],
    name: str,
    summary: str,
    *,
    higher_is_better: bool = True,
    options: str | None = None,
) -> MetricSpec:
    return MetricSpec(
        name=name,
        summary=summary,
        factory=f"pyimgano.metrics.components:{name}",
        options=options and f"pyimgano.metrics.options:{options}",
        level=level,
        needs_masks=level != "image",
        higher_is_better=higher_is_better,
    )


@hookimpl
def register_commands() -> Iterable[CommandSpec]:
    commands = {
        "demo": "Train and inspect on real photographs, and print how well it went",
        "train": "Learn from good images, calibrate thresholds, write a run or a bundle",
        "infer": "Score images with a trained bundle; one JSON line each",
        "benchmark": "Compare models on datasets, at thresholds fixed before the test",
        "defects": "Judge saved anomaly maps again, without the model",
        "bundle": "Verify, inspect, compare, edit, recalibrate and sign bundles",
        "validate-infer-config": "Find everything that is wrong with an infer_config.json or a bundle",
        "doctor": "Check this installation and say what to do next",
        "runs": "List runs of train and benchmark, and compare two, with a gate for CI",
        "list-plugins": "Show every plugin, whether it works, and how to mend it",
        "list-models": "List the detectors of all installed plugins",
        "datasets": "List dataset layouts, summarise a dataset, find what is wrong with one",
        "check-plugin": "Check that a plugin keeps what its specs promise",
        "new-plugin": "Begin a plugin: write a complete distribution that works",
        "show": "Show a component and its options",
        "schema": "Print the JSON schema of a config",
    }
    return [
        CommandSpec(name=name, summary=summary, app=f"pyimgano.cli.{name.replace('-', '_')}:app")
        for name, summary in commands.items()
    ]
