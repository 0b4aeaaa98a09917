"""The files of a benchmark's folder as data: report.json of a category, a run or a comparison, and per_image.jsonl."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

SCHEMA_VERSION = 1

Number = int | float
Table = dict[str, Number | None]


class Record(BaseModel):
    """Part of a report: what is absent is null, what a later version adds is ignored, NaN is refused."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Results(Record):
    """The results block, as `pyimgano.evaluation.evaluate_detector` returns it, and metrics of plugins."""

    auroc: float | None = None
    average_precision: float | None = None
    threshold: float | None = None
    metrics: Table | None = None
    pixel_metrics: Table | None = None
    extra_metrics: Table = {}
    oracle: Table = {}
    warnings: tuple[str, ...] = ()


class Threshold(Record):
    """A threshold on images or pixels; fields as in `pyimgano.calibration`, and its 95 % interval."""

    value: float
    method: str = "fixed"
    source: str = "calibration"
    split: str | None = None
    quantile: float | None = None
    q: float | None = None
    factor: float | None = None
    false_alarm_rate: float | None = None
    calibration_count: int | None = None
    calibration_map_count: int | None = None
    calibration_pixel_count: int | None = None
    interval: tuple[float, float] | None = None
    chain: str | None = None
    warning: str | None = None


class Thresholds(Record):
    """Both thresholds of a category."""

    image: Threshold | None = None
    pixel: Threshold | None = None


class Images(Record):
    """How many images there were."""

    train: int | None = None
    calibration: int | None = None
    test: int | None = None
    good: int | None = None
    defective: int | None = None


class DefectType(Record):
    """What was found of one type of defect."""

    type: str
    images: int
    auroc: float | None = None
    recall: float | None = None
    mean_score: float | None = None
    region_recall: float | None = None
    pixel_segf1: float | None = None


class ProCurve(Record):
    """Per-region overlap against the false-positive rate of pixels, both in [0, 1]."""

    fpr: tuple[float, ...]
    pro: tuple[float, ...]

    @model_validator(mode="after")
    def _check_lengths(self) -> ProCurve:
        if len(self.fpr) != len(self.pro):
            raise ValueError(f"{len(self.fpr)} false-positive rates and {len(self.pro)} overlaps")
        return self


class Curves(Record):
    """Curves that need the maps, so that they are stored rather than drawn from scores."""

    pro: ProCurve | None = None


class Panels(Record):
    """Pictures of one image, as paths inside the category's folder."""

    image: str | None = None
    map: str | None = None
    mask: str | None = None


class WorstImage(Record):
    """An image whose score contradicts its truth most."""

    input: str
    score: float
    truth: Literal[0, 1]
    defect_type: str | None = None
    called: Literal[0, 1] | None = None
    panels: Panels = Panels()


class Worst(Record):
    """The lowest-scoring defective images and the highest-scoring good ones."""

    misses: tuple[WorstImage, ...] = ()
    false_alarms: tuple[WorstImage, ...] = ()


class Report(Record):
    """A report.json, of one category or over all of them."""

    schema_version: int = SCHEMA_VERSION
    dataset: str
    category: str
    categories: tuple[str, ...] = ()
    model: str
    version: str | None = None
    preset: str | None = None
    options: dict[str, Any] = {}
    weights: dict[str, Any] | None = None
    device: str | None = None
    seed: int | None = None
    resize: Any = None
    images: Images = Images()
    results: Results = Results()
    thresholds: Thresholds = Thresholds()
    postprocess: tuple[dict[str, Any], ...] = ()
    defect_types: tuple[DefectType, ...] = ()
    curves: Curves = Curves()
    worst: Worst = Worst()
    timing: Table = {}
    warnings: tuple[str, ...] = ()
    failed: dict[str, str] = {}
    environment: dict[str, Any] = {}


class ComparedRun(Record):
    """One line of a comparison."""

    folder: str
    label: str
    model: str
    category: str | None = None
    categories: tuple[str, ...] = ()
    results: Results = Results()
    timing: Table = {}
    warnings: tuple[str, ...] = ()
    failed: dict[str, str] = {}


class ComparisonReport(Record):
    """The report.json of several models."""

    schema_version: int = SCHEMA_VERSION
    dataset: str
    category: str | None = None
    runs: tuple[ComparedRun, ...]
    environment: dict[str, Any] = {}


class ScoredImage(Record):
    """What a line of per_image.jsonl says that figures need."""

    score: float
    truth: Literal[0, 1]
