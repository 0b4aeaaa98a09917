"""What an author tells the kit: options of components that cannot run with their defaults, and failures that are expected."""

from __future__ import annotations

import importlib.util
import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import Field

from pyimgano.discovery import PluginRecord
from pyimgano.errors import OptionsError
from pyimgano.options import Options, from_pairs, parse
from pyimgano.testing.checks import known_check

FILE = "check-plugin.yaml"
"""What an author calls the settings that lie in the package, beside the plugin module."""


class Settings(Options):
    """Options and expected failures by component."""

    options: dict[str, dict[str, Any]] = Field({}, description="Options of components, by short name.")
    expected_failures: dict[str, dict[str, str]] = Field(
        {}, description="Checks that are expected to fail, by short name of the component, each with the reason."
    )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the settings in a YAML, TOML or JSON file.

        Raises
        ------
        OptionsError
            If it cannot be read or holds something else.
        """
        readers = {".toml": tomllib.loads, ".json": json.loads}
        try:
            values = readers.get(path.suffix.lower(), yaml.safe_load)(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise OptionsError(f"{path} cannot be read: {error}", "write YAML, TOML or JSON") from None
        return parse(cls, values if isinstance(values, dict) else {"": values}, str(path), "see pyimgano check-plugin --help")

    @classmethod
    def shipped(cls, record: PluginRecord) -> Self:
        """Return what a plugin's package brings for the kit, empty where it brings nothing; `settings_file` says where."""
        path = settings_file(record)
        return cls() if path is None else cls.read(path)

    @classmethod
    def from_flags(cls, options: Iterable[str], expected: Iterable[str]) -> Self:
        """Return what ``COMPONENT.KEY=VALUE`` and ``COMPONENT:CHECK=REASON`` say."""
        values: dict[str, dict[str, Any]] = {}
        for key, value in from_pairs(options).items():
            component, dot, name = key.partition(".")
            if not dot:
                raise OptionsError(f"option {key!r} names no component", "write -o COMPONENT.KEY=VALUE")
            values.setdefault(component, {})[name] = value
        reasons: dict[str, dict[str, str]] = {}
        for text in expected:
            place, equals, reason = text.partition("=")
            component, colon, check = place.partition(":")
            if not (colon and equals and reason.strip()):
                raise OptionsError(f"{text!r} is not of the form COMPONENT:CHECK=REASON", "give the reason too")
            reasons.setdefault(component, {})[check] = reason.strip()
        return cls(options=values, expected_failures=reasons)

    def joined(self, other: Settings) -> Settings:
        """Return both; where they name the same thing, the other counts."""
        return Settings(
            options=_joined(self.options, other.options),
            expected_failures=_joined(self.expected_failures, other.expected_failures),
        )

    def check(self, components: Iterable[str]) -> None:
        """Raise `OptionsError` for a component or check that is not there."""
        known = set(components)
        unknown = sorted({*self.options, *self.expected_failures} - known)
        if unknown:
            raise OptionsError(f"it has no component called {unknown[0]!r}", f"it has {', '.join(sorted(known))}")
        for checks in self.expected_failures.values():
            for name in checks:
                known_check(name)


def settings_file(record: PluginRecord) -> Path | None:
    """Return the file that the author of a plugin put into its package for the kit, if there is one."""
    package = record.candidate.value.partition(":")[0].partition(".")[0].strip()
    found = importlib.util.find_spec(package) if package else None
    folders = found.submodule_search_locations if found is not None else None
    places = (Path(folder) / FILE for folder in folders or ())
    return next((place for place in places if place.is_file()), None)


def _joined(one: dict[str, dict[str, Any]], other: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: {**one.get(name, {}), **other.get(name, {})} for name in {**one, **other}}
