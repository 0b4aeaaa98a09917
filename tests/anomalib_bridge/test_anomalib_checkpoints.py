"""What anomalib has trained elsewhere: read without running code, refused with a reason, and offline."""

from __future__ import annotations

import importlib.util
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bridge_models import DFM, PADIM, PATCHCORE, fitted, needs_anomalib, needs_lite0, saved_checkpoint, texture, textures

from pyimgano import create_model
from pyimgano.contracts import Detector
from pyimgano.errors import BundleError, DetectorError, MissingDependencyError, OptionsError, PyimganoError, WeightsError
from pyimgano_anomalib.table import BY_MODEL

pytestmark = [needs_anomalib, needs_lite0]
GENERIC = "vision_anomalib_checkpoint"
IMAGES = [texture(40), texture(41, 60, 90)]


@pytest.fixture(scope="module")
def padim() -> Detector:
    """Give a model that was trained through the bridge, to write checkpoints of."""
    return fitted(PADIM)


@pytest.fixture(scope="module")
def written(padim: Detector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with what anomalib itself writes: ``padim.ckpt`` of its Engine, ``padim.pt`` of its export."""
    import torch
    from anomalib.models import Padim
    from torchvision.transforms.v2 import Compose, Normalize, Resize

    folder = tmp_path_factory.mktemp("checkpoints")
    module = padim.module
    saved_checkpoint(module, folder / "padim.ckpt")
    torch.save({"model": module}, folder / "padim.pt")
    assert isinstance(module, Padim)
    assert isinstance(module.pre_processor.transform, Compose)
    assert [type(one) for one in module.pre_processor.transform.transforms] == [Resize, Normalize]
    return folder


def loaded(name: str, path: Path, **options: Any) -> Detector:
    return create_model(name, device="cpu", checkpoint=path, **options).fit(textures(1))


@pytest.mark.parametrize("name", [PADIM, GENERIC])
def test_a_checkpoint_scores_as_the_model_did_and_nothing_is_downloaded(
    name: str, padim: Detector, written: Path, offline: list[object]
) -> None:
    model = loaded(name, written / "padim.ckpt")
    np.testing.assert_array_equal(model.decision_function(IMAGES), padim.decision_function(IMAGES))
    np.testing.assert_array_equal(model.get_anomaly_map(IMAGES[1]), padim.get_anomaly_map(IMAGES[1]))
    assert (model.weights["source"], model.weights["file"]) == ("checkpoint", "padim.ckpt")
    assert model.weights["architecture"] == "Padim"
    assert offline == []


def test_a_state_is_built_again_without_a_download(padim: Detector, offline: list[object]) -> None:
    copy = create_model(PADIM, device="cpu")
    copy.load_state(padim.state())
    np.testing.assert_array_equal(copy.decision_function(IMAGES), padim.decision_function(IMAGES))
    assert offline == []


@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        ("Cfa", {"backbone": "resnet18"}),  # weights by torchvision
        ("Stfpm", {}),  # by timm, without an argument that says no
        ("AnomalyDINO", {"encoder_name": "vit_small_patch14_dinov2"}),
    ],
)
def test_models_that_insist_on_pretrained_weights_are_built_without_them(
    model: str, arguments: dict[str, Any], offline: list[object]
) -> None:
    from pyimgano_anomalib.models import Description, fill, rebuilt_model, tensors_of

    description = Description(model, arguments, [{"name": "Resize", "arguments": {"size": [56, 56]}}])
    first, second = rebuilt_model(description), rebuilt_model(description)
    fill(second, tensors_of(first), description)
    assert all(
        (one == other).all()
        for one, other in zip(first.model.state_dict().values(), second.model.state_dict().values(), strict=True)
    )
    assert offline == []


def test_an_export_of_torch_is_read_only_when_it_is_trusted(padim: Detector, written: Path) -> None:
    with pytest.raises(WeightsError, match="holds more than data") as caught:
        loaded(GENERIC, written / "padim.pt")
    assert "trust_checkpoint=true" in caught.value.next_step
    assert "can do anything that you can" in caught.value.next_step
    model = loaded(GENERIC, written / "padim.pt", trust_checkpoint=True)
    np.testing.assert_array_equal(model.decision_function(IMAGES), padim.decision_function(IMAGES))
    with pytest.raises(WeightsError, match="is a checkpoint of anomalib's Padim, not of Dfm"):
        loaded(DFM, written / "padim.pt", trust_checkpoint=True)


class Malicious:
    """Creates a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def plain_pickle(content: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(content))


def saved_by_torch(content: Any, path: Path) -> None:
    import torch

    torch.save(content, path)


def saved_by_old_torch(content: Any, path: Path) -> None:
    import torch

    torch.save(content, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("write", [plain_pickle, saved_by_torch, saved_by_old_torch])
@pytest.mark.parametrize("suffix", [".ckpt", ".pt"])
@pytest.mark.parametrize("name", [PADIM, GENERIC])
def test_a_malicious_pickle_is_refused_and_its_code_does_not_run(
    name: str, suffix: str, write: Callable[[Any, Path], None], tmp_path: Path
) -> None:
    trap, path = tmp_path / "created", tmp_path / f"model{suffix}"
    write({"state_dict": {}, "hyper_parameters": {"backbone": Malicious(trap)}}, path)
    with pytest.raises(WeightsError):
        loaded(name, path)
    assert not trap.exists()
    with pytest.raises(PyimganoError):  # it is no model, but its code has run: the trap works
        loaded(name, path, trust_checkpoint=True)
    assert trap.exists()


def test_a_pickle_behind_backbone_weights_is_refused_too(tmp_path: Path) -> None:
    trap, path = tmp_path / "created", tmp_path / "backbone.pth"
    saved_by_torch({"conv.weight": Malicious(trap)}, path)
    with pytest.raises(WeightsError, match="no readable file of weights"):
        fitted(PADIM, backbone_weights=path)
    assert not trap.exists()


@pytest.mark.parametrize(("name", "wanted"), [(PATCHCORE, "Patchcore"), (DFM, "Dfm")])
def test_a_checkpoint_of_another_class_is_named(name: str, wanted: str, written: Path) -> None:
    with pytest.raises(WeightsError, match=rf"padim.ckpt is a checkpoint of anomalib's Padim, not of {wanted}") as caught:
        loaded(name, written / "padim.ckpt")
    assert "vision_padim_anomalib" in caught.value.next_step


def changed(written: Path, folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    import torch

    content = torch.load(written / "padim.ckpt", weights_only=True)
    change(content)
    torch.save(content, folder / "changed.ckpt")
    return folder / "changed.ckpt"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda one: one["hyper_parameters"].update(depth=3), "has no argument 'depth': another version trained it"),
        (lambda one: one.pop("anomalib_pre_processor_config"), "made by another version of anomalib than 2.7"),
        (lambda one: one["state_dict"].pop("model.gaussian.mean"), "1 of its .* are missing.*gaussian.mean"),
        (lambda one: one["state_dict"].update({"model.extra": one["state_dict"]["model.idx"]}), "1 are unknown.*extra"),
        (lambda one: one["hyper_parameters"].update(backbone="resnet18", layers=["layer1"]), "tensors are missing"),
        (lambda one: one.pop("state_dict"), "is no checkpoint of Lightning: it holds anomalib_components_enabled"),
        (
            lambda one: one["anomalib_pre_processor_config"]["transform"].update(class_path="os.system", init_args={}),
            "the transform 'system' is none of",
        ),
    ],
)
def test_a_checkpoint_of_another_version_is_refused_with_what_differs(
    change: Callable[[dict[str, Any]], object], message: str, written: Path, tmp_path: Path
) -> None:
    with pytest.raises(PyimganoError, match=message):
        loaded(PADIM, changed(written, tmp_path, change))


