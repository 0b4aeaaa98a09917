"""``pyimgano bundle``: look into a bundle, compare two, set values, calibrate again, sign; each edit with its history."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from safetensors.numpy import load_file

from pyimgano.calibration import calibrate_images
from pyimgano.calibration.settings import ThresholdRules
from pyimgano.errors import BundleError
from pyimgano.workbench.bundle import Bundle, bundle_files, write_bundle
from pyimgano.workbench.history import History
from pyimgano.workbench.licences import UNKNOWN, weights_of
from pyimgano.workbench.seal import CONFIG, HISTORY, SIGNATURE, STATE


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    """Give a copy of the bundle that may be changed."""
    return Path(shutil.copytree(bundle, tmp_path / "copy.bundle"))


def records(cli: Callable, *line: object) -> list[dict[str, Any]]:
    done = cli("infer", *line)
    assert done.code == 0, done.err
    return [json.loads(text) for text in done.out.splitlines()]


def refused(done: Any, *parts: str) -> None:
    assert done.code == 2, done.out
    assert "Traceback" not in done.err
    assert "\nNext:  " in done.err
    for part in parts:
        assert part in done.err


# set


def test_a_value_that_is_set_decides_the_next_run_and_the_history_says_so(
    cli: Callable, copy: Path, surface_root: Path
) -> None:
    line = ["--bundle", copy, "-i", surface_root / "test"]
    first = Bundle.load(copy)
    scores = sorted(record["score"] for record in records(cli, *line))
    done = cli("bundle", "set", copy, f"threshold={scores[7]}", "defects.min_area=7")
    assert done.code == 0, done.err
    second = Bundle.load(copy)
    assert sum(record["label"] for record in records(cli, *line)) == 7
    assert cli("bundle", "set", copy, "threshold=none").code == 0
    assert "label" not in records(cli, *line)[0]
    third = Bundle.load(copy)
    assert len({first.digest, second.digest, third.digest}) == 3
    steps = History.read(copy).identities(third.digest or "")
    assert [(step.before, after) for step, after in steps] == [(first.digest, second.digest), (second.digest, third.digest)]
    changes = {change.key: (change.old, change.new) for change in steps[0][0].changes}
    assert changes == {"/threshold": (first.config.threshold, scores[7]), "/defects/min_area": (0, 7)}
    assert (first.digest or "")[:12] in cli("bundle", "info", copy).out


@pytest.mark.parametrize(
    ("pair", "problem"),
    [
        ("treshold=1", "did you mean threshold?"),
        ("defects.min_aera=1", "did you mean min_area?"),
        ("/defects/min_area=-1", "must be at least 0"),
        ("defects.min_area.deeper=1", "has no deeper"),
        ("threshold=NaN", "threshold"),
        ("threshold=much", "threshold"),
        ("state.file=x.safetensors", "not set by hand"),
        ("model.options.k=3", "not set by hand"),
        ("threshold_provenance=none", "not set by hand"),
        ("defects.pixel_normal_quantile=0.9", "bundle recalibrate"),
        ("schema_version=2", "settable:"),
        ("=3", "not of the form key=value"),
        ("threshold", "not of the form key=value"),
        ("prediction.reject_label=1.5", "reject_label"),
    ],
)
def test_what_cannot_be_set_is_refused_and_nothing_changes(cli: Callable, copy: Path, pair: str, problem: str) -> None:
    before = Bundle.load(copy).digest
    refused(cli("bundle", "set", copy, "defects.min_area=4", pair), problem)
    assert Bundle.load(copy).digest == before
    assert not (copy / HISTORY).exists()


def test_setting_what_is_there_already_changes_nothing(cli: Callable, copy: Path) -> None:
    before = Bundle.load(copy).digest
    done = cli("bundle", "set", copy, "defects.min_area=0")
    assert (done.code, Bundle.load(copy).digest) == (0, before)
    assert "nothing changes" in done.out


def test_an_edit_can_go_to_a_new_folder_and_never_over_an_old_one(cli: Callable, copy: Path, tmp_path: Path) -> None:
    before = Bundle.load(copy).digest
    assert cli("bundle", "set", copy, "threshold=3", "--output", tmp_path / "new").code == 0
    assert Bundle.load(copy).digest == before
    assert Bundle.load(tmp_path / "new").config.threshold == 3
    assert History.read(tmp_path / "new").steps[0].before == before
    refused(cli("bundle", "set", copy, "threshold=4", "--output", tmp_path / "new"), "exists already")


def test_a_setting_before_the_threshold_warns_of_the_other_chain(cli: Callable, copy: Path) -> None:
    done = cli("bundle", "set", copy, "defects.roi_xyxy_norm=[0,0,0.5,1]")
    assert done.code == 0
    assert "the pixel threshold was calibrated through another chain" in done.err
    assert "another chain" not in cli("bundle", "set", copy, "defects.max_regions=5").err


def test_settings_that_cannot_work_together_are_refused_with_the_ways_out(cli: Callable, copy: Path) -> None:
    refused(cli("bundle", "set", copy, "threshold=3", "prediction.reject_confidence_below=0.9"), "recalibrate")
    assert cli("bundle", "set", copy, "prediction.reject_confidence_below=0.9", "defects.enabled=true").code == 0


def test_a_changed_bundle_is_not_sealed_anew(cli: Callable, copy: Path) -> None:
    (copy / STATE).write_bytes((copy / STATE).read_bytes()[:-1] + b"x")
    refused(cli("bundle", "set", copy, "threshold=3"), "was changed since the bundle was sealed")


# recalibrate


def brighter(source: Path, target: Path, by: int) -> Path:
    """Write the images of a folder with more light."""
    target.mkdir(parents=True)
    for path in sorted(source.glob("*.png")):
        pixels = np.asarray(PillowImage.open(path)).astype(int) + by
        PillowImage.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(target / path.name)
    return target


def test_thresholds_follow_the_lines_own_good_parts_and_nothing_else_changes(
    cli: Callable, copy: Path, surface_root: Path, tmp_path: Path
) -> None:
    line = brighter(surface_root / "train" / "good", tmp_path / "line", 30)
    before = Bundle.load(copy)
    scores = np.array([record["score"] for record in records(cli, "--bundle", copy, "-i", line)])
    assert (scores > before.config.threshold).mean() > 0.5, "the light must matter for this test"
    done = cli("bundle", "recalibrate", copy, "--images", line)
    assert done.code == 0, done.err
    after = Bundle.load(copy)
    expected = calibrate_images(scores, ThresholdRules(), None)
    assert after.config.threshold == pytest.approx(expected.value, rel=1e-6)
    record, pixel = after.config.threshold_provenance, after.config.defects.pixel_threshold_provenance
    assert record is not None
    assert pixel is not None
    assert (record.calibration_count, record.split, pixel.calibration_map_count) == (25, "recalibration", 25)
    assert record.chain == pixel.chain == before.config.threshold_provenance.chain == after.pipeline().fingerprint()
    assert pixel.value == after.config.defects.pixel_threshold > before.config.defects.pixel_threshold
    assert after.config.state == before.config.state
    kept = {"threshold", "threshold_provenance", "defects"}
    assert after.config.model_dump(exclude=kept) == before.config.model_dump(exclude=kept)
    labels = [record["label"] for record in records(cli, "--bundle", copy, "-i", line)]
    assert np.mean(labels) <= 0.05
    (step,) = History.read(copy).steps
    assert (step.command, step.images, step.before) == ("recalibrate", 25, before.digest)
    assert str(tmp_path) not in (copy / HISTORY).read_text(encoding="utf-8")


def test_recalibrating_goes_by_the_rules_of_training_and_flags_win(cli: Callable, surface_root: Path, tmp_path: Path) -> None:
    line = ["train", "--root", surface_root, "--model", "vision_filterbank", "--resize", 96, 128]
    rules = ["--false-alarm-rate", 0.2, "--pixel-normal-quantile", 0.95]
    assert cli(*line, *rules, "--export-deploy-bundle", tmp_path / "b").code == 0
    images = ["--images", surface_root / "train" / "good"]
    assert cli("bundle", "recalibrate", tmp_path / "b", *images).code == 0
    config = Bundle.load(tmp_path / "b").config
    assert (config.threshold_provenance.false_alarm_rate, config.defects.pixel_threshold_provenance.q) == (0.2, 0.95)
    assert cli("bundle", "recalibrate", tmp_path / "b", *images, "--pixel-normal-quantile", 0.9).code == 0
    config = Bundle.load(tmp_path / "b").config
    assert (config.threshold_provenance.false_alarm_rate, config.defects.pixel_threshold_provenance.q) == (0.2, 0.9)
    assert config.defects.pixel_normal_quantile == 0.9
    assert cli("bundle", "recalibrate", tmp_path / "b", *images, "--pixel-deviations", 4).code == 0
    record = Bundle.load(tmp_path / "b").config.defects.pixel_threshold_provenance
    assert (record.method, record.factor) == ("mean_std", 4)


def test_recalibrating_keeps_what_postprocessors_have_learned(cli: Callable, surface_root: Path, tmp_path: Path) -> None:
    line = ["train", "--root", surface_root, "--model", "vision_filterbank", "--resize", 96, 128]
    done = cli(*line, "--postprocess", "anomaly_map,normalize_method=minmax", "--export-deploy-bundle", tmp_path / "b")
    assert done.code == 0, done.err
    before = Bundle.load(tmp_path / "b").config
    assert before.adaptation.postprocess[0].state
    dimmer = brighter(surface_root / "train" / "good", tmp_path / "line", -30)
    assert cli("bundle", "recalibrate", tmp_path / "b", "--images", dimmer).code == 0
    after = Bundle.load(tmp_path / "b").config
    assert after.adaptation == before.adaptation
    assert after.threshold != before.threshold
    line = ["--bundle", tmp_path / "b", "-i", dimmer, "--save-maps", tmp_path / "maps"]
    scores = np.array([record["score"] for record in records(cli, *line)])
    assert after.threshold == pytest.approx(calibrate_images(scores, ThresholdRules(), None).value, rel=1e-6)
    pixels = np.concatenate([np.load(path).ravel() for path in (tmp_path / "maps").iterdir()])
    assert after.defects.pixel_threshold == pytest.approx(np.quantile(pixels.astype(np.float64), 0.999), rel=1e-6)


def test_a_threshold_that_was_set_by_hand_is_calibrated_again(cli: Callable, copy: Path, surface_root: Path) -> None:
    before = Bundle.load(copy).config
    assert cli("bundle", "set", copy, "threshold=99", "defects.pixel_threshold=99").code == 0
    done = cli("bundle", "recalibrate", copy, "--images", surface_root / "train" / "good")
    assert done.code == 0, done.err
    after = Bundle.load(copy).config
    assert after.threshold == after.threshold_provenance.value < 99
    assert after.defects.pixel_threshold == after.defects.pixel_threshold_provenance.value < 99
    assert after.defects.pixel_threshold_provenance.source == "calibration"
    assert after.threshold_provenance.chain == before.threshold_provenance.chain


def test_recalibrating_without_usable_images_leaves_the_bundle(cli: Callable, copy: Path, tmp_path: Path) -> None:
    before = Bundle.load(copy).digest
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_bytes(b"no image")
    refused(cli("bundle", "recalibrate", copy, "--images", tmp_path / "empty"), "holds no image files")
    refused(cli("bundle", "recalibrate", copy, "--images", tmp_path / "nowhere"), "does not exist")
    refused(cli("bundle", "recalibrate", copy, "--images", tmp_path / "bad"), "a.png")
    assert Bundle.load(copy).digest == before


# info and diff


def test_info_says_what_a_bundle_is(cli: Callable, bundle: Path) -> None:
    loaded = Bundle.load(bundle)
    done = cli("bundle", "info", bundle)
    assert (done.code, done.err) == (0, "")
    for part in (loaded.digest, "pyimgano-core:vision_filterbank 0.7.0", "calibration, 5 images", "state.safetensors"):
        assert str(part) in done.out
    found = json.loads(cli("bundle", "info", bundle, "--json").out)
    assert found["bundle"] == loaded.digest
    assert found["config"]["threshold"] == loaded.config.threshold
    assert (found["history"], found["weights"], found["signed_by"]) == ([], [], None)


WEIGHTS = [
    ({"source": "package x 1.0", "architecture": "net", "licence": "MIT", "sha256": "ab"}, "package x 1.0", "MIT"),
    (
        {"source": "download by timm", "architecture": "net", "hub_id": "timm/net", "licence": None},
        "download by timm timm/net",
        UNKNOWN,
    ),
    ({"source": "file", "architecture": "net", "file": "net.pth"}, "file", UNKNOWN),
    ({"source": "random", "architecture": "net"}, "random", "none needed: random values"),
]


@pytest.mark.parametrize(("record", "source", "licence"), WEIGHTS, ids=lambda value: str(value)[:20])
def test_licences_lists_weights_with_source_and_licence(
    cli: Callable, bundle: Path, tmp_path: Path, record: dict[str, Any], source: str, licence: str
) -> None:
    assert "uses no pretrained weights" in cli("bundle", "info", bundle, "--licences").out
    pipeline = Bundle.load(bundle).pipeline()
    pipeline.weights = record
    write_bundle(tmp_path / "b", bundle_files(pipeline, {}))
    (found,) = weights_of(Bundle.load(tmp_path / "b").config)
    assert (found.source, found.licence, found.weights) == (source, licence, "net")
    shown = cli("bundle", "info", tmp_path / "b", "--licences").out
    assert licence in shown
    assert source in shown
    assert json.loads(cli("bundle", "info", tmp_path / "b", "--licences", "--json").out)[0]["licence"] == licence


def test_diff_names_every_value_that_differs(cli: Callable, bundle: Path, copy: Path, surface_root: Path) -> None:
    done = cli("bundle", "diff", bundle, copy)
    assert (done.code, "are the same" in done.out) == (0, True)
    assert cli("bundle", "set", copy, "threshold=3", "prediction.reject_label=5").code == 0
    done = cli("bundle", "diff", bundle, copy, "--json")
    assert done.code == 1
    found = {(row["file"], row["key"]): row["new"] for row in json.loads(done.out)}
    assert found.pop((HISTORY, "/steps/0"))
    assert found == {(CONFIG, "/threshold"): 3.0, (CONFIG, "/prediction/reject_label"): 5}
    line = ["train", "--root", surface_root, "--model", "vision_filterbank", "--resize", 96, 128, "--seed", 1]
    assert cli(*line, "--export-deploy-bundle", copy, "--overwrite").code == 0
    done = cli("bundle", "diff", bundle, copy)
    for name in ("bank", "mean"):
        assert f"/{name}" in done.out
    assert {row["key"] for row in json.loads(cli("bundle", "diff", bundle, copy, "--json").out) if row["file"] == STATE} <= {
        f"/{name}" for name in load_file(bundle / STATE)
    }


def test_a_bundle_that_is_not_whole_is_not_compared_or_described(cli: Callable, bundle: Path, copy: Path) -> None:
    (copy / CONFIG).write_text("{}")
    refused(cli("bundle", "diff", bundle, copy), "was changed since")
    refused(cli("bundle", "info", copy), "was changed since")


# Signatures


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Give a folder with Ed25519 keys a and b: a.pem, a.pub.pem, a.ssh, a.ssh.pub, and an RSA key r.pem with r.pub.pem."""
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

    folder = tmp_path / "keys"
    folder.mkdir()
    made: dict[str, Any] = {"a": ed25519.Ed25519PrivateKey.generate(), "b": ed25519.Ed25519PrivateKey.generate()}
    made["r"] = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for name, key in made.items():
        private = {"pem": form.PrivateFormat.PKCS8, "ssh": form.PrivateFormat.OpenSSH}
        for kind, style in private.items():
            (folder / f"{name}.{kind}").write_bytes(key.private_bytes(form.Encoding.PEM, style, form.NoEncryption()))
        public = key.public_key()
        pem = public.public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
        ssh = public.public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH)
        (folder / f"{name}.pub.pem").write_bytes(pem)
        (folder / f"{name}.ssh.pub").write_bytes(ssh + b" line@factory\n")
    locked = made["a"].private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.BestAvailableEncryption(b"word"))
    (folder / "locked.pem").write_bytes(locked)
    return folder


