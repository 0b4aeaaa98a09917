"""Models that anomalib has exported as ONNX or OpenVINO: they carry their own transform, and run without torch's classes."""

from __future__ import annotations

import importlib.util
import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torchvision.transforms.v2 import functional

from pyimgano.contracts import ImageScore
from pyimgano.discovery.requirements import install_command
from pyimgano.errors import BundleError, MissingDependencyError, WeightsError
from pyimgano.images import Image
from pyimgano.maps import AnomalyMap
from pyimgano_anomalib.scorer import DESCRIPTION, as_maps, as_scores, read_description, written
from pyimgano_anomalib.transforms import pixels_of

logger = logging.getLogger(f"pyimgano.{__name__}")

Kind = Literal["onnx", "openvino"]
Run = Callable[[NDArray[np.float32]], Mapping[str, NDArray[Any]]]

SUFFIXES: Mapping[str, Kind] = {".onnx": "onnx", ".xml": "openvino"}
_NEEDS = {"onnx": "onnxruntime", "openvino": "openvino"}
_FILE = "file."


class ExportScorer:
    """An exported model. Its scores are what the export gives, which may be normalised and clamped already."""

    def __init__(self, kind: Kind, files: Mapping[str, bytes], main: str) -> None:
        self.kind = kind
        self.files = dict(files)
        self.main = main
        with tempfile.TemporaryDirectory(prefix="pyimgano-anomalib-") as folder:
            for name, content in files.items():
                (Path(folder) / name).write_bytes(content)
            self._run, self._size = _LOADERS[kind](Path(folder) / main)
        self._told = False

    @classmethod
    def of_file(cls, path: Path) -> ExportScorer:
        """Return the scorer of an exported file and those that lie beside it.

        Raises
        ------
        MissingDependencyError
            If what runs it is not installed.
        WeightsError
            If it is missing, empty or damaged, or a part of it is.
        """
        kind = SUFFIXES[path.suffix]
        check_runtime(kind)
        if not path.is_file():
            raise WeightsError(f"checkpoint {path} does not exist", "check -o checkpoint=FILE")
        if path.stat().st_size == 0:
            raise WeightsError(f"checkpoint {path} is empty", "export it again")
        beside = [path.with_name(path.name + ".data")] if kind == "onnx" else [path.with_suffix(".bin")]
        return cls(kind, {one.name: one.read_bytes() for one in (path, *beside) if one.is_file()}, path.name)

    @classmethod
    def of_state(cls, arrays: Mapping[str, NDArray[Any]]) -> ExportScorer:
        """Return the scorer that `state` wrote down."""
        noted = read_description(arrays)
        check_runtime(noted["export"])
        files = {name.removeprefix(_FILE): array.tobytes() for name, array in arrays.items() if name.startswith(_FILE)}
        if any(Path(name).name != name for name in (*files, noted["main"])):
            raise BundleError("the state names a file outside of its folder", "export the bundle again")
        return cls(noted["export"], files, noted["main"])

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the files as arrays of bytes."""
        arrays: dict[str, NDArray[Any]] = {
            _FILE + name: np.frombuffer(content, dtype=np.uint8) for name, content in self.files.items()
        }
        return {**arrays, DESCRIPTION: written({"export": self.kind, "main": self.main})}

    def __call__(self, images: Sequence[Image]) -> list[ImageScore]:
        return [self._score(image) for image in images]

    def _score(self, image: Image) -> ImageScore:
        pixels = pixels_of(image)[None]
        if self._size is not None:
            pixels = functional.resize(pixels, list(self._size), antialias=True)
        answer = self._run(pixels.numpy())
        if "pred_label" in answer and not self._told:
            self._told = True
            logger.warning(
                "the %s export was made with anomalib's post-processing: its scores are normalised and clamped to [0, 1], "
                "so that very abnormal images cannot be told apart; export with post_processor=False for raw ones",
                self.kind,
            )
        maps = as_maps(np.asarray(answer["anomaly_map"], np.float32), 1) if "anomaly_map" in answer else None
        (score,) = as_scores(answer.get("pred_score"), maps, 1)
        return ImageScore(score, None if maps is None else AnomalyMap(maps[0], (image.shape[0], image.shape[1])))


def check_runtime(kind: Kind) -> None:
    """Raise `MissingDependencyError` if what runs an export is not installed."""
    if importlib.util.find_spec(_NEEDS[kind]) is None:
        raise MissingDependencyError(
            f"{kind} exports need {_NEEDS[kind]}, which is not installed", install_command(f"pyimgano-anomalib[{kind}]")
        )


def _onnx(path: Path) -> tuple[Run, tuple[int, int] | None]:
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common base of their own
        raise _damaged(path, error) from None
    (entry,) = session.get_inputs()
    names = [one.name for one in session.get_outputs()]

    def run(pixels: NDArray[np.float32]) -> Mapping[str, NDArray[Any]]:
        return dict(zip(names, session.run(None, {entry.name: pixels}), strict=True))

    return run, _fixed(entry.shape)


def _openvino(path: Path) -> tuple[Run, tuple[int, int] | None]:
    import openvino

    try:
        compiled = openvino.Core().compile_model(str(path), "CPU")
    except RuntimeError as error:
        raise _damaged(path, error) from None
    shape = compiled.input(0).partial_shape
    sides = [one.get_length() if one.is_static else None for one in shape]

    def run(pixels: NDArray[np.float32]) -> Mapping[str, NDArray[Any]]:
        answer = compiled(pixels)
        return {output.any_name: np.array(answer[output]) for output in compiled.outputs}

    return run, _fixed(sides)


_LOADERS: Mapping[str, Callable[[Path], tuple[Run, tuple[int, int] | None]]] = {"onnx": _onnx, "openvino": _openvino}


def _fixed(shape: Sequence[Any]) -> tuple[int, int] | None:
    """Return the height and width that an export demands; None where it takes any."""
    height, width = shape[-2:]
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _damaged(path: Path, error: Exception) -> WeightsError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
    return WeightsError(f"{path.name} is no readable export, or a file beside it is missing: {reason}", "export it again")
