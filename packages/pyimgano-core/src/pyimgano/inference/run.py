"""One run over many images: scored, written, and put on a sheet."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence

from pyimgano.errors import MapError
from pyimgano.inference.confidence import LabelConfidence, Rejection, with_confidence
from pyimgano.inference.contact_sheet import ContactSheet
from pyimgano.inference.outputs import ResultWriter
from pyimgano.inference.profile import Stopwatch
from pyimgano.inference.result import InferenceResult
from pyimgano.inference.resume import Held, numbered
from pyimgano.inference.stream import Chunk, infer_chunks
from pyimgano.pipeline import Pipeline

logger = logging.getLogger(__name__)


class Run:
    """Scores images and hands each result on.

    Parameters
    ----------
    writer
        Writes and counts the results.
    held
        What an earlier run has scored.
    sheet
        Gets the results too.
    keep_errors
        Whether an image that cannot be read, scored or drawn costs only itself; otherwise its error is raised.

    Attributes
    ----------
    earlier
        How many images an earlier run has scored.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        writer: ResultWriter,
        held: Held | None,
        sheet: ContactSheet | None,
        watch: Stopwatch,
        keep_errors: bool = False,
    ) -> None:
        self.writer = writer
        self.earlier = len(held.inputs) if held is not None else 0
        self._pipeline = pipeline
        self._held = held
        self._sheet = sheet
        self._watch = watch
        self._keep_errors = keep_errors

    def results(
        self, chunks: Iterable[Sequence[str]], confidence: LabelConfidence | None, rejection: Rejection | None
    ) -> Iterator[InferenceResult]:
        """Yield the results of what no earlier run has scored."""
        left = self._held.remaining(chunks) if self._held is not None else numbered(chunks)
        results = self._watch.timed("read", infer_chunks(self._pipeline, left, continue_on_error=self._keep_errors))
        return results if confidence is None else with_confidence(results, confidence, rejection)

    def write(self, results: Iterable[InferenceResult], max_errors: int | None = None) -> None:
        """Write results as they come, until there are no more or `max_errors` of them are known to be errors."""
        with self.writer:
            for result in results:
                self.writer.write(result)
                if self._sheet is not None:
                    self._draw(self._sheet.add, result)
                del result  # it may hold a large image, and the next one is made before the name is given anew
                if max_errors is not None and self.writer.failed >= max_errors:
                    break

    def write_sheet(self, sheet: ContactSheet, threshold: float | None) -> None:
        """Write the contact sheet; images of an earlier run that belong on it are scored once more for their heat."""
        if self._held is not None:
            for index, (score, label) in self._held.scores.items():
                sheet.expect(index, self._held.inputs[index], score, label)
        with self._watch.stage("sheet"):
            missing = sheet.without_picture()
            again = Chunk([entry.index for entry in missing], [entry.input for entry in missing])
            for result in infer_chunks(self._pipeline, [again], continue_on_error=True):
                self._draw(sheet.fill, result)
            sheet.write(threshold)

    def summary(self) -> str:
        """Return in words what was done."""
        earlier = f"; {self.earlier} more had records already" if self.earlier else ""
        return f"{self.writer.done} images, {self.writer.defective} called defective{earlier}"

    def _draw(self, draw: Callable[[InferenceResult], None], result: InferenceResult) -> None:
        """Put a result on the sheet; an image whose heat cannot be drawn is left out if errors are kept."""
        try:
            with self._watch.stage("sheet"):
                draw(result)
        except MapError as error:
            error.problem = f"{result.path or result.name}: {error.problem}"
            if not self._keep_errors:
                raise
            logger.error("%s; the contact sheet goes without it", error.problem)
