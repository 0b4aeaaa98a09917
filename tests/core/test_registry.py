"""From a name to a component: names and clashes, options, what is refused, and what ``pyimgano show`` prints."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pyimgano
from pyimgano.detectors.filterbank import FilterBank
from pyimgano.discovery import PluginIndex, PluginRecord, discover
from pyimgano.discovery.catalogue import FIRST_PARTY
from pyimgano.discovery.records import Candidate
from pyimgano.errors import (
    AmbiguousComponentError,
    MissingDependencyError,
    OptionsError,
    PluginError,
    PyimganoError,
    UnknownComponentError,
    WeightsError,
)
from pyimgano.logs import collected_warnings
from pyimgano.options import from_pairs
from pyimgano.registry import KINDS, build_component, create_model, find, list_models, load_dataset
from pyimgano.specs import DetectorSpec

PLUGIN = """
from pyimgano import hookimpl, specs

@hookimpl
def register_detectors():
    return [specs.DetectorSpec(name={name!r}, summary={summary!r}, factory={factory!r}, **{more!r})]
"""

OPTIONS = """
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from pyimgano.options import Options

Odd = Annotated[int, Field(ge=1)]

class Model(Options):
    k: int = Field(9, ge=1, le=2000000, description="Neighbours.")
    ratio: float = Field(0.1, gt=0, lt=1, description="Share of the patches.")
    distance: Literal["nearest", "mean"] = Field("nearest", description="Kind of distance.")
    size: tuple[Odd, Odd] | None = Field((3, 3), description="Filter size.")
    layers: tuple[str, ...] = Field(default_factory=tuple, description="Layers.")
    weights: Path | None = Field(None, description="A file.")

    @field_validator("k")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("must be odd")
        return value
"""

IMPLEMENTATION = """
from pathlib import Path

from pyimgano import Detector

Path(__file__).with_suffix(".imported").touch()

class build(Detector):
    _fit = _score = state = load_state = None

    def __init__(self, options, runtime, **more):
        super().__init__(options, runtime)
        self.more = more