@pytest.mark.extras
@pytest.mark.parametrize("private", ["a.pem", "a.ssh"])
@pytest.mark.parametrize("public", ["a.pub.pem", "a.ssh.pub"])
def test_inference_accepts_only_a_bundle_that_the_key_has_signed(
    cli: Callable, copy: Path, keys: Path, surface_root: Path, private: str, public: str
) -> None:
    line = ["infer", "--bundle", copy, "-i", surface_root / "test" / "good" / "000.png", "--require-signature"]
    refused(cli(*line, keys / public), "is not signed", "bundle sign")
    digest = Bundle.load(copy).digest
    assert cli("bundle", "sign", copy, "--sign-key", keys / private).code == 0
    assert Bundle.load(copy).digest == digest
    done = cli(*line, keys / public)
    assert done.code == 0, done.err
    refused(cli(*line, keys / "b.pub.pem"), "is signed with the key SHA256:", "not with that of")
    assert cli("bundle", "verify", copy, "--require-signature", keys / public).code == 0
    assert cli("bundle", "verify", copy, "--require-signature", keys / "b.pub.pem").code == 1


@pytest.mark.extras
def test_a_signature_of_another_bundle_is_refused(cli: Callable, copy: Path, bundle: Path, keys: Path, tmp_path: Path) -> None:
    from pyimgano.workbench.seal import MANIFEST, SEAL, seal_lines

    assert cli("bundle", "sign", copy, "--sign-key", keys / "a.pem").code == 0
    other = tmp_path / "other"
    assert cli("bundle", "set", bundle, "threshold=0.1", "--output", other).code == 0
    shutil.copy(copy / SIGNATURE, other / SIGNATURE)
    (other / SEAL).write_bytes(seal_lines((other / MANIFEST).read_bytes(), (other / SIGNATURE).read_bytes()))
    with pytest.raises(BundleError, match="not a signature of this bundle"):
        Bundle.load(other, keys / "a.pub.pem")


