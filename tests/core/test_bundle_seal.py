"""The seal of a bundle: every changed byte is found, nothing leads out of the folder, and no edit ever costs the old bundle."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pyimgano import __version__
from pyimgano.errors import BundleError, OutputError
from pyimgano.workbench.bundle import Bundle
from pyimgano.workbench.folders import write_folder
from pyimgano.workbench.seal import (
    CONFIG,
    HISTORY,
    MANIFEST,
    REPORT,
    SEAL,
    SIGNATURE,
    STATE,
    Entry,
    Seal,
    entry_of,
    manifest_of,
)
from pyimgano.workbench.seal import seal_lines as lines_of


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    """Give a copy of the bundle that may be changed."""
    return Path(shutil.copytree(bundle, tmp_path / "copy.bundle"))


@pytest.fixture
def edited(copy: Path, cli: Callable) -> Path:
    """Give a bundle with a history, signed where the library for that is there."""
    assert cli("bundle", "set", copy, "defects.min_area=3").code == 0
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    except ImportError:
        return copy
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (copy.parent / "key.pem").write_bytes(key)
    done = cli("bundle", "sign", copy, "--sign-key", copy.parent / "key.pem")
    assert done.code == 0, done.err
    return copy


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def reseal(folder: Path, **entries: Entry) -> None:
    """Make manifest and seal fit the files of a bundle again, as somebody who means harm would."""
    names = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    manifest = manifest_of({name: entry_of(folder / name) for name in names} | entries)
    (folder / MANIFEST).write_bytes(manifest)
    (folder / SEAL).write_bytes(lines_of(manifest, None))


def refused(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        Bundle.load(folder)
    assert caught.value.next_step
    return caught.value.problem


# Every byte


def test_a_byte_flipped_anywhere_in_any_file_is_found_before_the_config_is_read(edited: Path) -> None:
    files = contents(edited)
    assert {CONFIG, HISTORY, REPORT, STATE, MANIFEST, SEAL} <= files.keys()
    generator = np.random.default_rng(0)
    positions = 0
    for name, whole in files.items():
        places = {0, len(whole) - 1, *generator.integers(len(whole), size=130).tolist()}
        for place in sorted(places):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << int(generator.integers(8))
            (edited / name).write_bytes(damaged)
            with pytest.raises(BundleError):
                Seal.read(edited).check()
            positions += 1
        (edited / name).write_bytes(whole)
    assert positions >= 500
    assert Bundle.load(edited).digest


def test_inference_refuses_a_flipped_byte_of_every_file_without_a_record(
    cli: Callable, edited: Path, surface_root: Path, tmp_path: Path
) -> None:
    for name, whole in contents(edited).items():
        (edited / name).write_bytes(whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:])
        done = cli("infer", "--bundle", edited, "-i", surface_root / "test" / "good", "--save-jsonl", tmp_path / "r.jsonl")
        assert (done.code, done.out) == (2, ""), name
        assert not (tmp_path / "r.jsonl").exists()
        (edited / name).write_bytes(whole)


def test_verify_lists_every_fault_at_once(cli: Callable, copy: Path) -> None:
    (copy / STATE).write_bytes(b"short")
    (copy / REPORT).unlink()
    (copy / "notes.txt").touch()
    done = cli("bundle", "verify", copy)
    assert done.code == 1
    for part in (f"{copy / STATE} was changed", f"{copy / REPORT} is missing", f"{copy / 'notes.txt'} does not belong"):
        assert part in done.out
    found = json.loads(cli("bundle", "verify", copy, "--json").out)
    assert not found["whole"]
    assert len(found["faults"]) == 3
    assert all(fault["mend"] for fault in found["faults"])


def test_verify_says_that_a_whole_bundle_is_whole(cli: Callable, bundle: Path) -> None:
    done = cli("bundle", "verify", bundle)
    assert (done.code, done.err) == (0, "")
    assert f"identity {Bundle.load(bundle).digest}" in done.out
    assert json.loads(cli("bundle", "verify", bundle, "--json").out)["whole"]


# Ways out of the folder


@pytest.mark.parametrize("name", ["../x.json", "/etc/x.json", "..\\x.json", "C:x.json", "sub/x.json", "..", "", "a\0b.json"])
def test_a_name_in_the_manifest_that_leads_out_is_refused(copy: Path, name: str) -> None:
    reseal(copy, **{name: Entry(hashlib.sha256(b"{}").hexdigest(), 2)})
    assert repr(name) in refused(copy)


@pytest.mark.parametrize("target", ["state.safetensors", "/etc/passwd", "/dev/zero"])
def test_links_pipes_and_folders_are_no_files_of_a_bundle(copy: Path, target: str) -> None:
    (copy / "extra.json").symlink_to(target)
    assert "does not belong" in refused(copy)
    reseal(copy, **{"extra.json": Entry("0" * 64, 0)})
    assert f"{copy / 'extra.json'} is missing" in refused(copy)


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_an_archive_is_refused_with_the_advice_to_unpack_it(
    cli: Callable, bundle: Path, surface_root: Path, tmp_path: Path, kind: str
) -> None:
    archive = shutil.make_archive(str(tmp_path / "parts"), kind, bundle.parent, bundle.name)
    assert "is an archive" in refused(Path(archive))
    done = cli("infer", "--bundle", archive, "-i", surface_root / "test")
    assert done.code == 2
    assert "unpack it" in done.err


def test_an_archive_whose_names_escape_is_never_unpacked(cli: Callable, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        file.writestr("../escaped.json", "{}")
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("../escaped.json"))
    for name in ("evil.zip", "evil.tar"):
        for command in (("bundle", "verify"), ("bundle", "info"), ("validate-infer-config",)):
            assert cli(*command, tmp_path / name).code in (1, 2)
    assert not list(tmp_path.parent.glob("escaped.json"))


# Versions


def with_version(folder: Path, version: str) -> None:
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    (folder / CONFIG).write_text(json.dumps({**config, "pyimgano_version": version, "new_key": 1}), encoding="utf-8")
    reseal(folder)


@pytest.mark.parametrize("version", ["0.8.0", "1.0", "99.1.2rc1"])
def test_a_bundle_of_a_newer_release_is_refused_with_both_versions(copy: Path, version: str) -> None:
    with_version(copy, version)
    problem = refused(copy)
    assert version in problem
    assert __version__ in problem
    assert "new_key" not in problem


def test_a_version_that_is_none_is_refused(copy: Path) -> None:
    with_version(copy, "latest")
    assert "'latest' is no version" in refused(copy)


# Replacing


@pytest.mark.skipif(os.name == "nt", reason="limits the size of files as POSIX does")
@pytest.mark.parametrize("words", [["set", "threshold=3"], ["recalibrate", "--images"]], ids=lambda words: words[0])
def test_a_full_disk_in_the_middle_of_an_edit_leaves_the_old_bundle(
    shell: Callable, copy: Path, surface_root: Path, words: list[str]
) -> None:
    before = contents(copy)
    code = (
        "import resource, sys\nfrom pyimgano.cli.app import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\nmain(sys.argv[1:])\n"
    )
    images = [surface_root / "test" / "good"] if words[0] == "recalibrate" else []
    done = shell("-c", code, "bundle", words[0], copy, *words[1:], *images)
    assert done.code == 2, done.err
    assert "cannot be written (File too large)" in done.err
    assert contents(copy) == before
    assert [path.name for path in copy.parent.iterdir() if path.name != "site"] == [copy.name]


def test_a_process_that_is_killed_while_it_writes_leaves_the_old_bundle(shell: Callable, copy: Path) -> None:
    before = contents(copy)
    code = (
        "import os, signal, sys\nfrom pyimgano.cli.app import main\n"
        "written = []\n"
        "def die(descriptor):\n    written.append(descriptor)\n"
        "    if len(written) == 3:\n        os.kill(os.getpid(), signal.SIGKILL)\n"
        "os.fsync = die\nmain(sys.argv[1:])\n"
    )
    assert shell("-c", code, "bundle", "set", copy, "threshold=3").code == -9
    assert contents(copy) == before
    assert Bundle.load(copy).digest


def test_the_old_folder_comes_back_if_the_new_one_cannot_take_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    write_folder(folder, {CONFIG: b"old"})
    with pytest.raises(OutputError, match="cannot be written"):
        write_folder(folder, {CONFIG: b"new"}, overwrite=True, check=shutil.rmtree)
    assert contents(folder) == {CONFIG: b"old"}
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_what_does_not_verify_after_it_was_written_does_not_take_the_place_of_the_old(tmp_path: Path, copy: Path) -> None:
    before = contents(copy)
    with pytest.raises(BundleError):
        write_folder(copy, {CONFIG: b"{}"}, overwrite=True, check=lambda written: Seal.read(written).check())
    assert contents(copy) == before


def test_a_bundle_reached_by_a_link_is_edited_where_it_lies(cli: Callable, copy: Path) -> None:
    current = copy.parent / "current"
    current.symlink_to(copy.name)
    assert cli("bundle", "set", current, "threshold=3").code == 0
    assert current.is_symlink()
    assert Bundle.load(copy).config.threshold == 3


def test_a_signature_file_without_its_line_in_the_seal_is_refused(copy: Path) -> None:
    (copy / SIGNATURE).write_text("{}")
    assert f"{copy / SIGNATURE} does not belong" in refused(copy)
