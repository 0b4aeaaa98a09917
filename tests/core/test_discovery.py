"""Discovery: every fault a plugin can have costs that plugin alone, and comes with what is wrong and what to do next."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pluggy
import pytest

from pyimgano.discovery import CORE, Selection, discover
from pyimgano.discovery.catalogue import FIRST_PARTY

HEAD = "from pyimgano import hookimpl, specs\n"
DETECTOR = "specs.DetectorSpec(name='acme_scratch', summary='Scratches', factory='acme:Scratch')"
DATASET_HOOK = """
@hookimpl
def register_datasets():
    return [specs.DatasetSpec(name='acme_parts', summary='Parts', factory='acme:Parts')]
"""
MARK = "from pathlib import Path\nPath(__file__).with_suffix('.imported').touch()\n"
TRACE = "trace pyimgano list-plugins --trace acme-broken"
SKIP = "skip  PYIMGANO_DISABLE=acme-broken"
OURS = "pyimgano-core>=0.7,<0.8"


def hook(body: str, name: str = "register_detectors", mark: str = "@hookimpl") -> str:
    """Return a plugin module whose one hook has the given body."""
    return f"{HEAD}\n{mark}\ndef {name}():\n    {body}\n"


GOOD = hook(f"return [{DETECTOR}]")


def pip(action: str, what: str) -> str:
    """Return the command that installs or removes something in the environment of this very interpreter."""
    if importlib.util.find_spec("pip") is None:
        return f"uv pip {action} --python {sys.executable} {what}"
    return f"{sys.executable} -m pip {action} {what}"


def install(what: str) -> str:
    return f"fix   {pip('install', what)}"


def entry_of(listing: str, name: str) -> tuple[str, str, list[str]]:
    """Return status, what is provided, and the indented lines of one plugin in the output of ``list-plugins``."""
    lines = listing.splitlines()
    place = next(number for number, line in enumerate(lines) if re.match(rf"{re.escape(name)}\s", line))
    _, _, status, provides = re.split(r"\s{2,}", lines[place])
    details = []
    for line in lines[place + 1 :]:
        if not line.startswith("    "):
            break
        details.append(line.strip())
    return status, provides, details


@pytest.fixture
def listed(cli: Callable) -> Callable[[str], tuple[str, str, list[str]]]:
    """List the plugins and return one's entry, after checking that the fault of no plugin spoils a command."""

    def run(name: str = "acme-broken") -> tuple[str, str, list[str]]:
        listing = cli("list-plugins")
        assert listing.code == 0, listing.err
        status, provides, details = entry_of(listing.out, CORE)
        assert (status, details) == ("ok", [])
        assert "1 detector" in provides
        models, helped = cli("list-models"), cli("--help")
        assert (models.code, helped.code) == (0, 0)
        assert re.search(r"^vision_filterbank +pyimgano-core ", models.out, re.MULTILINE)
        assert "list-plugins" in helped.out
        return entry_of(listing.out, name)

    return run


class Fault(NamedTuple):
    """A plugin's code, and what ``list-plugins`` says of it."""

    code: str
    status: str
    provides: str
    details: list[str]


