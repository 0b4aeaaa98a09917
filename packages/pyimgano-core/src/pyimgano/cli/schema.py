"""``pyimgano schema``: the JSON schema of the files that people write and edit."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from pyimgano.errors import OptionsError, suggestion

app = typer.Typer(rich_markup_mode=None, add_completion=False)

FILES = {
    "config": "pyimgano.workbench.config:TrainConfig",
    "benchmark": "pyimgano.evaluation.config:BenchmarkConfig",
    "infer-config": "pyimgano.workbench.infer_config:InferConfig",
}


@app.command(epilog="Example: pyimgano schema config > train.schema.json")
def schema(file: Annotated[str, typer.Argument(metavar="FILE", help=f"One of: {', '.join(FILES)}.")]) -> None:
    """Print the JSON schema of a file: 'config' of train, 'benchmark' of benchmark --config, 'infer-config' of infer."""
    if file not in FILES:
        raise OptionsError(f"there is no schema of {file!r}", suggestion(file, FILES) or f"one of: {', '.join(FILES)}")
    import importlib

    module, _, name = FILES[file].partition(":")
    typer.echo(json.dumps(getattr(importlib.import_module(module), name).model_json_schema(), indent=2))
