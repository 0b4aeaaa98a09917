"""The ``pyimgano`` command: composes the subcommands of all plugins, each imported only when it is invoked."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pyimgano import __version__
from pyimgano.cli.globals import GlobalFlags, read_global_flags
from pyimgano.discovery import PluginRecord, installed_plugins
from pyimgano.discovery.load import describe
from pyimgano.errors import MissingDependencyError, PluginError, PyimganoError, suggestion
from pyimgano.specs import CommandSpec


def _commands() -> dict[str, tuple[CommandSpec, PluginRecord]]:
    """Return every subcommand by name; core's come first and cannot be replaced."""
    found: dict[str, tuple[CommandSpec, PluginRecord]] = {}
    for record in installed_plugins().records:
        for spec in record.components:
            if isinstance(spec, CommandSpec):
                found.setdefault(spec.name, (spec, record))
    return found


class PluginGroup(TyperGroup):
    """A group whose commands are specs: listing them imports none of them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_commands())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        commands = _commands()
        if cmd_name not in commands:
            for record in installed_plugins().records:
                if cmd_name in record.offers.get("command", ()):
                    raise MissingDependencyError(f"{cmd_name} comes with {record.distribution}", record.problems[0].fix)
            hint = suggestion(cmd_name, commands)
            ctx.fail(f"No such command '{cmd_name}'. {hint[:1].upper() + hint[1:] or 'See: pyimgano --help'}")
        spec, record = commands[cmd_name]
        module, _, name = spec.app.partition(":")
        try:
            command = typer.main.get_command(getattr(importlib.import_module(module), name))
        except (Exception, SystemExit) as error:  # a plugin's module may raise anything
            raise PluginError(
                f"command {cmd_name} of {record.distribution} cannot be imported: {describe(error)}",
                "run it again with --debug for the whole traceback",
            ) from error
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, spec.summary) for name, (spec, _) in _commands().items()])


app = typer.Typer(
    cls=PluginGroup,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="These options may stand anywhere on the line. Start with: pyimgano demo",
)


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    plugin: Annotated[
        list[str] | None, typer.Option("--plugin", metavar="FILE", help="Load a Python file as a plugin.")
    ] = None,
    no_plugins: Annotated[bool, typer.Option("--no-plugins", help="Use core's own components only.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Say what is done; -v -v says more.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say errors only.")] = False,
    log_file: Annotated[str | None, typer.Option("--log-file", metavar="FILE", help="Write a full log to a file.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Learn from good parts only, then say for every image how abnormal it is, where, and whether it is a defect."""
    from pyimgano import logs

    flags: GlobalFlags = context.obj
    logs.set_up(2 if flags.debug else flags.verbosity, flags.log_file)
    if context.invoked_subcommand not in ("list-plugins", "doctor"):
        for record in installed_plugins().unusable():
            logs.ROOT.warning("plugin %s is %s: %s", record.distribution, record.status, record.problems[0].message)


def main(argv: list[str] | None = None) -> None:
    """Run the command line; errors print what is wrong and what to do next, and exit with 2, unforeseen ones with 1."""
    debug = False
    try:
        flags, rest = read_global_flags(sys.argv[1:] if argv is None else argv)
        debug = flags.debug
        if flags.version:
            typer.echo(f"pyimgano-core {__version__}")
            return
        _apply(flags)
        app(args=rest, prog_name="pyimgano", obj=flags)
    except (PyimganoError, PermissionError) as error:
        if debug:
            raise
        _print_error(error if isinstance(error, PyimganoError) else _no_permission(error))
        sys.exit(2)
    except Exception as error:  # a plugin's component may raise anything
        if debug:
            raise
        _print_error(PyimganoError(describe(error), "run it again with --debug for the traceback"))
        sys.exit(1)


def _apply(flags: GlobalFlags) -> None:
    if flags.no_plugins:
        os.environ["PYIMGANO_PLUGINS"] = ""
    if flags.plugins:
        files = [os.path.abspath(file) for file in flags.plugins]
        os.environ["PYIMGANO_PLUGIN_FILES"] = os.pathsep.join(files)


def _no_permission(error: PermissionError) -> PyimganoError:
    """Return the error for a path in a folder that this user may not even look into."""
    return PyimganoError(f"{error.filename}: {error.strerror}", f"check the permissions of {error.filename} and its folders")


def _print_error(error: PyimganoError) -> None:
    typer.echo(f"Error: {error.problem}", err=True)
    if error.next_step:
        typer.echo(f"Next:  {error.next_step}", err=True)


def train() -> None:
    """Entry point of ``pyimgano-train``."""
    main(["train", *sys.argv[1:]])


def benchmark() -> None:
    """Entry point of ``pyimgano-benchmark``."""
    main(["benchmark", *sys.argv[1:]])


def infer() -> None:
    """Entry point of ``pyimgano-infer``."""
    main(["infer", *sys.argv[1:]])


def validate_infer_config() -> None:
    """Entry point of ``pyimgano-validate-infer-config``."""
    main(["validate-infer-config", *sys.argv[1:]])
