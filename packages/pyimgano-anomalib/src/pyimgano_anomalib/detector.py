"""What all detectors of this distribution do: train or load a model of anomalib, score by it, keep it without pickles."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from pyimgano.contracts import Detector, ImageScore
from pyimgano.errors import WeightsError
from pyimgano.images import Image, ImageSource
from pyimgano_anomalib.cropped import CroppedMap
from pyimgano_anomalib.options import CheckpointOptions, ElsewhereOptions, GradientOptions, OnePassOptions
from pyimgano_anomalib.table import Row

if TYPE_CHECKING:
    import torch

    from pyimgano_anomalib.scorer import Scorer

logger = logging.getLogger(f"pyimgano.{__name__}")


class AnomalibDetector(Detector):
    """A model of anomalib: trained here on good images, or loaded from a checkpoint, which learns nothing from them.

    Scores and maps are the model's own, before anomalib's normalisation and clamping. Importing anomalib takes seconds, so that
    happens when it first learns or loads, in the methods below.
    """

    options: ElsewhereOptions
    row: ClassVar[Row | None] = None
    """Its line of the table; None for a detector of any class."""
    _scorer: Scorer | None = None
    _told = False

    @property
    def module(self) -> Any:
        """Return anomalib's own module, to look into; None before fitting and for exports."""
        return getattr(self._scorer, "module", None)

    @property
    def _where(self) -> str:
        return "vision_anomalib_checkpoint" if self.row is None else self.row.detector

    @property
    def _class(self) -> str | None:
        return None if self.row is None else self.row.model

    def _fit(self, images: ImageSource) -> None:
        from pyimgano_anomalib.randomness import limited_threads

        with limited_threads(self.runtime.threads):
            if self.options.checkpoint is not None:
                self._load()
            elif isinstance(self.options, OnePassOptions):
                self._train(images, self.options)
            else:
                raise self._untrained()

    def _untrained(self) -> WeightsError:
        reason = f"is not trained here: {self.row.reason}" if self.row else "is what anomalib has trained elsewhere"
        return WeightsError(f"{self._where} {reason}", "name the file that anomalib has trained: -o checkpoint=FILE")

    def _train(self, images: ImageSource, options: OnePassOptions) -> None:
        from pyimgano_anomalib.arguments import plain, taken
        from pyimgano_anomalib.models import new_model
        from pyimgano_anomalib.pretrained import digest
        from pyimgano_anomalib.randomness import seeded
        from pyimgano_anomalib.scorer import TorchScorer
        from pyimgano_anomalib.sources import record_of, source_for
        from pyimgano_anomalib.training import failed, train

        row = self.row
        assert row is not None
        source = source_for(row, options)
        with seeded(self.runtime.seed):
            module = new_model(
                row.model,
                options.arguments,
                self._where,
                image_size=options.image_size,
                center_crop=options.center_crop,
                source=source,
            )
        self.weights = record_of(row, options, source, digest(source.tensors if source else module.model.state_dict()))
        limits: dict[str, Any] = {}
        batch_size = self.runtime.images_per_batch
        if isinstance(options, GradientOptions):
            limits = {"max_epochs": options.max_epochs, "max_steps": options.max_steps}
            batch_size = options.train_batch_size
        device = self._device()
        train(
            module,
            images,
            device=device,
            seed=self.runtime.seed,
            batch_size=batch_size,
            shuffle=row.training == "gradient",
            **limits,
        )
        arguments = taken(type(module), {**row.arguments, **options.arguments})
        scorer = TorchScorer(module, plain(arguments), device)
        try:
            scorer.check([next(iter(images))])
        except Exception as error:  # some models learn nothing from too few images, and say so only when they score
            raise failed(module, len(images), error) from error
        self._scorer = scorer

    def _load(self) -> None:
        from pyimgano_anomalib.checkpoint import read_checkpoint
        from pyimgano_anomalib.exports import SUFFIXES, ExportScorer
        from pyimgano_anomalib.models import fill, rebuilt_model
        from pyimgano_anomalib.pretrained import digest
        from pyimgano_anomalib.scorer import TorchScorer
        from pyimgano_anomalib.sources import digest_of_files

        path = self.options.checkpoint
        assert path is not None
        logger.info("loading %s; the images given are not learned from", path.name)
        if path.suffix in SUFFIXES:
            exported = ExportScorer.of_file(path)
            self._scorer = exported
            self.weights = {"source": "checkpoint", "file": path.name, "sha256": digest_of_files(exported.files)}
            return
        wanted = self.options.model if isinstance(self.options, CheckpointOptions) else self._class
        found = read_checkpoint(path, wanted, self.options.trust_checkpoint)
        module = fill(rebuilt_model(found.description), found.tensors, found.description)
        self._scorer = TorchScorer(module, found.description.arguments, self._device())
        self.weights = {
            "source": "checkpoint",
            "architecture": found.description.model,
            "file": path.name,
            "sha256": digest(found.tensors),
        }

    def _device(self) -> torch.device:
        import torch

        return torch.device(self.runtime.chosen_device(torch.cuda.is_available()))

    def _score(self, images: Sequence[Image]) -> list[ImageScore]:
        from pyimgano_anomalib.randomness import limited_threads

        assert self._scorer is not None
        with limited_threads(self.runtime.threads):
            results = self._scorer(images)
        self._tell_of_crops(results)
        return results

    def _tell_of_crops(self, results: Sequence[ImageScore]) -> None:
        """Say once what of the images is not scored."""
        for result in results:
            found = result.anomaly_map
            if self._told or not isinstance(found, CroppedMap):
                continue
            part, size = found.scored, found.source
            if part.share(size) < 1:
                self._told = True
                logger.warning(
                    "%s sees the centre of an image only: %.0f %% of it is not scored, and no defect is found there. Pixel "
                    "thresholds are those of the rest, which is roi_xyxy_norm=[%s]",
                    self._where,
                    100 * (1 - part.share(size)),
                    ", ".join(f"{value:.4f}" for value in part.normalised(size)),
                )

    def state(self) -> dict[str, NDArray[Any]]:
        assert self._scorer is not None
        return self._scorer.state()

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        from pyimgano_anomalib.exports import ExportScorer
        from pyimgano_anomalib.scorer import TorchScorer, read_description

        if "export" in read_description(arrays):
            self._scorer = ExportScorer.of_state(arrays)
        else:
            self._scorer = TorchScorer.of_state(arrays, self._class, self._device())
        self.mark_fitted()
