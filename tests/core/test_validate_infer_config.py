"""``pyimgano validate-infer-config``: every problem at once, each with its place, what was expected and what was found."""

from __future__ import annotations

import importlib
import json
import shutil
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from pyimgano import __version__
from pyimgano.calibration import CalibrationSettings
from pyimgano.contracts import DatasetSplit, Runtime
from pyimgano.errors import BundleError
from pyimgano.pipeline import Pipeline
from pyimgano.workbench.bundle import Bundle, bundle_files
from pyimgano.workbench.seal import CONFIG, STATE
from pyimgano.workbench.validate import validate_infer_config


@pytest.fixture
def loose(bundle: Path, tmp_path: Path) -> Path:
    """Give a loose infer_config.json with its state."""
    (tmp_path / "run").mkdir()
    for name in (CONFIG, STATE):
        shutil.copy(bundle / name, tmp_path / "run" / name)
    return tmp_path / "run" / CONFIG


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    """Give a copy of the bundle that may be changed."""
    return Path(shutil.copytree(bundle, tmp_path / "copy.bundle"))


def edit(config: Path, values: dict[str, Any]) -> None:
    """Set values by dotted key; a key that ends in a dash is deleted."""
    content = json.loads(config.read_text(encoding="utf-8"))
    for key, value in values.items():
        *path, last = key.split(".")
        part = content
        for step in path:
            part = part[int(step)] if isinstance(part, list) else part[step]
        if last.endswith("-"):
            del part[last[:-1]]
        else:
            part[last] = value
    config.write_text(json.dumps(content), encoding="utf-8")


def findings(cli: Callable, target: Path, code: int = 1) -> dict[str, dict[str, Any]]:
    """Return the findings by pointer."""
    done = cli("validate-infer-config", target, "--json")
    assert (done.code, done.err) == (code, "")
    report = json.loads(done.out)
    assert report["errors"] + report["warnings"] == len(report["findings"])
    assert (report["errors"] > 0) == (code == 1)
    return {finding["pointer"]: finding for finding in report["findings"]}


@pytest.mark.parametrize("sealed", [True, False])
def test_what_training_wrote_has_no_problems(cli: Callable, bundle: Path, loose: Path, sealed: bool) -> None:
    target = bundle if sealed else loose
    done = cli("validate-infer-config", target)
    assert (done.code, done.out, done.err) == (0, f"no errors, no warnings in {target}\n", "")
    assert validate_infer_config(target).digest == (Bundle.load(bundle).digest if sealed else None)


FAULTS = {
    "threshold": ("much", '"much"'),
    "defects.min_area": (-3, "-3"),
    "defects.mask_format": ("bmp", '"bmp"'),
    "defects.roi_xyxy_norm": ([0.9, 0, 0.1, 1], "0.9"),
    "defects.hysteresis.enabled": ("perhaps", '"perhaps"'),
    "model.options.bank_size": (0, "0"),
    "model.options.neighbours": (3, "3"),
    "adaptation.tiling.tile_size": (2, "2"),
    "preprocessing.gamma": (-1, "-1"),
    "prediction.reject_confidence_below": (1.5, "1.5"),
    "state.sha256": ("short", '"short"'),
    "state.file": ("model.pkl", '"model.pkl"'),
    "treshold": (3, "3"),
    "created_utc-": (None, "nothing"),
}


def test_every_problem_is_listed_at_once_with_place_expectation_and_value(cli: Callable, loose: Path) -> None:
    edit(loose, {key: value for key, (value, _) in FAULTS.items()})
    found = findings(cli, loose)
    for key, (_, value) in FAULTS.items():
        where = "/" + key.rstrip("-").replace(".", "/")
        assert where in found, (where, sorted(found))
        assert value in found[where]["found"]
        assert found[where]["expected"]
        assert found[where]["severity"] == "error"
    assert "did you mean threshold?" in found["/treshold"]["expected"]
    assert "at least 0" in found["/defects/min_area"]["expected"]
    text = cli("validate-infer-config", loose).out
    for where in found:
        assert f"error: {CONFIG} {where}" in text
    assert f"{len(found)} errors" in text