FAULTS = {
    "an import of a module that is missing": Fault(
        "import acme_absent\n",
        "broken",
        "nothing",
        ["ModuleNotFoundError: No module named 'acme_absent' (site/acme_broken.py, line 1)", TRACE, SKIP],
    ),
    "an import of a name that core does not have": Fault(
        "\nfrom pyimgano import hookspell\n",
        "broken",
        "nothing",
        ["ImportError: cannot import name 'hookspell' from 'pyimgano'", TRACE, SKIP],
    ),
    "an error at import": Fault(
        "x = 1\n\nraise RuntimeError('operator torchvision::nms\\n    does not exist')\n",
        "broken",
        "nothing",
        ["RuntimeError: operator torchvision::nms does not exist (site/acme_broken.py, line 3)", TRACE, SKIP],
    ),
    "an error without a message": Fault(
        "raise KeyError\n", "broken", "nothing", ["KeyError (site/acme_broken.py, line 1)", TRACE, SKIP]
    ),
    "an exit at import": Fault(
        "import sys\nsys.exit(3)\n",
        "broken",
        "nothing",
        ["it called sys.exit(3) while it was loaded (site/acme_broken.py, line 2)", TRACE, SKIP],
    ),
    "a syntax error": Fault(
        "def :\n", "broken", "nothing", ["SyntaxError: invalid syntax (acme_broken.py, line 1)", TRACE, SKIP]
    ),
    "a hook that raises": Fault(
        hook("raise RuntimeError('no licence')") + DATASET_HOOK,
        "partial",
        "1 dataset",
        ["register_detectors: RuntimeError: no licence (site/acme_broken.py, line 5)", TRACE],
    ),
    "a hook that exits": Fault(
        hook("raise SystemExit('no licence')") + DATASET_HOOK,
        "partial",
        "1 dataset",
        ["register_detectors: it called sys.exit('no licence') while it was loaded (site/acme_broken.py, line 5)", TRACE],
    ),
    "a generator that raises late": Fault(
        hook(f"yield {DETECTOR}\n    raise RuntimeError('too late')") + DATASET_HOOK,
        "partial",
        "1 dataset",
        ["register_detectors: RuntimeError: too late (site/acme_broken.py, line 6)", TRACE],
    ),
    "a misspelt hook": Fault(
        hook(f"return [{DETECTOR}]", name="register_detector"),
        "broken",
        "nothing",
        ["unknown hook register_detector: did you mean register_detectors?", SKIP],
    ),
    "a hook of another program": Fault(
        hook("return []", name="pytest_configure"), "broken", "nothing", ["unknown hook pytest_configure", SKIP]
    ),
    "a hook that is not marked": Fault(
        hook(f"return [{DETECTOR}]", mark="") + DATASET_HOOK,
        "partial",
        "1 dataset",
        ["register_detectors is defined but not marked with @hookimpl"],
    ),
    "no hook at all": Fault(
        "x = 1\n", "broken", "nothing", ["acme_broken implements no hook of pyimgano (see the module pyimgano.hookspecs)", SKIP]
    ),
    "a text for a list": Fault(
        hook("return 'acme_scratch'"),
        "broken",
        "nothing",
        ["register_detectors: TypeError: it returned str, not a list of DetectorSpec", TRACE, SKIP],
    ),
    "a spec for a list": Fault(
        hook(f"return {DETECTOR}"),
        "broken",
        "nothing",
        ["register_detectors: TypeError: it returned DetectorSpec, not a list of DetectorSpec", TRACE, SKIP],
    ),
    "nothing for a list": Fault(
        hook("pass"),
        "broken",
        "nothing",
        ["register_detectors: TypeError: it returned NoneType, not a list of DetectorSpec", TRACE, SKIP],
    ),
    "a list of something else": Fault(
        hook(f"return [{{'name': 'acme_scratch'}}, None, {DETECTOR}]"),
        "partial",
        "1 detector",
        [
            "register_detectors returned dict, expected DetectorSpec",
            "register_detectors returned NoneType, expected DetectorSpec",
        ],
    ),
    "specs of another kind": Fault(
        hook(f"return [{DETECTOR}]", name="register_datasets"),
        "broken",
        "nothing",
        ["register_datasets returned DetectorSpec, expected DatasetSpec", SKIP],
    ),
    "a component named twice": Fault(
        hook(f"return [{DETECTOR}, {DETECTOR}]"),
        "partial",
        "1 detector",
        ["detector 'acme_scratch' is registered twice; the first one counts"],
    ),
    "a hook wrapper": Fault(
        hook("yield", mark="@hookimpl(wrapper=True)") + DATASET_HOOK,
        "partial",
        "1 dataset",
        ["register_detectors must return specs; it is marked as a wrapper"],
    ),
    "a hook wrapper of the old kind": Fault(
        hook("yield", mark="@hookimpl(hookwrapper=True)") + DATASET_HOOK,
        "partial",
        "1 dataset",
        ["register_detectors must return specs; it is marked as a wrapper"],
    ),
    "a module whose attributes fail late": Fault(
        GOOD + "\ndef __getattr__(name):\n    raise ImportError(f'{name} needs torch')\n", "ok", "1 detector", []
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_with_the_next_command_and_costs_that_plugin_alone(
    distribution: Callable, listed: Callable, name: str
) -> None:
    fault = FAULTS[name]
    distribution("acme-broken", fault.code)
    distribution("acme-fine", GOOD)
    status, provides, details = listed()
    assert (status, provides) == (fault.status, fault.provides)
    assert len(details) == len(fault.details)
    for shown, expected in zip(details, fault.details, strict=True):
        assert shown == expected or (expected.startswith("ImportError") and shown.startswith(expected))
    assert listed("acme-fine") == ("ok", "1 detector", [])


SPECS = {
    "name='Acme', summary='', factory='a:b'": "'Acme' is not a valid name (it must match [a-z][a-z0-9_]*)",
    "name='acme-scratch', summary='', factory='a:b'": "'acme-scratch' is not a valid name (it must match [a-z][a-z0-9_]*)",
    "name='acme:x', summary='', factory='a:b'": "'acme:x' is not a valid name (it must match [a-z][a-z0-9_]*)",
    "name=None, summary='', factory='a:b'": "None is not a valid name (it must match [a-z][a-z0-9_]*)",
    "name='x', summary='', factory='acme.Scratch'": "x names 'acme.Scratch', which is not of the form package.module:name",
    "name='x', summary='', factory='.acme:S'": "x names '.acme:S', which is not of the form package.module:name",
    "name='x', summary='', factory='acme..a:S'": "x names 'acme..a:S', which is not of the form package.module:name",
    "name='x', summary='', factory=dict": "x names <class 'dict'>, which is not of the form package.module:name",
    "name='x', summary='', factory='a:b', options='Opt'": "x names 'Opt', which is not of the form package.module:name",
    "name='x', summary=None, factory='a:b'": "x has summary=None, expected str",
    "name='x', summary='', factory='a:b', tags=['t']": "x has tags=['t'], expected a frozenset of str",
    "name='x', summary='', factory='a:b', tags='cpu'": "x has tags='cpu', expected a frozenset of str",
    "name='x', summary='', factory='a:b', requires='torch'": "x has requires='torch', expected a tuple of str",
    "name='x', summary='', factory='a:b', requires=(1,)": "x has requires=(1,), expected a tuple of str",
    "name='x', summary='', factory='a:b', devices='cpu'": "x has devices='cpu', expected a tuple of str",
}


@pytest.mark.parametrize("fields", SPECS)
def test_an_unsound_spec_is_left_out_and_its_neighbour_counts(distribution: Callable, listed: Callable, fields: str) -> None:
    distribution("acme-broken", hook(f"return [specs.DetectorSpec({fields}), {DETECTOR}]"))
    assert listed() == ("partial", "1 detector", [f"register_detectors: {SPECS[fields]}"])


def test_the_name_and_path_of_a_command_are_checked_too(distribution: Callable, listed: Callable) -> None:
    wrong = "specs.CommandSpec(name='Acme', summary='', app='a:b'), specs.CommandSpec(name='acme', summary='', app='a')"
    distribution("acme-broken", hook(f"return [{wrong}]", name="register_commands"))
    status, _, details = listed()
    assert status == "broken"
    assert details == [
        "register_commands: 'Acme' is not a valid name (it must match [a-z][a-z0-9-]*)",
        "register_commands: acme names 'a', which is not of the form package.module:name",
        SKIP,
    ]


def test_a_hook_that_asks_for_arguments_is_broken(distribution: Callable, listed: Callable) -> None:
    distribution("acme-broken", f"{HEAD}@hookimpl\ndef register_detectors(config):\n    return []\n")
    status, provides, details = listed()
    assert (status, provides, details[1:]) == ("broken", "nothing", [TRACE, SKIP])
    assert details[0].startswith("PluginValidationError: ")
    assert "config" in details[0]


def test_a_plugin_may_be_an_object_inside_a_module(distribution: Callable, listed: Callable) -> None:
    method = f"    @hookimpl\n    def register_detectors(self):\n        return [{DETECTOR}]\n"
    code = f"{HEAD}\nclass Plugin:\n{method}\nplugin = Plugin()\n"
    info = distribution("acme-broken", code)
    (info / "entry_points.txt").write_text("[pyimgano]\nacme = acme_broken:plugin\n", encoding="utf-8")
    assert listed() == ("ok", "1 detector", [])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            "acme_broken.plugin",
            "there is no module acme_broken.plugin, to which its entry point acme = 'acme_broken.plugin' leads; "
            "correct that in its pyproject.toml and install it again",
        ),
        (
            "acme_broken:register_detectors",
            "acme_broken:register_detectors, which is a function, implements no hook of pyimgano "
            "(see the module pyimgano.hookspecs)",
        ),
    ],
)
def test_an_entry_point_that_leads_elsewhere_says_where(
    distribution: Callable, listed: Callable, value: str, message: str
) -> None:
    info = distribution("acme-broken", GOOD)
    (info / "entry_points.txt").write_text(f"[pyimgano]\nacme = {value}\n", encoding="utf-8")
    status, _, details = listed()
    assert (status, details[0]) == ("broken", message)


