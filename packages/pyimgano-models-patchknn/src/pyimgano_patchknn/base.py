"""What the patch nearest-neighbour detectors share; each of them adds only what is its own."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyimgano.contracts import Detector, ImageScore, Runtime
from pyimgano.errors import BundleError, DetectorError, OptionsError
from pyimgano.images import Image, ImageSource, batched
from pyimgano.maps import AnomalyMap, MapRecipe, resize_map
from pyimgano.progress import track
from pyimgano_patchknn.bank import MemoryBank, Scaling
from pyimgano_patchknn.coreset import k_center_greedy, random_projection
from pyimgano_patchknn.features import Embedded, PatchFeatures, checked
from pyimgano_patchknn.options import PatchKNNOptions
from pyimgano_patchknn.scores import reshape_patch_scores
from pyimgano_patchknn.searcher import Searcher
from pyimgano_patchknn.store import PatchStore
from pyimgano_patchknn.stream import PatchStream
from pyimgano_patchknn.threads import limited_threads

if TYPE_CHECKING:
    from pyimgano_patchknn.network import Network

logger = logging.getLogger(f"pyimgano.{__name__}")

Features = NDArray[np.float32]
PatchEmbedder = Callable[[Sequence[Image]], Embedded]

NETWORK = "backbone."


@dataclass(frozen=True, eq=False)
class Matches:
    """Patches of one image and one layer with their nearest neighbours.

    Attributes
    ----------
    queries
        (M, D) float32, scaled as the bank is.
    distances, indices
        (M, k), nearest first.
    """

    queries: Features
    distances: Features
    indices: NDArray[np.int64]

    def part(self, start: int, stop: int) -> Matches:
        """Return the matches of some of the patches."""
        return Matches(self.queries[start:stop], self.distances[start:stop], self.indices[start:stop])


class PatchKNN(Detector):
    """The distance of each patch to the normal patches in a memory bank; one bank per layer of features.

    Parameters
    ----------
    embedder
        Your own patch features instead of a pretrained network; `pyimgano_patchknn.features` says what it returns.

    Attributes
    ----------
    banks_
        One `MemoryBank` per layer, after fitting.
    """

    options: PatchKNNOptions
    banks_: tuple[MemoryBank, ...] = ()
    unit = False
    """Whether patches are compared by cosine distance."""
    several_layers = False
    """Whether it keeps one bank per layer, rather than take one layer only."""
    streams = True
    """Whether `max_bank_size` bounds the memory of fitting too, and not the bank alone."""

    def __init__(self, options: PatchKNNOptions, runtime: Runtime, embedder: PatchEmbedder | None = None) -> None:
        super().__init__(options, runtime)
        if embedder is not None:
            _refuse_network_options(options)
        self._embedder = embedder
        self._network: Network[Any] | None = None
        self._channels: list[int] = []

    @abstractmethod
    def _new_network(self) -> Network[Any]:
        """Return the network that the options describe, without weights."""

    @abstractmethod
    def _recipe(self, size: tuple[int, int]) -> MapRecipe:
        """Return how the map of an image of that (height, width) is enlarged."""

    def _augmented(self, images: Iterable[Image], count: int) -> Iterable[Image]:
        """Return what is learned from `count` training images; by default the images themselves."""
        return images

    def _copies(self, count: int) -> int:
        """Return how many images `_augmented` makes of one."""
        return 1

    def _select(self, projected: Features, grids: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
        """Return the sorted indices of the training patches to keep, by their projections (N, d).

        `grids` are the shapes of the grids that they come from.
        """
        return self._coreset(projected)

    def _needed(self) -> tuple[str, int]:
        """Return how many patches a bank must hold, and the option that says so."""
        return "k", self.options.k

    def _patch_scores(self, matches: Matches) -> Features:
        """Return one score per patch, (M,): by default the mean distance to the k nearest."""
        mean: Features = matches.distances.mean(axis=1)
        return mean

    def _combined(self, grids: Sequence[Features], features: PatchFeatures) -> Features:
        """Return the one grid of patch scores of an image from those of its layers: their mean on the finest grid."""
        if len(grids) == 1:
            return grids[0]
        finest = max((grid.shape for grid in grids), key=lambda shape: shape[0] * shape[1])
        mean: Features = np.mean([resize_map(grid, (finest[0], finest[1])) for grid in grids], axis=0, dtype=np.float32)
        return mean

    @abstractmethod
    def _image_score(self, scores: Features, matches: Sequence[Matches]) -> float:
        """Return the score of an image from its grid of patch scores and the matches of each layer."""

    @property
    def memory_bank_size_(self) -> int:
        """Number of patches in the memory banks."""
        return sum(len(bank) for bank in self.banks_)

    def _fit(self, images: ImageSource) -> None:
        self._channels = []
        if self._embedder is None:
            self._network = self._new_network()
            self._network.load(self.options.weights, self.options.pretrained)
            self.weights = self._network.record
        with limited_threads(self.runtime.threads):
            self._learn(images)

    def _learn(self, images: ImageSource) -> None:
        """Fill one memory bank per layer."""
        features = self._embedded(self._augmented(images, len(images)), len(images) * self._copies(len(images)))
        if self.options.max_bank_size is not None and self.streams:
            self.banks_ = self._streamed(features, self.options.max_bank_size)
            return
        self.banks_ = self._stored(features)

    def _embedded(self, images: Iterable[Image], total: int) -> Iterator[PatchFeatures]:
        """Yield the features of training images, each embedded once."""
        size = self.runtime.images_per_batch
        for batch in track(batched(images, size), "features", -(-total // size)):
            yield from self._embed(batch)

    def _stored(self, features: Iterable[PatchFeatures]) -> tuple[MemoryBank, ...]:
        """Return one memory bank per layer, chosen from all patches."""
        with ExitStack() as open_stores:
            stores: list[PatchStore] = []
            for entry in features:
                stores = stores or [open_stores.enter_context(closing(PatchStore())) for _ in entry.layers]
                for store, grid in zip(stores, entry.layers, strict=True):
                    store.add(grid)
            return tuple(self._bank(store) for store in stores)

    def _bank(self, store: PatchStore) -> MemoryBank:
        scaling = Scaling.of(store.moments, self.options.standardize, self.unit)
        kept = self._select(store.mapped(lambda block: self._projected(scaling(block))), store.shapes)
        return MemoryBank.of(scaling(store.taken(kept)), scaling, self._searcher())

    def _searcher(self) -> Searcher:
        search, seed = self.options.search, self.runtime.seed
        if self._network is None:
            return Searcher(search, seed)
        return Searcher(search, seed, str(self._network.device), self._network.reduced)

    def _streamed(self, features: Iterable[PatchFeatures], bound: int) -> tuple[MemoryBank, ...]:
        """Return one memory bank per layer, holding no more patches than make a full one at a time.

        While the bank is not full, it is the same as from all patches at once.
        """
        name, needed = self._needed()
        if bound < needed:
            raise DetectorError(f"max_bank_size={bound} is less than {name}={needed}", f"raise max_bank_size, or lower {name}")
        limit = max(2 * bound, int(bound / self.options.coreset_sampling_ratio) + 1)
        streams: list[PatchStream] = []
        for entry in features:
            streams = streams or [PatchStream(limit, self._reduced) for _ in entry.layers]
            for stream, grid in zip(streams, entry.layers, strict=True):
                stream.add(grid.reshape(-1, grid.shape[-1]))
        return tuple(self._stream_bank(stream) for stream in streams)

    def _stream_bank(self, stream: PatchStream) -> MemoryBank:
        scaling = Scaling.of(stream.moments, self.options.standardize, self.unit)
        patches = scaling(stream.patches)
        kept = self._reduced(stream) if stream.reduced else self._coreset(self._projected(patches))
        return MemoryBank.of(patches[kept], scaling, self._searcher())

    def _reduced(self, stream: PatchStream) -> NDArray[np.int64]:
        """Return the indices of as many of the patches held as a full bank has."""
        bound = self.options.max_bank_size
        assert bound is not None
        scaling = Scaling.of(stream.moments, self.options.standardize, self.unit)
        return self._covering(self._projected(scaling(stream.patches)), min(bound, len(stream.patches)))

    def _projected(self, scaled: Features) -> Features:
        """Return the patches (N, D) as they are compared where some of them are chosen."""
        return random_projection(scaled, self.options.projection_dim, self.runtime.seed)

    def _coreset(self, projected: Features) -> NDArray[np.int64]:
        """Return the sorted indices of a coreset of the size that the options ask for."""
        ratio, bound = self.options.coreset_sampling_ratio, self.options.max_bank_size
        keep = int(len(projected) * ratio + 1e-9)  # 0.29 * 100 is 28.999999999999996
        keep = keep if bound is None else min(keep, bound)
        name, needed = self._needed()
        if keep < needed:
            size = "max_bank_size" if keep == bound else f"coreset_sampling_ratio ({ratio:g})"
            raise DetectorError(
                f"the memory bank would hold {keep} of {len(projected)} patches, fewer than {name}={needed}",
                f"raise {size}, lower {name}, or learn from more images",
            )
        return self._covering(projected, keep)

    def _covering(self, projected: Features, keep: int) -> NDArray[np.int64]:
        if keep == len(projected):
            return np.arange(keep)
        logger.info("choosing %d of %d patches", keep, len(projected))
        return np.sort(k_center_greedy(projected, keep, self.runtime.seed))

    def _score(self, images: Sequence[Image]) -> list[ImageScore]:
        with limited_threads(self.runtime.threads):
            embedded = self._embed(images)
            matches = [self._match(bank, [entry.layers[layer] for entry in embedded]) for layer, bank in enumerate(self.banks_)]
        return [
            self._scored(image, features, [layer[place] for layer in matches])
            for place, (image, features) in enumerate(zip(images, embedded, strict=True))
        ]

    def _match(self, bank: MemoryBank, grids: Sequence[Features]) -> list[Matches]:
        """Return the matches of one layer of a batch, image by image, from one search."""
        queries = bank.scaling(np.concatenate([grid.reshape(-1, grid.shape[-1]) for grid in grids]))
        together = Matches(queries, *bank.search(queries, self.options.k))
        stops = np.cumsum([grid.shape[0] * grid.shape[1] for grid in grids]).tolist()
        return [together.part(start, stop) for start, stop in zip([0, *stops], stops, strict=False)]

    def _scored(self, image: Image, features: PatchFeatures, matches: Sequence[Matches]) -> ImageScore:
        grids = [
            reshape_patch_scores(self._patch_scores(layer), *grid.shape[:2])
            for layer, grid in zip(matches, features.layers, strict=True)
        ]
        scores = self._combined(grids, features)
        size = (image.shape[0], image.shape[1])
        return ImageScore(self._image_score(scores, matches), AnomalyMap(scores, size, self._recipe(size)))

    def _embed(self, images: Sequence[Image]) -> list[PatchFeatures]:
        """Return the features of a batch; the only way by which images become features, in training and after."""
        embed = self._embedder if self._embedder is not None else self._network
        assert embed is not None
        embedded = checked(embed(images), len(images))
        for features in embedded:
            self._check_layers(features)
        return embedded

    def _check_layers(self, features: PatchFeatures) -> None:
        """Refuse more layers than there are banks for, and other channels than in the images before."""
        found = [grid.shape[-1] for grid in features.layers]
        if len(found) > 1 and not self.several_layers:
            raise DetectorError(
                f"{type(self).__name__} takes one layer of features, the embedder returned {len(found)}",
                "return one grid per image; join layers along their channels",
            )
        self._channels = self._channels or found
        if found != self._channels:
            raise DetectorError(
                f"the embedder returned layers of {found} channels, and {self._channels} before",
                "return the same layers for every image",
            )

    def state(self) -> dict[str, NDArray[Any]]:
        arrays = {
            f"bank{place}.{name}": array for place, bank in enumerate(self.banks_) for name, array in bank.state().items()
        }
        if self._network is not None:
            arrays |= {NETWORK + name: array for name, array in self._network.state().items()}
        return arrays

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        if self._embedder is None:
            self._network = self._new_network()
            self._network.load_state(_under(arrays, NETWORK))
        layers = sum(name.endswith(".vectors") and name.startswith("bank") for name in arrays)
        if not layers:
            raise BundleError("the state holds no memory bank", "export the bundle again")
        self.banks_ = tuple(
            MemoryBank.from_state(_under(arrays, f"bank{place}."), self.unit, self._searcher()) for place in range(layers)
        )
        self._channels = [bank.vectors.shape[1] for bank in self.banks_]
        self.mark_fitted()


def _under(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _refuse_network_options(options: PatchKNNOptions) -> None:
    for name in options.NETWORK:
        value = getattr(options, name)
        if value != type(options).model_fields[name].default:
            raise OptionsError(
                f"{name}={value} has no effect with an embedder of your own", f"leave {name} away, or leave the embedder away"
            )
