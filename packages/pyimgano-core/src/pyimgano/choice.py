"""A component with its options as a user writes it: ``NAME``, ``NAME,KEY=VALUE,...``, or a mapping in a config."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from pyimgano.errors import OptionsError
from pyimgano.options import Options, from_pairs


class Choice(Options):
    """A component and the options that were set."""

    name: str = Field(min_length=1, description="Short or full name of the component.")
    options: dict[str, Any] = Field({}, description="Its options; those left out have their defaults.")

    @classmethod
    def read(cls, text: str) -> Choice:
        """Return the choice that ``NAME[,KEY=VALUE...]`` makes.

        Raises
        ------
        OptionsError
            If there is no name, or a part is not of the form KEY=VALUE.
        """
        name, *pairs = _split(text)
        if not name.strip():
            raise OptionsError(f"{text!r} names no component", "write NAME, or NAME,KEY=VALUE")
        return cls(name=name.strip(), options=from_pairs(pairs))

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return cls.read(value).model_dump() if isinstance(value, str) else value

    @property
    def label(self) -> str:
        """Return the choice as text, short enough for a table."""
        return ",".join([self.name, *(f"{key}={_text(value)}" for key, value in self.options.items())])


def _text(value: Any) -> str:
    return "none" if value is None else str(value).replace(" ", "")


def _split(text: str) -> list[str]:
    """Return the parts between commas that are not inside brackets."""
    parts, depth = [""], 0
    for sign in text:
        depth = max(0, depth + (sign in "[{") - (sign in "]}"))
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return parts