"""


def pip_install(what: str) -> str:
    """Return the command that installs something into the environment of this very interpreter."""
    if importlib.util.find_spec("pip") is None:
        return f"uv pip install --python {sys.executable} {what}"
    return f"{sys.executable} -m pip install {what}"


@pytest.fixture
def plugin(distribution: Callable, site: Path) -> Callable[..., None]:
    """Write a distribution with one detector; its factory and options are in modules of their own."""

    def write(
        dist: str,
        name: str = "vision_x",
        *,
        implementation: str = IMPLEMENTATION,
        options: str | None = OPTIONS,
        requires: list[str] | None = None,
        summary: str = "A detector",
        factory: str = "build",
        **more: Any,
    ) -> None:
        stem = dist.replace("-", "_")
        (site / f"{stem}_impl.py").write_text(implementation, encoding="utf-8")
        if options is not None:
            (site / f"{stem}_options.py").write_text(options, encoding="utf-8")
            more["options"] = f"{stem}_options:Model"
        code = PLUGIN.format(name=name, summary=summary, factory=f"{stem}_impl:{factory}", more=more)
        distribution(dist, code, requires=["pyimgano-core>=0.7,<0.8", *(requires or ())])

    return write


def fails(error: type[PyimganoError], problem: str, next_step: str, call: Callable[[], Any]) -> PyimganoError:
    """Check the type, the problem and the next step of what a call raises."""
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    assert (caught.value.problem, caught.value.next_step) == (problem, next_step)
    return caught.value


# Names


def test_the_short_and_the_full_name_mean_the_same_component(plugin: Callable) -> None:
    plugin("acme-one")
    short, full = find("detector", "vision_x"), find("detector", "acme-one:vision_x")
    assert short == full
    assert short.full_name == "acme-one:vision_x"
    assert find("detector", "pyimgano-core:vision_filterbank") == find("detector", "vision_filterbank")


def test_the_kinds_have_names_of_their_own(plugin: Callable) -> None:
    plugin("acme-one", "folder")
    assert find("detector", "folder").record.distribution == "acme-one"
    assert find("dataset", "folder").record.distribution == "pyimgano-core"


def test_a_short_name_of_two_plugins_is_an_error_only_where_it_is_used(plugin: Callable, cli: Callable) -> None:
    plugin("acme-two")
    plugin("acme-one")
    names = "acme-one:vision_x or acme-two:vision_x"
    problem = "detector 'vision_x' is offered by 2 plugins"
    fails(AmbiguousComponentError, problem, f"use its full name: {names}", lambda: create_model("vision_x"))
    shown = cli("show", "detector", "vision_x")
    assert (shown.code, shown.err) == (2, f"Error: {problem}\nNext:  use its full name: {names}\n")
    listed = cli("list-models")
    assert listed.code == 0
    assert [line.split()[0] for line in listed.out.splitlines() if "vision_x" in line] == names.split(" or ")
    assert {"acme-one:vision_x", "acme-two:vision_x"} <= set(list_models())
    assert "vision_x" not in list_models()
    assert create_model("acme-two:vision_x").runtime.device == "auto"


def test_one_distribution_that_offers_a_name_twice_spoils_no_listing(plugin: Callable, cli: Callable, site: Path) -> None:
    plugin("acme-one")
    (site / "acme_again.py").write_text((site / "acme_one.py").read_text(encoding="utf-8"), encoding="utf-8")
    entries = "[pyimgano]\none = acme_one\ntwo = acme_again\n"
    (site / "acme_one-1.0.dist-info" / "entry_points.txt").write_text(entries, encoding="utf-8")
    done = cli("list-models")
    assert done.code == 0
    assert done.out.count("acme-one:vision_x") == 2
    assert "vision_filterbank" in done.out


def test_a_short_name_of_core_always_means_cores(plugin: Callable, cli: Callable) -> None:
    plugin("acme-one", "vision_filterbank")
    assert find("detector", "vision_filterbank").record.distribution == "pyimgano-core"
    assert isinstance(create_model("vision_filterbank"), FilterBank)
    assert type(create_model("acme-one:vision_filterbank")).__name__ == "build"
    assert {"vision_filterbank", "acme-one:vision_filterbank"} <= set(list_models())
    lines = cli("list-models").out.splitlines()
    assert [line.split()[:2] for line in lines if "vision_filterbank" in line] == [
        ["acme-one:vision_filterbank", "acme-one"],
        ["vision_filterbank", "pyimgano-core"],
    ]
    assert "acme-one:vision_filterbank" in cli("show", "detector", "acme-one:vision_filterbank").out


def test_an_unknown_name_is_answered_with_the_nearest(plugin: Callable) -> None:
    listing = "pyimgano list-models shows what is there"
    fails(
        UnknownComponentError,
        "no detector is called 'vision_filterbnk'",
        f"did you mean vision_filterbank? {listing}",
        lambda: find("detector", "vision_filterbnk"),
    )
    fails(
        UnknownComponentError,
        "detector 'acme-away:vision_filterbank': no plugin called 'acme-away' is loaded",
        "install it, or pass --plugin FILE for a single file",
        lambda: find("detector", "acme-away:vision_filterbank"),
    )
    fails(UnknownComponentError, "no detector is called 'zzz'", listing, lambda: find("detector", "zzz"))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "detector"])
def test_an_unknown_name_of_another_kind_points_at_the_plugins(kind: str) -> None:
    with pytest.raises(UnknownComponentError, match=f"no {kind} is called 'zzz'") as caught:
        find(kind, "zzz")
    assert caught.value.next_step == "pyimgano list-plugins shows what is there"


@pytest.mark.parametrize("name", ["vision_away", "pyimgano-away:vision_away"])
def test_a_name_of_a_plugin_that_is_not_installed_comes_with_the_command(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FIRST_PARTY, "pyimgano-away", {"detector": ("vision_away",)})
    problem = f"detector {name!r} is provided by pyimgano-away, which is not installed"
    fails(MissingDependencyError, problem, pip_install("pyimgano-away"), lambda: create_model(name))


def test_a_full_name_is_never_answered_with_another_plugin(distribution: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FIRST_PARTY, "pyimgano-away", {"detector": ("vision_away",)})
    distribution("acme-broken", "raise RuntimeError('no licence')\n")
    reason = "RuntimeError: no licence (site/acme_broken.py, line 1)"
    fails(
        PluginError,
        f"detector 'acme-broken:vision_away': plugin acme-broken is broken: {reason}",
        "pyimgano list-plugins --trace acme-broken",
        lambda: find("detector", "acme-broken:vision_away"),
    )


def test_a_name_of_a_broken_plugin_fails_with_its_reason(distribution: Callable) -> None:
    distribution("acme-broken", "raise RuntimeError('no licence')\n")
    fails(
        UnknownComponentError,
        "no detector is called 'acme_thing'",
        "not loaded: acme-broken (broken: RuntimeError: no licence (site/acme_broken.py, line 1)); "
        "pyimgano list-models shows what is there",
        lambda: find("detector", "acme_thing"),
    )


def test_a_name_that_a_plugin_failed_to_register_comes_with_its_reason(distribution: Callable) -> None:
    code = (
        "from pyimgano import hookimpl, specs\n\n@hookimpl\ndef register_detectors():\n    raise RuntimeError('no licence')\n"
    )
    dataset = "[specs.DatasetSpec(name='acme', summary='', factory='a:b')]"
    distribution("acme-broken", f"{code}\n@hookimpl\ndef register_datasets():\n    return {dataset}\n")
    reason = "register_detectors: RuntimeError: no licence (site/acme_broken.py, line 5)"
    with pytest.raises(UnknownComponentError) as caught:
        find("detector", "vision_x")
    assert f"acme-broken (partial: {reason})" in caught.value.next_step
    with pytest.raises(PluginError) as named:
        find("detector", "acme-broken:vision_x")
    assert named.value.problem == f"detector 'acme-broken:vision_x': plugin acme-broken is partial: {reason}"


def test_a_name_of_a_plugin_for_another_core_comes_with_the_upgrade(distribution: Callable) -> None:
    distribution("acme-broken", "", requires=["pyimgano-core>=0.8"])
    fails(
        PluginError,
        "detector 'acme-broken:vision_x': plugin acme-broken is incompatible: "
        "needs pyimgano-core>=0.8, but pyimgano-core 0.7.0 is installed",
        pip_install("--upgrade pyimgano-core acme-broken"),
        lambda: find("detector", "acme-broken:vision_x"),
    )


def test_a_name_that_is_not_there_says_which_plugins_are_disabled(plugin: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin("acme-one")
    monkeypatch.setenv("PYIMGANO_DISABLE", "acme-one")
    with pytest.raises(UnknownComponentError, match="no detector is called 'vision_x'") as caught:
        find("detector", "vision_x")
    assert "disabled: acme-one;" in caught.value.next_step
    with pytest.raises(PluginError, match="plugin acme-one is disabled: disabled by PYIMGANO_DISABLE"):
        find("detector", "acme-one:vision_x")


def test_an_index_built_by_hand_is_all_that_counts() -> None:
    spec = DetectorSpec(name="vision_y", summary="", factory="pyimgano.detectors.filterbank:FilterBank")
    index = PluginIndex((PluginRecord(Candidate("acme", "acme", "1"), "ok", components=(spec,)),))
    assert list_models(index=index) == ["vision_y"]
    assert find("detector", "vision_y", index).factory() is FilterBank
    with pytest.raises(UnknownComponentError):
        find("detector", "vision_filterbank", index)


def test_a_deprecated_component_warns_where_it_is_used_and_not_where_it_is_listed(plugin: Callable, cli: Callable) -> None:
    plugin("acme-one", deprecated="vision_y")
    with collected_warnings() as warnings:
        create_model("vision_x")
        list_models()
    assert warnings == ["detector vision_x is deprecated: use vision_y"]
    assert cli("show", "detector", "vision_x").err == "WARNING: detector vision_x is deprecated: use vision_y\n"
    assert cli("list-models").err == ""


def test_tags_choose_detectors(plugin: Callable, cli: Callable) -> None:
    plugin("acme-one", "vision_b", tags={"scratch", "cpu"})
    plugin("acme-two", "vision_a", tags={"scratch", "gpu"})
    assert list_models(["scratch"]) == ["vision_a", "vision_b"]
    assert list_models(["scratch", "cpu"]) == ["vision_b"]
    assert list_models(["none_has_this"]) == []
    assert {"vision_a", "vision_b", "vision_filterbank"} <= set(list_models())
    assert list_models() == sorted(list_models())
    assert [row["name"] for row in json.loads(cli("list-models", "--tag", "scratch", "--tag", "gpu", "--json").out)] == [
        "vision_a"
    ]
    assert "known tags: " in cli("list-models", "--tag", "none_has_this").out
    assert "scratch" in cli("list-models", "--tag", "none_has_this").out


# Options


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"k": 0}, "vision_x.k: must be at least 1 (got 0)"),
        ({"k": 2000001}, "vision_x.k: must be at most 2000000 (got 2000001)"),
        ({"k": 4}, "vision_x.k: must be odd (got 4)"),
        ({"ratio": 0}, "vision_x.ratio: must be greater than 0 (got 0)"),
        ({"ratio": "1.5"}, "vision_x.ratio: must be less than 1 (got '1.5')"),
        ({"size": [3, 0]}, "vision_x.size.1: must be at least 1 (got 0)"),
        ({"distance": "far"}, "vision_x.distance: must be 'nearest' or 'mean' (got 'far')"),
        ({"ration": 0.5}, "vision_x.ration: unknown option; did you mean ratio?"),
        ({"zzz": 1}, "vision_x.zzz: unknown option; it knows distance, k, layers, ratio, size, weights"),
        (
            {"k": "many"},
            "vision_x.k: input should be a valid integer, unable to parse string as an integer (got 'many')",
        ),
        ({"k": 0, "ratio": 2}, "vision_x.k: must be at least 1 (got 0)\nvision_x.ratio: must be less than 1 (got 2)"),
    ],
)
def test_a_wrong_option_is_explained_before_the_factory_is_imported(
    plugin: Callable, site: Path, options: dict[str, Any], problem: str
) -> None:
    plugin("acme-one")
    fails(OptionsError, problem, "pyimgano show detector vision_x", lambda: create_model("vision_x", **options))
    assert not (site / "acme_one_impl.imported").exists()


def test_an_option_of_a_component_without_options_is_unknown(plugin: Callable) -> None:
    plugin("acme-one", options=None)
    problem = "vision_x.k: unknown option; it knows no options"
    fails(OptionsError, problem, "pyimgano show detector vision_x", lambda: create_model("vision_x", k=1))


def test_a_required_option_says_so() -> None:
    fails(OptionsError, "folder.root: is required", "pyimgano show dataset folder", lambda: load_dataset("folder"))


def test_a_wrong_option_on_the_command_line_is_a_user_error(plugin: Callable, cli: Callable, tmp_path: Path) -> None:
    plugin("acme-one")
    done = cli("train", "--root", tmp_path, "--model", "vision_x", "-o", "k=0", "--output", tmp_path / "run")
    assert (done.code, done.err) == (
        2,
        "Error: vision_x.k: must be at least 1 (got '0')\nNext:  pyimgano show detector vision_x\n",
    )


def test_pairs_become_values_that_options_are_made_of(plugin: Callable) -> None:
    plugin("acme-one")
    pairs = ["k=11", " ratio = 0.5", "size=[5, 7]", 'layers=["a", "b"]', "weights=a=b.pth", "distance=mean"]
    options = create_model("vision_x", **from_pairs(pairs)).options
    assert options.model_dump() == {
        "k": 11,
        "ratio": 0.5,
        "distance": "mean",
        "size": (5, 7),
        "layers": ("a", "b"),
        "weights": Path("a=b.pth"),
    }
    assert create_model("vision_x", **from_pairs(["size=none"])).options.size is None
    assert from_pairs(["a=null", "b=[broken", "c="]) == {"a": None, "b": "[broken", "c": ""}
    for pair in ("k", "=9", " =9"):
        with pytest.raises(OptionsError, match="is not of the form key=value"):
            from_pairs([pair])


# Building


def test_create_model_hands_runtime_options_and_embedder_to_the_factory(plugin: Callable) -> None:
    plugin("acme-one", devices=("cpu", "cuda"), embedder=True, amp=True)

    def embed(images: Any) -> Any:
        raise NotImplementedError

    built = pyimgano.create_model("vision_x", device="cuda:1", batch_size=0, amp=True, seed=7, embedder=embed, k=3)
    runtime = built.runtime
    assert (runtime.device, runtime.batch_size, runtime.amp, runtime.seed) == ("cuda:1", 0, True, 7)
    assert (built.options.k, built.options.ratio) == (3, 0.1)
    assert built.more["embedder"] is embed
    assert create_model("vision_x").more == {}


def test_create_model_takes_a_preset_and_options_go_before_it(plugin: Callable) -> None:
    plugin("acme-one", presets={"fine": {"k": 7, "ratio": 0.5}})
    built = create_model("vision_x", preset="fine", k=3)
    assert (built.options.k, built.options.ratio) == (3, 0.5)
    fails(
        PluginError,
        "vision_x has no preset 'fin'",
        "did you mean fine? it has fine",
        lambda: create_model("vision_x", preset="fin"),
    )


def test_reduced_precision_that_a_detector_does_not_know_is_warned_of_and_not_asked_of_it(plugin: Callable) -> None:
    plugin("acme-one")
    plugin("acme-two", "vision_y", amp=True)
    with collected_warnings() as warnings:
        detectors = [create_model(name, amp=amp) for name in ("vision_x", "vision_y") for amp in (False, True)]
    assert [detector.runtime.amp for detector in detectors] == [False, False, False, True]
    assert warnings == ["vision_x knows no reduced precision (amp), so it computes in full precision"]


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "mps", ""])
def test_a_device_that_the_detector_does_not_list_is_refused(plugin: Callable, site: Path, device: str) -> None:
    plugin("acme-one")
    problem = f"vision_x does not run on device {device!r}"
    fails(PluginError, problem, "use one of: auto, cpu", lambda: create_model("vision_x", device=device))
    assert not (site / "acme_one_impl.imported").exists()


def test_an_embedder_is_refused_where_the_detector_takes_none(plugin: Callable, site: Path) -> None:
    plugin("acme-one")
    fails(
        PluginError,
        "vision_x does not take an embedder",
        "pyimgano show detector vision_x",
        lambda: create_model("vision_x", embedder=lambda images: images),
    )
    assert not (site / "acme_one_impl.imported").exists()


def test_components_of_other_kinds_are_built_from_their_options_alone(tmp_path: Path) -> None:
    assert load_dataset("folder", tmp_path).options.root == tmp_path
    assert build_component(find("dataset", "surface"), {"train": "12"}).options.train == 12


@pytest.mark.parametrize(
    ("more", "problem", "fix"),
    [
        ({"requires": ["acme-absent>=2"]}, "needs acme-absent>=2, which is not installed", ['"acme-absent>=2"']),
        (
            {"requires": ["acme-absent", "acme-away"]},
            "needs acme-absent, which is not installed; needs acme-away, which is not installed",
            ["acme-absent", "acme-away"],
        ),
    ],
)
def test_a_factory_whose_distribution_lacks_a_requirement_comes_with_the_command(
    plugin: Callable, site: Path, more: dict[str, Any], problem: str, fix: list[str]
) -> None:
    plugin("acme-one", implementation=f"import acme_absent\n{IMPLEMENTATION}", **more)
    command = " && ".join(map(pip_install, fix))
    fails(MissingDependencyError, f"acme-one:vision_x {problem}", command, lambda: create_model("vision_x"))


def test_a_component_that_lacks_its_extra_comes_with_the_command(distribution: Callable, cli: Callable) -> None:
    more = {"requires": ("acme-absent>=2", "acme-away"), "extra": "fast"}
    distribution("acme-one", PLUGIN.format(name="vision_x", summary="", factory="acme_one:build", more=more))
    problem = "needs acme-absent>=2, which is not installed; needs acme-away, which is not installed"
    fix = pip_install('"acme-one[fast]"')
    fails(MissingDependencyError, f"acme-one:vision_x {problem}", fix, lambda: create_model("vision_x"))
    shown = cli("show", "detector", "vision_x")
    assert shown.code == 0
    assert f"needs acme-absent>=2, which is not installed; {fix}" in shown.out


@pytest.mark.parametrize(
    ("implementation", "factory", "reason"),
    [
        (
            "import acme_absent\n",
            "build",
            "ModuleNotFoundError: No module named 'acme_absent' (site/acme_one_impl.py, line 1)",
        ),
        (
            "\nraise RuntimeError('operator nms does not exist')\n",
            "build",
            "RuntimeError: operator nms does not exist (site/acme_one_impl.py, line 2)",
        ),
        ("import sys\nsys.exit()\n", "build", "it called sys.exit(None) while it was loaded (site/acme_one_impl.py, line 2)"),
    ],
    ids=["missing module", "raises", "exits"],
)
def test_a_factory_that_cannot_be_imported_raises_the_cause_chained(
    plugin: Callable, implementation: str, factory: str, reason: str
) -> None:
    plugin("acme-one", implementation=implementation, factory=factory)
    raised = fails(
        PluginError,
        f"acme-one:vision_x: acme_one_impl:{factory} cannot be imported: {reason}",
        "run it again with --debug for the whole traceback",
        lambda: create_model("vision_x"),
    )
    assert raised.__cause__ is not None
    assert type(raised.__cause__).__name__ in (*reason.partition(":")[:1], "SystemExit")


def test_a_factory_module_that_is_not_there_is_named(distribution: Callable) -> None:
    distribution("acme-one", PLUGIN.format(name="vision_x", summary="", factory="acme_nowhere:build", more={}))
    with pytest.raises(PluginError) as caught:
        create_model("vision_x")
    path = "acme_nowhere:build cannot be imported: ModuleNotFoundError: No module named 'acme_nowhere'"
    assert caught.value.problem == f"acme-one:vision_x: {path}"


def test_an_error_of_our_own_family_passes_as_it_is(plugin: Callable) -> None:
    code = "from pyimgano.errors import WeightsError\nraise WeightsError('no weights', 'get some')\n"
    plugin("acme-one", implementation=code)
    fails(WeightsError, "no weights", "get some", lambda: create_model("vision_x"))


def test_a_broken_options_module_is_an_error_of_that_component_alone(plugin: Callable, cli: Callable) -> None:
    plugin("acme-one", options="raise RuntimeError('no licence')\n")
    done = cli("show", "detector", "vision_x")
    reason = "acme_one_options:Model cannot be imported: RuntimeError: no licence (site/acme_one_options.py, line 1)"
    assert (done.code, done.err.splitlines()[0]) == (2, f"Error: acme-one:vision_x: {reason}")
    assert cli("list-models").code == 0


# Show


def table_of(text: str) -> dict[str, list[str]]:
    """Return the rows of the options table by option."""
    lines = text[text.index("OPTION ") :].splitlines()
    starts = [match.start() for match in re.finditer(r"\S+", lines[0])]
    cells = [[line[start:end].strip() for start, end in zip(starts, [*starts[1:], None], strict=True)] for line in lines[1:]]
    return {row[0]: row[1:] for row in cells}


def test_show_prints_the_spec_and_a_table_of_options(plugin: Callable, cli: Callable) -> None:
    plugin("acme-one", tags={"b", "a"}, presets={"fast": {"k": 1}, "good": {}}, devices=("cpu", "cuda"), maps=False)
    done = cli("show", "detector", "vision_x")
    assert done.code == 0
    facts = dict(re.findall(r"^  (\S.*?)\s{2,}(.*)$", done.out, re.MULTILINE))
    assert done.out.startswith("vision_x: A detector\n")
    assert facts == {
        "full name": "acme-one:vision_x",
        "version": "1.0",
        "factory": "acme_one_impl:build",
        "tags": "a, b",
        "learning": "fit",
        "maps": "no",
        "weights": "none",
        "devices": "cpu, cuda",
        "inputs": "arrays",
        "embedder": "no",
        "amp": "no",
        "presets": "fast (k=1); good (defaults)",
    }
    assert table_of(done.out) == {
        "k": ["int", "9", ">= 1, <= 2000000", "Neighbours."],
        "ratio": ["float", "0.1", "> 0, < 1", "Share of the patches."],
        "distance": ["one of nearest, mean", "nearest", "", "Kind of distance."],
        "size": ["tuple[int, int] | none", "(3, 3)", "", "Filter size."],
        "layers": ["tuple[str, ...]", "computed", "", "Layers."],
        "weights": ["Path | none", "None", "", "A file."],
    }


def test_show_json_is_the_schema_of_the_options(plugin: Callable, cli: Callable) -> None:
    plugin("acme-one")
    schema = json.loads(cli("show", "detector", "acme-one:vision_x", "--json").out)
    assert schema["properties"]["k"] == {
        "default": 9,
        "description": "Neighbours.",
        "maximum": 2000000,
        "minimum": 1,
        "title": "K",
        "type": "integer",
    }
    assert schema["additionalProperties"] is False


KIND_PLUGIN = """
from pyimgano import hookimpl, specs

