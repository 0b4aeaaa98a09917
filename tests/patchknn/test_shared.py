"""What every detector of this distribution promises, whatever its method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from embedders import patch_means, texture, textures, two_layers
from PIL import Image
from safetensors.numpy import load, save, save_file

from pyimgano.contracts import Detector, Runtime
from pyimgano.errors import DetectorError, ImageError, NotFittedError, OptionsError, PyimganoError, WeightsError
from pyimgano.pipeline import Pipeline
from pyimgano.registry import create_model, find, list_models
from pyimgano_patchknn.backbone import Backbone

DETECTORS = ("vision_patchcore", "vision_softpatch", "vision_anomalydino", "vision_superad")
CONVOLUTIONAL, TRANSFORMERS = DETECTORS[:2], DETECTORS[2:]
OWN_SIZE = {name: {"resize": None} if name in CONVOLUTIONAL else {} for name in DETECTORS}
TINY = {
    **{name: {"backbone": "resnet10t", "pretrained": False, "resize": [64, 64]} for name in CONVOLUTIONAL},
    **{name: {"backbone": "vit_tiny_patch16_224", "pretrained": False, "short_side": 64} for name in TRANSFORMERS},
}
EVERYTHING = {
    "vision_patchcore": {"coreset_sampling_ratio": 1.0},
    "vision_softpatch": {"coreset_sampling_ratio": 1.0, "train_patch_outlier_quantile": 0.0},
    "vision_anomalydino": {"rotations": 1},
    "vision_superad": {"rotations": 1},
}
"""Options under which the bank holds every training patch."""

every_detector = pytest.mark.parametrize("name", DETECTORS)


def fitted(name: str, images: Sequence[object] | None = None, embedder: Callable = patch_means, **options: object) -> Detector:
    return create_model(name, embedder=embedder, **options).fit(textures(6) if images is None else images)


@pytest.fixture(scope="module")
def lite0() -> Backbone:
    backbone = Backbone("efficientnet_lite0", None, None, 3, Runtime(device="cpu"))
    backbone.load(None, pretrained=True)
    return backbone


@every_detector
def test_equal_seeds_give_equal_bytes(name: str) -> None:
    first, again = (fitted(name, seed=3, coreset_sampling_ratio=0.3) for _ in range(2))
    images = [texture(50), texture(51)]
    assert save(first.state()) == save(again.state())
    np.testing.assert_array_equal(first.decision_function(images), again.decision_function(images))


@every_detector
def test_the_seed_chooses_the_coreset(name: str) -> None:
    first, other = (fitted(name, seed=seed, coreset_sampling_ratio=0.1).banks_[0].vectors for seed in (3, 4))
    assert not np.array_equal(first, other)


@every_detector
def test_an_image_scores_the_same_whatever_its_batch_mates(name: str) -> None:
    model = fitted(name, **OWN_SIZE[name])
    images = [texture(60 + number, 64 + 8 * number, 96) for number in range(5)]
    together = model.score_images(images)
    for image, result in zip(images, together, strict=True):
        alone = model.score_images([image])[0]
        assert alone.score == pytest.approx(result.score, rel=1e-5)
        np.testing.assert_allclose(alone.anomaly_map.grid, result.anomaly_map.grid, rtol=1e-4, atol=1e-6)
    backwards = model.decision_function(images[::-1])[::-1]
    np.testing.assert_allclose(backwards, [result.score for result in together], rtol=1e-5)


@pytest.mark.parametrize("standardize", [False, True])
@every_detector
def test_what_was_learned_survives_a_round_trip(name: str, standardize: bool) -> None:
    model = fitted(name, standardize=standardize)
    copy = create_model(name, embedder=patch_means, standardize=standardize)
    copy.load_state(load(save({key: np.ascontiguousarray(array) for key, array in model.state().items()})))
    np.testing.assert_array_equal(copy.decision_function([texture(9)]), model.decision_function([texture(9)]))
    np.testing.assert_array_equal(copy.get_anomaly_map(texture(9)), model.get_anomaly_map(texture(9)))
    assert copy.memory_bank_size_ == model.memory_bank_size_


@every_detector
def test_the_network_survives_a_round_trip(name: str) -> None:
    model = create_model(name, device="cpu", seed=5, **TINY[name]).fit(textures(3))
    copy = create_model(name, device="cpu", seed=6, **TINY[name])
    copy.load_state(model.state())
    np.testing.assert_array_equal(copy.decision_function([texture(9)]), model.decision_function([texture(9)]))


@every_detector
def test_a_training_image_is_scaled_as_it_was_in_training(name: str) -> None:
    images = textures(4, 150, 230)
    model = create_model(name, device="cpu", **TINY[name], **EVERYTHING[name]).fit(images)
    copy = create_model(name, device="cpu", **TINY[name], **EVERYTHING[name])
    copy.load_state(model.state())
    for detector in (model, copy):
        assert abs(detector.decision_function(images)).max() < 1e-3
        assert detector.decision_function([texture(70, 150, 230)])[0] > 5e-3


@every_detector
def test_images_of_mixed_sizes_get_maps_of_their_own_size(name: str) -> None:
    model = fitted(name, [texture(number, 64, 96) for number in range(8)])
    images = [texture(30, 40, 200), texture(31, 200, 40), texture(32, 64, 96)]
    for image, shown in zip(images, model.predict_anomaly_map(images), strict=True):
        assert (shown.shape, shown.dtype) == (image.shape[:2], np.float32)
        assert np.isfinite(shown).all()


@every_detector
def test_training_images_may_have_mixed_sizes(name: str) -> None:
    options = {"discrimination": "anywhere"} if name == "vision_softpatch" else {}
    model = fitted(name, [texture(number, 64 + 16 * number, 96) for number in range(6)], **options)
    assert np.isfinite(model.decision_function([texture(50)])).all()


@every_detector
def test_paths_and_arrays_give_the_same_scores(name: str, tmp_path: Path) -> None:
    images = textures(4)
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    from_paths, from_arrays = fitted(name, paths), fitted(name, images)
    np.testing.assert_array_equal(from_paths.decision_function(paths), from_arrays.decision_function(images))


@every_detector
def test_embedders_see_red_as_red_from_paths_and_arrays(name: str, tmp_path: Path) -> None:
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 255
    Image.fromarray(red).save(tmp_path / "red.png")
    seen = []

    def watching(images: Sequence[np.ndarray]) -> list[np.ndarray]:
        seen.extend(images)
        return patch_means(images)

    model = fitted(name, [tmp_path / "red.png", red], watching)
    model.decision_function([tmp_path / "red.png", red])
    assert len(seen) >= 4
    assert all((image == [255, 0, 0]).all() for image in seen)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 256), (256, 64), (120, 200)])
@pytest.mark.parametrize("corner", [(0, 0), (0, -1), (-1, 0), (-1, -1)])
@every_detector
def test_a_defect_in_a_corner_lights_that_corner(name: str, height: int, width: int, corner: tuple[int, int]) -> None:
    _lights(fitted(name, **OWN_SIZE[name]), texture(70, height, width), corner, 12)


@pytest.mark.parametrize(("height", "width"), [(96, 96), (64, 224), (224, 64)])
@pytest.mark.parametrize("corner", [(0, 0), (0, -1), (-1, 0), (-1, -1)])
@every_detector
def test_real_features_light_the_corner_too(
    name: str, height: int, width: int, corner: tuple[int, int], lite0: Backbone
) -> None:
    model = fitted(name, textures(3, 96, 96), lite0, **OWN_SIZE[name])
    _lights(model, texture(70, height, width), corner, 24)


def _lights(model: Detector, image: np.ndarray, corner: tuple[int, int], side: int) -> None:
    height, width = image.shape[:2]
    rows = slice(0, side) if corner[0] == 0 else slice(height - side, height)
    columns = slice(0, side) if corner[1] == 0 else slice(width - side, width)
    image[rows, columns] = (255, 0, 0)
    shown = model.get_anomaly_map(image)
    peak = np.unravel_index(int(shown.argmax()), shown.shape)
    assert shown.shape == (height, width)
    assert abs(peak[0] - (0 if corner[0] == 0 else height - 1)) <= 1.5 * side
    assert abs(peak[1] - (0 if corner[1] == 0 else width - 1)) <= 1.5 * side


@every_detector
def test_scoring_before_fitting_is_refused(name: str) -> None:
    with pytest.raises(NotFittedError, match="is not fitted"):
        create_model(name, embedder=patch_means).decision_function([texture(0)])


@pytest.mark.parametrize("value", [0, 9, 255])
@every_detector
def test_constant_images_score_finitely(name: str, value: int, lite0: Backbone) -> None:
    flat = np.full((64, 64, 3), value, np.uint8)
    for embedder in (patch_means, lite0):
        for images in ([flat] * 3, textures(3, 64, 64)):
            for standardize in (False, True):
                model = fitted(name, images, embedder, standardize=standardize)
                assert np.isfinite(model.decision_function([flat, texture(1, 64, 64)])).all()
    model = fitted(name, [flat] * 3)
    assert model.decision_function([flat]) == pytest.approx([0], abs=1e-6)


@every_detector
def test_identical_training_images_are_no_trouble(name: str) -> None:
    model = fitted(name, [texture(0)] * 8)
    scores = model.decision_function([texture(0), texture(1)])
    assert np.isfinite(scores).all()
    assert scores[1] > 0


@every_detector
def test_one_training_image_is_enough_or_refused(name: str) -> None:
    if name == "vision_softpatch":
        with pytest.raises(DetectorError, match="single image cannot be compared"):
            fitted(name, [texture(0)])
    else:
        assert fitted(name, [texture(0)]).decision_function([texture(1)])[0] > 0


@every_detector
def test_a_bank_smaller_than_k_is_refused_when_fitting(name: str) -> None:
    with pytest.raises(DetectorError, match=r"would hold \d+ of \d+ patches, fewer than k=500") as caught:
        fitted(name, textures(2), k=500, coreset_sampling_ratio=0.05)
    assert "coreset_sampling_ratio" in caught.value.next_step


@every_detector
def test_a_ratio_that_keeps_nothing_is_refused(name: str) -> None:
    with pytest.raises(DetectorError, match=r"would hold 0 of \d+ patches"):
        fitted(name, textures(2), coreset_sampling_ratio=1e-5)


@every_detector
def test_features_that_are_not_finite_are_refused_in_training_and_after(name: str) -> None:
    def sick(images: Sequence[np.ndarray]) -> list[np.ndarray]:
        sick_where = [np.float32(np.nan if image.max() > 200 else 1) for image in images]
        return [grid * factor for grid, factor in zip(patch_means(images), sick_where, strict=True)]

    with pytest.raises(DetectorError, match=r"must be finite .* with NaN or infinite values"):
        fitted(name, [*textures(3), np.full((64, 96, 3), 255, np.uint8)], sick)
    model = fitted(name, textures(3), sick)
    with pytest.raises(DetectorError, match="must be finite"):
        model.decision_function([np.full((64, 96, 3), 255, np.uint8)])


@pytest.mark.parametrize(
    ("embedder", "message"),
    [
        (lambda images: patch_means(images)[1:], r"returned \d+ results for \d+ images"),
        (lambda images: [grid.reshape(-1, 3) for grid in patch_means(images)], r"must be finite \(h, w, D\) grids"),
        (lambda images: [grid[:0] for grid in patch_means(images)], r"must be finite \(h, w, D\) grids"),
        (lambda images: [grid[..., : 1 + n % 2] for n, grid in enumerate(patch_means(images))], "layers of .* channels"),
    ],
)
@every_detector
def test_an_embedder_that_breaks_its_contract_is_refused(name: str, embedder: Callable, message: str) -> None:
    with pytest.raises(DetectorError, match=message):
        fitted(name, textures(3), embedder)


@every_detector
def test_an_embedder_that_changes_its_channels_is_refused(name: str) -> None:
    model = fitted(name)
    model._embedder = lambda images: [grid[..., :2] for grid in patch_means(images)]
    copy = create_model(name, embedder=model._embedder)
    copy.load_state(model.state())
    for detector in (model, copy):
        with pytest.raises(DetectorError, match=r"layers of \[2\] channels, and \[3\] before"):
            detector.decision_function([texture(0)])
    alternating = iter([3, 2, 3, 2])
    with pytest.raises(DetectorError, match=r"layers of \[2\] channels, and \[3\] before"):
        fitted(name, embedder=lambda images: [grid[..., : next(alternating)] for grid in patch_means(images)], batch_size=1)


@every_detector
def test_several_layers_are_taken_or_refused(name: str) -> None:
    if name == "vision_superad":
        model = fitted(name, embedder=two_layers)
        assert len(model.banks_) == 2
    else:
        with pytest.raises(DetectorError, match="takes one layer of features, the embedder returned 2"):
            fitted(name, embedder=two_layers)


@every_detector
def test_an_array_of_grids_is_taken_as_well_as_a_list(name: str) -> None:
    stacked = fitted(name, embedder=lambda images: np.stack(patch_means(images)))
    np.testing.assert_array_equal(stacked.decision_function([texture(9)]), fitted(name).decision_function([texture(9)]))


@every_detector
def test_a_failing_image_is_an_error_and_never_a_score(name: str, tmp_path: Path) -> None:
    def choosy(images: Sequence[np.ndarray]) -> list[np.ndarray]:
        if any(image.max() == 255 for image in images):
            raise ValueError("too bright")
        return patch_means(images)

    model = fitted(name, embedder=choosy)
    bright = np.full((64, 96, 3), 255, np.uint8)
    with pytest.raises(ValueError, match="too bright"):
        model.decision_function([texture(0), bright])
    (tmp_path / "broken.png").write_bytes(b"not an image")
    items = [texture(0), bright, tmp_path / "broken.png", texture(1)]
    scored = list(Pipeline.around(model).score(items))
    assert [one.result is None for one in scored] == [False, True, True, False]
    assert "too bright" in scored[1].error.problem
    assert isinstance(scored[2].error, ImageError)
    assert "broken.png" in scored[2].error.problem


@every_detector
def test_every_training_image_is_embedded_once_and_scores_come_with_their_maps(name: str) -> None:
    seen: list[int] = []

    def counting(images: Sequence[np.ndarray]) -> list[np.ndarray]:
        seen.extend(hash(image.tobytes()) for image in images)
        return patch_means(images)

    options = {"rotations": 1} if name in TRANSFORMERS else {}
    model = fitted(name, embedder=counting, **options)
    assert sorted(seen) == sorted(hash(image.tobytes()) for image in textures(6))
    seen.clear()
    results = model.score_images([texture(20), texture(21)])
    assert len(seen) == 2
    assert all(result.anomaly_map is not None for result in results)


@pytest.mark.parametrize(
    ("name", "wrong", "message", "known"),
    [
        ("vision_patchcore", {"layers": ["layer9"]}, "has no layer 'layer9'", "it has: act1, layer1, layer2, layer3, layer4"),
        ("vision_softpatch", {"layers": ["layer9"]}, "has no layer 'layer9'", "it has: act1, layer1, layer2, layer3, layer4"),
        ("vision_superad", {"blocks": [3, 99]}, "has no block 99", "it has: 0 to 11"),
    ],
)
def test_unknown_layers_list_those_that_are_there(name: str, wrong: dict[str, object], message: str, known: str) -> None:
    with pytest.raises(WeightsError, match=message) as caught:
        create_model(name, **TINY[name], **wrong).fit(textures(2))
    assert caught.value.next_step == known


@every_detector
def test_weights_of_another_model_are_refused_with_what_differs(name: str, tmp_path: Path) -> None:
    donor_name = "vision_superad" if name in CONVOLUTIONAL else "vision_patchcore"
    other = TINY[donor_name]["backbone"]
    donor = create_model(donor_name, **TINY[donor_name]).fit(textures(2))
    state = {key.removeprefix("backbone."): value for key, value in donor.state().items() if key.startswith("backbone.")}
    save_file(state, tmp_path / f"{other}.safetensors")
    options = {**TINY[name], "pretrained": True, "weights": tmp_path / f"{other}.safetensors"}
    with pytest.raises(
        WeightsError, match=rf"do not fit {TINY[name]['backbone']}: \d+ of \d+ tensors are missing, the first is"
    ):
        create_model(name, **options).fit(textures(2))


@every_detector
def test_weights_are_pretrained_unless_random_ones_are_asked_for_and_recorded(name: str) -> None:
    assert create_model(name).options.pretrained is True
    model = create_model(name, device="cpu", **TINY[name]).fit(textures(2))
    assert model.weights["source"] == "random"
    assert model.weights["architecture"] == TINY[name]["backbone"]


@every_detector
def test_unknown_options_and_bad_values_are_refused_before_anything_loads(name: str) -> None:
    for options, message in (
        ({"k": 0}, rf"{name}\.k: must be at least 1 \(got 0\)"),
        ({"n_neighbors": 3}, r"n_neighbors: unknown option"),
        ({"coreset_ratio": 0.1}, "unknown option; did you mean coreset_sampling_ratio"),
        ({"coreset_sampling_ratio": 0}, "must be greater than 0"),
    ):
        with pytest.raises(OptionsError, match=message):
            create_model(name, **options)


@every_detector
def test_options_of_the_network_are_refused_beside_an_embedder(name: str) -> None:
    with pytest.raises(OptionsError, match="backbone=resnet10t has no effect with an embedder of your own"):
        create_model(name, embedder=patch_means, backbone="resnet10t")


@every_detector
def test_presets_are_valid_and_tags_say_what_it_is(name: str) -> None:
    entry = find("detector", name)
    assert list(entry.spec.presets) == ["industrial-fast", "industrial-balanced", "industrial-accurate"]
    parsed = [entry.parse_options(values) for values in entry.spec.presets.values()]
    assert len(set(map(repr, parsed))) == 3
    assert [entry.parse_options(options.model_dump()) for options in parsed] == parsed
    assert {"vision", "deep", "patchknn", name.removeprefix("vision_")} <= entry.spec.tags
    assert set(DETECTORS) <= set(list_models(["patchknn"]))
    assert list_models(["vision", "deep", "softpatch", "patchknn", "robust"]) == ["vision_softpatch"]


@every_detector
def test_global_generators_and_inputs_are_left_alone(name: str) -> None:
    before = np.random.get_state()[1].copy()
    images = textures(6)
    kept = [image.copy() for image in images]
    fitted(name, images).decision_function(images)
    np.testing.assert_array_equal(images, kept)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@every_detector
def test_fitting_again_forgets_what_was_learned(name: str) -> None:
    model = fitted(name, textures(6))
    model.fit([texture(90 + number) for number in range(6)])
    fresh = fitted(name, [texture(90 + number) for number in range(6)])
    np.testing.assert_array_equal(model.decision_function([texture(0)]), fresh.decision_function([texture(0)]))


@every_detector
def test_a_state_without_its_bank_is_refused(name: str) -> None:
    arrays = {key: array for key, array in fitted(name).state().items() if not key.startswith("bank")}
    with pytest.raises(PyimganoError, match="holds no memory bank"):
        create_model(name, embedder=patch_means).load_state(arrays)