@pytest.mark.extras
def test_an_edit_takes_the_signature_off_unless_it_signs_anew(cli: Callable, copy: Path, keys: Path) -> None:
    assert cli("bundle", "sign", copy, "--sign-key", keys / "a.pem").code == 0
    done = cli("bundle", "set", copy, "threshold=3")
    assert "signature  gone" in done.out
    assert not (copy / SIGNATURE).exists()
    assert cli("bundle", "set", copy, "threshold=4", "--sign-key", keys / "b.ssh").code == 0
    assert Bundle.load(copy, keys / "b.pub.pem").config.threshold == 4
    with pytest.raises(BundleError, match="is signed with the key"):
        Bundle.load(copy, keys / "a.pub.pem")


@pytest.mark.extras
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a.pub.pem", "is a public key"),
        ("a.ssh.pub", "is a public key"),
        ("r.pem", "another kind than Ed25519"),
        ("r.ssh", "another kind than Ed25519"),
        ("locked.pem", "PYIMGANO_SIGN_PASSPHRASE"),
        ("nowhere", "cannot be read"),
        ("junk", "not a private key that can be read"),
    ],
)
def test_what_is_no_signing_key_is_refused(cli: Callable, copy: Path, keys: Path, name: str, problem: str) -> None:
    (keys / "junk").write_bytes(b"\xff\x00junk")
    refused(cli("bundle", "sign", copy, "--sign-key", keys / name), problem)
    refused(cli("bundle", "set", copy, "threshold=3", "--sign-key", keys / name), problem)
    assert not (copy / SIGNATURE).exists()


