"""Bundles: whole and relocatable as exported, refused after any change, reproducible, and never lost while being replaced."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from pyimgano import infer
from pyimgano.contracts import DatasetSplit
from pyimgano.errors import BundleError
from pyimgano.workbench.bundle import Bundle

FILES = ("environment.json", "infer_config.json", "manifest.json", "manifest.sha256", "report.json", "state.safetensors")
CONFIG, STATE, MANIFEST, SEAL = "infer_config.json", "state.safetensors", "manifest.json", "manifest.sha256"
MODEL = ("--model", "vision_filterbank", "--resize", "96", "128")


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    """Give a copy of the bundle that may be changed."""
    return Path(shutil.copytree(bundle, tmp_path / "copy.bundle"))


@pytest.fixture
def epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the clock; ask for it before `cli`, which puts the environment back after each command."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


def seal(folder: Path, manifest: str) -> None:
    """Write a manifest with a seal that fits it, as somebody who means harm would."""
    (folder / MANIFEST).write_text(manifest, encoding="utf-8")
    digest = hashlib.sha256(manifest.encode()).hexdigest()
    (folder / SEAL).write_text(f"{digest}  {MANIFEST}\n", encoding="utf-8")


def reseal(folder: Path, **entries: Any) -> None:
    """Make manifest and seal fit the files of a bundle again, with more entries where given."""
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    for name in manifest["files"]:
        data = (folder / name).read_bytes()
        manifest["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    manifest["files"].update(entries)
    seal(folder, json.dumps(manifest))


def edit(path: Path, **values: Any) -> None:
    """Set top-level keys of a JSON file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, **values}), encoding="utf-8")


def refused(folder: Path) -> str:
    """Return what is wrong with a bundle; the error has a next step."""
    with pytest.raises(BundleError) as caught:
        Bundle.load(folder).pipeline()
    assert caught.value.next_step
    return caught.value.problem


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def train(cli: Callable, root: Path, target: Path, *more: object, flag: str = "--export-deploy-bundle") -> Any:
    return cli("train", "--root", root, *MODEL, flag, target, *more)


def scores(pipeline: Any, split: DatasetSplit) -> list[float | None]:
    return [result.score for result in infer(pipeline, [str(sample.path) for sample in split.test])]


# Whole bundles


def test_a_bundle_holds_what_inference_needs(bundle: Path, surface_split: DatasetSplit) -> None:
    assert sorted(contents(bundle)) == sorted(FILES)
    loaded = Bundle.load(bundle)
    assert loaded.digest == hashlib.sha256((bundle / MANIFEST).read_bytes()).hexdigest()
    pipeline = loaded.pipeline()
    assert pipeline.name == "pyimgano-core:vision_filterbank"
    assert pipeline.score_threshold is not None
    assert pipeline.pixel_threshold is not None
    assert pipeline.score_threshold.source == pipeline.pixel_threshold.source == "calibration"
    assert pipeline.score_threshold.chain == pipeline.pixel_threshold.chain == pipeline.fingerprint()
    assert all(np.isfinite(scores(pipeline, surface_split)))


def test_a_bundle_judges_as_the_run_that_made_it(cli: Callable, surface_root: Path, tmp_path: Path, bundle: Path) -> None:
    assert train(cli, surface_root, tmp_path / "run", flag="--output").code == 0
    sealed, loose = Bundle.load(bundle).pipeline(), Bundle.load_config(tmp_path / "run" / CONFIG).pipeline()
    assert sealed.score_threshold == loose.score_threshold
    assert sealed.pixel_threshold == loose.pixel_threshold
    assert (tmp_path / "run" / STATE).read_bytes() == (bundle / STATE).read_bytes()


def test_a_bundle_works_elsewhere_and_without_its_training_images(
    cli: Callable, surface_root: Path, surface_split: DatasetSplit, bundle: Path, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(surface_root, tmp_path / "data" / "parts"))
    assert train(cli, data, tmp_path / "made" / "b").code == 0
    shutil.rmtree(data.parent)
    (tmp_path / "elsewhere").mkdir()
    moved = (tmp_path / "made").rename(tmp_path / "elsewhere" / "x") / "b"
    assert scores(Bundle.load(moved).pipeline(), surface_split) == scores(Bundle.load(bundle).pipeline(), surface_split)


