"""Reduced precision where the processor has it, and as many threads as are asked for."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import faiss
import numpy as np
import pytest
import torch
from embedders import patch_means, textures

from pyimgano.contracts import Runtime
from pyimgano.registry import create_model
from pyimgano_patchknn import PatchCore, PatchCoreOptions
from pyimgano_patchknn.blocked import BlockedKNNIndex
from pyimgano_patchknn.precision import has_bfloat16_units

SMALL = {"backbone": "resnet10t", "pretrained": False, "resize": [64, 64], "coreset_sampling_ratio": 0.5, "device": "cpu"}


def units(monkeypatch: pytest.MonkeyPatch, present: bool) -> None:
    found = {"avx512_f": True, "avx512_bf16": present, "cpu_name": "test"}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)


def test_units_for_bfloat16_are_seen_in_what_torch_says(monkeypatch: pytest.MonkeyPatch) -> None:
    units(monkeypatch, True)
    assert has_bfloat16_units()
    units(monkeypatch, False)
    assert not has_bfloat16_units()
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert not has_bfloat16_units()


def test_without_units_amp_is_left_aside_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    units(monkeypatch, False)
    images = textures(4)
    with caplog.at_level(logging.WARNING):
        asked = create_model("vision_patchcore", amp=True, **SMALL).fit(images).decision_function(images)
    assert "no units for bfloat16" in caplog.text
    np.testing.assert_array_equal(asked, create_model("vision_patchcore", **SMALL).fit(images).decision_function(images))


def test_with_units_network_and_search_run_in_bfloat16_and_scores_stay_close(monkeypatch: pytest.MonkeyPatch) -> None:
    units(monkeypatch, True)
    images, others = textures(6), textures(12)[6:]
    full = create_model("vision_patchcore", **SMALL).fit(images)
    half = create_model("vision_patchcore", amp=True, **SMALL)
    half.fit(images)
    assert isinstance(half.banks_[0].index, BlockedKNNIndex)
    ours, theirs = half.decision_function(others), full.decision_function(others)
    assert not np.allclose(ours, theirs, rtol=1e-4)
    np.testing.assert_allclose(ours, theirs, rtol=0.1)


def test_state_is_in_full_precision_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    units(monkeypatch, True)
    model = create_model("vision_patchcore", amp=True, **SMALL).fit(textures(4))
    assert {array.dtype for array in model.state().values()} == {np.dtype(np.float32)}


class Watch:
    """An embedder that notes how many threads it may use."""

    def __init__(self) -> None:
        self.seen: set[tuple[int, int]] = set()

    def __call__(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.seen.add((torch.get_num_threads(), faiss.omp_get_max_threads()))
        return patch_means(images)


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_are_as_many_as_asked_for_and_given_back(threads: int) -> None:
    before = torch.get_num_threads(), faiss.omp_get_max_threads()
    watch = Watch()
    model = PatchCore(PatchCoreOptions(coreset_sampling_ratio=1.0), Runtime(threads=threads), watch)
    model.fit(textures(2)).decision_function(textures(1))
    assert watch.seen == {(threads, threads)}
    assert (torch.get_num_threads(), faiss.omp_get_max_threads()) == before