@pytest.mark.extras
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a.pem", "is a private key"),
        ("a.ssh", "is a private key"),
        ("r.pub.pem", "another kind"),
        ("r.ssh.pub", "another kind"),
    ],
)
def test_what_is_no_public_key_is_refused(cli: Callable, copy: Path, keys: Path, name: str, problem: str) -> None:
    refused(cli("bundle", "verify", copy, "--require-signature", keys / name), problem)


@pytest.mark.extras
def test_a_locked_key_is_opened_by_the_passphrase_in_the_environment(
    cli: Callable, copy: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYIMGANO_SIGN_PASSPHRASE", "wrong")
    refused(cli("bundle", "sign", copy, "--sign-key", keys / "locked.pem"), "not a private key that can be read")
    monkeypatch.setenv("PYIMGANO_SIGN_PASSPHRASE", "word")
    assert cli("bundle", "sign", copy, "--sign-key", keys / "locked.pem").code == 0
    assert Bundle.load(copy, keys / "a.ssh.pub")


@pytest.mark.extras
def test_a_loose_config_cannot_be_required_to_be_signed(cli: Callable, copy: Path, keys: Path) -> None:
    done = cli("infer", "--infer-config", copy / CONFIG, "-i", copy, "--require-signature", keys / "a.pub.pem")
    refused(done, "has no signature")


@pytest.mark.extras
@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")
def test_openssl_verifies_the_signature_without_pyimgano(cli: Callable, copy: Path, keys: Path, tmp_path: Path) -> None:
    import base64

    assert cli("bundle", "sign", copy, "--sign-key", keys / "a.pem").code == 0
    signature = json.loads((copy / SIGNATURE).read_text(encoding="utf-8"))["signature"]
    (tmp_path / "sig").write_bytes(base64.b64decode(signature))
    (tmp_path / "line").write_bytes((copy / "manifest.sha256").read_bytes().splitlines(keepends=True)[0])
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", keys / "a.pub.pem", "-rawin", "-in", tmp_path / "line"]
    done = subprocess.run([*command, "-sigfile", tmp_path / "sig"], capture_output=True, text=True, check=False)
    if "Unknown option" in done.stderr or "-rawin" in done.stderr:
        pytest.skip("this openssl is too old")
    assert done.returncode == 0, done.stderr


def test_without_the_library_the_command_that_installs_it_is_named(shell: Callable, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "block").mkdir()
    (tmp_path / "block" / "cryptography.py").write_text("raise ImportError('blocked')")
    (tmp_path / "key").write_text("-----BEGIN PRIVATE KEY-----")
    done = shell("-m", "pyimgano", "bundle", "sign", bundle, "--sign-key", tmp_path / "key", path=[tmp_path / "block"])
    assert done.code == 2
    assert "cryptography, which is not installed" in done.err
    assert "pyimgano-core[sign]" in done.err