def test_a_bundle_holds_no_path_of_the_machine_that_made_it_and_no_pickle(bundle: Path, surface_root: Path) -> None:
    for name, data in contents(bundle).items():
        for path in (surface_root.parent, bundle.parent, Path.home(), Path(__file__).parents[2]):
            assert str(path).encode() not in data, name
        assert not data.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK")), name
    assert {Path(name).suffix for name in contents(bundle)} == {".json", ".safetensors", ".sha256"}


# Changed bundles


@pytest.mark.parametrize("name", FILES)
def test_a_single_changed_byte_is_found_in_every_file(copy: Path, name: str) -> None:
    whole = (copy / name).read_bytes()
    for place in sorted({0, 1, 8, len(whole) // 3, len(whole) // 2, len(whole) - 2, len(whole) - 1}):
        for flipped in (0x01, 0x80):
            damaged = bytearray(whole)
            damaged[place] ^= flipped
            (copy / name).write_bytes(damaged)
            problem = refused(copy)
            assert str(copy / (SEAL if name == MANIFEST else name)) in problem, place
    (copy / name).write_bytes(whole)
    assert Bundle.load(copy).digest


@pytest.mark.parametrize("name", FILES)
def test_a_shortened_lengthened_or_missing_file_is_named(copy: Path, name: str) -> None:
    whole = (copy / name).read_bytes()
    for damaged in (whole[:-1], b"", whole + b"\n"):
        (copy / name).write_bytes(damaged)
        assert str(copy / (SEAL if name == MANIFEST else name)) in refused(copy)
    (copy / name).unlink()
    assert f"{copy / name} is missing" in refused(copy)


@pytest.mark.parametrize("name", ["model.pkl", "notes.txt", "second.safetensors", ".hidden", "sub/nested.json"])
def test_a_file_that_is_not_in_the_manifest_is_refused(copy: Path, name: str) -> None:
    (copy / name).parent.mkdir(exist_ok=True)
    (copy / name).write_bytes(b"{}")
    assert f"{copy / name.partition('/')[0]} does not belong to the bundle" in refused(copy)


def test_an_empty_folder_inside_is_refused(copy: Path) -> None:
    (copy / "plugins").mkdir()
    assert "does not belong to the bundle" in refused(copy)


@pytest.mark.parametrize("name", ["model.pkl", "model.pt", "run.py", "weights.npy", "noextension"])
def test_a_manifest_that_lists_code_or_pickles_is_refused(copy: Path, name: str) -> None:
    (copy / name).write_bytes(b"code")
    reseal(copy, **{name: {"sha256": hashlib.sha256(b"code").hexdigest(), "bytes": 4}})
    assert "never code or pickles" in refused(copy)


@pytest.mark.parametrize(
    "name", ["../x.json", "/etc/x.json", "a/../../x.json", "..\\x.json", "C:x.json", "sub/x.json", "..", "."]
)
def test_a_manifest_that_leads_out_of_the_folder_is_refused(copy: Path, name: str) -> None:
    (copy.parent / "x.json").write_text("{}")
    reseal(copy, **{name: {"sha256": hashlib.sha256(b"{}").hexdigest(), "bytes": 2}})
    assert repr(name) in refused(copy)


@pytest.mark.parametrize("name", FILES)
def test_a_link_in_place_of_a_file_is_refused(copy: Path, bundle: Path, name: str) -> None:
    (copy / name).unlink()
    (copy / name).symlink_to(bundle / name)
    assert str(copy / name) in refused(copy)


@pytest.mark.parametrize("missing", [CONFIG, STATE])
def test_a_manifest_without_config_or_state_is_refused(copy: Path, missing: str) -> None:
    manifest = json.loads((copy / MANIFEST).read_text(encoding="utf-8"))
    del manifest["files"][missing]
    (copy / missing).unlink()
    seal(copy, json.dumps(manifest))
    assert missing in refused(copy)


@pytest.mark.parametrize("version", [2, 99, "2", 0, None])
@pytest.mark.parametrize("name", [MANIFEST, CONFIG])
def test_another_schema_version_is_refused(copy: Path, name: str, version: Any) -> None:
    edit(copy / name, schema_version=version)
    if name == CONFIG:
        reseal(copy)
    seal(copy, (copy / MANIFEST).read_text(encoding="utf-8"))
    problem = refused(copy)
    assert str(copy / name) in problem
    assert "schema version" in problem


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "nul", "[" * 100_000, '{"schema_version": 1, "files": []}', '{"schema_version": 1, "files": {"a": 1}}'],
)
def test_a_sealed_manifest_that_is_none_is_refused(copy: Path, text: str) -> None:
    seal(copy, text)
    assert str(copy / MANIFEST) in refused(copy)