@pytest.mark.parametrize("name", ["nowhere.json", "nowhere", "nowhere/infer_config.json"])
def test_a_missing_file_is_an_error(cli: Callable, tmp_path: Path, name: str) -> None:
    done = cli("validate-infer-config", tmp_path / name)
    assert done.code == 1
    assert "does not exist" in done.out


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"a": NaN}', "[" * 100_000, '{"model": 1, "model": 2}', "\x00"])
def test_what_is_no_config_is_one_clear_error(cli: Callable, loose: Path, text: str) -> None:
    loose.write_text(text)
    done = cli("validate-infer-config", loose)
    assert done.code == 1
    assert "1 error" in done.out
    assert str(loose) in done.out


def test_a_missing_schema_version_reads_as_1_with_a_warning(cli: Callable, loose: Path, surface_root: Path) -> None:
    edit(loose, {"schema_version-": None})
    (finding,) = findings(cli, loose, code=0).values()
    assert (finding["pointer"], finding["severity"], finding["expected"]) == ("/schema_version", "warning", "1")
    done = cli("infer", "--infer-config", loose, "-i", surface_root / "test" / "good" / "000.png")
    assert done.code == 0
    assert "no schema_version; it is read as version 1" in done.err


@pytest.mark.parametrize(("key", "value", "mine"), [("schema_version", 2, "1"), ("pyimgano_version", "0.9.1", __version__)])
def test_a_newer_version_is_refused_with_both(cli: Callable, loose: Path, key: str, value: Any, mine: str) -> None:
    edit(loose, {key: value, "of_the_future": 1})
    done = cli("validate-infer-config", loose)
    assert done.code == 1
    assert "1 error" in done.out
    for part in (str(value), mine):
        assert part in done.out
    done = cli("infer", "--infer-config", loose, "-i", loose)
    assert done.code == 2
    assert str(value) in done.err
    assert mine in done.err


@pytest.mark.parametrize("name", ["acme:detector", "vision_nothing", "pyimgano-models-clip:vision_winclip"])
def test_a_plugin_that_is_not_there_is_named(cli: Callable, loose: Path, name: str) -> None:
    edit(loose, {"model.name": name, "defects.min_area": -1})
    found = findings(cli, loose)
    assert {"/model/name", "/defects/min_area"} <= found.keys()
    assert name.rpartition(":")[2] in found["/model/name"]["found"]
    assert found["/model/name"]["mend"]


def test_another_version_of_the_plugin_is_a_warning_here_and_at_load(cli: Callable, loose: Path, surface_root: Path) -> None:
    edit(loose, {"model.version": "0.6.2"})
    finding = findings(cli, loose, code=0)["/model/version"]
    assert finding["severity"] == "warning"
    assert "0.6.2" in finding["found"]
    done = cli("infer", "--infer-config", loose, "-i", surface_root / "test" / "good" / "000.png")
    assert done.code == 0
    assert "/model/version" in done.err
    edit(loose, {"model.version": f"{__version__}.post1"})
    assert findings(cli, loose, code=0) == {}


@pytest.mark.parametrize("damage", ["changed", "missing", "no safetensors"])
def test_the_state_file_is_checked(cli: Callable, loose: Path, damage: str) -> None:
    state = loose.parent / STATE
    if damage == "missing":
        state.unlink()
    else:
        state.write_bytes(state.read_bytes()[:-1] + b"x" if damage == "changed" else b"junk")
    finding = findings(cli, loose)["/state"]
    assert str(state) in finding["found"]


def test_a_state_of_another_model_is_found_before_the_line_finds_it(cli: Callable, loose: Path) -> None:
    edit(loose, {"model.options.distance": "mahalanobis"})
    found = findings(cli, loose, code=1 if "has no array" in cli("infer", "--infer-config", loose, "-i", loose).err else 0)
    assert "/threshold_provenance/chain" in found or "/model" in found


def test_the_seal_of_a_bundle_is_checked_with_its_config(cli: Callable, copy: Path) -> None:
    edit(copy / CONFIG, {"defects.min_area": -1})
    (copy / "extra.txt").touch()
    done = cli("validate-infer-config", copy)
    assert done.code == 1
    for part in ("was changed since the bundle was sealed", "extra.txt does not belong", "/defects/min_area"):
        assert part in done.out
    assert cli("validate-infer-config", copy / CONFIG).out.count("error:") == done.out.count("error:")


def test_thresholds_of_another_chain_are_warnings(cli: Callable, loose: Path, surface_root: Path) -> None:
    edit(loose, {"adaptation.tiling.tile_size": 48})
    found = findings(cli, loose, code=0)
    assert {"/threshold_provenance/chain", "/defects/pixel_threshold_provenance/chain"} == found.keys()
    done = cli("infer", "--infer-config", loose, "-i", surface_root / "test" / "good" / "000.png")
    assert done.code == 0
    assert "image threshold was calibrated through another chain" in done.err
    assert "pixel threshold was calibrated through another chain" in done.err


