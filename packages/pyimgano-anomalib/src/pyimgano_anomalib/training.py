"""Training by anomalib's Engine, with everything that it writes in a temporary folder."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch.utils.data import DataLoader, Dataset

from pyimgano.errors import DetectorError
from pyimgano.images import ImageSource
from pyimgano.progress import track
from pyimgano_anomalib.library import quiet
from pyimgano_anomalib.randomness import seeded
from pyimgano_anomalib.transforms import head, pixels_of

logger = logging.getLogger(f"pyimgano.{__name__}")

DEFAULT_EPOCHS = 100


def train(
    module: Any,
    images: ImageSource,
    *,
    device: torch.device,
    seed: int,
    batch_size: int,
    shuffle: bool,
    max_epochs: int | None = None,
    max_steps: int | None = None,
) -> None:
    """Train a model on images of good parts."""
    from anomalib.engine import Engine

    asked = module.trainer_arguments
    limits: dict[str, Any] = {} if max_steps is None else {"max_steps": max_steps}
    if max_epochs is not None:
        limits["max_epochs"] = max_epochs
    elif shuffle and max_steps is None and "max_epochs" not in asked and "max_steps" not in asked:
        limits["max_epochs"] = DEFAULT_EPOCHS
    with tempfile.TemporaryDirectory(prefix="pyimgano-anomalib-") as folder, quiet(), seeded(seed):
        data = Prepared(images, head(module.pre_processor.transform), Path(folder) / "inputs.npy")
        with _lightning_at_rest():
            engine = Engine(
                default_root_dir=Path(folder) / "engine",
                logger=False,
                callbacks=[NoCheckpoints()],
                enable_progress_bar=False,
                enable_model_summary=False,
                accelerator="gpu" if device.type == "cuda" else "cpu",
                devices=[device.index or 0] if device.type == "cuda" else 1,
                **limits,
            )
            loaders: Any = Loaders(data, batch_size, shuffle, seed)
            try:
                engine.fit(module, datamodule=loaders)
            except Exception as error:  # a model, lightning or torch may raise anything
                raise failed(module, len(images), error) from error
            _without_optimizers(engine.trainer.strategy)
        data.close()
    module.trainer = None
    module.zero_grad(set_to_none=True)  # the last gradients are as large as the model
    module.eval()


def _without_optimizers(strategy: Any) -> None:
    """Let go of what may be larger than the model, and would be kept until cycles are looked for."""
    strategy.optimizers = []
    strategy.lr_scheduler_configs = []


def failed(module: Any, count: int, error: Exception) -> DetectorError:
    """Return the error of a model that could not learn from `count` images."""
    reason = (str(error).splitlines() or [""])[0][:200]
    return DetectorError(
        f"anomalib's {type(module).__name__} could not learn from {count} images: {type(error).__name__}: {reason}",
        "more images, another image_size or other arguments may help; run with --debug for the traceback",
    )


class Prepared(Dataset[Any]):
    """Training images at the size of the model's input, decoded once and kept in a file that is mapped into memory.

    Parameters
    ----------
    images
        The source.
    resize
        What brings an image, (3, H, W) float32 in [0, 1], to that size; None where the model takes any.
    file
        Where they are kept.

    Raises
    ------
    DetectorError
        If that leaves them at different sizes.
    """

    def __init__(self, images: ImageSource, resize: Any, file: Path) -> None:
        self._array: Any = None
        for place, image in enumerate(track(images, "images", len(images))):
            pixels = pixels_of(image)
            values = (pixels if resize is None else resize(pixels)).numpy()
            if self._array is None:
                self._array = np.lib.format.open_memmap(file, "w+", np.float32, (len(images), *values.shape))
            if values.shape != self._array.shape[1:]:
                raise DetectorError(
                    f"the model's transform leaves training images at different sizes: {values.shape[1:]} and "
                    f"{self._array.shape[2:]}",
                    "set image_size, or learn from images of one size",
                )
            self._array[place] = values

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, place: int) -> Any:
        from anomalib.data import ImageItem

        return ImageItem(image=torch.from_numpy(np.array(self._array[place])), gt_label=torch.tensor(0))

    def close(self) -> None:
        """Let go of the file."""
        self._array = None


class Loaders(LightningDataModule):
    """Batches for the Engine. There are none to validate by: thresholds are calibrated by pyimgano, on held-out images."""

    name = "pyimgano"
    category = ""

    def __init__(self, data: Prepared, batch_size: int, shuffle: bool, seed: int) -> None:
        super().__init__()
        self._data = data
        self.train_batch_size = self.eval_batch_size = batch_size
        self._shuffle = shuffle
        self._seed = seed

    def train_dataloader(self) -> Any:
        """Return all images, in another order every time where `shuffle` asks for it."""
        from anomalib.data import ImageBatch

        generator = torch.Generator().manual_seed(self._seed)
        return DataLoader(
            self._data, self.train_batch_size, shuffle=self._shuffle, generator=generator, collate_fn=ImageBatch.collate
        )


class NoCheckpoints(Callback):
    """Keeps the Engine from writing a checkpoint after every epoch: what was learned is read from the model itself."""

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Tell the Engine's own callback to keep none."""
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint):
                callback.save_top_k = 0


@contextmanager
def _lightning_at_rest() -> Iterator[None]:
    """Put back what lightning switches globally."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    benchmark = torch.backends.cudnn.benchmark
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(deterministic)
        torch.backends.cudnn.benchmark = benchmark
