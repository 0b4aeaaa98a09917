"""What every detector of the plugin keeps to: any size, batch or order, flat memory, no hook, a state that is enough alone."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.numpy import load, save
from tiny_clip import surfaces

import pyimgano_clip
from pyimgano.contracts import Detector
from pyimgano.errors import BundleError, DetectorError, NotFittedError
from pyimgano.images import ImageSource
from pyimgano.pipeline import Pipeline
from pyimgano.registry import create_model
from pyimgano_clip.checkpoint import load_clip
from pyimgano_clip.options import ClipOptions

DETECTORS = ("vision_openclip_promptscore", "vision_winclip", "vision_openclip_patchknn")
PROMPTED = DETECTORS[:2]
every_detector = pytest.mark.parametrize("name", DETECTORS)
every_prompted = pytest.mark.parametrize("name", PROMPTED)

GOOD = surfaces(7, 12)[0][::2]
SOME = surfaces(8, 8)[0]


def fitted(name: str, checkpoint: Path, **options: object) -> Detector:
    return create_model(name, weights=checkpoint, device="cpu", **options).fit(GOOD)


@pytest.fixture(params=DETECTORS)
def detector(request: pytest.FixtureRequest, tiny: Path) -> Detector:
    """Give each detector, fitted."""
    return fitted(request.param, tiny)


def modules() -> Iterator[torch.nn.Module]:
    """Yield every module that is alive."""
    gc.collect()
    yield from (thing for thing in gc.get_objects() if issubclass(type(thing), torch.nn.Module))


def hooks() -> int:
    """Return how many hooks are set, on modules and globally."""
    tables = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    everywhere = torch.nn.modules.module
    count = sum(len(getattr(module, table)) for module in modules() for table in tables)
    return count + len(everywhere._global_forward_hooks) + len(everywhere._global_forward_pre_hooks)


def resident() -> int:
    """Return the bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_fifty_images_leave_no_hook_behind(detector: Detector) -> None:
    before = hooks()
    detector.decision_function(SOME * 6 + SOME[:2])
    assert hooks() == before


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
@every_detector
def test_memory_is_flat_over_five_hundred_images(name: str, tiny: Path) -> None:
    model = fitted(name, tiny, **({"windows": [3], "references": 1} if name == "vision_winclip" else {}))
    for _ in range(10):
        model.score_images(SOME)
    before = resident()
    for _ in range(500 // len(SOME) + 1):
        model.score_images(SOME)
    assert resident() - before < 8 * 2**20


def test_a_batch_of_eight_equals_eight_single_images(detector: Detector) -> None:
    together = detector.score_images(SOME)
    assert len({result.score for result in together}) == len(SOME)
    for image, result in zip(SOME, together, strict=True):
        alone = detector.score_images([image])[0]
        assert alone.score == pytest.approx(result.score, rel=1e-5)
        np.testing.assert_allclose(alone.anomaly_map.grid, result.anomaly_map.grid, rtol=1e-5, atol=1e-6)


def test_order_does_not_matter_and_equal_batches_give_equal_bytes(detector: Detector) -> None:
    scores = detector.decision_function(SOME)
    np.testing.assert_array_equal(detector.decision_function(SOME), scores)
    np.testing.assert_allclose(detector.decision_function(SOME[::-1])[::-1], scores, rtol=1e-5)


def test_maps_have_the_size_of_their_image(detector: Detector) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((40, 160), (160, 40), (64, 64), (97, 33))]
    for image, shown in zip(images, detector.predict_anomaly_map(images), strict=True):
        assert (shown.shape, shown.dtype) == (image.shape[:2], np.float32)


def test_paths_and_arrays_give_the_same_scores(detector: Detector, tmp_path: Path) -> None:
    for place, image in enumerate(SOME):
        Image.fromarray(image).save(tmp_path / f"{place}.png")
    paths = [tmp_path / f"{place}.png" for place in range(len(SOME))]
    np.testing.assert_array_equal(detector.decision_function(paths), detector.decision_function(SOME))


def test_images_and_global_generators_are_left_alone(detector: Detector) -> None:
    copies = [image.copy() for image in SOME]
    numpy_state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()
    fitted_again = type(detector)(detector.options, detector.runtime)
    fitted_again.fit(GOOD).decision_function(SOME)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert all((image == copy).all() for image, copy in zip(SOME, copies, strict=True))


@pytest.mark.parametrize("size", [(64, 256), (256, 64), (64, 64), (90, 180)])
def test_a_change_in_a_corner_changes_the_map_most_on_that_side(detector: Detector, size: tuple[int, int]) -> None:
    clean = np.full((*size, 3), 127, np.uint8)
    height, width = size[0] // 4, size[1] // 4
    for top, left in ((0, 0), (0, 3 * width), (3 * height, 0), (3 * height, 3 * width)):
        spoiled = clean.copy()
        spoiled[top : top + height, left : left + width] = np.random.default_rng(1).integers(0, 256, (height, width, 3))
        before, after = detector.predict_anomaly_map([clean, spoiled])
        row, column = np.unravel_index(int(np.abs(after - before).argmax()), size)
        assert (row >= size[0] / 2) == (top > 0)
        assert (column >= size[1] / 2) == (left > 0)


