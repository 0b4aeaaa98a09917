"""What prompts say, as two directions in the space where CLIP compares images with texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from pyimgano.errors import DetectorError
from pyimgano_clip.checkpoint import Clip, Tokenizer
from pyimgano_clip.prompts import PromptSet

Features = NDArray[np.float32]

SENTENCES_AT_ONCE = 64


def text_features(clip: Clip, prompts: PromptSet, class_name: str) -> Features:
    """Return the mean directions of sentences about good and about defective parts, (2, D) of unit length.

    Sentences are embedded and scaled to unit length, each group is averaged and scaled again (Jeong et al. 2023).
    """
    tokenize = clip.tokenizer()
    return np.stack([_direction(clip, tokenize, sentences) for sentences in prompts.sentences(class_name)])


@torch.inference_mode()
def _direction(clip: Clip, tokenize: Tokenizer, sentences: Sequence[str]) -> Features:
    device = next(clip.model.parameters()).device
    parts = []
    for start in range(0, len(sentences), SENTENCES_AT_ONCE):
        some = list(sentences[start : start + SENTENCES_AT_ONCE])
        tokens = tokenize(some)
        _check_lengths(some, tokens)
        parts.append(clip.model.encode_text(tokens.to(device), normalize=True).float())
    mean = torch.cat(parts).mean(dim=0)
    direction: Features = (mean / mean.norm()).cpu().numpy()
    return direction


def _check_lengths(sentences: Sequence[str], tokens: torch.Tensor) -> None:
    """Refuse a sentence that fills the whole context, because its end may have been cut off."""
    for sentence, row in zip(sentences, tokens, strict=True):
        if int((row != 0).sum()) == len(row):
            raise DetectorError(
                f"a prompt is longer than the {len(row)} tokens that the network reads: {sentence!r}",
                "shorten class_name or the phrases",
            )


def defect_probability(features: Features, text: Features, temperature: float) -> NDArray[np.float64]:
    """Return the softmax of defective against good for unit vectors (..., D), (...) in [0, 1].

    In float64 and by log-sum-exp, so that confident scores keep their order on both ends.
    """
    margin = features.astype(np.float64) @ (text[1].astype(np.float64) - text[0]) / temperature
    return np.asarray(np.exp(-np.logaddexp(0, -margin)))