@hookimpl
def register_corruptions():
    return [specs.CorruptionSpec(name="acme_blur", summary="Blur", factory="acme_impl:blur", severities=3, moves_pixels=True)]

@hookimpl
def register_postprocessors():
    return [specs.PostprocessorSpec(name="acme_z", summary="Z", factory="acme_impl:z", acts_on="score", fits=True)]

@hookimpl
def register_metrics():
    return [specs.MetricSpec(name="acme_pro", summary="PRO", factory="acme_impl:pro", level="region", needs_masks=True)]

@hookimpl
def register_commands():
    return [specs.CommandSpec(name="acme-report", summary="Report", app="acme_impl:app")]
"""


@pytest.mark.parametrize(
    ("kind", "name", "lines"),
    [
        ("detector", "vision_filterbank", ["learning fit", "bank_size int"]),
        ("dataset", "surface", ["masks yes", "texture one of brushed, cast, woven"]),
        ("dataset", "folder", ["masks yes", "root Path required"]),
        ("corruption", "acme_blur", ["severities 3", "moves_pixels yes", "It has no options."]),
        ("postprocessor", "acme_z", ["acts_on score", "fits yes", "It has no options."]),
        ("metric", "acme_pro", ["level region", "needs_masks yes", "higher_is_better yes", "It has no options."]),
        ("command", "acme-report", ["app acme_impl:app"]),
        ("command", "train", ["app pyimgano.cli.train:app"]),
    ],
)
def test_show_knows_every_kind(distribution: Callable, cli: Callable, kind: str, name: str, lines: list[str]) -> None:
    distribution("acme-kinds", KIND_PLUGIN)
    done = cli("show", kind, name)
    assert done.code == 0, done.err
    shown = re.sub(r" +", " ", done.out)
    for line in lines:
        assert line in shown
    assert ("It has no options." in done.out or "OPTION" in done.out) == (kind != "command")
    assert json.loads(cli("show", kind, name, "--json").out)["type"] == "object"


def test_show_of_an_unknown_kind_or_name_says_what_there_is(cli: Callable) -> None:
    done = cli("show", "detectr", "x")
    assert (done.code, done.err) == (2, "Error: no kind of component is called 'detectr'\nNext:  did you mean detector?\n")
    done = cli("show", "zzz", "x")
    assert done.err.splitlines()[1] == f"Next:  one of: {', '.join(KINDS)}"
    done = cli("show", "dataset", "foldr")
    assert (done.code, done.err.splitlines()[1]) == (
        2,
        "Next:  did you mean folder? pyimgano list-plugins shows what is there",
    )


def test_show_imports_the_light_options_and_nothing_heavy(plugin: Callable, shell: Callable, site: Path) -> None:
    plugin("acme-one", implementation="import numpy\n")
    code = (
        "import sys\nfrom pyimgano.cli.app import main\n"
        "try:\n    main(['show', 'detector', 'vision_x'])\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "assert 'acme_one_options' in sys.modules\n"
        "heavy = [name for name in ('numpy', 'torch', 'cv2', 'acme_one_impl') if name in sys.modules]\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = shell("-c", code, path=[site])
    assert done.code == 0, done.err
    assert "Neighbours." in done.out


def test_the_components_of_core_are_found_without_any_plugin() -> None:
    names = {kind: [spec.name for _, spec in discover().components(kind)] for kind in KINDS}
    assert "vision_filterbank" in names["detector"]
    assert {"folder", "surface", "elpv"} <= set(names["dataset"])
    assert {"train", "infer", "show", "list-plugins"} <= set(names["command"])
