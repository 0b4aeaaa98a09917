"""A plugin in one file with a component of every kind, each as its author should write it; tests change one thing at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from pydantic import Field

from pyimgano import AnomalyMap, Corruption, DatasetSplit, Detector, ImageScore, Metric, Sample, hookimpl
from pyimgano.contracts import Dataset, Postprocessor
from pyimgano.errors import DatasetError, NotFittedError, UndefinedMetricError
from pyimgano.options import Options
from pyimgano.specs import CommandSpec, CorruptionSpec, DatasetSpec, DetectorSpec, MetricSpec, PostprocessorSpec


class NearestOptions(Options):
    k: int = Field(5, ge=1, le=50, description="Nearest training cells whose mean distance counts.")
    bank_size: int = Field(300, ge=1, description="Training cells that are kept.")


class Nearest(Detector):
    def _fit(self, images):
        found = np.concatenate([cells(image).reshape(-1, 6) for image in images])
        rng = np.random.default_rng(self.runtime.seed)
        self.bank_ = found[rng.permutation(len(found))[: self.options.bank_size]]

    def _score(self, images):
        return [self._score_one(image) for image in images]

    def _score_one(self, image):
        found = cells(image)
        grid = self._distances(found.reshape(-1, 6)).reshape(found.shape[:2])
        return ImageScore(float(grid.max()), AnomalyMap(grid, image.shape[:2]))

    def _distances(self, queries):
        k = min(self.options.k, len(self.bank_))
        squared = ((queries[:, None] - self.bank_[None]) ** 2).sum(axis=2)
        return np.sqrt(np.partition(squared, k - 1, axis=1)[:, :k].mean(axis=1))

    def state(self):
        return {"bank": self.bank_}

    def load_state(self, arrays):
        self.bank_ = arrays["bank"]
        self.mark_fitted()


def cells(image):
    size = (max(1, image.shape[1] // 8), max(1, image.shape[0] // 8))
    values = image.astype(np.float32)
    mean = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    square = cv2.resize(values**2, size, interpolation=cv2.INTER_AREA)
    return np.concatenate([mean, np.sqrt(np.maximum(square - mean**2, 0))], axis=2)


class PartsOptions(Options):
    root: Path = Field(description="Folder with good/, test/ and masks/.")


class Parts(Dataset):
    def load(self):
        root = self.options.root
        if not (root / "good").is_dir():
            raise DatasetError(f"{root} has no folder good", "name another root")
        train = [Sample(path) for path in pictures(root / "good")]
        test = [self._judged(path) for path in pictures(root / "test")]
        return DatasetSplit(tuple(train), (), tuple(test))

    def _judged(self, path):
        mask = self.options.root / "masks" / f"{path.stem}.png"
        return Sample(path, 1, mask, "bump") if mask.exists() else Sample(path)


def pictures(folder):
    return sorted(path for path in folder.iterdir() if path.suffix.lower() == ".png")


class Dimmed(Corruption):
    def draw(self, rng, shape):
        return rng.uniform(0.8, 1.0)

    def apply(self, image, params, severity):
        return (image * (1 - 0.1 * severity * params)).astype(np.uint8)


class Shifted(Corruption):
    def draw(self, rng, shape):
        return rng.choice([-1, 1], 2)

    def apply(self, image, params, severity):
        return cv2.warpAffine(image, way(params, severity), image.shape[1::-1], borderMode=cv2.BORDER_REFLECT)

    def move(self, mask, params, severity):
        moved = cv2.warpAffine(
            mask.astype(np.uint8),
            way(params, severity),
            mask.shape[1::-1],
            flags=cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_REFLECT,
        )
        return moved > 0


def way(params, severity):
    return np.float32([[1, 0, 2 * severity * params[0]], [0, 1, 2 * severity * params[1]]])


class Scaled(Postprocessor):
    low = high = None

    def fit(self, results):
        maps = [result.anomaly_map.render() for result in results]
        self.low = float(min(values.min() for values in maps))
        self.high = float(max(values.max() for values in maps))
        return self

    def apply(self, result):
        if self.low is None:
            raise NotFittedError("the maps of normal images are not known", "fit it first")
        if result.anomaly_map is None:
            return result
        return replace(result, anomaly_map=result.anomaly_map.then(self._scale))

    def _scale(self, values):
        return (values - self.low) / (self.high - self.low)

    def state(self):
        return {"low": self.low, "high": self.high}

    def load_state(self, values):
        self.low, self.high = values["low"], values["high"]


class Raised(Postprocessor):
    def apply(self, result):
        return replace(result, score=3 * result.score + 1)


class Found(Metric):
    def compute(self, evidence):
        good, bad = (evidence.scores[evidence.labels == label] for label in (0, 1))
        if evidence.threshold is None:
            raise UndefinedMetricError("there is no image threshold")
        if not len(good) or not len(bad):
            raise UndefinedMetricError("the test images are all good or all defective")
        return float((bad > evidence.threshold).mean() - (good > evidence.threshold).mean())


class Ranked(Metric):
    def compute(self, evidence):
        scores = evidence.scores
        good, bad = (scores[evidence.labels == label] for label in (0, 1))
        if not len(good) or not len(bad):
            raise UndefinedMetricError("the test images are all good or all defective")
        return float((bad[:, None] > good[None]).mean())


class Missed(Metric):
    def compute(self, evidence):
        if evidence.truths is None or evidence.pixel_threshold is None:
            raise UndefinedMetricError("there are no masks or no pixel threshold")
        shares = []
        for truth in evidence.truths:
            values, mask = truth.load()
            if mask is not None:
                shares.append(float((values[mask] <= evidence.pixel_threshold).mean()))
        if not shares:
            raise UndefinedMetricError("no image is defective")
        return float(np.mean(shares))


app = typer.Typer(help="Look at the parts of line 3.")


@app.command()
def count(folder: Annotated[Path, typer.Argument(help="Where the pictures are.")]) -> None:
    """Print how many pictures a folder has."""
    typer.echo(len(pictures(folder)))


@app.command()
def names(folder: Annotated[Path, typer.Argument(help="Where the pictures are.")]) -> None:
    """Print what they are called."""
    typer.echo("\n".join(path.name for path in pictures(folder)))


@hookimpl
def register_detectors():
    return [
        DetectorSpec(
            name="acme_nearest",
            summary="Distance of cells to their nearest in training",
            factory="acme_parts:Nearest",
            options="acme_parts:NearestOptions",
            presets={"small": {"bank_size": 50}},
        )
    ]


@hookimpl
def register_datasets():
    return [
        DatasetSpec(
            name="acme_parts",
            summary="Parts of line 3",
            factory="acme_parts:Parts",
            options="acme_parts:PartsOptions",
            masks=True,
        )
    ]


@hookimpl
def register_corruptions():
    return [
        CorruptionSpec(name="acme_dimmed", summary="The lamp ages", factory="acme_parts:Dimmed"),
        CorruptionSpec(name="acme_shifted", summary="The part lies elsewhere", factory="acme_parts:Shifted", moves_pixels=True),
    ]


@hookimpl
def register_postprocessors():
    return [
        PostprocessorSpec(
            name="acme_scaled", summary="Normal maps between 0 and 1", factory="acme_parts:Scaled", acts_on="map", fits=True
        ),
        PostprocessorSpec(name="acme_raised", summary="Scores in percent", factory="acme_parts:Raised", acts_on="score"),
    ]


@hookimpl
def register_metrics():
    return [
        MetricSpec(name="acme_found", summary="Found defects less false alarms", factory="acme_parts:Found"),
        MetricSpec(name="acme_ranked", summary="Pairs in the right order", factory="acme_parts:Ranked"),
        MetricSpec(
            name="acme_missed",
            summary="Share of defective pixels below the threshold",
            factory="acme_parts:Missed",
            level="pixel",
            needs_masks=True,
            higher_is_better=False,
        ),
    ]


@hookimpl
def register_commands():
    return [CommandSpec(name="acme-look", summary="Look at the parts of line 3", app="acme_parts:app")]