def test_the_state_is_enough_without_checkpoint_tokenizer_and_text_tower(
    detector: Detector, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = load(save({key: np.ascontiguousarray(array) for key, array in detector.state().items()}))
    assert not any("token_embedding" in name or "text_projection" in name for name in arrays)
    assert sum(array.nbytes for array in arrays.values()) < (tiny / "open_clip_model.safetensors").stat().st_size / 10

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("neither weights nor a tokenizer are needed")

    monkeypatch.setattr(open_clip, "get_tokenizer", refuse)
    monkeypatch.setattr("pyimgano_clip.checkpoint.load_state_dict", refuse)
    options = detector.options.model_copy(update={"weights": tmp_path / "gone"})
    copy = type(detector)(options, detector.runtime)
    copy.load_state(arrays)
    np.testing.assert_array_equal(copy.decision_function(SOME), detector.decision_function(SOME))
    np.testing.assert_array_equal(copy.get_anomaly_map(SOME[1]), detector.get_anomaly_map(SOME[1]))


def test_where_the_weights_come_from_is_recorded(detector: Detector) -> None:
    record = Pipeline.around(detector).weights
    assert (record["source"], record["file"]) == ("file", "tiny_clip/open_clip_model.safetensors")
    assert len(record["sha256"]) == 64


def test_scoring_before_fitting_is_refused(tiny: Path) -> None:
    for name in DETECTORS:
        with pytest.raises(NotFittedError, match="is not fitted"):
            create_model(name, weights=tiny).decision_function(SOME)


def test_zero_shot_needs_no_images_and_looks_at_none(tiny: Path, tmp_path: Path) -> None:
    for name, options in (("vision_openclip_promptscore", {}), ("vision_winclip", {"references": 0})):
        alone = create_model(name, weights=tiny, device="cpu", **options).fit()
        unreadable = create_model(name, weights=tiny, device="cpu", **options).fit([tmp_path / "missing.png"])
        np.testing.assert_array_equal(alone.decision_function(SOME), unreadable.decision_function(SOME))


@pytest.mark.parametrize("name", ["vision_winclip", "vision_openclip_patchknn"])
def test_few_shot_needs_an_image(name: str, tiny: Path) -> None:
    with pytest.raises(DetectorError, match="no images to fit on"):
        create_model(name, weights=tiny, device="cpu").fit([])


def test_references_are_drawn_by_the_seed_and_pass_through_the_source(tiny: Path) -> None:
    first, again, other = (
        create_model("vision_winclip", weights=tiny, references=3, seed=seed).fit(GOOD) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.references_, again.references_)
    assert not np.array_equal(first.references_, other.references_)
    assert len(set(first.references_.tolist())) == 3
    inverted = ImageSource(GOOD, transform=lambda image: 255 - image)
    changed = create_model("vision_winclip", weights=tiny, references=3, seed=1).fit(inverted)
    assert not np.allclose(changed.decision_function(SOME), first.decision_function(SOME))
    few = create_model("vision_winclip", weights=tiny, references=99).fit(GOOD)
    assert few.references_.tolist() == list(range(len(GOOD)))


def test_a_reference_image_is_associated_with_itself(tiny: Path) -> None:
    model = create_model("vision_winclip", weights=tiny, references=len(GOOD), device="cpu").fit(GOOD)
    zero_shot = create_model("vision_winclip", weights=tiny, references=0, device="cpu").fit()
    for image in GOOD:
        few, zero = model.score_images([image])[0], zero_shot.score_images([image])[0]
        assert few.score == pytest.approx(zero.score / 2, abs=1e-4)
        np.testing.assert_allclose(few.anomaly_map.grid, zero.anomaly_map.grid / 2, atol=1e-4)


def test_association_is_half_of_one_minus_the_cosine(tiny: Path) -> None:
    options = {"weights": tiny, "device": "cpu", "windows": [1]}
    model = create_model("vision_winclip", references=1, **options).fit(GOOD[:1])
    zero_shot = create_model("vision_winclip", references=0, **options).fit()
    reference, query = model._network(GOOD[:1])[0], model._network(SOME[1:2])[0]
    distances = []
    for ours, theirs in ((query.windows[0], reference.windows[0]), (query.patches, reference.patches)):
        rows = [part.reshape(-1, part.shape[-1]).astype(np.float64) for part in (ours, theirs)]
        unit, other = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in rows)
        distances.append((1 - unit @ other.T).min(axis=1) / 2)
    expected = np.mean(distances, axis=0)
    few, zero = model.score_images(SOME[1:2])[0], zero_shot.score_images(SOME[1:2])[0]
    np.testing.assert_allclose(2 * few.anomaly_map.grid.ravel() - zero.anomaly_map.grid.ravel(), expected, atol=1e-5)
    assert few.score == pytest.approx((zero.score + expected.max()) / 2, abs=1e-5)


