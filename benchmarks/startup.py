"""Time of `pyimgano --help` and `pyimgano list-plugins` against a minimal Typer app with as many commands.

The peer for help is that app's own help; the peer for the listing is the same app listing the entry points of this environment
with their distributions' requirements checked, by pluggy and packaging, which is the least that the listing must do.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 11

PEER = '''
import typer
app = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)

@app.callback()
def root(version: bool = False, plugin: str = "", no_plugins: bool = False, verbose: bool = False, quiet: bool = False,
         log_file: str = "", debug: bool = False) -> None:
    """A minimal app."""

@app.command()
def list_plugins(as_json: bool = False, strict: bool = False, timings: bool = False, trace: str = "") -> None:
    """List plugins."""
    from importlib import metadata
    import pluggy
    from packaging.requirements import Requirement
    manager = pluggy.PluginManager("pyimgano")
    for entry in metadata.entry_points(group="pyimgano"):
        manager.register(entry.load(), entry.dist.name)
        for text in entry.dist.requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                requirement.specifier.contains(metadata.version(requirement.name))
        print(entry.dist.name, entry.dist.version)

@app.command()
def demo(): "Demo."
@app.command()
def train(): "Train."
@app.command()
def infer(): "Infer."
@app.command()
def list_models(): "List models."
@app.command()
def show(): "Show."

app(prog_name="peer")
'''

OURS = "from pyimgano.cli.app import main; main()"


def seconds(*arguments: str) -> float:
    """Return the wall time of one Python process."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env={**os.environ, "COLUMNS": "100"})
    return time.perf_counter() - started


def main() -> None:
    """Run both in turn, so that drift of the machine meets both, and print medians and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        peer = Path(folder) / "peer.py"
        peer.write_text(PEER, encoding="utf-8")
        for argument in ("--help", "list-plugins"):
            ours, theirs = [], []
            for run in range(RUNS + 1):
                pair = seconds("-c", OURS, argument), seconds(str(peer), argument)
                if run:
                    ours.append(pair[0])
                    theirs.append(pair[1])
            a, b = statistics.median(ours), statistics.median(theirs)
            print(f"{argument:<14} pyimgano {a * 1e3:6.0f} ms   minimal Typer app {b * 1e3:6.0f} ms   ratio {a / b:.2f}")


if __name__ == "__main__":
    main()