# Requirements


@pytest.mark.parametrize(
    ("requires", "problem", "fix"),
    [
        ("acme-absent", "needs acme-absent, which is not installed", "acme-absent"),
        ("acme-absent<3,>=2", "needs acme-absent<3,>=2, which is not installed", '"acme-absent<3,>=2"'),
        (
            "acme-absent[fast]>=2; python_version > '3'",
            "needs acme-absent[fast]>=2, which is not installed",
            '"acme-absent[fast]>=2"',
        ),
        (
            "acme-absent @ https://example.org/acme.whl",
            "needs acme-absent@ https://example.org/acme.whl, which is not installed",
            '"acme-absent@ https://example.org/acme.whl"',
        ),
        ("pluggy>=999", f"needs pluggy>=999, but {pluggy.__version__} is installed", '"pluggy>=999"'),
    ],
)
def test_an_unmet_requirement_of_a_plugin_that_loads_is_shown(
    distribution: Callable, listed: Callable, requires: str, problem: str, fix: str
) -> None:
    distribution("acme-broken", GOOD, requires=[OURS, requires])
    status, provides, details = listed()
    assert (status, provides) == ("missing-deps", "1 detector")
    assert [re.sub(r"\s*@\s*", "@ ", line) for line in details] == [problem, install(fix)]


