"""What configs and bundles of anomaly detectors are known to get wrong, each the right way."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from pyimgano.defects.config import MaskFormat
from pyimgano.errors import BundleError
from pyimgano.workbench.bundle import Bundle, bundle_files, write_bundle
from pyimgano.workbench.seal import CONFIG, STATE, entry_of, manifest_of, seal_lines

MODEL = ("--model", "vision_filterbank", "--resize", "96", "128")


@pytest.fixture
def loose(bundle: Path, tmp_path: Path) -> Path:
    """Give a loose infer_config.json with its state."""
    (tmp_path / "run").mkdir()
    for name in (CONFIG, STATE):
        shutil.copy(bundle / name, tmp_path / "run" / name)
    return tmp_path / "run" / CONFIG


def edit(config: Path, values: dict[str, Any]) -> None:
    """Set values by dotted key."""
    content = json.loads(config.read_text(encoding="utf-8"))
    for key, value in values.items():
        *path, last = key.split(".")
        part = content
        for step in path:
            part = part[step]
        part[last] = value
    config.write_text(json.dumps(content), encoding="utf-8")


def run(cli: Callable, config: Path, images: Path, *flags: object) -> list[dict[str, Any]]:
    done = cli("infer", "--infer-config", config, "-i", images, *flags)
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


# An edited value counts, whatever other block knows it too


EDITS: dict[str, tuple[dict[str, Any], Callable[[dict[str, Any]], Any]]] = {
    "threshold": ({"threshold": 0.125}, lambda record: record["threshold"]),
    "pixel threshold": ({"defects.pixel_threshold": 0.125}, lambda record: record["defects"]["pixel_threshold"]),
    "least area": ({"defects.min_area": 10**6}, lambda record: len(record["defects"]["regions"])),
    "region of interest": ({"defects.roi_xyxy_norm": [0, 0, 0.01, 0.01]}, lambda record: record["defects"]["map_stats_roi"]),
    "hysteresis": ({"defects.hysteresis": {"enabled": True}}, lambda record: record["defects"]["hysteresis"]),
    "mask format": ({"defects.mask_format": "npz"}, lambda record: record["defects"]["mask"]["encoding"]),
    "regions": ({"defects.max_regions": 1}, lambda record: len(record["defects"]["regions"])),
    "tiles": ({"adaptation.tiling.tile_size": 48}, lambda record: record["score"]),
    "light": ({"preprocessing.gamma": 0.5}, lambda record: record["score"]),
    "options": ({"model.options.top_fraction": 0.5}, lambda record: record["score"]),
    "rejection": ({"prediction.reject_confidence_below": 1.0, "prediction.reject_label": 7}, lambda record: record["label"]),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_value_changes_the_next_run(cli: Callable, loose: Path, surface_root: Path, name: str) -> None:
    values, seen = EDITS[name]
    image = surface_root / "test"
    before = [shown(seen, record) for record in run(cli, loose, image, "--defects")]
    edit(loose, values)
    after = [shown(seen, record) for record in run(cli, loose, image, "--defects")]
    assert before != after


def shown(seen: Callable[[dict[str, Any]], Any], record: dict[str, Any]) -> Any:
    try:
        return seen(record)
    except KeyError:
        return None


def test_switching_defects_on_and_the_device_in_the_config_count(cli: Callable, loose: Path, surface_root: Path) -> None:
    image = surface_root / "test" / "good" / "000.png"
    assert "defects" not in run(cli, loose, image)[0]
    edit(loose, {"defects.enabled": True})
    assert "defects" in run(cli, loose, image)[0]
    edit(loose, {"model.device": "cuda"})
    assert "does not run on device 'cuda'" in cli("infer", "--infer-config", loose, "-i", image).err
    assert run(cli, loose, image, "--device", "cpu")


@pytest.mark.parametrize(
    ("key", "value"), [("defects.pixel_normal_quantile", 0.5), ("defects.pixel_threshold_strategy", "mean_std")]
)
def test_an_edit_that_cannot_count_is_said_at_load_and_by_the_validator(
    cli: Callable, loose: Path, surface_root: Path, key: str, value: Any
) -> None:
    edit(loose, {key: value})
    where = "/" + key.replace(".", "/")
    done = cli("infer", "--infer-config", loose, "-i", surface_root / "test" / "good" / "000.png")
    assert done.code == 0
    assert where in done.err
    assert "changes nothing" in done.err
    assert where in cli("validate-infer-config", loose).out


def test_a_key_that_stands_twice_is_refused_because_only_one_would_count(cli: Callable, loose: Path) -> None:
    text = loose.read_text(encoding="utf-8")
    assert text.count('"threshold": ') == 1
    loose.write_text(text.replace('"threshold": ', '"threshold": 5.0,\n  "threshold": '), encoding="utf-8")
    done = cli("infer", "--infer-config", loose, "-i", loose.parent)
    assert done.code == 2
    assert cli("validate-infer-config", loose).code == 1
    with pytest.raises(BundleError, match="'threshold' stands twice"):
        Bundle.load_config(loose)


# What one part accepts, all accept


@pytest.mark.parametrize("mask_format", [*get_args(MaskFormat), "bmp", "NPZ", "jpg", "tiff"])
def test_validator_loader_and_command_line_accept_the_same_mask_formats(
    cli: Callable, loose: Path, surface_root: Path, tmp_path: Path, mask_format: str
) -> None:
    image = next((surface_root / "test").glob("*/000.png"))
    flag = cli("infer", "--infer-config", loose, "-i", image, "--defects", "--mask-format", mask_format)
    edit(loose, {"defects.mask_format": mask_format})
    validated = cli("validate-infer-config", loose)
    loaded = cli("infer", "--infer-config", loose, "-i", image, "--save-masks", tmp_path / "masks")
    if mask_format in get_args(MaskFormat):
        assert [done.code for done in (flag, validated, loaded)] == [0, 0, 0]
        assert [path.suffix for path in (tmp_path / "masks").iterdir()] == [f".{mask_format}"]
    else:
        assert [done.code for done in (flag, validated, loaded)] == [2, 1, 2]
        assert not (tmp_path / "masks").exists()


# A validator that fails when it should


@pytest.mark.parametrize("name", ["nowhere.json", "nowhere", "bundle/infer_config.json", ""])
def test_validating_what_is_not_there_exits_with_1(cli: Callable, shell: Callable, tmp_path: Path, name: str) -> None:
    (tmp_path / "bundle").mkdir()
    for done in (cli("validate-infer-config", tmp_path / name), shell("-c", SCRIPT, tmp_path / name)):
        assert done.code == 1, done.err
        assert "1 error" in done.out
        assert "does not exist" in done.out


SCRIPT = "from pyimgano.cli.app import validate_infer_config as main\nmain()"


# No pickles, no paths


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


@pytest.mark.parametrize("name", ["model.pkl", "model.pt", "model.ckpt", "model.npy", "state.safetensors", "model.safetensors"])
def test_a_pickle_that_a_config_or_bundle_names_is_never_opened(
    cli: Callable, loose: Path, bundle: Path, surface_root: Path, tmp_path: Path, name: str
) -> None:
    content = pickle.dumps(Trap(tmp_path / "sprung"))
    (loose.parent / name).write_bytes(content)
    edit(loose, {"state": {"file": name, "sha256": hashlib.sha256(content).hexdigest()}})
    assert cli("infer", "--infer-config", loose, "-i", surface_root / "test").code == 2
    assert cli("validate-infer-config", loose).code == 1
    sealed = Path(shutil.copytree(bundle, tmp_path / "b"))
    for file in (name, CONFIG):
        shutil.copy(loose.parent / file, sealed / file)
    files = sorted({*json.loads((sealed / "manifest.json").read_text(encoding="utf-8"))["files"], name})
    manifest = manifest_of({file: entry_of(sealed / file) for file in files})
    (sealed / "manifest.json").write_bytes(manifest)
    (sealed / "manifest.sha256").write_bytes(seal_lines(manifest, None))
    for command in (
        ("infer", "--bundle", sealed, "-i", surface_root / "test"),
        ("bundle", "info", sealed),
        ("bundle", "diff", sealed, sealed),
    ):
        done = cli(*command)
        assert (done.code == 2) or command[0] == "bundle"
        assert "Traceback" not in done.err
    assert cli("validate-infer-config", sealed).code == 1
    assert not (tmp_path / "sprung").exists()


PATHS = """
from pathlib import Path

