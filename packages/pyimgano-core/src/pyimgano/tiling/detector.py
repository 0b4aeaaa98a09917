"""A detector that looks at large images tile by tile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pyimgano.contracts import Detector, ImageScore
from pyimgano.errors import OptionsError
from pyimgano.images import Image, ImageSource, batched
from pyimgano.options import parse
from pyimgano.tiling.coords import Coords, Size, extract_tile, tile_coords
from pyimgano.tiling.options import TilingOptions
from pyimgano.tiling.source import TileSource
from pyimgano.tiling.stitch import MapReduce
from pyimgano.tiling.tiled_map import TiledMap


class TiledDetector(Detector):
    """Cuts images into tiles of one size, lets another detector score those, and joins its answers.

    A small defect keeps its pixels where the whole image would be scaled down. Scores and maps of tiles are on the scale of the
    wrapped detector, but a threshold calibrated without tiles does not hold with them: calibrate this one.

    A side shorter than the tile is mirrored to fill it. The mirrored part never reaches the map.

    Parameters
    ----------
    detector
        What scores the tiles; a fitted one makes this one ready to score. State, weights and runtime are its own.
    tile_size
        Side of the tiles in pixels, or (height, width).
    stride
        From one tile to the next, at most the tile's side; None puts them side by side.
    score_reduce
        Score of an image: the ``max`` or the ``mean`` of its tiles, or the mean of the most abnormal ones (``topk_mean``).
    score_topk
        Share of the tiles that ``topk_mean`` averages, at least one.
    map_reduce
        What happens where tiles overlap (`stitch_maps`).
    fit_on
        Whether the wrapped detector learns from whole ``images`` or from ``tiles``. It scores tiles in either case.

    Raises
    ------
    OptionsError
        For a setting out of bounds (`TilingOptions`).
    """

    options: TilingOptions

    def __init__(
        self,
        detector: Detector,
        tile_size: int | Size,
        stride: int | Size | None = None,
        score_reduce: Literal["max", "mean", "topk_mean"] = "max",
        score_topk: float = 0.1,
        map_reduce: MapReduce = "max",
        fit_on: Literal["images", "tiles"] = "images",
    ) -> None:
        values = {
            "tile_size": tile_size,
            "stride": stride,
            "score_reduce": score_reduce,
            "score_topk": score_topk,
            "map_reduce": map_reduce,
            "fit_on": fit_on,
        }
        options = parse(TilingOptions, values, "tiling")
        if options.tile is None:
            raise OptionsError("tiling.tile_size: is required", "pass the side of the tiles in pixels")
        super().__init__(options, detector.runtime)
        self.detector = detector
        self.weights = detector.weights
        self._tile = options.tile
        if detector._fitted:
            self.mark_fitted()

    @classmethod
    def wrap(cls, detector: Detector, options: TilingOptions) -> Detector:
        """Return the detector behind tiling, or itself where the options ask for none."""
        return detector if options.tile_size is None else cls(detector, **options.model_dump())

    def _fit(self, images: ImageSource) -> None:
        on_tiles = self.options.fit_on == "tiles"
        self.detector.fit(TileSource(images, self._tile, self.options.step) if on_tiles else images)
        self.weights = self.detector.weights

    def _score(self, images: Sequence[Image]) -> list[ImageScore]:
        corners = [tile_coords((image.shape[0], image.shape[1]), self._tile, self.options.step) for image in images]
        tiles = (
            extract_tile(image, y, x, self._tile) for image, coords in zip(images, corners, strict=True) for y, x in coords
        )
        batches = batched(tiles, self.runtime.images_per_batch)
        results = (result for batch in batches for result in self.detector.score_images(batch))
        return [
            self._joined(image, coords, list(islice(results, len(coords))))
            for image, coords in zip(images, corners, strict=True)
        ]

    def _joined(self, image: Image, coords: Coords, results: Sequence[ImageScore]) -> ImageScore:
        """Return the answer for an image from those for its tiles."""
        score = self._reduced(np.array([result.score for result in results], dtype=np.float64))
        maps = tuple(result.anomaly_map for result in results if result.anomaly_map is not None)
        if len(maps) < len(results):
            return ImageScore(score)
        size, reduce = (image.shape[0], image.shape[1]), self.options.map_reduce
        return ImageScore(score, TiledMap(size, tiles=maps, coords=coords, tile_size=self._tile, reduce=reduce))

    def _reduced(self, scores: NDArray[np.float64]) -> float:
        match self.options.score_reduce:
            case "max":
                return float(scores.max())
            case "mean":
                return float(scores.mean())
            case "topk_mean":
                count = max(1, round(scores.size * self.options.score_topk))
                return float(np.sort(scores)[-count:].mean())

    def check_savable(self) -> None:
        self.detector.check_savable()

    def state(self) -> dict[str, NDArray[Any]]:
        return self.detector.state()

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.detector.load_state(arrays)
        self.weights = self.detector.weights
        self.mark_fitted()