def test_every_unmet_requirement_is_shown_at_once(distribution: Callable, listed: Callable) -> None:
    distribution("acme-broken", GOOD, requires=[OURS, "acme-absent", "acme-away>=1"])
    problems = ["needs acme-absent, which is not installed", "needs acme-away>=1, which is not installed"]
    assert listed() == ("missing-deps", "1 detector", [*problems, install("acme-absent"), install('"acme-away>=1"')])


@pytest.mark.parametrize("requires", ['acme-absent; sys_platform == "nowhere"', 'acme-absent; extra == "fast"', "pluggy>=1"])
def test_a_requirement_that_is_met_or_does_not_apply_here_is_no_problem(
    distribution: Callable, listed: Callable, requires: str
) -> None:
    distribution("acme-broken", GOOD, requires=[OURS, requires])
    assert listed() == ("ok", "1 detector", [])


def test_an_import_error_that_the_metadata_explains_is_a_missing_dependency(distribution: Callable, listed: Callable) -> None:
    distribution("acme-broken", "import acme_absent\n", requires=[OURS, "acme-absent>=2"])
    assert listed() == (
        "missing-deps",
        "nothing",
        [
            "needs acme-absent>=2, which is not installed",
            "ModuleNotFoundError: No module named 'acme_absent' (site/acme_broken.py, line 1)",
            install('"acme-absent>=2"'),
            TRACE,
        ],
    )


def test_a_requirement_of_one_component_is_mended_by_its_extra(distribution: Callable, listed: Callable) -> None:
    code = GOOD.replace("summary=", "requires=('acme-absent>=2',), extra='fast', summary=")
    distribution("acme-broken", code)
    problem = "needs acme-absent>=2, which is not installed"
    assert listed() == ("missing-deps", "1 detector", [problem, install('"acme-broken[fast]"')])


def test_a_requirement_of_one_component_without_an_extra_is_installed_itself(distribution: Callable, listed: Callable) -> None:
    distribution("acme-broken", GOOD.replace("summary=", "requires=('acme-absent>=2',), summary="))
    problem = "needs acme-absent>=2, which is not installed"
    assert listed() == ("missing-deps", "1 detector", [problem, install('"acme-absent>=2"')])


def test_metadata_that_requires_nothing_is_fine(distribution: Callable, listed: Callable) -> None:
    distribution("acme-broken", GOOD, requires=None)
    assert listed() == ("ok", "1 detector", [])


@pytest.mark.parametrize("requires", ["acme absent >= what", "acme-absent>=1.0.*", "pyimgano-core>=0.7.*", "a; os_name ~= 'x'"])
def test_a_requirement_that_cannot_be_parsed_is_said_of_that_plugin(
    distribution: Callable, listed: Callable, requires: str
) -> None:
    distribution("acme-broken", GOOD, requires=[requires])
    status, _, details = listed()
    assert status == ("incompatible" if "core" in requires else "missing-deps")
    assert details[0].startswith("its metadata holds a requirement that cannot be parsed: ")
    assert details[1:] == ([SKIP] if "core" in requires else [])