@torch.inference_mode()
def test_prompt_scores_are_the_softmax_of_open_clips_own_embeddings(tiny: Path) -> None:
    clip = load_clip(ClipOptions(weights=tiny), 0)
    tokenize = open_clip.get_tokenizer(f"local-dir:{tiny}")
    model = create_model("vision_openclip_promptscore", weights=tiny, device="cpu", class_name="plate", temperature=0.07).fit()
    directions = []
    for sentences in model.options.prompts.sentences("plate"):
        embedded = clip.model.encode_text(tokenize(list(sentences)), normalize=True).mean(dim=0)
        directions.append(embedded / embedded.norm())
    features = model._network(SOME)
    images = torch.from_numpy(np.stack([one.image for one in features]))
    patches = torch.from_numpy(np.stack([one.patches for one in features]))
    expected = torch.softmax(images @ torch.stack(directions).T / 0.07, dim=-1)[:, 1]
    shown = torch.softmax(patches @ torch.stack(directions).T / 0.07, dim=-1)[..., 1]
    results = model.score_images(SOME)
    np.testing.assert_allclose([result.score for result in results], expected, atol=1e-5)
    np.testing.assert_allclose([result.anomaly_map.grid for result in results], shown, atol=1e-5)


def test_the_image_score_may_be_made_of_patches(tiny: Path) -> None:
    for options, function in (
        ({"image_score": "max"}, np.max),
        ({"image_score": "topk_mean", "topk": 2}, lambda grid: np.sort(grid.ravel())[-2:].mean()),
    ):
        result = create_model("vision_openclip_promptscore", weights=tiny, **options).fit().score_images(SOME[:1])[0]
        assert result.score == pytest.approx(float(function(result.anomaly_map.grid)), rel=1e-5)


def test_scores_far_from_even_keep_their_order(tiny: Path) -> None:
    model = create_model("vision_openclip_promptscore", weights=tiny, device="cpu").fit()
    model.text_ = np.eye(2, 24, dtype=np.float32)
    angles = np.linspace(0, 0.2, 9)
    features = np.zeros((9, 24), dtype=np.float32)
    features[:, 0], features[:, 1] = np.sin(angles), np.sin(angles[::-1])
    probability = model._probability(features)
    assert (np.diff(probability) < 0).all()


@every_prompted
def test_another_name_of_the_part_changes_the_scores(name: str, tiny: Path) -> None:
    first, other = (fitted(name, tiny, class_name=part).decision_function(SOME) for part in ("bolt", "carpet"))
    assert not np.allclose(first, other)


@every_prompted
def test_texts_changed_after_training_are_refused(name: str, tiny: Path) -> None:
    state = fitted(name, tiny, class_name="bolt").state()
    with pytest.raises(BundleError, match="class_name and prompts are not those") as caught:
        create_model(name, weights=tiny, class_name="nut").load_state(state)
    assert "train again" in caught.value.next_step


@every_prompted
def test_a_prompt_that_the_network_would_cut_off_is_refused(name: str, tiny: Path) -> None:
    with pytest.raises(DetectorError, match="a prompt is longer than the 32 tokens"):
        fitted(name, tiny, class_name=" ".join(["very"] * 40))


@every_detector
def test_another_input_size_changes_the_grid(name: str, tiny: Path) -> None:
    model = fitted(name, tiny, resize=[32, 96])
    assert model.score_images(SOME[:1])[0].anomaly_map.grid.shape == (2, 6)


@every_detector
def test_an_absent_cuda_device_is_an_error_before_anything_loads(name: str, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("CUDA is here")
    with pytest.raises(DetectorError, match="no usable CUDA device") as caught:
        create_model(name, device="cuda", weights=tmp_path / "missing").fit(GOOD)
    assert "--device cpu" in caught.value.next_step


def test_random_weights_are_recorded_as_such() -> None:
    prompts = {"normal": ["good {}"], "anomalous": ["bad {}"], "templates": ["{}"]}
    options = {"backbone": "ViT-S-32-alt", "pretrained": False, "resize": [64, 64], "prompts": prompts}
    model = create_model("vision_openclip_promptscore", device="cpu", **options).fit()
    assert (model.weights["source"], model.weights["architecture"]) == ("random", "ViT-S-32-alt")
    assert "file" not in model.weights


def test_a_memory_bank_of_clip_tokens_finds_what_is_new(tiny: Path) -> None:
    model = fitted("vision_openclip_patchknn", tiny)
    np.testing.assert_allclose(model.decision_function(GOOD), 0, atol=1e-5)
    assert (model.decision_function(SOME) > 1e-4).all()


def test_every_public_name_can_be_imported() -> None:
    for name in pyimgano_clip.__all__:
        assert getattr(pyimgano_clip, name) is not None
