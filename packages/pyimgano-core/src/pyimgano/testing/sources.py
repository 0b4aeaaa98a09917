"""What the source files of a plugin import and read, found without running them."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

from pyimgano.specs import CommandSpec, Spec


def own_modules(value: str, specs: tuple[Spec, ...], taken: frozenset[str]) -> dict[str, list[Path]]:
    """Return the source files of a plugin by top-level module.

    Parameters
    ----------
    value
        Its entry point: ``package.module``.
    specs
        Its components, whose implementations may lie in other modules.
    taken
        Top-level modules of other distributions.
    """
    paths = [value, *(path for spec in specs for path in _paths(spec))]
    tops = dict.fromkeys(path.partition(":")[0].partition(".")[0] for path in paths)
    own = value.partition(":")[0].partition(".")[0]
    return {top: source_files(top) for top in tops if top == own or top not in taken}


def source_files(top: str) -> list[Path]:
    """Return the Python files of a top-level module or package."""
    spec = importlib.util.find_spec(top)
    if spec is None:
        return []
    if spec.submodule_search_locations:
        return sorted(file for place in spec.submodule_search_locations for file in Path(place).rglob("*.py"))
    return [Path(spec.origin)] if spec.origin and spec.origin.endswith(".py") else []


def imports(file: Path) -> Iterator[tuple[str, int]]:
    """Yield top-level names that a file imports, with line numbers, wherever in it.

    Left out: the standard library, what type checkers alone see, and what is caught where it is not installed.
    """
    tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    for node in _running(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module]
        for name in names:
            top = name.partition(".")[0]
            if top not in sys.stdlib_module_names:
                yield top, node.lineno


def words(file: Path) -> Iterator[str]:
    """Yield attributes, keywords and texts of a file, but for the fields that its classes declare."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), str(file))):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg


def _running(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for part in child.orelse:
                yield from _running(ast.Module([part], []))
        elif isinstance(child, ast.Try) and any("ImportError" in _caught(handler) for handler in child.handlers):
            for other in (*child.handlers, *child.orelse, *child.finalbody):
                yield from _running(other)
        else:
            yield from _running(child)


def _caught(handler: ast.ExceptHandler) -> str:
    text = ast.unparse(handler.type) if handler.type else ""
    return text.replace("ModuleNotFoundError", "ImportError")


def _paths(spec: Spec) -> Iterator[str]:
    if isinstance(spec, CommandSpec):
        yield spec.app
    else:
        yield spec.factory
        if spec.options:
            yield spec.options
