"""``pyimgano doctor``: what is wrong with an installation, and the command that mends it."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pyimgano.doctor import CHECKS, Finding, Report, container, examine, opencv, self_test, storage, threads
from pyimgano.doctor.report import Row

DETECTOR = """
from pyimgano import hookimpl
from pyimgano.specs import DetectorSpec

@hookimpl
def register_detectors():
    return [DetectorSpec(name='acme_deep', summary='Deep', factory='acme_impl:Deep', {fields})]
"""
LOOK = """
from pathlib import Path
from pyimgano.options import Options
from pyimgano.specs import WeightsPlace

class DeepOptions(Options):
    backbone: str = 'large'

def weights_at(options):
    here = Path(__file__).with_name(options.backbone + '.pth')
    return WeightsPlace(options.backbone, str(here) if here.exists() else None, 'acme fetch ' + options.backbone)
"""
LOOKS = (
    "weights='download', options='acme_weights:DeepOptions', weights_at='acme_weights:weights_at', "
    "presets={'fast': {'backbone': 'small'}}"
)


def checked(check: str) -> list[dict]:
    """Run one check and return what it found, as ``doctor --json`` prints it."""
    return examine({check: CHECKS[check]}).to_json()["checks"]


@pytest.fixture
def wheel(site: Path) -> Callable[[str, str], None]:
    """Write the metadata of a distribution, as pip leaves it."""

    def write(name: str, version: str) -> None:
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (info / "METADATA").write_text(text, encoding="utf-8")

    return write


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Leave out whatever plugins this environment has but those named, and its own settings of threads."""

    def choose(*plugins: str) -> None:
        monkeypatch.setenv("PYIMGANO_PLUGINS", ",".join(plugins))
        monkeypatch.setenv("OMP_NUM_THREADS", "1")

    return choose


def test_a_sound_installation_needs_nothing(cli: Callable, only: Callable) -> None:
    only()
    done = cli("doctor")
    assert done.code == 0, done.out
    assert [name for name in CHECKS if not re.search(rf"^{name} ", done.out, re.MULTILINE)] == []
    assert "broken" not in done.out
    assert done.out.endswith("\nNext: nothing to do\n")


def test_the_table_fits_80_columns_and_names_each_check_once(cli: Callable, distribution: Callable) -> None:
    distribution("acme-broken", "raise RuntimeError('a very long reason ' * 20)\n")
    done = cli("doctor")
    table = done.out.partition("\n\n")[0].splitlines()
    assert max(map(len, table)) <= 80
    assert [line.split()[0] for line in table[1:] if line[:1] != " "] == list(CHECKS)


def test_what_is_broken_makes_exit_1_and_ends_with_its_command(cli: Callable, distribution: Callable, only: Callable) -> None:
    only("acme-broken")
    distribution("acme-broken", "import acme_absent\n")
    done = cli("doctor")
    assert done.code == 1
    assert done.out.splitlines()[-3:] == ["Next", "1. plugins", "   pyimgano list-plugins --trace acme-broken"]


def test_json_holds_findings_and_next_steps_and_nothing_else(cli: Callable, distribution: Callable) -> None:
    distribution("acme-broken", "print('loading')\nraise SystemExit('no licence')\n")
    done = cli("doctor", "--json")
    report = json.loads(done.out)
    assert (done.code, report["status"]) == (1, "broken")
    assert {row["check"] for row in report["checks"]} == set(CHECKS)
    step = {"check": "plugins", "command": "pyimgano list-plugins --trace acme-broken", "needed": True}
    assert step in report["next"]


def test_the_command_imports_nothing_heavy_in_its_own_process(shell: Callable) -> None:
    code = (
        "import sys, pyimgano.cli.doctor\n"
        "sys.exit(str([name for name in ('numpy', 'cv2', 'pydantic', 'torch', 'sklearn', 'rich') if name in sys.modules]))"
    )
    assert shell("-c", code).err == "[]\n"


# --- checks on their own ---------------------------------------------------------------------------------------------------


