"""Fitting in bounded memory: the same bank while it fits, and a bank that covers all patches where it does not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from embedders import colourful, patch_means, rows_of, texture, textures, two_layers
from safetensors.numpy import save

from pyimgano.errors import DetectorError
from pyimgano.registry import create_model
from pyimgano_patchknn.bank import Scaling
from pyimgano_patchknn.stream import PatchStream

STREAMED = ("vision_patchcore", "vision_anomalydino", "vision_superad")
IMAGES = [colourful(number) for number in range(10)]


def fitted(name: str = "vision_patchcore", embedder: Callable = patch_means, batch_size: int = 16, **options: object):
    options = {"coreset_sampling_ratio": 0.2, **options}
    return create_model(name, embedder=embedder, batch_size=batch_size, **options).fit(IMAGES)


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("name", [*STREAMED, "vision_softpatch"])
def test_a_bank_that_fits_is_that_without_a_bound(name: str, standardize: bool) -> None:
    plain = fitted(name, standardize=standardize)
    bounded = fitted(name, standardize=standardize, max_bank_size=plain.memory_bank_size_)
    assert save(bounded.state()) == save(plain.state())


@pytest.mark.parametrize("name", [*STREAMED, "vision_softpatch"])
def test_the_bank_is_no_larger_than_its_bound(name: str) -> None:
    assert fitted(name, max_bank_size=37).memory_bank_size_ == 37


def test_every_layer_has_a_bank_of_its_own() -> None:
    assert [len(bank) for bank in fitted("vision_superad", two_layers, max_bank_size=37).banks_] == [37, 37]


@pytest.mark.parametrize("standardize", [False, True])
def test_what_is_kept_depends_on_the_seed_and_not_on_the_batch_size(standardize: bool) -> None:
    first, again, other = (
        fitted(max_bank_size=37, standardize=standardize, batch_size=size, seed=seed).banks_[0].vectors
        for size, seed in ((16, 0), (1, 0), (16, 1))
    )
    np.testing.assert_allclose(first, again, rtol=1e-6)
    assert not np.array_equal(first, other)


def test_kept_patches_are_training_patches_and_cover_them_nearly_as_well() -> None:
    rows = rows_of(IMAGES)

    def radius(bank: np.ndarray) -> float:
        return float(np.linalg.norm(rows[:, None] - bank[None], axis=2).min(axis=1).max())

    streamed = fitted(max_bank_size=40).banks_[0].vectors
    whole = fitted(coreset_sampling_ratio=40 / len(rows)).banks_[0].vectors
    assert {row.tobytes() for row in streamed} <= {row.tobytes() for row in rows.astype(np.float32)}
    assert radius(streamed) < 1.5 * radius(whole)


def test_standardizing_takes_the_statistics_of_all_patches() -> None:
    rows = rows_of(IMAGES)
    scaling = fitted(max_bank_size=37, standardize=True).banks_[0].scaling
    np.testing.assert_allclose(scaling.mean, rows.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(scaling.deviation, rows.std(axis=0), rtol=1e-5)


def test_a_channel_that_never_varies_keeps_its_scale() -> None:
    stream = PatchStream(4, lambda stream: np.arange(1))
    stream.add(np.tile(np.array([[1, 2]], np.float32), (9, 1)))
    assert Scaling.of(stream.moments, standardize=True, unit=False).deviation.tolist() == [1, 1]


@pytest.mark.parametrize("name", [*STREAMED, "vision_softpatch"])
def test_a_bound_below_the_neighbours_asked_for_is_refused(name: str) -> None:
    with pytest.raises(DetectorError, match=r"fewer than k=3|max_bank_size=2 is less than k=3") as caught:
        fitted(name, max_bank_size=2, k=3)
    assert "max_bank_size" in caught.value.next_step


def test_scores_stay_close_when_the_bank_is_a_fifth() -> None:
    queries = [texture(50), IMAGES[0]]
    images = textures(30)
    whole, fifth = (
        create_model("vision_patchcore", embedder=patch_means, coreset_sampling_ratio=0.5, max_bank_size=bound).fit(images)
        for bound in (None, 30 * 96 // 10)
    )
    np.testing.assert_allclose(fifth.decision_function(queries), whole.decision_function(queries), rtol=0.35)


PEAK = r"""
import re, sys
import numpy as np
from pyimgano import create_model
count, bound = map(int, sys.argv[1:])
peak = lambda: int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1])
rng = np.random.default_rng(0)
embed = lambda images: [rng.standard_normal((16, 16, 256), dtype=np.float32) for _ in images]
options = {"embedder": embed, "coreset_sampling_ratio": 0.01}
create_model("vision_patchcore", max_bank_size=50, **options).fit([np.zeros((16, 16, 3), np.uint8)] * 4)
create_model("vision_patchcore", max_bank_size=bound or None, **options).fit([np.zeros((16, 16, 3), np.uint8)] * count)
print(peak())
"""


def test_memory_does_not_grow_with_the_number_of_images(shell: Callable) -> None:
    def peak(count: int, bound: int) -> int:
        done = shell("-c", PEAK, count, bound)
        assert done.code == 0, done.err
        return int(done.out)

    few, many, unbounded = peak(80, 50), peak(400, 50), peak(400, 0)
    assert many < 1.2 * few < unbounded
