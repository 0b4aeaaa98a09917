"""Training patches until a few of them are chosen: in memory while they are few, in a temporary file beyond that."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from pyimgano.errors import DetectorError
from pyimgano_patchknn.moments import Moments

Features = NDArray[np.float32]

IN_MEMORY = 32 * 2**20
"""Bytes of patches that are held in memory."""
BLOCK = 4 * 2**20
"""Bytes of patches that are read at once."""


class PatchStore:
    """The patches of one layer of all training images.

    Attributes
    ----------
    shapes
        (rows, columns) of the grid of each image.
    moments
        Of all patches.
    """

    def __init__(self) -> None:
        self.shapes: list[tuple[int, int]] = []
        self.moments = Moments()
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115  # lives as long as the store
        self._dimensions = 0

    def __len__(self) -> int:
        return sum(rows * columns for rows, columns in self.shapes)

    def add(self, grid: Features) -> None:
        """Take in the patches (h, w, D) of one image.

        Raises
        ------
        DetectorError
            If the disk is full.
        """
        rows, columns, self._dimensions = grid.shape
        try:
            self._file.write(np.ascontiguousarray(grid, dtype=np.float32).data)
        except OSError as error:
            written = self._file.tell() / 2**20
            raise DetectorError(
                f"after {written:.0f} MiB of features, the folder for temporary files takes no more: {error}",
                f"free space in {tempfile.gettempdir()}, set TMPDIR to a larger disk, or set max_bank_size",
            ) from error
        self.shapes.append((rows, columns))
        self.moments.add(grid.reshape(-1, self._dimensions))

    def blocks(self) -> Iterator[Features]:
        """Yield all patches in order, some (n, D) at a time."""
        rows = max(1, BLOCK // (4 * self._dimensions))
        self._file.seek(0)
        while read := self._file.read(rows * 4 * self._dimensions):
            yield np.frombuffer(read, dtype=np.float32).reshape(-1, self._dimensions)

    def mapped(self, function: Callable[[Features], Features]) -> Features:
        """Return what a function of patches (n, D) gives for all of them, (N, d) float32."""
        result: Features | None = None
        start = 0
        for block in self.blocks():
            values = function(block)
            if result is None:
                result = np.empty((len(self), values.shape[1]), dtype=np.float32)
            result[start : start + len(block)] = values
            start += len(block)
        assert result is not None
        return result

    def taken(self, indices: NDArray[np.int64]) -> Features:
        """Return the patches of sorted indices, (n, D)."""
        patches = np.empty((len(indices), self._dimensions), dtype=np.float32)
        start = 0
        for block in self.blocks():
            first, last = np.searchsorted(indices, [start, start + len(block)])
            patches[first:last] = block[indices[first:last] - start]
            start += len(block)
        return patches

    def close(self) -> None:
        """Give memory and file back."""
        self._file.close()