def test_a_check_that_fails_stops_no_other(distribution: Callable) -> None:
    distribution(
        "acme-checks",
        "from pyimgano.doctor import Finding\n"
        "def half():\n    yield Finding('first')\n    raise OSError('second')\n"
        "def leaves():\n    raise SystemExit(3)\n"
        "def whole():\n    return [Finding('third')]\n",
    )
    checks = {name: f"acme_checks:{name}" for name in ("half", "absent", "leaves", "whole")} | {"gone": "acme_gone:check"}
    report = examine(checks)
    assert [(row.check, row.finding.status) for row in report.rows] == [
        ("half", "ok"),
        ("half", "broken"),
        ("absent", "broken"),
        ("leaves", "broken"),
        ("whole", "ok"),
        ("gone", "broken"),
    ]
    assert "OSError: second" in report.rows[1].finding.message
    assert report.steps()[0].command == "pyimgano -v -v doctor"


def test_next_steps_name_each_command_once_and_what_is_broken_first() -> None:
    rows = (
        Row("a", Finding("x", "note", "optional")),
        Row("b", Finding("y", "broken", "mend")),
        Row("c", Finding("z", "broken", "mend")),
        Row("d", Finding("fine", "ok", "never")),
    )
    steps = Report(rows).steps()
    assert [(step.command, step.needed) for step in steps] == [("mend", True), ("optional", False)]


# --- environment -----------------------------------------------------------------------------------------------------------


def test_versions_of_python_core_and_libraries_are_there() -> None:
    text = " ".join(row["message"] for row in checked("environment"))
    assert sys.executable in text
    for word in (f"Python {sys.version_info.major}.{sys.version_info.minor}", "pyimgano-core 0.7.0 in ", "numpy "):
        assert word in text


def test_the_older_distribution_of_the_same_name_is_broken(cli: Callable, site: Path, wheel: Callable) -> None:
    wheel("pyimgano", "0.6.38")
    scripts = "[console_scripts]\npyimgano-infer = pyimgano.infer_cli:main\n"
    (site / "pyimgano-0.6.38.dist-info" / "entry_points.txt").write_text(scripts, encoding="utf-8")
    done = cli("doctor", "--json")
    report = json.loads(done.out)
    found = [row for row in report["checks"] if "the older distribution 'pyimgano' 0.6.38" in row["message"]]
    assert [(row["check"], row["status"]) for row in found] == [("environment", "broken")]
    assert re.search(r"uninstall .*pyimgano pyimgano-core && .* install .*pyimgano-core$", found[0]["fix"])
    assert done.code == 1


def test_a_library_that_core_needs_and_that_is_too_old_is_broken(wheel: Callable) -> None:
    wheel("pluggy", "0.13")
    found = [row for row in checked("environment") if row["status"] == "broken"]
    if not found:
        pytest.skip("core runs from a bare checkout, without metadata")
    assert "needs pluggy>=1.5, but 0.13 is installed" in found[0]["message"]
    assert re.search(r'install .*"pluggy>=1.5"$', found[0]["fix"])


# --- plugins ---------------------------------------------------------------------------------------------------------------


