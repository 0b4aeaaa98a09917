"""Detectors of other libraries behind the contract: adapted once, by what their spec declares, and never by trying."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyimgano.contracts.detector import Detector, ImageScore, Runtime
from pyimgano.errors import BundleError, DetectorError, OutputError, PluginError
from pyimgano.images import Image, ImageLike, ImageSource, load, upright_size
from pyimgano.maps import AnomalyMap
from pyimgano.specs import DetectorSpec

Size = tuple[int, int]
"""Height and width."""

_FAST = [cv2.IMWRITE_PNG_COMPRESSION, 1]


class ClassicDetector(Protocol):
    """What a factory may return instead of a `Detector`; `DetectorSpec.inputs` says what it is given and may have besides."""

    def fit(self, given: Any, /) -> Any: ...

    def decision_function(self, given: Any, /) -> ArrayLike: ...


@dataclass(frozen=True)
class Call:
    """Images in the form that one call takes: `given`, the place of each among all of them, and their sizes."""

    given: Any
    places: Sequence[int]
    sizes: Sequence[Size]


def adapt(made: Any, spec: DetectorSpec, options: Any, runtime: Runtime) -> Detector:
    """Return what a factory has made as a `Detector`: itself if it is one, else behind an adapter.

    Raises
    ------
    PluginError
        If it lacks a method that its spec promises, or declares ``inputs`` although it is a `Detector`.
    """
    if not isinstance(made, Detector):
        return AdaptedDetector(made, spec, options, runtime)
    if not hasattr(made, "_fitted"):
        raise PluginError(
            f"{spec.name}: __init__ of {type(made).__name__} does not call that of its base class",
            "leave __init__ away, or begin it with super().__init__(options, runtime)",
        )
    if spec.inputs != "arrays":
        raise PluginError(
            f"{spec.name} declares inputs={spec.inputs!r}, but a Detector gets arrays always", "leave inputs out of its spec"
        )
    return made


class AdaptedDetector(Detector):
    """A detector around an object with ``fit`` and ``decision_function``, which is its `model`.

    Scores and maps come from two calls, because such objects have one for each.

    Parameters
    ----------
    model
        The object.
    spec
        What it takes (``inputs``) and whether it makes maps.

    Raises
    ------
    PluginError
        If the object lacks a method that the spec promises.
    """

    def __init__(self, model: ClassicDetector, spec: DetectorSpec, options: Any, runtime: Runtime) -> None:
        super().__init__(options, runtime)
        self.model = model
        self.name = spec.name
        self.takes_paths = spec.inputs == "paths"
        self._inputs = spec.inputs
        for method in ("fit", "decision_function"):
            if not _has(model, method):
                raise PluginError(
                    f"{spec.name}: {type(model).__name__} has no method {method}",
                    "give it fit(X) and decision_function(X), or make it a subclass of pyimgano.Detector",
                )
        self._map_maker = _map_maker(model, spec) if spec.maps else None

    def _fit(self, images: ImageSource) -> None:
        with self._calls(images) as calls:
            if len(calls) > 1:
                raise DetectorError(
                    f"{self.name} learns from one stacked batch, but the training images have {len(calls)} sizes",
                    "scale them to one size, or learn from tiles of one: --tile-size",
                )
            self.model.fit(calls[0].given)

    def _score(self, images: Sequence[Image]) -> list[ImageScore]:
        return self._score_source(ImageSource(images))

    def _score_source(self, images: ImageSource) -> list[ImageScore]:
        results: dict[int, ImageScore] = {}
        with self._calls(images) as calls:
            for call in calls:
                results |= zip(call.places, self._answers(call), strict=True)
        return [results[place] for place in range(len(images))]

    @contextmanager
    def _calls(self, images: ImageSource) -> Iterator[list[Call]]:
        """Give the calls that hand over all images; files that were written for them are there while the block runs."""
        if self._inputs == "arrays":
            yield [_as_list(images)]
        elif self._inputs == "batch":
            yield _as_batches(images)
        else:
            with TemporaryDirectory(prefix="pyimgano-") as folder:
                yield [_as_files(images, Path(folder))]

    def _answers(self, call: Call) -> Iterator[ImageScore]:
        scores = np.asarray(self.model.decision_function(call.given), dtype=np.float64)
        if scores.shape != (len(call.places),):
            raise DetectorError(
                f"{self.name}: decision_function gave scores of shape {scores.shape} for {len(call.places)} images",
                "it must return (N,) numbers",
            )
        maps = self._maps(call)
        for score, one, size in zip(scores.tolist(), maps, call.sizes, strict=True):
            yield ImageScore(score, None if one is None else AnomalyMap(np.asarray(one, dtype=np.float32), size))

    def _maps(self, call: Call) -> Sequence[ArrayLike | None]:
        """Return one map (h, w) per image, or None for each where none are declared."""
        if self._map_maker is None:
            return [None] * len(call.places)
        maps = list(self._map_maker(call.given))
        if len(maps) != len(call.places):
            raise DetectorError(f"{self.name}: predict_anomaly_map gave {len(maps)} maps for {len(call.places)} images")
        return maps

    def check_savable(self) -> None:
        missing = [method for method in ("state", "load_state") if not _has(self.model, method)]
        if missing:
            raise BundleError(
                f"{self.name} cannot be saved: {type(self.model).__name__} has no method {' and no '.join(missing)}",
                "give it state(), which returns named arrays, and load_state(arrays), which takes them back",
            )

    def state(self) -> dict[str, NDArray[Any]]:
        self.check_savable()
        arrays: Mapping[str, ArrayLike] = self.model.state()  # type: ignore[attr-defined]
        return {name: np.asarray(array) for name, array in arrays.items()}

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.check_savable()
        self.model.load_state(dict(arrays))  # type: ignore[attr-defined]
        self.mark_fitted()


def _has(model: object, method: str) -> bool:
    return callable(getattr(model, method, None))


def _map_maker(model: Any, spec: DetectorSpec) -> Callable[[Any], Iterable[ArrayLike]]:
    """Return what makes the maps of the images of one call."""
    if _has(model, "predict_anomaly_map"):
        make: Callable[[Any], Iterable[ArrayLike]] = model.predict_anomaly_map
        return make
    if _has(model, "get_anomaly_map"):
        return lambda given: [model.get_anomaly_map(image) for image in given]
    raise PluginError(
        f"{spec.name}: {type(model).__name__} has neither predict_anomaly_map nor get_anomaly_map",
        "give it one of them, or say maps=False in its spec",
    )


def _as_list(images: ImageSource) -> Call:
    arrays = list(images)
    return Call(arrays, range(len(arrays)), [_size(array) for array in arrays])


def _as_batches(images: ImageSource) -> list[Call]:
    """Return a call for each size, in the order in which sizes first occur."""
    groups: dict[Size, tuple[list[int], list[Image]]] = {}
    for place, image in enumerate(images):
        places, arrays = groups.setdefault(_size(image), ([], []))
        places.append(place)
        arrays.append(image)
    return [Call(np.stack(arrays), places, [size] * len(places)) for size, (places, arrays) in groups.items()]


def _as_files(images: ImageSource, folder: Path) -> Call:
    """Return a call with the files of the images; those that have none, or not what is in it, are written to the folder."""
    items: Iterable[ImageLike] = images.items if images.untouched else images
    files, sizes = [], []
    for place, item in enumerate(items):
        if isinstance(item, np.ndarray):
            image = load(item)
            files.append(_written(image, folder / f"{place:06d}.png"))
            sizes.append(_size(image))
        else:
            width, height = upright_size(Path(item))
            files.append(str(item))
            sizes.append((height, width))
    return Call(files, range(len(files)), sizes)


def _written(image: Image, path: Path) -> str:
    if not cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), _FAST):
        raise OutputError(f"{path} cannot be written", "free some space in the folder for temporary files")
    return str(path)


def _size(image: Image) -> Size:
    return image.shape[0], image.shape[1]