def test_the_script_of_its_own_does_the_same(shell: Callable, bundle: Path, tmp_path: Path) -> None:
    code = "import sys\nfrom pyimgano.cli.app import validate_infer_config\nsys.argv[1:] = {}\nvalidate_infer_config()"
    assert shell("-c", code.format([str(bundle)])).code == 0
    done = shell("-c", code.format([str(tmp_path / "nowhere.json")]))
    assert (done.code, "Traceback" in done.err) == (1, False)


def test_every_script_of_the_distribution_is_a_function_of_the_command_line() -> None:
    scripts = [entry for entry in metadata.entry_points(group="console_scripts") if entry.value.startswith("pyimgano.")]
    project = Path(__file__).parents[2] / "packages" / "pyimgano-core" / "pyproject.toml"
    named = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["scripts"]
    assert named["pyimgano-validate-infer-config"] == "pyimgano.cli.app:validate_infer_config"
    for value in {*named.values(), *(entry.value for entry in scripts)}:
        module, _, name = value.partition(":")
        assert callable(getattr(importlib.import_module(module), name))


# Completeness at export


@pytest.fixture
def trained(surface_split: DatasetSplit) -> Callable[..., Pipeline]:
    """Give a function that trains with calibration settings."""

    def train(**settings: Any) -> Pipeline:
        pipeline = Pipeline.create("vision_filterbank", {"resize": [96, 128]}, Runtime())
        pipeline.learn(surface_split, CalibrationSettings(**settings), 0)
        return pipeline

    return train


def test_enabled_defects_without_a_pixel_threshold_are_refused_at_export_with_the_two_ways_out(
    trained: Callable[..., Pipeline],
) -> None:
    pipeline = trained(pixel_threshold_strategy="none")
    with pytest.raises(BundleError, match="/defects/pixel_threshold") as caught:
        bundle_files(pipeline, {}, defects_enabled=True)
    assert "calibrate one (--pixel-threshold-strategy normal_pixel_quantile" in caught.value.next_step
    assert "or set one (--pixel-threshold VALUE)" in caught.value.next_step
    assert bundle_files(pipeline, {}, defects_enabled=False)
    assert json.loads(bundle_files(trained(), {}, defects_enabled=True)[CONFIG])["defects"]["enabled"] is True


def test_enabled_defects_without_a_pixel_threshold_are_an_error_of_the_validator(cli: Callable, loose: Path) -> None:
    edit(loose, {"defects.enabled": True})
    assert findings(cli, loose, code=0) == {}
    edit(loose, {"defects.pixel_threshold": None, "defects.pixel_threshold_provenance": None})
    assert "set one" in findings(cli, loose)["/defects/pixel_threshold"]["mend"]


def test_a_rejection_without_a_calibrated_threshold_is_an_error(cli: Callable, loose: Path) -> None:
    edit(loose, {"prediction.reject_confidence_below": 0.9})
    assert findings(cli, loose, code=0) == {}
    edit(loose, {"threshold": 1.0})
    assert "/prediction/reject_confidence_below" in findings(cli, loose)


def test_provenance_holds_counts_region_and_chain(surface_split: DatasetSplit) -> None:
    from pyimgano.defects.config import DefectsConfig

    defects = DefectsConfig(roi_xyxy_norm=(0, 0, 0.5, 1))
    pipeline = Pipeline.create("vision_filterbank", {"resize": [96, 128]}, Runtime(), defects=defects)
    pipeline.learn(surface_split, CalibrationSettings(), 0)
    config = json.loads(bundle_files(pipeline, {})[CONFIG])
    image, pixel = config["threshold_provenance"], config["defects"]["pixel_threshold_provenance"]
    assert (image["calibration_count"], pixel["calibration_map_count"], pixel["calibration_pixel_count"]) == (5, 5, 5 * 96 * 64)
    assert (pixel["roi_used"], pixel["roi_xyxy_norm"], pixel["roi_pixel_count"]) == (True, [0, 0, 0.5, 1], 5 * 96 * 64)
    assert (image["chain"], pixel["chain"]) == (pipeline.fingerprint(), pipeline.fingerprint(pixels=True))
    assert image["chain"] != pixel["chain"]
