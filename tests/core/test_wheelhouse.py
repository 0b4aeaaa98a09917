"""A wheelhouse: the wheels that a bundle needs, in exactly the versions that are installed; from an index of tiny wheels."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import zipfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from pyimgano.errors import MissingDependencyError, OutputError
from pyimgano.workbench.bundle import Bundle
from pyimgano.workbench.wheelhouse import Pin, collect, needed_by, pins_of

PLUGIN = """
import numpy as np

from pyimgano import Detector, ImageScore, hookimpl
from pyimgano.specs import DetectorSpec


@hookimpl
def register_detectors():
    return [DetectorSpec(name="acme_mean", summary="Mean", factory="acme_mean:Mean", maps=False, extra="gpu")]


class Mean(Detector):
    def _fit(self, images):
        pass

    def _score(self, images):
        return [ImageScore(float(image.mean())) for image in images]

    def state(self):
        return {"empty": np.zeros(1)}

    def load_state(self, arrays):
        self.mark_fitted()
"""
REQUIRES = ["pyimgano-core>=0.7,<0.8", "acme-base>=1; python_version >= '3'", "acme-cuda; extra == 'gpu'"]
REQUIRES += ["acme-docs; extra == 'docs'", "acme-windows; sys_platform == 'nowhere'"]


def wheel(folder: Path, name: str, version: str) -> Path:
    """Write the smallest wheel that pip takes."""
    stem = f"{name.replace('-', '_')}-{version}"
    files = {
        f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{name.replace('-', '_')}_marker.py": f"VERSION = {version!r}\n",
    }
    digests = {path: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()) for path, text in files.items()}
    record = "".join(f"{path},sha256={digest.decode().rstrip('=')},\n" for path, digest in digests.items())
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as file:
        for path, text in {**files, f"{stem}.dist-info/RECORD": f"{record}{stem}.dist-info/RECORD,,\n"}.items():
            file.writestr(path, text)
    return folder / f"{stem}-py3-none-any.whl"


@pytest.fixture
def acme(cli: Callable, distribution: Callable, site: Path, surface_root: Path, tmp_path: Path) -> Path:
    """Give a bundle of a plugin whose requirements are installed, as far as metadata go."""
    distribution("acme-mean", PLUGIN, requires=REQUIRES, version="1.5")
    for name, version in (("acme-base", "2.0"), ("acme-cuda", "3.0+cu1"), ("acme-deep", "0.1")):
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        needs = "Requires-Dist: acme-deep\n" if name == "acme-base" else "Requires-Dist: acme-base\n"
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}", encoding="utf-8")
    done = cli("train", "--root", surface_root, "--model", "acme_mean", "--export-deploy-bundle", tmp_path / "b")
    assert done.code == 0, done.err
    return tmp_path / "b"


@pytest.fixture
def index(acme: Path, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder with a tiny wheel of everything that the bundle needs; pip is told of no other place."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    core = metadata.distribution("pyimgano-core")  # as if it came from an index, which an editable install does not
    (site / f"pyimgano_core-{core.version}.dist-info").mkdir()
    (site / f"pyimgano_core-{core.version}.dist-info" / "METADATA").write_text(
        core.read_text("METADATA") or "", encoding="utf-8"
    )
    for pin in pins_of(needed_by(Bundle.load(acme).config)):
        wheel(tmp_path / "index", pin.name, pin.version)
    wheel(tmp_path / "index", "acme-base", "9.9")
    return tmp_path / "index"


def test_what_a_bundle_needs_is_its_plugin_with_its_extra_and_all_that_takes(acme: Path) -> None:
    wanted = needed_by(Bundle.load(acme).config)
    assert sorted(map(str, wanted)) == ["acme-mean[gpu]", "pyimgano-core"]
    pins = {pin.name: pin.version for pin in pins_of(wanted)}
    assert {name: pins[name] for name in pins if name.startswith("acme")} == {
        "acme-base": "2.0",
        "acme-cuda": "3.0+cu1",
        "acme-deep": "0.1",
        "acme-mean": "1.5",
    }
    for name in ("numpy", "pydantic", "pydantic-core", "opencv-python-headless", "typer", "safetensors"):
        assert pins[name] == metadata.version(name)
    assert not {"pytest", "jinja2", "cryptography", "acme-docs", "acme-windows"} & pins.keys()


def test_the_wheels_are_collected_with_their_digests_and_install_without_a_network(
    cli: Callable, acme: Path, index: Path, tmp_path: Path
) -> None:
    target = tmp_path / "wheels"
    done = cli("bundle", "wheelhouse", acme, target, "--find-links", index)
    assert done.code == 0, done.err
    pins = pins_of(needed_by(Bundle.load(acme).config))
    assert f"{len(pins)} wheels" in done.out
    assert {path.name for path in target.glob("*.whl")} == {path.name for path in index.glob("*.whl")} - {
        "acme_base-9.9-py3-none-any.whl"
    }
    lines = (target / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert [line.split(" ")[0] for line in lines] == [f"{pin.name}=={pin.version}" for pin in pins]
    assert all("--hash=sha256:" in line for line in lines)
    words = done.out.splitlines()[-1].split()[2:]
    assert words[0] == "install"
    from pyimgano.workbench.wheelhouse import _pip_command

    command, environ = _pip_command()
    done = subprocess.run(
        [*command, *words, "--no-deps", "--quiet", "--target", str(tmp_path / "installed")],
        env={**environ, "PIP_CONFIG_FILE": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "installed" / "acme_base_marker.py").read_text() == "VERSION = '2.0'\n"
    assert len(list((tmp_path / "installed").glob("*.dist-info"))) == len(pins)


def test_a_wheel_that_pip_does_not_find_is_named_and_nothing_is_left(
    cli: Callable, acme: Path, index: Path, tmp_path: Path
) -> None:
    next(index.glob("acme_cuda-*")).unlink()
    done = cli("bundle", "wheelhouse", acme, tmp_path / "wheels", "--find-links", index)
    assert done.code == 2
    assert "pip finds no wheel of acme-cuda==3.0+cu1" in done.err
    assert "--find-links" in done.err
    assert not (tmp_path / "wheels").exists()
    assert not list(tmp_path.glob(".wheels*"))


def test_a_folder_that_is_there_is_left_alone(cli: Callable, acme: Path, tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    done = cli("bundle", "wheelhouse", acme, tmp_path / "wheels")
    assert done.code == 2
    assert "exists already" in done.err


def test_what_is_not_installed_is_named(acme: Path, site: Path) -> None:
    for file in (site / "acme_deep-0.1.dist-info").iterdir():
        file.unlink()
    (site / "acme_deep-0.1.dist-info").rmdir()
    with pytest.raises(MissingDependencyError, match="acme-deep is not installed here"):
        pins_of([Requirement("acme-base")])


def test_what_came_from_a_folder_or_a_repository_is_built_from_there(site: Path, distribution: Callable) -> None:
    urls: dict[str, Any] = {
        "acme-local": {"url": "file:///home/me/acme", "dir_info": {"editable": True}},
        "acme-git": {"url": "https://example.org/acme.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
    }
    for name, origin in urls.items():
        distribution(name, "", requires=(), direct_url=json.dumps(origin))
    pins = pins_of([Requirement(name) for name in urls])
    assert pins == [
        Pin("acme-git", "1.0", "git+https://example.org/acme.git@abc"),
        Pin("acme-local", "1.0", "file:///home/me/acme"),
    ]
    assert pins[1].requirement == "acme-local @ file:///home/me/acme"


def test_a_plugin_that_is_a_single_file_is_told_to_be_copied(cli: Callable, surface_root: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "acme_mean.py"
    plugin.write_text(PLUGIN, encoding="utf-8")
    line = ["--plugin", plugin, "train", "--root", surface_root, "--model", "acme_mean"]
    assert cli(*line, "--export-deploy-bundle", tmp_path / "b").code == 0
    done = cli("--plugin", plugin, "bundle", "wheelhouse", tmp_path / "b", tmp_path / "wheels")
    assert done.code == 2
    assert "acme_mean.py" in done.err
    assert "--plugin" in done.err


def test_a_wheelhouse_that_cannot_be_written_is_refused(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        collect(Bundle.load(bundle).config, tmp_path / "file" / "wheels")


def test_help_of_the_commands_imports_no_model(shell: Callable) -> None:
    for words in (["bundle", "--help"], ["validate-infer-config", "--help"], ["--help"]):
        heavy = ["torch", "timm", "faiss", "cryptography", *(["numpy", "pydantic", "cv2"] if words == ["--help"] else [])]
        code = f"import sys\nfrom pyimgano.cli.app import main\ntry:\n    main({words})\nfinally:\n"
        done = shell("-c", f"{code}    print([name for name in {heavy} if name in sys.modules], file=sys.stderr)")
        assert done.code == 0, done.err
        assert done.err.splitlines()[-1] == "[]"