def test_every_state_of_a_plugin_is_told_and_mended(distribution: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = DETECTOR.format(fields="maps=False")
    distribution("acme-sound", sound)
    distribution("acme-blocked", sound)
    distribution("acme-future", sound, requires=["pyimgano-core>=9"])
    distribution("acme-poor", sound, requires=["pyimgano-core>=0.7,<0.8", "acme-absent>=2"])
    distribution("acme-misspelt", sound.replace("register_detectors", "register_detector"))
    monkeypatch.setenv("PYIMGANO_DISABLE", "acme-blocked,acme-typo")
    rows = {row["message"].split()[0]: row for row in checked("plugins")}
    assert (rows["acme-sound"]["message"], rows["acme-sound"]["status"]) == ("acme-sound 1.0: 1 detector", "ok")
    assert rows["acme-blocked"]["message"] == "acme-blocked 1.0 is not loaded: disabled by PYIMGANO_DISABLE"
    assert rows["acme-blocked"]["status"] == rows["no"]["status"] == "note"
    assert "'acme-typo'" in rows["no"]["message"]
    broken = {name: rows[name]["fix"] for name in ("acme-future", "acme-poor", "acme-misspelt")}
    assert {rows[name]["status"] for name in broken} == {"broken"}
    assert re.search(r"install .*--upgrade pyimgano-core acme-future$", broken["acme-future"])
    assert re.search(r'install .*"acme-absent>=2"$', broken["acme-poor"])
    assert broken["acme-misspelt"] == "export PYIMGANO_DISABLE=acme-misspelt"


def test_an_extra_that_is_missing_is_one_finding_with_one_command(distribution: Callable) -> None:
    distribution("acme-deep", DETECTOR.format(fields="requires=('acme-absent', 'acme-gone'), extra='torch'"))
    found = [row for row in checked("plugins") if row["message"].startswith("acme-deep")]
    assert len(found) == 1
    assert "acme-absent, which is not installed; needs acme-gone, which is not installed" in found[0]["message"]
    assert found[0]["fix"].endswith('"acme-deep[torch]"')


# --- weights ---------------------------------------------------------------------------------------------------------------


def test_core_alone_needs_no_weights(only: Callable) -> None:
    only()
    assert [row["message"] for row in checked("weights")] == ["no detector here needs pretrained weights"]


@pytest.mark.parametrize(
    ("weights", "status", "word"),
    [
        ("bundled", "ok", "come with the plugin"),
        ("download", "note", "downloaded at the first fit"),
        ("checkpoint", "note", "you bring a file of weights"),
    ],
)
def test_without_a_function_that_looks_the_declared_source_is_told(
    distribution: Callable, weights: str, status: str, word: str
) -> None:
    distribution("acme-deep", DETECTOR.format(fields=f"weights={weights!r}"))
    found = [row for row in checked("weights") if row["message"].startswith("acme_deep")]
    assert [row["status"] for row in found] == [status]
    assert word in found[0]["message"]


def test_many_detectors_of_one_plugin_of_which_the_same_is_said_are_one_row(distribution: Callable) -> None:
    one = "DetectorSpec(name='acme_{}', summary='', factory='a:b', weights='download')"
    specs = ", ".join(one.format(letter) for letter in "abcde")
    head = "from pyimgano import hookimpl\nfrom pyimgano.specs import DetectorSpec\n"
    distribution("acme-deep", f"{head}@hookimpl\ndef register_detectors():\n    return [{specs}]\n")
    (row,) = [row for row in checked("weights") if "acme" in row["message"]]
    assert row["message"].startswith("acme_a, acme_b, acme_c and 2 more of acme-deep: ")


@pytest.mark.parametrize(
    ("here", "status", "message", "fix"),
    [
        ((), "note", "acme_deep: large, small are not here", "acme fetch large"),
        (("small",), "ok", "acme_deep: small is here, {site}/small.pth; large is not here", ""),
        (("large", "small"), "ok", "acme_deep: large is here, {site}/large.pth; small is here, {site}/small.pth", ""),
    ],
)
def test_weights_of_defaults_and_presets_are_looked_for(
    distribution: Callable, site: Path, here: tuple[str, ...], status: str, message: str, fix: str
) -> None:
    distribution("acme-deep", DETECTOR.format(fields=LOOKS))
    (site / "acme_weights.py").write_text(LOOK, encoding="utf-8")
    for name in here:
        (site / f"{name}.pth").touch()
    found = [row for row in checked("weights") if row["message"].startswith("acme_deep")]
    assert found == [{"check": "weights", "status": status, "message": message.format(site=site), "fix": fix}]


def test_a_function_that_fails_to_look_costs_its_detector_alone(distribution: Callable, site: Path) -> None:
    distribution("acme-deep", DETECTOR.format(fields=LOOKS))
    (site / "acme_weights.py").write_text(LOOK.replace("here =", "raise OSError('no disk')\n    here ="), encoding="utf-8")
    distribution("acme-other", DETECTOR.format(fields="weights='bundled'").replace("acme_deep", "acme_other"))
    found = {row["message"].split(":")[0]: row for row in checked("weights")}
    assert found["acme_deep"]["status"] == "broken"
    assert "OSError: no disk" in found["acme_deep"]["message"]
    assert found["acme_other"]["status"] == "ok"


def test_a_path_to_that_function_is_checked_as_any_other(cli: Callable, distribution: Callable) -> None:
    distribution("acme-deep", DETECTOR.format(fields="weights_at='acme weights'"))
    assert "acme_deep names 'acme weights', which is not of the form package.module:name" in cli("list-plugins").out


# --- OpenCV ----------------------------------------------------------------------------------------------------------------


def test_two_opencv_wheels_are_broken_and_the_headless_one_is_kept(cli: Callable, wheel: Callable) -> None:
    assert set(opencv.installed_wheels()) == {"opencv-python-headless"}
    wheel("opencv-python", "4.9.0.80")
    done = cli("doctor", "--json")
    row = next(row for row in json.loads(done.out)["checks"] if row["check"] == "opencv" and row["status"] == "broken")
    assert row["message"].startswith("opencv-python 4.9.0.80 and opencv-python-headless ")
    order = r"uninstall .*opencv-python opencv-python-headless && .*install .*--force-reinstall opencv-python-headless$"
    assert re.search(order, row["fix"])
    assert done.code == 1


def test_an_opencv_that_cannot_be_imported_is_told_by_every_check_that_needs_it(shell: Callable, tmp_path: Path) -> None:
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')\n", encoding="utf-8")
    done = shell("-m", "pyimgano", "doctor", "--json", path=[tmp_path], PYIMGANO_PLUGINS="")
    rows = [row for row in json.loads(done.out)["checks"] if row["status"] == "broken"]
    assert {row["check"] for row in rows} == {"opencv", "self-test"}
    assert all("libGL.so.1" in row["message"] for row in rows)
    assert done.code == 1


# --- threads ---------------------------------------------------------------------------------------------------------------


def test_the_quota_of_a_container_counts(tmp_path: Path) -> None:
    own, group = tmp_path / "own", tmp_path / "cgroup" / "line" / "job"
    own.write_text("0::/line/job\n", encoding="utf-8")
    group.mkdir(parents=True)
    (group / "cpu.max").write_text("max 100000\n", encoding="utf-8")
    (group / "memory.max").write_text("max\n", encoding="utf-8")
    root = tmp_path / "cgroup"
    assert (container.cpu_quota(root, own), container.memory_limit(root, own)) == (None, None)
    (group.parent / "cpu.max").write_text("150000 100000\n", encoding="utf-8")
    (group.parent / "memory.max").write_text(f"{2 << 30}\n", encoding="utf-8")
    assert (container.cpu_quota(root, own), container.memory_limit(root, own)) == (1.5, 2 << 30)
    (group / "cpu.max").write_text("400000 100000\n", encoding="utf-8")
    (group / "memory.max").write_text(f"{4 << 30}\n", encoding="utf-8")
    assert (container.cpu_quota(root, own), container.memory_limit(root, own)) == (1.5, 2 << 30)


def test_the_first_version_of_control_groups_counts_too(tmp_path: Path) -> None:
    own, root = tmp_path / "own", tmp_path / "cgroup"
    own.write_text("4:memory:/docker/1\n3:cpu,cpuacct:/docker/1\n", encoding="utf-8")
    for controller in ("cpu", "memory"):
        (root / controller).mkdir(parents=True)
    (root / "cpu" / "cpu.cfs_quota_us").write_text("-1\n", encoding="utf-8")
    (root / "cpu" / "cpu.cfs_period_us").write_text("100000\n", encoding="utf-8")
    (root / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n", encoding="utf-8")
    assert (container.cpu_quota(root, own), container.memory_limit(root, own)) == (None, None)
    (root / "cpu" / "cpu.cfs_quota_us").write_text("400000\n", encoding="utf-8")
    (root / "memory" / "memory.limit_in_bytes").write_text("1073741824\n", encoding="utf-8")
    assert (container.cpu_quota(root, own), container.memory_limit(root, own)) == (4.0, 1 << 30)


def test_a_system_without_control_groups_has_no_limits(tmp_path: Path) -> None:
    assert container.cpu_quota(tmp_path, tmp_path / "none") is None
    assert container.memory_limit(tmp_path, tmp_path / "none") is None


@pytest.mark.parametrize(("seen", "quota", "usable"), [(16, None, 16), (16, 1.5, 2), (16, 0.5, 1), (2, 8.0, 2)])
def test_usable_cores_are_those_that_a_quota_lets_run(seen: int, quota: float | None, usable: int) -> None:
    assert threads.usable_cores(seen, quota) == usable


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, [("note", "export OMP_NUM_THREADS=2")]),
        ({"OMP_NUM_THREADS": "2"}, [("ok", "")]),
        ({"OMP_NUM_THREADS": "2,1"}, [("ok", "")]),
        ({"OMP_NUM_THREADS": "8"}, [("note", "export OMP_NUM_THREADS=2")]),
        ({"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "all"}, [("ok", ""), ("note", "unset MKL_NUM_THREADS")]),
        ({"OMP_NUM_THREADS": "0"}, [("note", "unset OMP_NUM_THREADS")]),
    ],
)
def test_settings_of_threads_are_compared_with_the_cores(environ: dict[str, str], expected: list[tuple[str, str]]) -> None:
    found = list(threads.thread_settings(environ, seen=16, usable=2))
    assert [(finding.status, finding.fix) for finding in found] == expected


def test_a_machine_without_limits_needs_no_setting() -> None:
    assert list(threads.thread_settings({}, seen=16, usable=16)) == []


# --- storage ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "status"), [(storage.LITTLE, "ok"), (storage.LITTLE - 1, "note"), (storage.NONE - 1, "broken")]
)
def test_little_room_is_a_note_and_none_is_broken(tmp_path: Path, free: int, status: str) -> None:
    assert storage.room(tmp_path, free).status == status