def test_a_class_that_a_checkpoint_does_not_tell_can_be_named(padim: Detector, written: Path, tmp_path: Path) -> None:
    path = changed(written, tmp_path, lambda one: one["hyper_parameters"].pop("n_features"))
    with pytest.raises(WeightsError, match="does not say of which class it is") as caught:
        loaded(GENERIC, path)
    assert "-o model=CLASS" in caught.value.next_step
    with pytest.raises(DetectorError, match="'Padin' is no image model") as caught_name:
        loaded(GENERIC, path, model="Padin")
    assert caught_name.value.next_step == "did you mean Padim?"
    (tmp_path / "results" / "Padim" / "v0").mkdir(parents=True)
    there = path.rename(tmp_path / "results" / "Padim" / "v0" / "model.ckpt")
    with pytest.raises(WeightsError, match="Padim cannot be built: ValueError: n_features must be"):
        loaded(GENERIC, there)


@pytest.mark.parametrize("suffix", [".ckpt", ".pt"])
def test_a_damaged_file_is_refused_by_its_name(suffix: str, written: Path, tmp_path: Path) -> None:
    whole = (written / "padim.ckpt").read_bytes()
    for content, message in (
        (None, "does not exist"),
        (b"", "is empty"),
        (whole[: len(whole) // 2], "damaged, truncated or no checkpoint"),
        (b"\x00" * 500, "damaged, truncated or no checkpoint"),
        (b"not a checkpoint", "damaged, truncated or no checkpoint"),
    ):
        path = tmp_path / f"model{suffix}"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(WeightsError, match=message) as caught:
            loaded(GENERIC, path)
        assert "model" in caught.value.problem


def test_options_that_a_checkpoint_decides_are_refused_beside_it(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="image_size has no effect beside a checkpoint"):
        create_model(PADIM, checkpoint=tmp_path / "x.ckpt", image_size=[64, 64])
    with pytest.raises(OptionsError, match="model: unknown option"):
        create_model(PADIM, checkpoint=tmp_path / "x.ckpt", model="Padim")


def test_the_generic_detector_asks_for_its_checkpoint() -> None:
    with pytest.raises(WeightsError, match="trained elsewhere") as caught:
        create_model(GENERIC).fit(textures(1))
    assert "-o checkpoint=FILE" in caught.value.next_step


def test_what_a_model_needs_beside_anomalib_is_named_with_the_command() -> None:
    from pyimgano_anomalib.models import Description, rebuilt_model

    if importlib.util.find_spec("open_clip") is not None:
        pytest.skip("open_clip is installed")
    assert BY_MODEL["WinClip"].needs == "open_clip"
    with pytest.raises(MissingDependencyError, match="WinClip needs open_clip") as caught:
        rebuilt_model(Description("WinClip", {}, []))
    assert "pyimgano-anomalib[clip]" in caught.value.next_step


@pytest.fixture(scope="module")
def small() -> Detector:
    """Give a model that is exported sooner than one with a backbone of use."""
    arguments = {"backbone": "resnet18", "layers": ["layer1"], "n_features": 8, "pre_trained": False}
    return fitted(PADIM, arguments=arguments, image_size=[64, 64])


@pytest.fixture(scope="module")
def exported(small: Detector, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Give what anomalib's own export writes, raw and with its post-processing."""
    for needed in ("onnx", "onnxscript", "onnxruntime", "openvino"):
        pytest.importorskip(needed)
    import logging

    import openvino
    from anomalib.engine import Engine
    from anomalib.post_processing import PostProcessor

    folder = tmp_path_factory.mktemp("exports")
    logging.getLogger("onnxscript").setLevel(logging.CRITICAL)
    engine, module = Engine(default_root_dir=folder / "engine", logger=False), small.module
    raw = Path(engine.export(module, "onnx", export_root=folder / "raw"))
    module.post_processor = PostProcessor()
    try:
        normalised = engine.export(module, "onnx", export_root=folder / "normalised")
    finally:
        module.post_processor = None
    openvino.save_model(openvino.convert_model(raw), folder / "model.xml")
    return {"onnx": raw, "openvino": folder / "model.xml", "normalised": Path(normalised)}


@pytest.mark.parametrize(("kind", "tolerance"), [("onnx", 2e-3), ("openvino", 2e-2)])  # OpenVINO keeps weights in 16 bits
def test_an_export_scores_as_the_model_does_and_is_kept_whole_in_a_state(
    kind: str, tolerance: float, exported: dict[str, Path], small: Detector
) -> None:
    image = texture(45, 64, 64)  # of the model's own size, because exports scale without antialiasing
    model = loaded(GENERIC, exported[kind])
    np.testing.assert_allclose(model.decision_function([image]), small.decision_function([image]), rtol=tolerance)
    np.testing.assert_allclose(model.get_anomaly_map(image), small.get_anomaly_map(image), rtol=5 * tolerance)
    arrays = model.state()
    assert all(array.dtype == np.uint8 for array in arrays.values())
    copy = create_model(GENERIC, device="cpu")
    copy.load_state(arrays)
    np.testing.assert_array_equal(copy.decision_function(IMAGES), model.decision_function(IMAGES))
    assert [one.shape for one in copy.predict_anomaly_map(IMAGES)] == [image.shape[:2] for image in IMAGES]


def test_an_export_with_normalised_scores_is_warned_of(exported: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    loaded(GENERIC, exported["normalised"]).decision_function(IMAGES)
    assert sum("normalised and clamped to [0, 1]" in line for line in caplog.messages) == 1
    caplog.clear()
    loaded(GENERIC, exported["onnx"]).decision_function(IMAGES)
    assert not any("normalised" in line for line in caplog.messages)


def test_a_state_cannot_write_outside_of_its_folder(exported: dict[str, Path], tmp_path: Path) -> None:
    arrays = loaded(GENERIC, exported["onnx"]).state()
    arrays["file.../created"] = np.zeros(3, np.uint8)
    with pytest.raises(BundleError, match="outside of its folder"):
        create_model(GENERIC, device="cpu").load_state(arrays)


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_a_damaged_export_is_refused_by_its_name(suffix: str, exported: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / f"model{suffix}"
    for content, message in ((None, "does not exist"), (b"", "is empty"), (b"<nothing", "is no readable export")):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(WeightsError, match=message):
            loaded(GENERIC, path)


def test_the_trap_of_these_tests_is_a_zip_as_checkpoints_are(tmp_path: Path) -> None:
    saved_by_torch({"x": 1}, tmp_path / "model.ckpt")
    assert zipfile.is_zipfile(tmp_path / "model.ckpt")