@pytest.mark.parametrize("size", ["Infinity", "1e999", "NaN", "-1", "[]", '"many"', "null"])
def test_a_size_that_is_no_number_of_bytes_is_refused(copy: Path, size: str) -> None:
    manifest = json.loads((copy / MANIFEST).read_text(encoding="utf-8"))
    manifest["files"]["report.json"]["bytes"] = "SIZE"
    seal(copy, json.dumps(manifest).replace('"SIZE"', size))
    assert str(copy) in refused(copy)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not readable JSON"),
        ("{'a': 1}", "not readable JSON"),
        ("[]", "holds list"),
        ("null", "holds NoneType"),
        ("[" * 100_000, "not readable JSON"),
        ("{}", "model: is required"),
    ],
)
def test_a_sealed_config_that_is_none_is_refused(copy: Path, text: str, problem: str) -> None:
    (copy / CONFIG).write_text(text)
    reseal(copy)
    assert str(copy / CONFIG) in refused(copy)
    assert problem in refused(copy)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000])
def test_a_threshold_that_is_no_finite_number_is_refused(copy: Path, number: str) -> None:
    edit(copy / CONFIG, threshold="NUMBER")
    (copy / CONFIG).write_text((copy / CONFIG).read_text(encoding="utf-8").replace('"NUMBER"', number))
    reseal(copy)
    assert str(copy / CONFIG) in refused(copy)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_strict_json_does_not_know_is_refused_anywhere(copy: Path, number: str) -> None:
    config = (copy / CONFIG).read_text(encoding="utf-8")
    (copy / CONFIG).write_text(config.replace('"weights": null', f'"weights": {{"mean": {number}}}'), encoding="utf-8")
    reseal(copy)
    assert f"{number} is not allowed in strict JSON" in refused(copy)


def test_a_misspelt_key_of_the_config_is_refused_with_the_right_one(copy: Path) -> None:
    edit(copy / CONFIG, treshold=3)
    reseal(copy)
    problem = refused(copy)
    assert "treshold: unknown option; did you mean threshold?" in problem


@pytest.mark.parametrize("name", ["../x.safetensors", "/x.safetensors", "sub/x.safetensors", "", ".."])
def test_a_config_whose_state_lies_outside_is_refused(copy: Path, name: str) -> None:
    edit(copy / CONFIG, state={"file": name, "sha256": "0" * 64})
    reseal(copy)
    assert repr(name) in refused(copy)


@pytest.mark.parametrize("name", ["mean", "whitening", "bank"])
def test_a_state_without_an_array_names_it(copy: Path, name: str) -> None:
    arrays = load_file(copy / STATE)
    del arrays[name]
    save_file(arrays, copy / STATE)
    reseal(copy)
    assert f"{STATE} has no array '{name}'" in refused(copy)


@pytest.mark.parametrize("data", [b"", b"abc" * 100, b"\xff" * 100])
def test_a_state_that_is_no_safetensors_file_is_refused(copy: Path, data: bytes) -> None:
    (copy / STATE).write_bytes(data)
    reseal(copy)
    assert "is not a readable safetensors file" in refused(copy)


