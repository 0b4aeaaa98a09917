"""Phrases for good and defective parts, and the sentences that templates make of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BeforeValidator, Field

from pyimgano.options import Options

PLACE = "{}"

NORMAL = (
    "{}",
    "flawless {}",
    "perfect {}",
    "unblemished {}",
    "{} without flaw",
    "{} without defect",
    "{} without damage",
)
ANOMALOUS = ("damaged {}", "{} with flaw", "{} with defect", "{} with damage")
TEMPLATES = tuple(
    f"a {photo}."
    for photo in (
        "cropped photo of the {}",
        "cropped photo of a {}",
        "close-up photo of a {}",
        "close-up photo of the {}",
        "bright photo of a {}",
        "bright photo of the {}",
        "dark photo of the {}",
        "dark photo of a {}",
        "jpeg corrupted photo of a {}",
        "jpeg corrupted photo of the {}",
        "blurry photo of the {}",
        "blurry photo of a {}",
        "photo of a {}",
        "photo of the {}",
        "photo of a small {}",
        "photo of the small {}",
        "photo of a large {}",
        "photo of the large {}",
        "photo of the {} for visual inspection",
        "photo of a {} for visual inspection",
        "photo of the {} for anomaly detection",
        "photo of a {} for anomaly detection",
    )
)


def _said(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text.strip()


def _with_a_place(text: str) -> str:
    if text.count(PLACE) != 1:
        raise ValueError("must hold {} once, where the phrase goes")
    return text


Phrase = Annotated[str, AfterValidator(_said)]
Template = Annotated[str, AfterValidator(_with_a_place)]


class PromptSet(Options):
    """States x templates (Jeong et al., WinCLIP, CVPR 2023, appendix). In a state, ``{}`` stands for the name of the part."""

    normal: tuple[Phrase, ...] = Field(NORMAL, min_length=1, description="What a good part is called.")
    anomalous: tuple[Phrase, ...] = Field(ANOMALOUS, min_length=1, description="What a defective part is called.")
    templates: tuple[Template, ...] = Field(TEMPLATES, min_length=1, description="Sentences about it.")

    def sentences(self, class_name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return all sentences about a good part, and all about a defective one."""
        normal, anomalous = (
            tuple(template.replace(PLACE, state.replace(PLACE, class_name)) for state in states for template in self.templates)
            for states in (self.normal, self.anomalous)
        )
        return normal, anomalous


def _read(value: Any) -> Any:
    """Return what a YAML file holds where the value is its name, else the value."""
    if not isinstance(value, str | Path):
        return value
    path = Path(value)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError("no such file; give a YAML file with normal, anomalous or templates") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"cannot be read as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):  # a TypeError would pass through pydantic
        raise ValueError(f"holds a {type(content).__name__}; it takes a mapping with normal, anomalous or templates")  # noqa: TRY004
    return content


Prompts = Annotated[PromptSet, BeforeValidator(_read)]
"""A `PromptSet`, its values, or the name of a YAML file that holds them; the file is read when options are checked."""
