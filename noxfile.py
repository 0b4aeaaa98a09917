"""Every check of the project, each in an environment of its own. ``nox -l`` lists them; plain ``nox`` runs the tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2024.4"
nox.options.default_venv_backend = "uv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "core_alone", "alone", "tests", "third_party", "tutorial", "docs", "wheels"]

ROOT = Path(__file__).parent
PINNED = ("--constraint", "constraints.txt")
CORE = "packages/pyimgano-core"
PATCHKNN = "packages/pyimgano-models-patchknn"
ROBUSTNESS = "packages/pyimgano-robustness"
CLIP = "packages/pyimgano-models-clip"
ANOMALIB = "packages/pyimgano-anomalib"
EXAMPLE = "examples/acme-scratch-detector"
PLUGINS = {
    PATCHKNN: "tests/patchknn",
    ROBUSTNESS: "tests/robustness",
    CLIP: "tests/clip",
    ANOMALIB: "tests/anomalib_bridge",
}
HEAVY = (CLIP, ANOMALIB)
"""Their dependencies are installed in their own environments only."""
WHOLE = {
    PATCHKNN: (f"{PATCHKNN}[offline]",),
    ROBUSTNESS: (f"{ROBUSTNESS}[report]",),
    CLIP: (CLIP,),
    ANOMALIB: (f"{ANOMALIB}[offline,onnx,openvino]", ROBUSTNESS, "onnx", "onnxscript"),
}
BESIDE = {CLIP: (f"{PATCHKNN}[torch]",)}
"""What a distribution requires of the project's own, which an index may not have yet."""
TEST_TOOLS = ("pytest", "pytest-xdist", "hypothesis")
ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # as many tests run at once as there are cores


def install(session: nox.Session, *what: str) -> None:
    """Install the project's packages as editable, everything at the pinned versions."""
    editable = [part for name in what for part in (("-e", name) if name.startswith(("packages/", "examples/")) else (name,))]
    session.install(*PINNED, *editable)


@nox.session
def demo(session: nox.Session) -> None:
    """Train and inspect on photographs of solar cells; arguments go to `pyimgano demo`."""
    install(session, f"{CORE}[demo]", f"{PATCHKNN}[offline]")
    session.run("pyimgano", "demo", *(session.posargs or ["--overwrite"]))


@nox.session
def tests(session: nox.Session) -> None:
    """Run what no distribution's own session can, with everything installed; arguments go to pytest instead.

    The tests of a distribution run in the environment that has nothing else (`core_alone`, `alone`); here run those of them
    that need more or go through photographs, and those of the project as a whole.
    """
    install(session, f"{CORE}[demo,report,sign]", *WHOLE[PATCHKNN], *WHOLE[ROBUSTNESS], *TEST_TOOLS, "scikit-learn")
    session.install("--no-deps", *(part for name in HEAVY for part in ("-e", name)))  # they are listed all the same
    if session.posargs:
        session.run("pytest", "-n", "auto", *session.posargs, env=ONE_THREAD)
        return
    own = ["tests/core", *PLUGINS.values()]
    session.run("pytest", "-n", "auto", *(f"--ignore={folder}" for folder in own), env=ONE_THREAD)
    light = ["tests/core", PLUGINS[PATCHKNN], PLUGINS[ROBUSTNESS]]
    session.run("pytest", "-n", "auto", "-m", "extras or realdata", *light, env=ONE_THREAD)


@nox.session
def core_alone(session: nox.Session) -> None:
    """Run core's tests, the whole job included, where nothing but core is installed."""
    install(session, CORE, *TEST_TOOLS)
    alone = {**ONE_THREAD, "PYIMGANO_DEV_DATA": None, "PYIMGANO_TEST_ALONE": "core"}
    session.run("pytest", "-n", "auto", "tests/core", *session.posargs, env=alone)


@nox.session(reuse_venv=False)
@nox.parametrize("plugin", sorted(PLUGINS), ids=[Path(name).name for name in sorted(PLUGINS)])
def alone(session: nox.Session, plugin: str) -> None:
    """Run a plugin's tests where only it is installed: first bare, then with the extra that makes it whole."""
    install(session, CORE, *BESIDE.get(plugin, ()), plugin, *TEST_TOOLS)
    session.run("pytest", *map(str, (ROOT / PLUGINS[plugin]).glob("test_*bare.py")))
    install(session, *WHOLE[plugin])
    photographs = {} if plugin in HEAVY else {"PYIMGANO_DEV_DATA": None}  # `tests` goes through them for the others
    alone = {**ONE_THREAD, **photographs, "PYIMGANO_TEST_ALONE": Path(plugin).name}
    session.run("pytest", "-n", "auto", PLUGINS[plugin], *session.posargs, env=alone)