def test_a_spec_whose_requirement_cannot_be_parsed_is_named(distribution: Callable, listed: Callable) -> None:
    distribution("acme-broken", GOOD.replace("summary=", "requires=('torch two',), summary="))
    status, provides, details = listed()
    assert (status, provides, len(details)) == ("missing-deps", "1 detector", 1)
    assert details[0].startswith("acme_scratch holds a requirement that cannot be parsed: ")


# The version of core


@pytest.mark.parametrize(
    "requires",
    ["pyimgano-core>=0.8", "pyimgano_core<0.7", "PyImgAno.Core (==0.6.*)", "pyimgano-core[demo]>=99; python_version>'3'"],
)
def test_a_plugin_for_another_core_is_noticed_without_importing_it(
    distribution: Callable, listed: Callable, site: Path, requires: str
) -> None:
    distribution("acme-broken", MARK + GOOD, requires=["pluggy", requires])
    status, provides, details = listed()
    problem = f"needs {requires}, but pyimgano-core 0.7.0 is installed"
    assert (status, provides) == ("incompatible", "nothing")
    assert details == [problem, install("--upgrade pyimgano-core acme-broken"), SKIP]
    assert not (site / "acme_broken.imported").exists()


@pytest.mark.parametrize(
    "requires",
    [
        "pyimgano-core",
        "pyimgano_core >=0.7, <0.8",
        "pyimgano-core (<0.8,>=0.7)",
        "pyimgano-core>=0.5",
        "pyimgano-core==0.7.*; python_version > '3'",
        "pyimgano-core>=99; python_version < '3'",
        "pyimgano-core>=99; extra == 'next'",
    ],
)
def test_a_plugin_for_this_core_is_loaded(distribution: Callable, listed: Callable, site: Path, requires: str) -> None:
    distribution("acme-broken", MARK + GOOD, requires=[requires])
    assert listed() == ("ok", "1 detector", [])
    assert (site / "acme_broken.imported").exists()


def test_a_distribution_whose_name_only_begins_like_cores_is_not_core(distribution: Callable, listed: Callable) -> None:
    distribution("acme-broken", GOOD, requires=["pyimgano-core-tools>=99"])
    problem = "needs pyimgano-core-tools>=99, which is not installed"
    assert listed() == ("missing-deps", "1 detector", [problem, install('"pyimgano-core-tools>=99"')])


def test_the_older_single_distribution_beside_core_is_a_note(distribution: Callable, cli: Callable) -> None:
    info = distribution("pyimgano", "", module="older", version="0.6.43", requires=None)
    (info / "entry_points.txt").write_text("[console_scripts]\npyimgano = pyimgano.cli:main\n", encoding="utf-8")
    done = cli("list-plugins", "--strict", "--no-plugins")
    assert done.code == 0
    assert "note: the older distribution 'pyimgano' 0.6.43 is installed beside pyimgano-core" in done.out


# Damaged installs


def gone(folder: Path) -> str:
    return json.dumps({"url": folder.as_uri(), "dir_info": {"editable": True}})


def test_an_editable_install_whose_folder_is_gone_says_so(
    distribution: Callable, listed: Callable, site: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "my checkout"
    distribution("acme-broken", GOOD, direct_url=gone(folder))
    (site / "acme_broken.py").unlink()
    problem = f"installed editable from {folder}, which no longer exists"
    assert listed() == ("broken", "nothing", [problem, f"fix   {pip('uninstall', 'acme-broken')}", SKIP])


@pytest.mark.parametrize("direct_url", ["here", "file", "[]", "{broken", '{"url": 5, "dir_info": {"editable": true}}', "{}"])
def test_a_fault_in_an_install_whose_folder_is_there_is_shown_as_it_is(
    distribution: Callable, listed: Callable, tmp_path: Path, direct_url: str
) -> None:
    url = {"here": gone(tmp_path), "file": gone(tmp_path / "gone").replace("true", "false")}.get(direct_url, direct_url)
    distribution("acme-broken", "raise RuntimeError('no licence')\n", direct_url=url)
    problem = "RuntimeError: no licence (site/acme_broken.py, line 1)"
    assert listed() == ("broken", "nothing", [problem, TRACE, SKIP])


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("entry_points.txt", b"[pyimgano]\ncaf\xe9 = acme_broken\n"),
        ("entry_points.txt", b"[pyimgano]\nacme_broken\n"),
        ("METADATA", b"Metadata-Version: 2.1\nName: acme-broken\nVersion: 1.0\nAuthor: Ren\xe9\n"),
        ("METADATA", b"Metadata-Version: 2.1\nVersion: 1.0\n"),
    ],
    ids=["latin-1 entry points", "an entry point without a module", "latin-1 metadata", "metadata without a name"],
)
def test_metadata_that_cannot_be_read_hides_no_other_plugin(
    distribution: Callable, listed: Callable, file: str, content: bytes
) -> None:
    info = distribution("acme-broken", GOOD)
    distribution("acme-fine", GOOD)
    (info / file).write_bytes(content)
    status, provides, details = listed()
    assert (status, provides) == ("broken", "nothing")
    assert details[0].startswith("its metadata cannot be read: ")
    assert details[0].endswith(f"({info})")
    assert details[1:] == [install("--force-reinstall acme-broken"), SKIP]
    assert listed("acme-fine") == ("ok", "1 detector", [])


