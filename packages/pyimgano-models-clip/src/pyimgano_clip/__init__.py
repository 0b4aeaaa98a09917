"""Anomaly detectors for pyimgano on OpenCLIP: zero-shot, few-shot, and patch nearest neighbours."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.7.0"

_HOME = {
    "OpenCLIPPatchKNN": "pyimgano_clip.patchknn",
    "OpenCLIPPatchKNNOptions": "pyimgano_clip.options",
    "OpenCLIPPromptScore": "pyimgano_clip.promptscore",
    "OpenCLIPPromptScoreOptions": "pyimgano_clip.options",
    "OpenCLIPViTPatchEmbedder": "pyimgano_clip.embedder",
    "PatchEmbedding": "pyimgano_clip.embedder",
    "PromptSet": "pyimgano_clip.prompts",
    "WinCLIP": "pyimgano_clip.winclip",
    "WinCLIPOptions": "pyimgano_clip.options",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pyimgano_clip' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