@pytest.mark.parametrize("what", ["nowhere", "file", "empty"])
def test_what_is_no_bundle_is_told_how_to_make_one(tmp_path: Path, what: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    assert str(tmp_path / what) in refused(tmp_path / what)


def test_the_command_line_refuses_a_changed_bundle_before_it_reads_an_image(cli: Callable, copy: Path, tmp_path: Path) -> None:
    (copy / STATE).write_bytes((copy / STATE).read_bytes()[:-1] + b"x")
    (tmp_path / "broken.png").touch()
    done = cli("infer", "--bundle", copy, "--input", tmp_path / "broken.png")
    assert (done.code, done.out) == (2, "")
    assert "was changed since the bundle was sealed" in done.err
    assert "Next:" in done.err


# Reproducing


def test_training_twice_with_a_fixed_clock_is_byte_identical(
    epoch: None, cli: Callable, surface_root: Path, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        assert train(cli, surface_root, tmp_path / name).code == 0
        line = ["--bundle", tmp_path / name, "--input", surface_root / "test", "--save-jsonl", tmp_path / f"{name}.jsonl"]
        assert cli("infer", *line).code == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert b'"time_utc": "2023-11-14T22:13:20.000Z"' in (tmp_path / "a.jsonl").read_bytes()


def test_another_seed_gives_another_bundle(epoch: None, cli: Callable, surface_root: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 1)):
        assert train(cli, surface_root, tmp_path / name, "--seed", seed).code == 0
    first, second = contents(tmp_path / "a"), contents(tmp_path / "b")
    assert {name for name in FILES if first[name] != second[name]} == set(FILES) - {"environment.json"}


def test_with_a_running_clock_only_times_and_their_digests_differ(
    epoch: None, cli: Callable, surface_root: Path, bundle: Path, tmp_path: Path
) -> None:
    assert train(cli, surface_root, tmp_path / "b").code == 0
    first, second = contents(bundle), contents(tmp_path / "b")
    assert {name for name in FILES if first[name] != second[name]} == {CONFIG, MANIFEST, SEAL}
    configs = [json.loads(files[CONFIG]) for files in (first, second)]
    assert {key for key in configs[0] if configs[0][key] != configs[1][key]} == {"created_utc"}
    manifests = [json.loads(files[MANIFEST])["files"] for files in (first, second)]
    assert {name for name in manifests[0] if manifests[0][name] != manifests[1][name]} == {CONFIG}


STRIDED = """
import numpy as np
from pyimgano import Detector, ImageScore, hookimpl
from pyimgano.specs import DetectorSpec


@hookimpl
def register_detectors():
    return [DetectorSpec(name="strided", summary="states of any layout", factory="{stem}:Strided", maps=False)]


class Strided(Detector):
    def _fit(self, images):
        table = np.arange(24, dtype=np.float32).reshape(4, 6)
        self.arrays = {{
            "turned": table.T, "skipped": table[::2, 1::3], "reversed": table[::-1], "fortran": np.asfortranarray(table),
            "broadcast": np.broadcast_to(table[0], (3, 6)), "scalar": np.array(2.5), "empty": np.zeros((0, 3), np.int64),
            "flags": np.array([True, False]), "big_endian": np.array([1, 2], ">i4"),
        }}

    def _score(self, images):
        return [ImageScore(float(self.arrays["skipped"][1, 1] + self.arrays["scalar"])) for _ in images]

    def state(self):
        return self.arrays

    def load_state(self, arrays):
        self.arrays = dict(arrays)
        self.mark_fitted()
"""


def test_states_of_any_memory_layout_survive(cli: Callable, site: Path, surface_root: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "strided_states.py"
    plugin.write_text(STRIDED.format(stem=plugin.stem), encoding="utf-8")
    target = tmp_path / "b"
    done = cli("--plugin", plugin, "train", "--root", surface_root, "--model", "strided", "--export-deploy-bundle", target)
    assert done.code == 0, done.err
    arrays = load_file(target / STATE)
    table = np.arange(24).reshape(4, 6)
    expected = {
        "turned": table.T,
        "skipped": [[1, 4], [13, 16]],
        "reversed": table[::-1],
        "broadcast": [range(6)] * 3,
        "fortran": table,
        "scalar": 2.5,
        "empty": np.zeros((0, 3)),
        "flags": [True, False],
        "big_endian": [1, 2],
    }
    assert arrays.keys() == expected.keys()
    for name, values in expected.items():
        assert arrays[name].shape == np.shape(values), name
        assert np.array_equal(arrays[name], values), name
    done = cli("--plugin", plugin, "infer", "--bundle", target, "--input", surface_root / "test/good/000.png")
    assert json.loads(done.out)["score"] == 18.5


# Loose configs


@pytest.fixture
def loose(cli: Callable, surface_root: Path, tmp_path: Path) -> Path:
    """Give the infer_config.json of an unsealed run."""
    assert train(cli, surface_root, tmp_path / "run", flag="--output").code == 0
    return tmp_path / "run" / CONFIG


def test_an_edited_threshold_decides_the_next_run(cli: Callable, surface_root: Path, loose: Path) -> None:
    def records() -> list[dict[str, Any]]:
        done = cli("infer", "--infer-config", loose, "--input", surface_root / "test")
        assert done.code == 0, done.err
        return [json.loads(line) for line in done.out.splitlines()]

    before = records()
    middle = sorted(record["score"] for record in before)[7]
    edit(loose, threshold=middle)
    after = records()
    assert [record["score"] for record in after] == [record["score"] for record in before]
    assert {record["threshold"] for record in after} == {middle}
    assert [record["label"] for record in after] == [int(record["score"] > middle) for record in before]
    assert sum(record["label"] for record in after) == 7
    record = Bundle.load_config(loose).pipeline().score_threshold
    assert record is not None
    assert (record.value, record.source, record.method) == (middle, "infer_config", "fixed")
    assert record.score_summary is None


def test_an_edited_pixel_threshold_counts_and_says_so(loose: Path) -> None:
    defects = json.loads(loose.read_text(encoding="utf-8"))["defects"]
    edit(loose, defects={**defects, "pixel_threshold": 12.5})
    pipeline = Bundle.load_config(loose).pipeline()
    assert pipeline.pixel_threshold is not None
    assert (pipeline.pixel_threshold.value, pipeline.pixel_threshold.source) == (12.5, "infer_config")
    assert pipeline.score_threshold is not None
    assert pipeline.score_threshold.source == "calibration"


def test_without_a_threshold_records_carry_scores_and_no_labels(cli: Callable, surface_root: Path, loose: Path) -> None:
    edit(loose, threshold=None)
    done = cli("infer", "--infer-config", loose, "--input", surface_root / "test/good/000.png")
    assert done.code == 0
    assert "no image threshold" in done.err
    record = json.loads(done.out)
    assert "score" in record
    assert not {"label", "threshold"} & record.keys()


def test_a_loose_state_must_be_the_one_that_was_trained(loose: Path) -> None:
    state = loose.parent / STATE
    state.write_bytes(state.read_bytes()[:-1] + b"x")
    with pytest.raises(BundleError, match="sha256 differs") as caught:
        Bundle.load_config(loose).pipeline()
    assert str(state) in caught.value.problem
    state.unlink()
    with pytest.raises(BundleError, match="does not exist"):
        Bundle.load_config(loose).pipeline()


def test_an_edited_config_inside_a_bundle_is_not_loose(copy: Path) -> None:
    assert Bundle.load_config(copy / CONFIG).digest == Bundle.load(copy).digest
    edit(copy / CONFIG, threshold=1.0)
    with pytest.raises(BundleError, match="was changed since the bundle was sealed"):
        Bundle.load_config(copy / CONFIG)


# Where a run is written


def test_both_targets_can_be_written_at_once(cli: Callable, surface_root: Path, tmp_path: Path) -> None:
    done = train(cli, surface_root, tmp_path / "b", "--export-infer-config", tmp_path / "run")
    assert done.code == 0, done.err
    sealed, loose = contents(tmp_path / "b"), contents(tmp_path / "run")
    assert sorted(sealed) == sorted(FILES)
    assert loose == {name: data for name, data in sealed.items() if name not in (MANIFEST, SEAL)}


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_one_folder_cannot_be_both_targets(cli: Callable, surface_root: Path, tmp_path: Path, overwrite: list[str]) -> None:
    done = train(cli, surface_root, tmp_path / "b", "--output", tmp_path / "x" / ".." / "b", *overwrite)
    assert done.code == 2
    assert "a folder of its own" in done.err
    assert not (tmp_path / "b").exists()


def test_a_target_is_needed(cli: Callable, surface_root: Path) -> None:
    done = cli("train", "--root", surface_root, *MODEL)
    assert done.code == 2
    assert "--export-deploy-bundle" in done.err


@pytest.mark.parametrize("flag", ["--export-deploy-bundle", "--export-infer-config"])
def test_an_existing_folder_is_replaced_only_when_asked(cli: Callable, surface_root: Path, copy: Path, flag: str) -> None:
    before = contents(copy)
    done = train(cli, surface_root, copy, "--seed", 3, flag=flag)
    assert done.code == 2
    assert str(copy) in done.err
    assert "--overwrite" in done.err
    assert contents(copy) == before
    done = train(cli, surface_root, copy, "--seed", 3, "--overwrite", flag=flag)
    assert done.code == 0, done.err
    assert contents(copy)[STATE] != before[STATE]
    assert sorted(contents(copy)) == sorted(FILES if flag == "--export-deploy-bundle" else set(FILES) - {MANIFEST, SEAL})
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_a_folder_of_somebody_else_is_never_deleted(
    cli: Callable, surface_root: Path, tmp_path: Path, overwrite: list[str]
) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    done = train(cli, surface_root, tmp_path / "thesis", *overwrite)
    assert done.code == 2
    assert str(tmp_path / "thesis") in done.err
    assert contents(tmp_path / "thesis") == {"chapter.tex": b"years of work"}


def test_an_empty_folder_is_used(cli: Callable, surface_root: Path, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    assert train(cli, surface_root, tmp_path / "b").code == 0
    assert Bundle.load(tmp_path / "b").digest


@pytest.mark.parametrize("target", ["file", "file/below"])
@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_a_file_is_no_target(cli: Callable, surface_root: Path, tmp_path: Path, target: str, overwrite: list[str]) -> None:
    (tmp_path / "file").write_text("precious")
    done = train(cli, surface_root, tmp_path / target, *overwrite)
    assert done.code == 2
    assert "Traceback" not in done.err
    assert str(tmp_path / target) in done.err
    assert (tmp_path / "file").read_text() == "precious"


def test_folders_above_the_target_are_made(cli: Callable, surface_root: Path, tmp_path: Path) -> None:
    assert train(cli, surface_root, tmp_path / "a" / "b" / "c").code == 0
    assert Bundle.load(tmp_path / "a" / "b" / "c").digest


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="this user may write everywhere")
def test_a_folder_that_may_not_be_written_is_refused_before_training(cli: Callable, surface_root: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    done = train(cli, surface_root, tmp_path / "locked" / "b")
    assert done.code == 2
    assert "cannot be written (Permission denied)" in done.err
    assert "trained" not in done.out


@pytest.mark.skipif(os.name == "nt", reason="limits the size of files as POSIX does")
def test_an_older_bundle_stays_whole_when_writing_the_new_one_fails(
    shell: Callable, copy: Path, surface_root: Path, tmp_path: Path
) -> None:
    before = contents(copy)
    code = (
        "import resource, sys\nfrom pyimgano.cli.app import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\nmain(sys.argv[1:])\n"
    )
    line = ["train", "--root", surface_root, *MODEL, "--seed", 3, "--export-deploy-bundle", copy, "--overwrite"]
    done = shell("-c", code, *line)
    assert done.code == 2
    assert f"{copy} cannot be written (File too large)" in done.err
    assert contents(copy) == before
    assert Bundle.load(copy).digest
    assert [path.name for path in tmp_path.iterdir()] == [copy.name]


def test_overwriting_leaves_a_folder_alone_that_holds_files_of_others(
    cli: Callable, surface_root: Path, tmp_path: Path
) -> None:
    line = ["train", "--root", surface_root, "--model", "vision_filterbank", "--output", tmp_path / "run"]
    assert cli(*line).code == 0
    (tmp_path / "run" / "results.jsonl").write_text("a night's work", encoding="utf-8")
    done = cli(*line, "--overwrite")
    assert done.code == 2
    assert "results.jsonl was not written by pyimgano" in done.err
    assert (tmp_path / "run" / "results.jsonl").read_text(encoding="utf-8") == "a night's work"


def test_a_clock_setting_that_is_no_number_is_named(
    cli: Callable, surface_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    done = cli("train", "--root", surface_root, "--model", "vision_filterbank", "--output", tmp_path / "run")
    assert done.code == 2
    assert "SOURCE_DATE_EPOCH is 'yesterday'" in done.err