def test_a_plugin_with_damaged_metadata_can_be_skipped(
    distribution: Callable, cli: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = distribution("acme-broken", GOOD)
    (info / "entry_points.txt").write_bytes(b"[pyimgano]\ncaf\xe9 = acme_broken\n")
    monkeypatch.setenv("PYIMGANO_PLUGINS", "acme-broken")
    assert cli("list-plugins", "--strict").code == 1
    monkeypatch.setenv("PYIMGANO_DISABLE", "acme-broken")
    done = cli("list-plugins", "--strict")
    assert (done.code, entry_of(done.out, "acme-broken")[0]) == (0, "disabled")


def test_a_damaged_distribution_that_is_no_plugin_is_not_our_business(distribution: Callable, cli: Callable) -> None:
    info = distribution("acme-other", GOOD)
    (info / "entry_points.txt").write_bytes(b"[console_scripts]\ncaf\xe9 = acme_other:main\n")
    assert "acme-other" not in cli("list-plugins").out


# Several plugins


def test_two_distributions_with_the_same_entry_point_name_both_load(distribution: Callable, listed: Callable) -> None:
    distribution("acme-one", GOOD, entry="same")
    distribution("acme-two", GOOD.replace("acme_scratch", "acme_dent"), entry="same")
    assert listed("acme-one") == listed("acme-two") == ("ok", "1 detector", [])
    assert {"acme_scratch", "acme_dent"} <= {spec.name for _, spec in discover().components("detector")}


def test_two_entry_points_of_one_distribution_are_two_rows(distribution: Callable, listed: Callable, site: Path) -> None:
    info = distribution("acme-broken", GOOD)
    (site / "acme_second.py").write_text("raise RuntimeError('second')\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[pyimgano]\none = acme_broken\ntwo = acme_second\n", encoding="utf-8")
    assert listed("acme-broken/one") == ("ok", "1 detector", [])
    problem = "RuntimeError: second (site/acme_second.py, line 1)"
    assert listed("acme-broken/two") == ("broken", "nothing", [problem, TRACE, SKIP])


def test_of_two_copies_on_the_path_the_first_counts(
    distribution: Callable, listed: Callable, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribution("acme-broken", "raise RuntimeError('older copy')\n", version="0.9")
    site.rename(tmp_path / "later")
    site.mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "later"))
    monkeypatch.syspath_prepend(str(site))
    distribution("acme-broken", GOOD)
    assert listed() == ("ok", "1 detector", [])


def test_the_order_is_that_of_the_normalised_names_whatever_the_path_holds(distribution: Callable) -> None:
    for name in ("Zeta", "acme_b", "acme.a", "Acme-C"):
        distribution(name, GOOD, module=f"plugin_{ord(name[-1])}")
    records = discover().records
    names = [record.distribution for record in records if record.status != "not-installed"]
    assert names == [CORE, *sorted(names[1:])]
    assert [name for name in names if name.startswith("acme") or name == "zeta"] == ["acme-a", "acme-b", "acme-c", "zeta"]
    detectors = [(spec.name, record.distribution) for record, spec in discover().components("detector")]
    assert detectors == sorted(detectors)


# Flags of list-plugins


def test_what_a_plugin_prints_while_it_is_loaded_goes_to_stderr(distribution: Callable, cli: Callable) -> None:
    distribution("acme-broken", "print('hello from import')\n" + hook(f"print('hello from hook'); return [{DETECTOR}]"))
    done = cli("list-plugins", "--json")
    assert "acme-broken" in [plugin["distribution"] for plugin in json.loads(done.out)["plugins"]]
    assert done.err.splitlines() == ["hello from import", "hello from hook"]


