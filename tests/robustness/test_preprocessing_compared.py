"""The remedy: the same benchmark without and with preprocessing, and what it gained and lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyimgano import create_model
from pyimgano.contracts import DatasetSplit, Runtime
from pyimgano.errors import OptionsError
from pyimgano.pipeline import Pipeline
from pyimgano.preprocessing import IlluminationOptions
from pyimgano_robustness import run_robustness_benchmark
from pyimgano_robustness.remedy import describe

WHAT = {"corruptions": ["lighting", "jpeg"], "severities": [1, 5]}
BALANCE = IlluminationOptions(white_balance="gray_world")


def pipeline(preprocessing: IlluminationOptions | None = None) -> Pipeline:
    options = {"resize": [64, 64]}
    return Pipeline.create("vision_filterbank", options, Runtime(), preprocessing=preprocessing)


def without_times(report: Any) -> Any:
    if isinstance(report, dict):
        return {key: without_times(value) for key, value in report.items() if not key.endswith(("ms_per_image", "_s"))}
    return [without_times(one) for one in report] if isinstance(report, list) else report


@pytest.fixture(scope="module")
def report(surface_split: DatasetSplit) -> dict[str, Any]:
    return run_robustness_benchmark(pipeline(), surface_split, **WHAT, compare_preprocessing=BALANCE)


def test_both_halves_are_what_two_runs_of_their_own_give(report: dict[str, Any], surface_split: DatasetSplit) -> None:
    off = run_robustness_benchmark(pipeline(), surface_split, **WHAT)
    on = run_robustness_benchmark(pipeline(BALANCE), surface_split, **WHAT)
    for key in ("thresholds", "robustness"):
        assert without_times(report[key]) == without_times(off[key])
        assert without_times(report["with_preprocessing"][key]) == without_times(on[key])
    assert off["thresholds"]["image"]["value"] != on["thresholds"]["image"]["value"]


def test_a_gain_is_the_mean_over_severities_and_above_0_where_preprocessing_helps(report: dict[str, Any]) -> None:
    comparison = report["preprocessing_comparison"]
    assert comparison["preprocessing"] == {"white_balance": "gray_world"}
    assert list(comparison["conditions"]) == ["clean", "lighting", "jpeg"]
    for part, side in ((report, "off"), (report["with_preprocessing"], "on")):
        values = [
            part["robustness"]["corruptions"]["lighting"][key]["results"]["pixel_metrics"]
            for key in ("severity_1", "severity_5")
        ]
        for name in ("pixel_segf1", "bg_fpr"):
            mean = sum(one[name] for one in values) / 2
            assert comparison["conditions"]["lighting"][name][side] == pytest.approx(mean)
    for name, sign in (("pixel_segf1", 1), ("bg_fpr", -1), ("auroc", 1)):
        for pair in comparison["conditions"].values():
            assert pair[name]["gain"] == pytest.approx(sign * (pair[name]["on"] - pair[name]["off"]))


def test_the_sentence_names_every_condition_the_most_gained_first(report: dict[str, Any]) -> None:
    comparison = report["preprocessing_comparison"]
    gains = {name: values["pixel_segf1"]["gain"] for name, values in comparison["conditions"].items()}
    clean = gains.pop("clean")
    (best, most), (worst, least) = sorted(gains.items(), key=lambda pair: -pair[1])
    assert comparison["sentence"] == (
        f"with white_balance=gray_world, SegF1 changes by {most:+.3f} under {best}, {least:+.3f} under {worst}, "
        f"and by {clean:+.3f} on clean images (means over severities)"
    )


def test_true_takes_the_pipelines_own_preprocessing_or_the_default(surface_split: DatasetSplit) -> None:
    quick: dict[str, Any] = {"corruptions": ["jpeg"], "severities": [1], "compare_preprocessing": True}
    gamma = run_robustness_benchmark(pipeline(IlluminationOptions(gamma=0.5)), surface_split, **quick)
    assert gamma["preprocessing_comparison"]["preprocessing"] == {"gamma": 0.5}
    default = run_robustness_benchmark(create_model("vision_filterbank", resize=[64, 64]), surface_split, **quick)
    assert default["preprocessing_comparison"]["preprocessing"] == {"white_balance": "gray_world", "homomorphic": True}
    assert without_times(default["robustness"]) == without_times(gamma["robustness"])


def test_a_pipeline_that_was_calibrated_is_not_fitted_again(surface_split: DatasetSplit) -> None:
    shipped = pipeline()
    run_robustness_benchmark(shipped, surface_split, ["jpeg"], [1])
    with pytest.raises(OptionsError, match="cannot be fitted again"):
        run_robustness_benchmark(shipped, surface_split, ["jpeg"], [1], compare_preprocessing=True)


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({}, "no preprocessing"),
        ({"homomorphic": True}, "homomorphic"),
        ({"white_balance": "max_rgb", "gamma": 0.5, "clahe": True}, "clahe, gamma=0.5 and white_balance=max_rgb"),
    ],
)
def test_preprocessing_in_words(chosen: dict[str, Any], words: str) -> None:
    assert describe(chosen) == words


def test_the_command_keeps_both_halves_and_goes_on_in_either(cli: Callable, surface_root: Path, tmp_path: Path) -> None:
    line = [
        "robust-benchmark",
        "--root",
        surface_root,
        "--model",
        "vision_filterbank",
        "-o",
        "resize=[64,64]",
        "--limit-test",
        "6",
    ]
    line += ["--corruptions", "jpeg", "--severities", "1", "5", "--compare-preprocessing", "--illumination-clahe"]
    line += ["--save-run", tmp_path / "run"]
    done = cli(*line)
    assert done.code == 0, done.err
    place = tmp_path / "run" / "categories" / "parts"
    assert (place / "conditions.csv").read_bytes() != (place / "with_preprocessing" / "conditions.csv").read_bytes()
    assert (place / "with_preprocessing" / "strips" / "jpeg.jpg").exists()
    report = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))
    assert (report["preprocessing"]["clahe"], report["with_preprocessing"]["preprocessing"]["clahe"]) == (False, True)
    sentence = report["preprocessing_comparison"]["sentence"]
    assert sentence.startswith("with clahe, SegF1 changes by ")
    assert sentence in done.out
    assert len([row for row in done.out.splitlines() if "with preprocessing" in row]) == 3
    if (tmp_path / "run" / "report.html").exists():
        assert "What preprocessing gains and loses" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    (place / "with_preprocessing" / "report.json").unlink()
    again = cli(*line)
    assert again.err.count("done before") == 4
    assert without_times(json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))) == without_times(report)