def test_a_temporary_folder_that_is_passed_over_is_told(shell: Callable, tmp_path: Path) -> None:
    done = shell("-m", "pyimgano", "doctor", "--json", TMPDIR=str(tmp_path / "absent"), PYIMGANO_PLUGINS="")
    found = [row for row in json.loads(done.out)["checks"] if row["check"] == "storage" and row["status"] == "note"]
    assert f"TMPDIR={tmp_path / 'absent'} cannot be written, so " in found[0]["message"]


def test_temporary_files_that_cannot_be_written_are_broken(shell: Callable) -> None:
    pytest.importorskip("resource")
    code = (
        "import resource, signal, sys\nfrom pyimgano.cli.app import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "main(['doctor', '--json'])"
    )
    done = shell("-c", code, PYIMGANO_PLUGINS="")
    rows = {row["check"]: row for row in json.loads(done.out)["checks"] if row["status"] == "broken"}
    assert set(rows) == {"storage", "self-test"}
    assert rows["storage"]["message"].startswith("temporary files cannot be written (")
    assert done.code == 1


# --- self-test -------------------------------------------------------------------------------------------------------------


def test_the_self_test_leaves_nothing_behind_and_needs_no_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, distribution: Callable
) -> None:
    distribution("acme-broken", "raise RuntimeError('no licence')\n")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = sorted(os.listdir(tmp_path))
    found = list(self_test.check_self_test())
    assert found[0].status in ("ok", "note")
    assert "learned, was sealed and loaded, and scored the same" in found[0].message
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "was killed by SIGSEGV"),
        ("raise RuntimeError('wrong numpy')", "failed: RuntimeError: wrong numpy"),
        ("import sys; sys.exit(7)", "failed: exit code 7"),
    ],
)
def test_a_library_that_crashes_is_found_by_the_self_test(shell: Callable, tmp_path: Path, code: str, problem: str) -> None:
    (tmp_path / "safetensors.py").write_text(code + "\n", encoding="utf-8")
    done = shell("-m", "pyimgano", "doctor", "--json", path=[tmp_path], PYIMGANO_PLUGINS="")
    row = next(row for row in json.loads(done.out)["checks"] if row["check"] == "self-test")
    assert (row["status"], problem in row["message"]) == ("broken", True), row


def test_a_library_that_gives_back_other_numbers_is_found_by_the_self_test(shell: Callable, tmp_path: Path) -> None:
    code = (
        "import safetensors.numpy as library\n"
        "def doubled(read):\n    return lambda data: {name: 2 * array for name, array in read(data).items()}\n"
        "library.load, library.load_file = doubled(library.load), doubled(library.load_file)\n"
    )
    (tmp_path / "sitecustomize.py").write_text(code, encoding="utf-8")
    done = shell("-m", "pyimgano", "doctor", "--json", path=[tmp_path], PYIMGANO_PLUGINS="")
    row = next(row for row in json.loads(done.out)["checks"] if row["check"] == "self-test")
    assert row["status"] == "broken"
    assert "failed: the bundle scores [" in row["message"]