def test_json_holds_every_record_in_the_same_shape(
    distribution: Callable, cli: Callable, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYIMGANO_DISABLE", "nobody")
    monkeypatch.setitem(FIRST_PARTY, "pyimgano-acme", {"detector": ("vision_acme", "vision_acme2")})
    distribution("acme-broken", hook("raise RuntimeError('no licence')") + DATASET_HOOK)
    done = cli("list-plugins", "--json")
    content = json.loads(done.out)
    assert done.code == 0
    assert content["notices"] == ["no plugin distribution is called 'nobody' (named in PYIMGANO_DISABLE)"]
    plugins = {plugin["distribution"]: plugin for plugin in content["plugins"]}
    for plugin in plugins.values():
        assert plugin.keys() == plugins[CORE].keys()
    assert plugins[CORE]["provides"]["detector"] == ["vision_filterbank"]
    assert plugins["acme-broken"].pop("milliseconds") > 0
    message = "register_detectors: RuntimeError: no licence (site/acme_broken.py, line 5)"
    assert plugins["acme-broken"] == {
        "distribution": "acme-broken",
        "entry_point": "acme_broken",
        "version": "1.0",
        "location": str(site),
        "status": "partial",
        "problems": [{"message": message, "fix": "pyimgano list-plugins --trace acme-broken"}],
        "provides": {"dataset": ["acme_parts"]},
    }
    absent = plugins["pyimgano-acme"]
    assert (absent["status"], absent["version"]) == ("not-installed", None)
    assert absent["provides"] == {"detector": ["vision_acme", "vision_acme2"]}


def test_a_plugin_that_is_not_installed_is_listed_with_its_command(cli: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FIRST_PARTY, "pyimgano-acme", {"detector": ("vision_acme", "vision_acme2")})
    entry = entry_of(cli("list-plugins").out, "pyimgano-acme")
    assert entry == ("not-installed", "2 detectors", [install("pyimgano-acme")])


@pytest.mark.parametrize(
    ("code", "requires", "exit_code"),
    [
        (GOOD, [OURS], 0),
        ("raise RuntimeError\n", [OURS], 1),
        (hook("raise RuntimeError") + DATASET_HOOK, [OURS], 1),
        (GOOD, ["pyimgano-core>=99"], 1),
        (GOOD, ["acme-absent"], 1),
    ],
    ids=["ok", "broken", "partial", "incompatible", "missing-deps"],
)
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_strict_exits_with_1_unless_every_enabled_plugin_is_ok(
    distribution: Callable,
    cli: Callable,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    requires: list[str],
    exit_code: int,
    form: tuple[str, ...],
) -> None:
    distribution("acme-broken", code, requires=requires)
    monkeypatch.setenv("PYIMGANO_PLUGINS", "acme-broken")
    done = cli("list-plugins", "--strict", *form)
    assert done.code == exit_code
    assert "acme-broken" in done.out
    monkeypatch.setenv("PYIMGANO_PLUGINS", "")
    monkeypatch.setitem(FIRST_PARTY, "pyimgano-acme", {"detector": ("vision_acme",)})
    done = cli("list-plugins", "--strict", *form)
    assert done.code == 0
    assert "disabled" in done.out
    assert "not-installed" in done.out


def test_timings_shows_how_long_each_plugin_took(distribution: Callable, cli: Callable) -> None:
    distribution("acme-broken", "import time\ntime.sleep(0.05)\n" + GOOD)
    lines = cli("list-plugins", "--timings").out.splitlines()
    assert lines[0].endswith("LOADED IN")
    row = next(line for line in lines if line.startswith("acme-broken"))
    assert float(re.fullmatch(r".* (\d+\.\d) ms", row)[1]) >= 50
    assert " ms" not in cli("list-plugins").out


def test_trace_prints_the_whole_traceback(distribution: Callable, cli: Callable) -> None:
    distribution("acme-broken", "def fail():\n    raise RuntimeError('no licence')\n\nfail()\n")
    done = cli("list-plugins", "--trace", "acme-broken")
    assert done.code == 0
    assert done.out.startswith("Traceback (most recent call last):")
    assert 'acme_broken.py", line 4, in <module>' in done.out
    assert done.out.rstrip().endswith("RuntimeError: no licence")


def test_trace_finds_the_entry_point_that_failed(distribution: Callable, cli: Callable, site: Path) -> None:
    info = distribution("acme-broken", GOOD)
    (site / "acme_second.py").write_text(hook("raise RuntimeError('second')"), encoding="utf-8")
    (info / "entry_points.txt").write_text("[pyimgano]\none = acme_broken\ntwo = acme_second\n", encoding="utf-8")
    assert "RuntimeError: second" in cli("list-plugins", "--trace", "acme-broken").out
    assert "RuntimeError: second" in cli("list-plugins", "--trace", "acme-broken/two").out
    said = cli("list-plugins", "--trace", "acme-broken/one").out
    assert said == "acme-broken/one is ok; nothing was raised while it was loaded\n"


def test_trace_of_a_name_that_is_not_there_suggests_the_nearest(distribution: Callable, cli: Callable) -> None:
    distribution("acme-broken", GOOD)
    done = cli("list-plugins", "--trace", "acme-brokn")
    assert done.code == 2
    assert done.err == "Error: no plugin is called 'acme-brokn'\nNext:  did you mean acme-broken?\n"


# Selection


@pytest.mark.parametrize(
    ("allow", "loaded"),
    [
        (None, {"one", "two"}),
        ("acme-one", {"one"}),
        (" Acme_One , acme.two ", {"one", "two"}),
        ("", set()),
        ("pyimgano-core", set()),
    ],
)
def test_the_allow_list_decides_what_is_imported(
    distribution: Callable, cli: Callable, site: Path, monkeypatch: pytest.MonkeyPatch, allow: str | None, loaded: set[str]
) -> None:
    for name in ("one", "two"):
        distribution(f"acme-{name}", MARK + GOOD)
    if allow is not None:
        monkeypatch.setenv("PYIMGANO_PLUGINS", allow)
    listing = cli("list-plugins").out
    reason = "not in PYIMGANO_PLUGINS" if allow else "PYIMGANO_PLUGINS is empty or --no-plugins was given: core only"
    for name in ("one", "two"):
        expected = ("ok", "1 detector", []) if name in loaded else ("disabled", "nothing", [reason])
        assert entry_of(listing, f"acme-{name}") == expected
    assert {file.stem for file in site.glob("*.imported")} == {f"acme_{name}" for name in loaded}
    assert entry_of(listing, CORE)[0] == "ok"
    assert "note:" not in listing


def test_the_disable_list_comes_after_the_allow_list(
    distribution: Callable, cli: Callable, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribution("acme-broken", MARK + GOOD)
    monkeypatch.setenv("PYIMGANO_PLUGINS", "acme-broken")
    monkeypatch.setenv("PYIMGANO_DISABLE", "ACME_broken")
    entry = entry_of(cli("list-plugins").out, "acme-broken")
    assert entry == ("disabled", "nothing", ["disabled by PYIMGANO_DISABLE"])
    assert not list(site.glob("*.imported"))


def test_core_cannot_be_disabled_and_says_so(cli: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYIMGANO_DISABLE", "PyImgAno_Core")
    listing = cli("list-plugins").out
    assert entry_of(listing, CORE)[0] == "ok"
    assert "note: pyimgano-core cannot be disabled; PYIMGANO_DISABLE is ignored for it" in listing
    assert "vision_filterbank" in cli("list-models").out


def test_a_name_in_a_list_that_is_not_installed_is_noted(cli: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYIMGANO_PLUGINS", "acme-allowed")
    monkeypatch.setenv("PYIMGANO_DISABLE", "acme-disabled")
    listing = cli("list-plugins").out
    assert "note: no plugin distribution is called 'acme-allowed' (named in PYIMGANO_PLUGINS)" in listing
    assert "note: no plugin distribution is called 'acme-disabled' (named in PYIMGANO_DISABLE)" in listing


@pytest.mark.parametrize("line", [("--no-plugins", "list-plugins"), ("list-plugins", "--no-plugins")])
def test_no_plugins_uses_core_alone_wherever_it_stands(
    distribution: Callable, cli: Callable, site: Path, line: tuple[str, ...]
) -> None:
    distribution("acme-broken", MARK + "raise RuntimeError\n")
    done = cli(*line)
    reason = "PYIMGANO_PLUGINS is empty or --no-plugins was given: core only"
    assert entry_of(done.out, "acme-broken") == ("disabled", "nothing", [reason])
    assert cli("list-models", "--no-plugins").out.count("\n") == 2
    assert not list(site.glob("*.imported"))


def test_a_selection_can_be_given_in_python(distribution: Callable) -> None:
    distribution("acme-one", GOOD)
    distribution("acme-two", GOOD)
    records = discover(Selection(allow=("acme-one", "acme-two"), disable=("acme-two",))).records
    status = {record.distribution: record.status for record in records}
    assert (status[CORE], status["acme-one"], status["acme-two"]) == ("ok", "ok", "disabled")
