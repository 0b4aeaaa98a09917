"""Training patches wait in memory while they are few, and in a file beyond that; what is learned is the same."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from embedders import patch_means, textures
from safetensors.numpy import save

from pyimgano.errors import DetectorError
from pyimgano.registry import create_model
from pyimgano_patchknn import store
from pyimgano_patchknn.store import PatchStore


def grids(count: int = 5) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal((rows, 4, 6), dtype=np.float32) for rows in range(2, 2 + count)]


@pytest.fixture(params=["in memory", "in a file"])
def filled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> PatchStore:
    monkeypatch.setattr(store, "IN_MEMORY", 100 if request.param == "in a file" else 2**20)
    monkeypatch.setattr(store, "BLOCK", 7 * 6 * 4)
    made = PatchStore()
    for grid in grids():
        made.add(grid)
    return made


def rows() -> np.ndarray:
    return np.concatenate([grid.reshape(-1, 6) for grid in grids()])


def test_all_patches_come_back_in_blocks_and_by_index(filled: PatchStore) -> None:
    assert (len(filled), filled.shapes) == (len(rows()), [(2, 4), (3, 4), (4, 4), (5, 4), (6, 4)])
    blocks = list(filled.blocks())
    assert {len(block) for block in blocks[:-1]} == {7}
    np.testing.assert_array_equal(np.concatenate(blocks), rows())
    np.testing.assert_array_equal(filled.mapped(lambda block: block[:, :2] * 2), rows()[:, :2] * 2)
    chosen = np.array([0, 6, 7, 40, 79])
    np.testing.assert_array_equal(filled.taken(chosen), rows()[chosen])


def test_moments_are_those_of_all_patches(filled: PatchStore) -> None:
    np.testing.assert_allclose(filled.moments.mean, rows().mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(filled.moments.squares / filled.moments.count, rows().var(axis=0), rtol=1e-6)


@pytest.mark.parametrize("name", ["vision_patchcore", "vision_softpatch", "vision_anomalydino"])
def test_a_file_changes_nothing_of_what_is_learned(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"embedder": patch_means, "coreset_sampling_ratio": 0.3, "standardize": True}
    held = create_model(name, **options).fit(textures(6)).state()
    monkeypatch.setattr(store, "IN_MEMORY", 100)
    assert save(create_model(name, **options).fit(textures(6)).state()) == save(held)


class Full:
    """A file on a disk without room."""

    def write(self, data: memoryview) -> int:
        raise OSError(28, "No space left on device")

    def tell(self) -> int:
        return 3 * 2**20


def test_a_full_disk_is_an_error_that_says_how_to_go_on(filled: PatchStore) -> None:
    filled._file = Full()
    with pytest.raises(DetectorError, match=re.escape("after 3 MiB of features")) as caught:
        filled.add(grids()[0])
    assert "TMPDIR" in caught.value.next_step
    assert "max_bank_size" in caught.value.next_step


PEAK = r"""
import re
import numpy as np
from pyimgano import create_model
peak = lambda: int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1])
rng = np.random.default_rng(0)
embed = lambda images: [rng.standard_normal((32, 32, 1024), dtype=np.float32) for _ in images]
options = {"embedder": embed, "coreset_sampling_ratio": 0.01, "projection_dim": 16}
create_model("vision_patchcore", **options).fit([np.zeros((16, 16, 3), np.uint8)] * 2)
before = peak()
create_model("vision_patchcore", **options).fit([np.zeros((16, 16, 3), np.uint8)] * 240)
print(peak() - before)
"""


def test_a_fit_never_holds_all_features(shell: Callable) -> None:
    done = shell("-c", PEAK)
    assert done.code == 0, done.err
    assert int(done.out) < 450_000  # KiB; all features are 983,000