import numpy as np

from pyimgano import Detector, ImageScore, hookimpl
from pyimgano.logs import ROOT
from pyimgano.options import Options
from pyimgano.specs import DetectorSpec


@hookimpl
def register_detectors():
    return [
        DetectorSpec(
            name="acme_paths", summary="Has files", factory="acme_paths:Paths", options="acme_paths:Files", maps=False
        )
    ]


class Files(Options):
    weights: Path | None = None
    more: tuple[Path, ...] = ()
    text: str = ""
    nested: dict[str, Path] = {}


class Paths(Detector):
    def _fit(self, images):
        self.weights = {"source": "file", "file": self.options.weights.name, "licence": "MIT"}
        ROOT.warning("%s was read, and '%s' too; see https://example.org/a/b", self.options.weights, self.options.more[0])

    def _score(self, images):
        return [ImageScore(float(image.mean())) for image in images]

    def state(self):
        return {"empty": np.zeros(1)}

    def load_state(self, arrays):
        self.mark_fitted()
"""


def test_no_file_of_a_bundle_holds_a_path_of_the_machine_that_trained(
    cli: Callable, distribution: Callable, surface_root: Path, tmp_path: Path
) -> None:
    distribution("acme-paths", PATHS)
    files = tmp_path / "secret folder" / "files"
    files.mkdir(parents=True)
    for name in ("a.pth", "b.pth"):
        (files / name).touch()
    options = ["-o", f"weights={files / 'a.pth'}", "-o", f'more=["{files / "b.pth"}"]', "-o", f"text={files / 'b.pth'}"]
    options += ["-o", f'nested={{"c": "{files / "a.pth"}"}}']
    line = ["train", "--root", surface_root, "--model", "acme_paths", *options]
    done = cli(*line, "--export-deploy-bundle", tmp_path / "made" / "b")
    assert done.code == 0, done.err
    written = {path.name: path.read_bytes() for path in (tmp_path / "made" / "b").iterdir()}
    for name, data in written.items():
        for secret in (tmp_path, surface_root.parent, Path.home(), Path(__file__).parents[2]):
            assert str(secret).encode() not in data, name
        assert b"secret" not in data or name == "report.json"
    options = json.loads(written[CONFIG])["model"]["options"]
    assert options == {"weights": "a.pth", "more": ["b.pth"], "text": "b.pth", "nested": {"c": "a.pth"}}
    assert b"https://example.org/a/b" in written["report.json"]
    moved = (tmp_path / "made").rename(tmp_path / "moved") / "b"
    shutil.rmtree(files.parent)
    done = cli("infer", "--bundle", moved, "-i", surface_root / "test")
    assert done.code == 0, done.err


def test_paths_in_a_report_are_cut_down_to_names(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data set"
    folder.mkdir()
    report = {
        "root": tmp_path / "parts",
        "text": f"{tmp_path}/parts/a.png: too small; '{tmp_path}/b.png' and ({tmp_path}/c/d.png)",
        "windows": r"C:\Users\me\parts\a.png is gone",
        "pointer": "/defects/min_area is -1",
        "ratio": "5/6 of 1/2 at 30 images/s",
    }
    pipeline = Bundle.load(bundle).pipeline()
    write_bundle(tmp_path / "b", bundle_files(pipeline, report))
    written = json.loads((tmp_path / "b" / "report.json").read_text(encoding="utf-8"))
    assert written == report | {
        "root": "parts",
        "text": "a.png: too small; 'b.png' and (d.png)",
        "windows": "a.png is gone",
    }