@nox.session(reuse_venv=False)
def third_party(session: nox.Session) -> None:
    """Run the tests of a third party's plugin, and of a new one of every kind, where only core and they are installed."""
    install(session, CORE, EXAMPLE, "pytest")
    session.run("pytest", EXAMPLE, env=ONE_THREAD)
    session.run("pyimgano", "check-plugin", "--plugin", "examples/acme_scratch.py")
    new = Path(session.create_tmp()) / "new"
    shutil.rmtree(new, ignore_errors=True)
    for kind in ("detector", "dataset", "corruption", "postprocessor", "metric"):
        session.run("pyimgano", "new-plugin", f"acme-new-{kind}", "--kind", kind, "--into", str(new), silent=True)
        session.install(*PINNED, "-e", str(new / f"acme-new-{kind}"))
        session.run("pytest", str(new / f"acme-new-{kind}"), env=ONE_THREAD)
    session.run("pyimgano", "list-plugins", "--strict")


@nox.session
def conformance(session: nox.Session) -> None:
    """Run the conformance kit over every component of every distribution, with all that they can have here; takes minutes."""
    everything = (f"{CORE}[demo,report,sign,test]", *WHOLE[PATCHKNN], *WHOLE[ROBUSTNESS], CLIP, *WHOLE[ANOMALIB], EXAMPLE)
    install(session, *everything, *TEST_TOOLS)
    for package in (CORE, *PLUGINS, EXAMPLE):
        session.run("pyimgano", "check-plugin", Path(package).name, env=ONE_THREAD)
    session.run("pytest", "-m", "conformance", "tests/anomalib_bridge", env=ONE_THREAD)


@nox.session(reuse_venv=False)
def tutorial(session: nox.Session) -> None:
    """Follow the tutorial that writes a plugin, block by block, in a new folder and environment."""
    install(session, f"{CORE}[report]", "pip")
    folder = Path(session.create_tmp()) / "read"
    shutil.rmtree(folder, ignore_errors=True)
    session.run("python", "tests/docs/page_runner.py", "docs/tutorials/write-a-plugin.md", str(folder))


@nox.session
def wheels(session: nox.Session) -> None:
    """Build all distributions, install each alone and all together from `dist/`, and do a small job."""
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    session.install(*PINNED, "build", "twine", "uv")
    for package in (CORE, *PLUGINS):
        session.run("python", "-m", "build", "--installer", "uv", "--outdir", str(dist), package, silent=True)
    session.run("twine", "check", "--strict", *sorted(map(str, dist.iterdir())))
    built = [f"{path}[offline]" if "patchknn" in path.name else str(path) for path in sorted(dist.glob("*.whl"))]
    for wheel in built:
        alone = Path(session.create_tmp()) / Path(wheel).name.partition("-")[0]
        session.run("uv", "venv", "--quiet", "--clear", str(alone))
        python = str(alone / "bin" / "python")
        session.run("uv", "pip", "install", "--quiet", "--python", python, *PINNED, "--find-links", str(dist), wheel)
        session.run(python, "-m", "pyimgano", "list-plugins", "--strict", external=True)
    names = [Path(package).name for package in (CORE, *PLUGINS)]
    session.run("uv", "pip", "uninstall", *names, silent=True)
    session.install(*PINNED, *(f"--reinstall-package={name}" for name in names), *built)
    session.chdir(session.create_tmp())
    session.run("pyimgano", "list-plugins", "--strict")
    session.run("python", "-m", "pyimgano", "demo", "--dataset", "surface", "--output", "job", "--overwrite")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and types."""
    install(session, f"{CORE}[report,sign,test]", "ruff", "mypy", "types-pyyaml")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into `site/`; every warning and every broken link is an error."""
    install(session, CORE, PATCHKNN, ROBUSTNESS, "mkdocs-material")
    session.install("--no-deps", *(part for name in HEAVY for part in ("-e", name)))
    session.run("mkdocs", "build", "--strict", *session.posargs, env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def bench(session: nox.Session) -> None:
    """Measure what the documentation claims; each script prints ratios against a named peer."""
    install(session, f"{CORE}[demo]", *WHOLE[PATCHKNN], *WHOLE[ROBUSTNESS], ANOMALIB)
    for script in sorted((ROOT / "benchmarks").glob("*.py")):
        session.run("python", str(script))
