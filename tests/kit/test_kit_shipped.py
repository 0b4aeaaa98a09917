"""Every component that the project ships passes the kit, with what it says of itself."""

from __future__ import annotations

import layouts
import pytest

from pyimgano.registry import load_dataset
from pyimgano.testing import Result, Settings, check_plugin

FEW = ("summary", "options_described", "options_bounded", "options_valid", "embedder_flag", "factory_resolves")
WHOLE = (*FEW, "direction", "mixed_sizes", "weights_flag", "finite", "save_load")
METADATA = ("entry_point", "light_import", "light_options", "light_weights_at", "requirement_on_core", "no_direct_urls")
PROMISES = (*METADATA, "extras_bring_requires", "requirements_cover_imports", "options_are_read")


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Give a small set in the layout of every dataset."""
    folder = tmp_path_factory.mktemp("roots")
    surface = {"train": 6, "test_good": 2, "test_defective": 3, "height": 64, "width": 96}
    load_dataset("surface", folder / "day" / "parts", **surface).load()
    rows = ["image_path,split,label,mask_path"]
    for path in sorted((folder / "day" / "parts").rglob("*.png")):
        part, kind, stem = path.parts[-3], path.parts[-2], path.stem
        if part != "ground_truth":
            mask = f"ground_truth/{kind}/{stem}_mask.png" if kind != "good" else ""
            rows.append(f"{part}/{kind}/{path.name},{part},{int(kind != 'good')},{mask}")
    manifest = folder / "day" / "parts" / "manifest.csv"
    manifest.write_text("\n".join(rows) + "\n", encoding="utf-8")
    parts = str(folder / "day" / "parts")
    return {
        "folder": {"root": parts},
        "custom": {"root": parts},
        "manifest": {"root": str(manifest)},
        "mvtec": {"root": str(folder / "day"), "category": "parts"},
        "mvtec_ad": {"root": str(folder / "day"), "category": "parts"},
        "surface": {"root": str(folder / "surface"), **surface},
        "mvtec_loco": {"root": str(layouts.loco(folder / "loco"))},
        "mvtec_ad2": {"root": str(layouts.ad2(folder / "ad2"))},
        "visa": {"root": str(layouts.visa_raw(folder / "visa", "candle")), "category": "candle"},
        "btad": {"root": str(layouts.btad(folder / "btad")), "category": "01"},
        "conditions": {"root": str(folder / "day")},
    }


def faults(results: list[Result]) -> list[tuple[str, str, str]]:
    return [(result.component, result.check, result.reason) for result in results if result.bad]


def outcomes(results: list[Result], kind: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for result in results:
        if result.kind == kind:
            found.setdefault(result.component, set()).add(result.outcome)
    return found


def test_core_passes(roots: dict) -> None:
    known = {name: values for name, values in roots.items() if name != "conditions"}
    settings = Settings(options={**known, "vision_filterbank": {"resize": [64, 96], "bank_size": 500}})
    results = check_plugin("pyimgano-core", settings)
    assert faults(results) == []
    assert outcomes(results, "detector") == {"vision_filterbank": {"passed"}}
    assert outcomes(results, "postprocessor") == {"anomaly_map": {"passed"}}
    loaded = {result.component for result in results if (result.check, result.outcome) == ("loads", "passed")}
    assert loaded >= set(known)
    unmeasured = {result.component for result in results if (result.check, result.outcome) == ("computes", "skipped")}
    assert unmeasured == {"spro"}


def test_the_map_postprocessor_passes_whatever_it_does() -> None:
    for options in (
        {"normalize_method": "minmax"},
        {"normalize_method": "percentile"},
        {"gaussian_sigma": 2, "close_ksize": 3},
    ):
        results = check_plugin("pyimgano-core", Settings(options={"anomaly_map": options}), ["keeps_order", "save_load"])
        assert [r.reason for r in results if r.component == "anomaly_map" and r.outcome != "passed"] == []


def test_robustness_passes(roots: dict) -> None:
    pytest.importorskip("pyimgano_robustness")
    options = {"conditions": roots["conditions"]}
    results = check_plugin("pyimgano-robustness", Settings(options=options))
    assert faults(results) == []
    assert set().union(*outcomes(results, "corruption").values()) == {"passed"}


def test_patchknn_passes() -> None:
    pytest.importorskip("pyimgano_patchknn")
    pytest.importorskip("timm")
    results = check_plugin("pyimgano-models-patchknn", only=[*PROMISES, *WHOLE])
    assert faults(results) == []
    found = outcomes(results, "detector")
    assert sorted(found) == ["vision_anomalydino", "vision_patchcore", "vision_softpatch", "vision_superad"]
    assert all(outcome == {"passed"} for outcome in found.values())


@pytest.mark.parametrize("plugin", ["pyimgano-models-clip", "pyimgano-anomalib"])
def test_metadata_and_options_of_the_other_plugins_pass(plugin: str) -> None:
    module = {"pyimgano-models-clip": "pyimgano_clip", "pyimgano-anomalib": "pyimgano_anomalib"}[plugin]
    pytest.importorskip(f"{module}.plugin")
    only = [
        name for name in (*PROMISES, *FEW) if name != "requirements_cover_imports"
    ]  # what is not there has no name to cover
    assert faults(check_plugin(plugin, only=only)) == []
